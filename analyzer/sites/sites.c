#include "sites/sites.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "sites/frames.h"

enum { MAX_SITE_FRAMES = 100000000, MESSAGE_SIZE = 1200 };

struct hf_sites {
	struct hf_profile profile;
	struct hf_sites_frames frames;
	struct hf_names_site *sites;
	struct hf_names_frame *site_frames;
	size_t n_sites, n_site_frames;
	uint64_t sample_period;
};

void hf_sites_destroy(struct hf_sites *s)
{
	if (!s)
		return;
	hf_sites_frames_deinit(&s->frames);
	hf_profile_deinit(&s->profile);
	free(s->sites);
	free(s->site_frames);
	free(s);
}

void hf_sites_names(const struct hf_sites *s, struct hf_names *names)
{
	names->sites = s->sites;
	names->n_sites = s->n_sites;
	names->site_frames = s->site_frames;
	names->n_site_frames = s->n_site_frames;
	names->sample_period = s->sample_period;
}

static void say(
	const struct hf_sites_options *options, const char *format, const char *a, const char *b)
{
	char text[MESSAGE_SIZE];
	if (!options->message)
		return;
	snprintf(text, sizeof(text), format, a, b); /* NOLINT: formats are ours */
	options->message(options->ctx, text);
}

static void note(struct hf_heap *heap, const char *key, const char *value)
{
	const char *copy = hf_heap_string(heap, value, strlen(value));
	struct hf_heap_property *p = copy ? hf_heap_push(&heap->properties) : NULL;
	if (p)
		*p = (struct hf_heap_property){key, copy};
}

static void note_number(struct hf_heap *heap, const char *key, uint64_t value)
{
	char text[24];
	snprintf(text, sizeof(text), "%" PRIu64, value);
	note(heap, key, text);
}

static void note_profile(
	struct hf_heap *heap, const struct hf_profile *p, const char *path, bool tied)
{
	note(heap, "profile", hf_base_name(path));
	note(heap, "profile_maker", p->maker);
	note_number(heap, "profile_tied", tied);
	note_number(heap, "profile_sampled", p->sampled);
	note_number(heap, "profile_period", p->period);
	if (p->n_samples)
		note_number(heap, "profile_samples", p->n_samples);
	if (p->n_lost)
		note_number(heap, "profile_lost", p->n_lost);
	if (p->missing_bytes)
		note_number(heap, "profile_missing_bytes", p->missing_bytes);
}

/*
 * Reasons not to use a profile that was read; NULL: none. *ret_own: it was made with the dump. Its
 * sites are tied to objects then, unless the objects that it knows are not in the dump: where the
 * allocator could not be walked, a profile of its own still tells what was live.
 */
static const char *objection(const struct hf_heap *heap, const struct hf_profile *p, bool *ret_own)
{
	*ret_own = p->ids && p->has_token && heap->has_token &&
		   !memcmp(p->token, heap->token, sizeof(heap->token));
	if (*ret_own)
		return NULL;
	if (p->ids && p->has_token)
		return "it belongs to another dump";
	return heap->site ? "the dump has sites of its own, and this is not their profile" : NULL;
}

/* "libfoo.so+0x1234", where there is no name. */
static const char *place_name(
	struct hf_sites *s, const struct hf_profile_location *l, const struct hf_heap *heap)
{
	char text[512];
	const struct hf_sites_location *at = &s->frames.locations[l - s->profile.locations];
	const char *file = NULL;
	uint64_t start = 0;
	if (at->module != HF_NONE) {
		file = heap->modules.at[at->module].path;
		start = heap->modules.at[at->module].base;
	} else if (l->mapping != HF_PROFILE_NONE) {
		const struct hf_profile_mapping *m = &s->profile.mappings[l->mapping];
		file = m->file;
		start = m->start - m->offset;
	}
	if (file && *file)
		snprintf(text, sizeof(text), "%.400s+0x%" PRIx64, hf_base_name(file),
			l->address - start);
	else
		snprintf(text, sizeof(text), "0x%" PRIx64, l->address);
	return hf_heap_string(&s->frames.own, text, strlen(text));
}

