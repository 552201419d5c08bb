#include "site/profile.h"

#include <string.h>
#include <zlib.h>

#include "base/fmt.h"
#include "base/page_alloc.h"
#include "base/varint.h"
#include "site/live.h"
#include "site/memo.h"
#include "site/modules.h"
#include "site/sampler.h"
#include "site/stacks.h"

enum {
	OUT_SIZE = 64 << 10,
	MESSAGE_MAX =
		2048, /* the longest message below Profile: a path, or a sample of 64 frames */
	TEXT_MAX = 256,
	LEVEL = 1,
	GZIP_WINDOW = 15 + 16, /* deflateInit2: a gzip header around the largest window */
	GZIP_MEMORY = 8,

	/* profile.proto */
	PROFILE_SAMPLE_TYPE = 1,
	PROFILE_SAMPLE = 2,
	PROFILE_MAPPING = 3,
	PROFILE_LOCATION = 4,
	PROFILE_STRING = 6,
	PROFILE_TIME = 9,
	PROFILE_DURATION = 10,
	PROFILE_PERIOD_TYPE = 11,
	PROFILE_PERIOD = 12,
	PROFILE_COMMENT = 13,
	PROFILE_DEFAULT_TYPE = 14,
	VALUE_TYPE = 1,
	VALUE_UNIT = 2,
	SAMPLE_LOCATION = 1,
	SAMPLE_VALUE = 2,
	SAMPLE_LABEL = 3,
	LABEL_KEY = 1,
	LABEL_NUMBER = 3,
	MAPPING_ID = 1,
	MAPPING_START = 2,
	MAPPING_LIMIT = 3,
	MAPPING_OFFSET = 4,
	MAPPING_FILE = 5,
	MAPPING_BUILD_ID = 6,
	LOCATION_ID = 1,
	LOCATION_MAPPING = 2,
	LOCATION_ADDRESS = 3,
	WIRE_VARINT = 0,
	WIRE_BYTES = 2,
};

/* The string table: these, then the comments, then path and build id of each module. */
enum string {
	S_NONE,
	S_ALLOC_OBJECTS,
	S_COUNT,
	S_ALLOC_SPACE,
	S_BYTES,
	S_INUSE_OBJECTS,
	S_INUSE_SPACE,
	S_SPACE,
	S_SITE,
	S_COMMENT_TOKEN,
	S_COMMENT_RECORD,
	S_COMMENT_TIME,
	S_MODULES,
};
static const char *const strings[S_COMMENT_TOKEN] = {"", "alloc_objects", "count", "alloc_space",
	"bytes", "inuse_objects", "inuse_space", "space", "site"};

/* What lives, by site. */
struct inuse {
	double count, bytes;
};

struct location {
	uint64_t pc; /* return address, 0: empty */
	uint32_t id;
};

struct writer {
	const struct hf_site_store *s;
	struct hf_sink *sink;
	struct hf_pool pool; /* zlib's memory and the tables here */
	z_stream z;
	uint8_t *out;
	struct inuse *inuse;
	struct location *locations; /* hash table */
	uint64_t n_slots;           /* power of two */
	uint32_t n_locations, n_sites, n_modules;
	enum hf_status status; /* the first error */
	struct hf_err *err;
};

/* A message below Profile, whose size must be known before it is written. */
struct message {
	uint8_t data[MESSAGE_MAX];
	size_t n;
};

static void put_tag(struct message *m, unsigned field, unsigned wire)
{
	m->n = (size_t)(hf_varint_put(m->data + m->n, field << 3 | wire) - m->data);
}

static void put_number(struct message *m, unsigned field, uint64_t v)
{
	if (!v || m->n > MESSAGE_MAX - 2 * HF_VARINT_MAX)
		return;
	put_tag(m, field, WIRE_VARINT);
	m->n = (size_t)(hf_varint_put(m->data + m->n, v) - m->data);
}

