/* Functions and lines into a heap profile; texts of other makers become pprof profiles. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "export/export.h"
#include "export/pprof_build.h"
#include "profile/raw.h"
#include "sites/frames.h"

/* All of a profile that is none of pprof's yet. */
static bool from_text(struct hf_pprof *b, const struct hf_profile *p)
{
	char comment[128];
	if (p->has_totals) {
		hf_pprof_sample_type(b, "alloc_objects", "count");
		hf_pprof_sample_type(b, "alloc_space", "bytes");
	}
	hf_pprof_sample_type(b, "inuse_objects", "count");
	hf_pprof_sample_type(b, "inuse_space", "bytes");
	b->p.default_sample_type = hf_pprof_string(b, "inuse_space");
	hf_pprof_period(b, p->period ? p->period : 1);
	snprintf(comment, sizeof(comment), "from a heap profile of %s%s", p->maker,
		p->sampled ? ", unsampled" : "");
	hf_pprof_comment(b, comment);
	for (size_t i = 0; i < p->n_mappings; i++) {
		HfPb__Mapping *m = hf_pprof_mapping(b);
		if (!m)
			return false;
		m->memory_start = p->mappings[i].start;
		m->memory_limit = p->mappings[i].limit;
		m->file_offset = p->mappings[i].offset;
		m->filename = hf_pprof_string(b, p->mappings[i].file);
	}
	for (size_t i = 0; i < p->n_locations; i++) {
		HfPb__Location *l = hf_pprof_location(b, 0);
		if (!l)
			return false;
		l->address = p->locations[i].address;
		if (p->locations[i].mapping != HF_PROFILE_NONE)
			l->mapping_id = p->locations[i].mapping + 1ull;
	}
	for (size_t i = 0; i < p->n_sites; i++) {
		const struct hf_profile_site *site = &p->sites[i];
		HfPb__Sample *s = hf_pprof_sample(b, site->n_frames);
		if (!s)
			return false;
		for (uint32_t k = 0; k < site->n_frames; k++)
			s->location_id[k] = p->frames[site->first_frame + k] + 1ull;
		int64_t *value = s->value;
		if (p->has_totals) {
			*value++ = (int64_t)site->total_count;
			*value++ = (int64_t)site->total_bytes;
		}
		*value++ = (int64_t)site->live_count;
		*value = (int64_t)site->live_bytes;
	}
	return true;
}

/* The functions of location i, which has none itself. */
static bool name_location(
	struct hf_pprof *b, const struct hf_sites_frames *frames, size_t i, bool *ret_inlined)
{
	const struct hf_sites_location *at = &frames->locations[i];
	const struct hf_symbol_frame *f = &frames->frames[at->first];
	HfPb__Location *l = b->p.location[i];
	if (l->n_line || !f->function)
		return true;
	/* Do not change the profile that this was made from. */
	HfPb__Location *copy = hf_pprof_copy_location(b, l);
	if (!copy || !hf_pprof_lines(b, copy, at->n))
		return false;
	b->p.location[i] = copy;
	for (uint32_t k = 0; k < at->n; k++) {
		copy->line[k]->function_id = hf_pprof_function(
			b, f[k].function ? f[k].function : "??", f[k].linkage, f[k].file);
		copy->line[k]->line = f[k].line;
	}
	*ret_inlined |= at->n > 1;
	return true;
}

static enum hf_status name_all(struct hf_pprof *b, const struct hf_sites_frames *frames,
	struct hf_export_symbolized *ret, struct hf_err *err)
{
	size_t n = frames->profile->n_locations;
	bool inlined = false;
	for (size_t i = 0; i < n; i++) {
		if (!name_location(b, frames, i, &inlined))
			return hf_err_set(err, HF_E_NOMEM, "no memory for the profile");
	}
	*ret = (struct hf_export_symbolized){n, frames->n_named};
	for (size_t i = 0; frames->n_named && i < b->p.n_mapping; i++) {
		HfPb__Mapping *m = b->p.mapping[i];
		m->has_functions = m->has_filenames = m->has_line_numbers = true;
		m->has_inline_frames |= inlined;
	}
	return HF_OK;
}

enum hf_status hf_export_symbolize(const char *profile_path, const char *path,
	const struct hf_debug_options *debug, struct hf_export_symbolized *ret, struct hf_err *err)
{
	struct hf_profile profile;
	_cleanup_(hf_profile_raw_deinit) struct hf_profile_raw raw = {0};
	enum hf_status status = hf_profile_read_raw(profile_path, &profile, &raw, err);
	if (status)
		return status;
	struct hf_sites_frames frames = {0};
	struct hf_sites_frames_options how = {.debug = debug};
	_cleanup_(hf_pprof_deinit) struct hf_pprof b;
	if (raw.pb)
		hf_pprof_init_from(&b, raw.pb);
	else
		hf_pprof_init(&b);
	if (!raw.pb && !from_text(&b, &profile))
		status = hf_err_set(err, HF_E_NOMEM, "no memory for the profile");
	if (!status)
		status = hf_sites_frames_init(&frames, &profile, &how, err);
	if (!status)
		status = name_all(&b, &frames, ret, err);
	if (!status)
		status = hf_pprof_write(&b, path, err);
	hf_sites_frames_deinit(&frames);
	hf_profile_deinit(&profile);
	return status;
}