/* The id of the dump's module with the path of a mapping, index+1. */
static uint32_t module_by_path(const struct hf_heap *heap, const char *path)
{
	for (size_t i = 0; *path && i < heap->modules.n; i++) {
		if (!strcmp(heap->modules.at[i].path, path))
			return (uint32_t)i + 1;
	}
	return 0;
}

static uint32_t module_id(
	const struct hf_sites *s, const struct hf_profile_location *l, const struct hf_heap *heap)
{
	uint32_t module = s->frames.locations[l - s->profile.locations].module;
	if (module != HF_NONE)
		return module + 1;
	return l->mapping == HF_PROFILE_NONE
		       ? 0
		       : module_by_path(heap, s->profile.mappings[l->mapping].file);
}

/* The frames of one site to `to`, inlined ones included; how many. */
static uint32_t put_frames(const struct hf_sites *s, const struct hf_profile_site *site,
	const struct hf_heap *heap, struct hf_names_frame *to)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < site->n_frames; i++) {
		uint32_t location = s->profile.frames[site->first_frame + i];
		const struct hf_profile_location *l = &s->profile.locations[location];
		const struct hf_sites_location *at = &s->frames.locations[location];
		uint32_t module = module_id(s, l, heap);
		for (uint32_t k = 0; k < at->n; k++, n++) {
			const struct hf_symbol_frame *f = &s->frames.frames[at->first + k];
			to[n] = (struct hf_names_frame){.of = (uint32_t)site->id,
				.depth = n,
				.module = module,
				.line = f->line,
				.pc = l->address,
				.function = f->function,
				.file = f->file};
		}
	}
	return n;
}

/* Which frame names the site, and its location. */
static void name_site(struct hf_sites *s, const struct hf_profile_site *from,
	const struct hf_names_frame *frames, uint32_t n, const struct hf_heap *heap,
	const struct hf_allocators *allocators, struct hf_names_site *ret)
{
	uint32_t at = 0;
	while (at < n && frames[at].function && hf_is_allocator(allocators, frames[at].function))
		at++;
	if (at == n)
		at = 0;
	if (!n)
		return;
	ret->function = frames[at].function;
	ret->file = frames[at].file;
	ret->line = frames[at].line;
	ret->module = frames[at].module;
	ret->depth = at;
	for (uint32_t i = 0; !ret->function && i < from->n_frames; i++) {
		const struct hf_profile_location *l =
			&s->profile.locations[s->profile.frames[from->first_frame + i]];
		if (l->address == frames[at].pc)
			ret->function = place_name(s, l, heap);
	}
}

/*
 * A recorder whose period was changed while it ran keeps what it had recorded, with the weight it
 * had: the profile's period does not tell that. But then more live than objects of the dump have a
 * site. (A few objects may be allocated and freed while the dump is made.)
 */
static bool is_sampled(const struct hf_profile *p, const struct hf_heap *heap)
{
	uint64_t live = 0, recorded = 0;
	for (size_t i = 0; i < p->n_sites; i++)
		live += p->sites[i].live_count;
	for (uint64_t i = 0; i < heap->n_objects; i++)
		recorded += heap->site && heap->site[i];
	return live > recorded + recorded / 100 + 16;
}