static void put_bytes(struct message *m, unsigned field, const void *data, size_t size)
{
	if (size > MESSAGE_MAX || m->n > MESSAGE_MAX - size - 2 * HF_VARINT_MAX)
		return;
	put_tag(m, field, WIRE_BYTES);
	m->n = (size_t)(hf_varint_put(m->data + m->n, size) - m->data);
	memcpy(m->data + m->n, data, size);
	m->n += size;
}

static void compress_bytes(struct writer *w, const void *data, size_t size, int how)
{
	w->z.next_in = (Bytef *)(uintptr_t)data;
	w->z.avail_in = (uInt)size;
	int rc;
	do {
		w->z.next_out = w->out;
		w->z.avail_out = OUT_SIZE;
		rc = deflate(&w->z, how);
		size_t n = OUT_SIZE - w->z.avail_out;
		if (!w->status && n)
			w->status = w->sink->write(w->sink, w->out, n, w->err);
	} while (!w->status && (w->z.avail_in || (how == Z_FINISH && rc == Z_OK)));
}

static void put_message(struct writer *w, unsigned field, const struct message *m)
{
	uint8_t head[2 * HF_VARINT_MAX];
	uint8_t *end = hf_varint_put(head, field << 3 | WIRE_BYTES);
	end = hf_varint_put(end, m->n);
	compress_bytes(w, head, (size_t)(end - head), Z_NO_FLUSH);
	compress_bytes(w, m->data, m->n, Z_NO_FLUSH);
}

static void put_profile_number(struct writer *w, unsigned field, uint64_t v)
{
	struct message m = {.n = 0};
	put_number(&m, field, v);
	compress_bytes(w, m.data, m.n, Z_NO_FLUSH);
}

static void put_string(struct writer *w, const char *text)
{
	struct message m = {.n = strlen(text)};
	memcpy(m.data, text, m.n);
	put_message(w, PROFILE_STRING, &m);
}

static void put_value_type(struct writer *w, unsigned field, enum string type, enum string unit)
{
	struct message m = {.n = 0};
	put_number(&m, VALUE_TYPE, type);
	put_number(&m, VALUE_UNIT, unit);
	put_message(w, field, &m);
}

/* Sums. */

static void count_object(void *ctx, const struct hf_live_object *o)
{
	struct writer *w = ctx;
	if (o->site > w->n_sites)
		return;
	double weight = hf_sampler_weight(o->size, hf_stacks_period(w->s, o->site));
	w->inuse[o->site].count += weight;
	w->inuse[o->site].bytes += weight * (double)o->size;
}

static struct hf_site_total *sum_totals(struct writer *w)
{
	struct hf_site_total *totals =
		hf_pool_alloc(&w->pool, ((size_t)w->n_sites + 1) * sizeof(*totals));
	for (uint32_t i = 1; totals && i <= w->n_sites; i++)
		totals[i] = hf_stacks_total(w->s, i);
	if (totals)
		hf_memo_pending(w->s, totals, w->n_sites);
	return totals;
}

/* Locations. */

static uint32_t location_of(struct writer *w, uint64_t pc)
{
	uint64_t at = (pc * 0x9e3779b97f4a7c15ull >> 20) & (w->n_slots - 1);
	while (w->locations[at].pc && w->locations[at].pc != pc)
		at = (at + 1) & (w->n_slots - 1);
	if (!w->locations[at].pc)
		w->locations[at] = (struct location){pc, ++w->n_locations};
	return w->locations[at].id;
}

