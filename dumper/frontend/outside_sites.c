#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/fmt.h"
#include "frontend/outside.h"
#include "site/control.h"
#include "site/live.h"
#include "site/profile.h"
#include "site/stacks.h"

static const char other_version[] = "they are recorded by another version of libholdfast.so";

/* What is resident of a store; the rest of it is zero. */
static void copy_resident(struct hf_mem *mem, uint64_t addr, uint64_t size, char *to)
{
	struct hf_reader r;
	hf_reader_init(&r, mem);
	for (uint64_t at = addr; at < addr + size;) {
		bool resident = hf_reader_seek(&r, at);
		uint64_t end = r.win.end < addr + size ? r.win.end : addr + size;
		if (resident)
			memcpy(to + (at - addr), r.win.data + (at - r.win.start), end - at);
		at = end;
	}
	hf_reader_deinit(&r);
}

static void copy_parts(struct hf_mem *mem, uint64_t addr, struct hf_site_store *to)
{
	for (int part = HF_SITE_HEADER; part < HF_SITE_PARTS; part++) {
		uint64_t offset, size;
		hf_store_part(part, &offset, &size);
		if (part != HF_SITE_HEADER && to->mapped[part] < size)
			size = to->mapped[part];
		copy_resident(mem, addr + offset, size, (char *)to + offset);
	}
}

void hf_outside_sites_find(struct hf_outside_library *l, struct hf_mem *mem, uint64_t control_addr)
{
	struct hf_site_control control;
	struct {
		char magic[8];
		uint32_t version, ready;
		uint64_t store_size, size;
	} head;
	if (l->sites || hf_mem_read(mem, control_addr, &control, sizeof(control), NULL) ||
		!control.store || hf_mem_read(mem, control.store, &head, sizeof(head), NULL))
		return;
	_Static_assert(offsetof(struct hf_site_store, size) == 24, "the head of a store");
	l->other_sites = true;
	if (memcmp(head.magic, HF_SITE_MAGIC, sizeof(head.magic)) ||
		head.version != HF_SITE_VERSION || head.store_size != sizeof(*l->sites) ||
		head.size != sizeof(*l->sites) + HF_SITE_AREA ||
		head.size > UINT64_MAX - control.store)
		return;
	struct hf_site_store *s = hf_store_blank(head.size);
	if (!s)
		return;
	copy_parts(mem, control.store, s);
	if (!hf_store_is_sound(s, head.size)) {
		s->size = head.size;
		hf_store_close(s);
		return;
	}
	l->sites = s;
	l->other_sites = false;
}

static bool site_of(void *ctx, uint64_t addr, struct hf_site_facts *ret)
{
	const struct hf_outside_library *l = ctx;
	struct hf_live_object o;
	if (!hf_live_find(l->sites, addr, &o))
		return false;
	uint64_t start = l->sites->start_realtime_ns;
	uint64_t now = l->time_ns > start ? (l->time_ns - start) / 1000000000u : 0;
	*ret = (struct hf_site_facts){o.site, o.size, now > o.seconds ? now - o.seconds : 0, o.tid};
	return true;
}

static bool next_sites(void *ctx, uint64_t addr, uint64_t *ret_start, uint64_t *ret_end)
{
	const struct hf_outside_library *l = ctx;
	return hf_live_next(l->sites, addr, ret_start, ret_end);
}

void hf_outside_sites_use(struct hf_outside_library *l, struct hf_dump_input *input)
{
	if (!l->sites)
		return;
	l->time_ns = input->about.time_ns;
	if (getrandom(l->token, sizeof(l->token), GRND_NONBLOCK) != sizeof(l->token))
		return;
	input->token = l->token;
	input->site_of = site_of;
	input->next_sites = next_sites;
	input->site_ctx = l;
}

static void count(void *ctx, const struct hf_live_object *object)
{
	++*(uint64_t *)ctx;
}

static enum hf_status write_store(const struct hf_site_store *s, uint64_t time_ns,
	const uint8_t *token, const char *about_time, struct hf_sink_file *file,
	struct hf_outside_result *result, struct hf_err *err)
{
	struct hf_profile_options options = {time_ns, token, about_time};
	const uint64_t *pcs;
	result->n_sites = result->n_recorded = 0;
	for (uint32_t i = 1; i <= hf_stacks_last(s); i++)
		result->n_sites += hf_stacks_frames(s, i, &pcs) != 0;
	hf_live_each(s, count, &result->n_recorded);
	return hf_profile_write(s, &options, &file->sink, err);
}

void hf_outside_sites_beside(const struct hf_outside_library *l, struct hf_outside_result *result)
{
	char path[HF_PATH_MAX];
	struct hf_err err;
	if (l->other_sites)
		hf_fmt(result->note, sizeof(result->note), "no allocation sites: %s",
			other_version);
	if (!l->sites)
		return;
	const char *dump = result->file.path;
	size_t n = strlen(dump);
	n -= n > 4 && strcmp(dump + n - 4, ".hfd") == 0 ? 4 : 0;
	hf_fmt(path, sizeof(path), "%.*s" HF_OUTSIDE_PROFILE, (int)n, dump);
	enum hf_status status = hf_sink_file_open(&result->profile, path, &err);
	if (!status)
		status = write_store(
			l->sites, l->time_ns, l->token, NULL, &result->profile, result, &err);
	if (!status)
		return;
	hf_sink_file_abort(&result->profile);
	result->profile.path[0] = 0;
	hf_fmt(result->note, sizeof(result->note), "no heap profile: %s", err.msg);
}

enum hf_status hf_outside_sites_profile(const struct hf_outside_library *l, uint64_t time_ns,
	struct hf_outside_result *result, struct hf_err *err)
{
	if (l->sites)
		return write_store(l->sites, time_ns, NULL, NULL, &result->file, result, err);
	if (l->other_sites)
		return hf_err_set(err, HF_E_UNSUPPORTED, "%s", other_version);
	return hf_err_set(err, HF_E_UNSUPPORTED, "%s",
		l->code ? "it records no allocation sites: start that with `holdfast ctl PID "
			  "--sample 512K`"
			: "it runs without libholdfast.so: start it with `holdfast run`");
}

static void find_newest(void *ctx, const struct hf_live_object *object)
{
	uint32_t *seconds = ctx;
	*seconds = object->seconds > *seconds ? object->seconds : *seconds;
}

/* What a file tells of when its process ended: not before this. The file's own time says nothing:
 * what is written through a mapping need not move it, and copies have one of their own. */
static uint64_t newest_ns(const struct hf_site_store *s)
{
	uint32_t seconds = 0;
	hf_live_each(s, find_newest, &seconds);
	uint64_t ns = seconds * 1000000000ull;
	return s->start_realtime_ns + (ns > s->start_nsec ? ns - s->start_nsec : 0);
}

/* The file of a process that is no more, or still runs. */
enum hf_status hf_outside_sites_file(const struct hf_outside_options *options,
	struct hf_outside_result *result, struct hf_err *err)
{
	static const char about_time[] =
		"holdfast-time: of the newest object that lives, rounded down by up to a second; "
		"the process may have run on";
	struct hf_site_store *s;
	char path[HF_PATH_MAX];
	enum hf_status status = hf_store_open(options->sites, &s, err);
	if (status)
		return status;
	hf_fmt(path, sizeof(path), "%s" HF_OUTSIDE_PROFILE, options->sites);
	status = hf_sink_file_open(&result->file, options->output ? options->output : path, err);
	if (!status)
		status = write_store(s, newest_ns(s), NULL, about_time, &result->file, result, err);
	hf_store_close(s);
	return status;
}