static enum hf_status make_names(struct hf_sites *s, const struct hf_heap *heap,
	const struct hf_sites_options *options, struct hf_err *err)
{
	const struct hf_profile *p = &s->profile;
	uint64_t n = 0;
	for (size_t i = 0; i < p->n_frames; i++)
		n += s->frames.locations[p->frames[i]].n;
	if (n > MAX_SITE_FRAMES || p->n_sites > UINT32_MAX)
		return hf_err_set(err, HF_E_UNSUPPORTED,
			"%" PRIu64 " frames in the stacks of the profile: too many", n);
	s->sites = calloc(p->n_sites + 1, sizeof(*s->sites));
	s->site_frames = calloc(n + 1, sizeof(*s->site_frames));
	if (!s->sites || !s->site_frames)
		return hf_err_set(
			err, HF_E_NOMEM, "no memory for the names of %zu sites", p->n_sites);
	for (size_t i = 0; i < p->n_sites; i++) {
		const struct hf_profile_site *from = &p->sites[i];
		struct hf_names_frame *frames = s->site_frames + s->n_site_frames;
		struct hf_names_site *to = &s->sites[s->n_sites++];
		uint32_t n_frames = put_frames(s, from, heap, frames);
		*to = (struct hf_names_site){.id = (uint32_t)from->id,
			.live_bytes = from->live_bytes,
			.live_count = from->live_count,
			.total_bytes = from->total_bytes,
			.total_count = from->total_count};
		name_site(s, from, frames, n_frames, heap, &options->allocators, to);
		s->n_site_frames += n_frames;
	}
	s->sample_period = p->sampled ? p->period : 0;
	return HF_OK;
}

static bool has_live(const struct hf_profile *p)
{
	for (size_t i = 0; i < p->n_sites; i++) {
		if (p->sites[i].live_count)
			return true;
	}
	return false;
}

/* Read the profile and see whether it may be used; *ret_used. Not to be used is an error if it was
 * asked for by name. */
static enum hf_status read_profile(struct hf_sites *s, struct hf_heap *heap,
	const struct hf_sites_options *options, bool *ret_used, bool *ret_own, struct hf_err *err)
{
	_cleanup_(hf_freep) char *beside = hf_profile_path_of(options->dump_path);
	const char *path = options->profile_path ? options->profile_path : beside;
	struct hf_err mine;
	if (!path)
		return hf_err_set(err, HF_E_NOMEM, "no memory");
	if (!options->profile_path && access(path, F_OK)) {
		if (heap->site) {
			note(heap, "profile_missing", hf_base_name(path));
			say(options,
				"%s, the heap profile with the names of the sites, is not there: "
				"sites are numbers%s",
				path, "");
		}
		return HF_OK;
	}
	enum hf_status status = hf_profile_read(path, &s->profile, &mine);
	if (status) {
		if (options->profile_path)
			return err ? (*err = mine, status) : status;
		say(options, "%s; it is not used%s", mine.msg, "");
		return HF_OK;
	}
	const char *why = objection(heap, &s->profile, ret_own);
	if (why && options->profile_path)
		return hf_err_set(err, HF_E_UNSUPPORTED, "%s: %s", path, why);
	if (why) {
		say(options, "%s is not used: %s", path, why);
		return HF_OK;
	}
	bool tied = *ret_own && (heap->site || (heap->n_objects && !has_live(&s->profile)));
	if (tied && !s->profile.sampled)
		s->profile.sampled = is_sampled(&s->profile, heap);
	note_profile(heap, &s->profile, path, tied);
	*ret_used = true;
	return HF_OK;
}

enum hf_status hf_sites_create(struct hf_sites **ret, struct hf_heap *heap,
	struct hf_debug_files *files, const struct hf_sites_options *options, struct hf_err *err)
{
	struct hf_sites *s = calloc(1, sizeof(*s));
	if (!s)
		return hf_err_set(err, HF_E_NOMEM, "no memory for sites");
	bool used = false, own = false;
	enum hf_status status = read_profile(s, heap, options, &used, &own, err);
	struct hf_sites_frames_options how = {
		.heap = own ? heap : NULL, .files = files, .debug = options->debug};
	if (!status && used)
		status = hf_sites_frames_init(&s->frames, &s->profile, &how, err);
	if (!status && used)
		status = make_names(s, heap, options, err);
	if (status) {
		hf_sites_destroy(s);
		return status;
	}
	*ret = s;
	return HF_OK;
}