static void put_sample(struct writer *w, uint32_t site, const struct hf_site_total *total)
{
	const uint64_t *pcs;
	uint32_t n = hf_stacks_frames(w->s, site, &pcs);
	uint64_t inuse_count = (uint64_t)(w->inuse[site].count + 0.5);
	uint64_t inuse_bytes = (uint64_t)(w->inuse[site].bytes + 0.5);
	uint64_t count = (total->count + (1u << (HF_SITE_FRACTION - 1))) >> HF_SITE_FRACTION;
	uint64_t bytes = total->bytes;
	/* rounded apart, and an object may be caught before it is in the totals */
	count = count > inuse_count ? count : inuse_count;
	bytes = bytes > inuse_bytes ? bytes : inuse_bytes;
	if (!n || !count)
		return;
	struct message m = {.n = 0};
	uint8_t list[HF_SITE_MAX_FRAMES * HF_VARINT_MAX], *end = list;
	for (uint32_t i = 0; i < n; i++)
		end = hf_varint_put(end, location_of(w, pcs[i] ? pcs[i] : 1));
	put_bytes(&m, SAMPLE_LOCATION, list, (size_t)(end - list));
	end = hf_varint_put(list, count);
	end = hf_varint_put(end, bytes);
	end = hf_varint_put(end, inuse_count);
	end = hf_varint_put(end, inuse_bytes);
	put_bytes(&m, SAMPLE_VALUE, list, (size_t)(end - list));
	struct message label = {.n = 0};
	put_number(&label, LABEL_KEY, S_SITE);
	put_number(&label, LABEL_NUMBER, site);
	put_bytes(&m, SAMPLE_LABEL, label.data, label.n);
	put_message(w, PROFILE_SAMPLE, &m);
}

static void put_locations(struct writer *w)
{
	for (uint64_t i = 0; i < w->n_slots && !w->status; i++) {
		const struct location *l = &w->locations[i];
		if (!l->pc)
			continue;
		struct message m = {.n = 0};
		put_number(&m, LOCATION_ID, l->id);
		put_number(&m, LOCATION_MAPPING, (uint64_t)(hf_modules_find(w->s, l->pc - 1) + 1));
		put_number(&m, LOCATION_ADDRESS, l->pc - 1);
		put_message(w, PROFILE_LOCATION, &m);
	}
}

static void put_mappings(struct writer *w)
{
	for (uint32_t i = 0; i < w->n_modules; i++) {
		const struct hf_site_module *module = &w->s->modules[i];
		struct message m = {.n = 0};
		put_number(&m, MAPPING_ID, i + 1);
		put_number(&m, MAPPING_START, module->start);
		put_number(&m, MAPPING_LIMIT, module->end);
		put_number(&m, MAPPING_OFFSET, module->file_offset);
		put_number(&m, MAPPING_FILE, S_MODULES + 2 * i);
		put_number(&m, MAPPING_BUILD_ID, S_MODULES + 2 * i + 1);
		put_message(w, PROFILE_MAPPING, &m);
	}
}

static void hex_of(const uint8_t *data, size_t size, char *ret)
{
	for (size_t i = 0; i < size; i++)
		hf_fmt(ret + 2 * i, 3, "%02x", data[i]);
	ret[2 * size] = 0;
}

static void put_strings(struct writer *w, const struct hf_profile_options *options)
{
	char text[TEXT_MAX + 1], hex[2 * HF_SITE_BUILD_ID_MAX + 1] = "none";
	for (int i = 0; i < S_COMMENT_TOKEN; i++)
		put_string(w, strings[i]);
	if (options->token)
		hex_of(options->token, HF_FORMAT_TOKEN_SIZE, hex);
	hf_fmt(text, sizeof(text), "holdfast-token: %s", hex);
	put_string(w, text);
	hf_fmt(text, sizeof(text),
		"holdfast-record: period %lu samples %lu lost_stacks %u lost_objects %u "
		"lost_nested %u",
		w->s->period_bytes, hf_live_samples(w->s), w->s->lost_stacks, w->s->lost_objects,
		w->s->lost_nested);
	put_string(w, text);
	put_string(w, options->about_time ? options->about_time : "");
	for (uint32_t i = 0; i < w->n_modules; i++) {
		const struct hf_site_module *m = &w->s->modules[i];
		hf_fmt(text, sizeof(text), "%.*s", HF_SITE_PATH_MAX - 1, m->path);
		put_string(w, text);
		hex_of(m->build_id, m->build_id_size <= HF_SITE_BUILD_ID_MAX ? m->build_id_size : 0,
			hex);
		put_string(w, hex);
	}
}

static void put_head(struct writer *w, const struct hf_profile_options *options)
{
	put_value_type(w, PROFILE_SAMPLE_TYPE, S_ALLOC_OBJECTS, S_COUNT);
	put_value_type(w, PROFILE_SAMPLE_TYPE, S_ALLOC_SPACE, S_BYTES);
	put_value_type(w, PROFILE_SAMPLE_TYPE, S_INUSE_OBJECTS, S_COUNT);
	put_value_type(w, PROFILE_SAMPLE_TYPE, S_INUSE_SPACE, S_BYTES);
	put_value_type(w, PROFILE_PERIOD_TYPE, S_SPACE, S_BYTES);
	put_profile_number(w, PROFILE_PERIOD, w->s->period_bytes);
	put_profile_number(w, PROFILE_TIME, options->time_ns);
	if (options->time_ns > w->s->start_realtime_ns)
		put_profile_number(w, PROFILE_DURATION, options->time_ns - w->s->start_realtime_ns);
	put_profile_number(w, PROFILE_COMMENT, S_COMMENT_TOKEN);
	put_profile_number(w, PROFILE_COMMENT, S_COMMENT_RECORD);
	if (options->about_time)
		put_profile_number(w, PROFILE_COMMENT, S_COMMENT_TIME);
	put_profile_number(w, PROFILE_DEFAULT_TYPE, S_INUSE_SPACE);
}

static voidpf zalloc(voidpf pool, uInt n, uInt size)
{
	return hf_pool_alloc(pool, (size_t)n * size);
}

static void zfree(voidpf pool, voidpf address)
{
}

static bool prepare(struct writer *w)
{
	uint32_t n_pcs = w->s->n_pcs < HF_SITE_MAX_PCS ? w->s->n_pcs : HF_SITE_MAX_PCS;
	w->n_sites = hf_stacks_last(w->s);
	w->n_modules =
		w->s->n_modules < HF_SITE_MAX_MODULES ? w->s->n_modules : HF_SITE_MAX_MODULES;
	for (w->n_slots = 1024; w->n_slots < 2 * (uint64_t)n_pcs; w->n_slots *= 2)
		;
	w->out = hf_pool_alloc(&w->pool, OUT_SIZE);
	w->inuse = hf_pool_alloc(&w->pool, ((size_t)w->n_sites + 1) * sizeof(*w->inuse));
	w->locations = hf_pool_alloc(&w->pool, w->n_slots * sizeof(*w->locations));
	w->z.zalloc = zalloc;
	w->z.zfree = zfree;
	w->z.opaque = &w->pool;
	return w->out && w->inuse && w->locations &&
	       deflateInit2(&w->z, LEVEL, Z_DEFLATED, GZIP_WINDOW, GZIP_MEMORY,
		       Z_DEFAULT_STRATEGY) == Z_OK;
}

static enum hf_status write_all(struct writer *w, const struct hf_profile_options *options)
{
	struct hf_site_total *totals = prepare(w) ? sum_totals(w) : NULL;
	if (!totals)
		return hf_err_set(w->err, HF_E_NOMEM, "no memory for the heap profile");
	hf_live_each(w->s, count_object, w);
	put_head(w, options);
	for (uint32_t i = 1; i <= w->n_sites && !w->status; i++)
		put_sample(w, i, &totals[i]);
	put_locations(w);
	put_mappings(w);
	put_strings(w, options);
	compress_bytes(w, "", 0, Z_FINISH);
	return w->status;
}

enum hf_status hf_profile_write(const struct hf_site_store *store,
	const struct hf_profile_options *options, struct hf_sink *sink, struct hf_err *err)
{
	struct writer w = {.s = store, .sink = sink, .err = err};
	hf_pool_init(&w.pool, NULL, 0);
	enum hf_status status = write_all(&w, options);
	hf_pool_deinit(&w.pool);
	return status;
}
