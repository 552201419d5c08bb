/* pprof's profile.proto, unpacked by protobuf-c within a budget and checked here. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "profile/raw.h"
#include "profile/readers.h"

/* Ids of a table, sorted, with their places in it. */
struct id {
	uint64_t id;
	uint32_t index;
};

struct ids {
	struct id *at;
	size_t n;
};

enum value { ALLOC_OBJECTS, ALLOC_SPACE, INUSE_OBJECTS, INUSE_SPACE, N_VALUES };

struct reader {
	struct profile_build *b;
	HfPb__Profile *pb;
	struct hf_profile_raw own; /* where nobody keeps it */
	const char **strings;      /* copies, made when first asked for */
	struct ids mappings, functions, locations;
	uint32_t *stack;
	int value[N_VALUES]; /* index of a sample type, or -1 */
};

static void *budget_alloc(void *ctx, size_t size)
{
	struct hf_profile_raw *raw = ctx;
	if (size > 4 * HF_PROFILE_MAX_BYTES - raw->memory)
		return NULL;
	raw->memory += size;
	return malloc(size ? size : 1);
}

static void budget_free(void *ctx, void *p)
{
	free(p);
}

void hf_profile_raw_deinit(struct hf_profile_raw *raw)
{
	ProtobufCAllocator allocator = {budget_alloc, budget_free, raw};
	if (raw->pb)
		hf_pb__profile__free_unpacked(raw->pb, &allocator);
	raw->pb = NULL;
}

static void reader_deinit(struct reader *r)
{
	hf_profile_raw_deinit(&r->own);
	free(r->strings);
	free(r->mappings.at);
	free(r->functions.at);
	free(r->locations.at);
	free(r->stack);
}

static enum hf_status corrupt(struct reader *r, const char *what, uint64_t id)
{
	return hf_err_set(r->b->err, HF_E_CORRUPT, "%s: %s %" PRIu64, r->b->name, what, id);
}

/* NULL: out of range, or no memory; err is set. */
static const char *string_at(struct reader *r, int64_t index)
{
	if (index < 0 || (uint64_t)index >= r->pb->n_string_table) {
		corrupt(r, "no string", (uint64_t)index);
		return NULL;
	}
	if (!r->strings[index])
		r->strings[index] = profile_string(
			r->b, r->pb->string_table[index].data, r->pb->string_table[index].len);
	return r->strings[index];
}

static bool string_is(struct reader *r, int64_t index, const char *text)
{
	size_t n = strlen(text);
	return index >= 0 && (uint64_t)index < r->pb->n_string_table &&
	       r->pb->string_table[index].len == n &&
	       !memcmp(r->pb->string_table[index].data, text, n);
}

static int compare_ids(const void *pa, const void *pb)
{
	const struct id *a = pa, *b = pb;
	return a->id < b->id ? -1 : a->id > b->id;
}

/* After at[0 … n - 1] is filled: no id twice, none 0. */
static enum hf_status sort_ids(struct reader *r, struct ids *ids, const char *what)
{
	if (ids->n)
		qsort(ids->at, ids->n, sizeof(*ids->at), compare_ids);
	for (size_t i = 0; i < ids->n; i++) {
		if (!ids->at[i].id || (i && ids->at[i].id == ids->at[i - 1].id))
			return hf_err_set(r->b->err, HF_E_CORRUPT, "%s: %s id %" PRIu64 "%s",
				r->b->name, what, ids->at[i].id,
				ids->at[i].id ? " is there twice" : "");
	}
	return HF_OK;
}

static uint32_t find_id(const struct ids *ids, uint64_t id)
{
	/* Nearly all writers count from 1. */
	if (id && id <= ids->n && ids->at[id - 1].id == id)
		return ids->at[id - 1].index;
	struct id key = {.id = id};
	const struct id *found =
		ids->n ? bsearch(&key, ids->at, ids->n, sizeof(key), compare_ids) : NULL;
	return found ? found->index : HF_PROFILE_NONE;
}

static enum hf_status alloc_ids(struct reader *r, struct ids *ids, size_t n)
{
	if (n >= HF_PROFILE_NONE)
		return corrupt(r, "too many records:", n);
	ids->at = calloc(n + 1, sizeof(*ids->at));
	ids->n = n;
	return ids->at ? HF_OK : profile_no_memory(r->b);
}

static enum hf_status failed(struct reader *r)
{
	return r->b->err->status;
}

static enum hf_status read_mappings(struct reader *r)
{
	size_t n = r->pb->n_mapping;
	enum hf_status status = alloc_ids(r, &r->mappings, n);
	struct hf_profile_mapping *to = !status && n ? profile_push(r->b, mappings, n) : NULL;
	if (status || (n && !to))
		return status ? status : failed(r);
	for (size_t i = 0; i < n; i++) {
		const HfPb__Mapping *m = r->pb->mapping[i];
		r->mappings.at[i] = (struct id){m->id, (uint32_t)i};
		to[i] = (struct hf_profile_mapping){.start = m->memory_start,
			.limit = m->memory_limit,
			.offset = m->file_offset,
			.file = string_at(r, m->filename),
			.build_id = string_at(r, m->build_id)};
		if (!to[i].file || !to[i].build_id)
			return failed(r);
	}
	return sort_ids(r, &r->mappings, "mapping");
}

static enum hf_status read_functions(struct reader *r)
{
	size_t n = r->pb->n_function;
	enum hf_status status = alloc_ids(r, &r->functions, n);
	struct hf_profile_function *to = !status && n ? profile_push(r->b, functions, n) : NULL;
	if (status || (n && !to))
		return status ? status : failed(r);
	for (size_t i = 0; i < n; i++) {
		const HfPb__Function *f = r->pb->function[i];
		r->functions.at[i] = (struct id){f->id, (uint32_t)i};
		to[i] = (struct hf_profile_function){.name = string_at(r, f->name),
			.system_name = string_at(r, f->system_name),
			.file = string_at(r, f->filename),
			.start_line = f->start_line};
		if (!to[i].name || !to[i].system_name || !to[i].file)
			return failed(r);
	}
	return sort_ids(r, &r->functions, "function");
}

static enum hf_status read_lines(
	struct reader *r, const HfPb__Location *l, struct hf_profile_location *ret)
{
	struct hf_profile_line *lines = l->n_line ? profile_push(r->b, lines, l->n_line) : NULL;
	if (l->n_line && !lines)
		return failed(r);
	if (r->b->profile.n_lines >= HF_PROFILE_NONE)
		return corrupt(r, "too many lines:", r->b->profile.n_lines);
	for (size_t i = 0; i < l->n_line; i++) {
		uint32_t function = find_id(&r->functions, l->line[i]->function_id);
		int64_t line = l->line[i]->line;
		if (function == HF_PROFILE_NONE)
			return corrupt(r, "no function", l->line[i]->function_id);
		lines[i] = (struct hf_profile_line){
			function, line > 0 && line < UINT32_MAX ? (uint32_t)line : 0};
	}
	ret->n_lines = (uint32_t)l->n_line;
	ret->first_line = (uint32_t)(r->b->profile.n_lines - l->n_line);
	return HF_OK;
}

static enum hf_status read_locations(struct reader *r)
{
	size_t n = r->pb->n_location;
	enum hf_status status = alloc_ids(r, &r->locations, n);
	if (!status && n && !profile_push(r->b, locations, n))
		return failed(r);
	for (size_t i = 0; !status && i < n; i++) {
		const HfPb__Location *l = r->pb->location[i];
		struct hf_profile_location *to = &r->b->profile.locations[i];
		r->locations.at[i] = (struct id){l->id, (uint32_t)i};
		to->address = l->address;
		to->mapping =
			l->mapping_id ? find_id(&r->mappings, l->mapping_id) : HF_PROFILE_NONE;
		if (l->mapping_id && to->mapping == HF_PROFILE_NONE)
			return corrupt(r, "no mapping", l->mapping_id);
		status = read_lines(r, l, to);
	}
	return status ? status : sort_ids(r, &r->locations, "location");
}

/* Which value is what. Old profiles say "objects" and "space" of what lives. */
static enum hf_status find_values(struct reader *r)
{
	static const char *const names[N_VALUES][2] = {[ALLOC_OBJECTS] = {"alloc_objects", NULL},
		[ALLOC_SPACE] = {"alloc_space", NULL},
		[INUSE_OBJECTS] = {"inuse_objects", "objects"},
		[INUSE_SPACE] = {"inuse_space", "space"}};
	for (int v = 0; v < N_VALUES; v++) {
		r->value[v] = -1;
		for (size_t i = 0; i < r->pb->n_sample_type && i < INT32_MAX; i++) {
			int64_t type = r->pb->sample_type[i]->type;
			if (string_is(r, type, names[v][0]) ||
				(names[v][1] && string_is(r, type, names[v][1])))
				r->value[v] = (int)i;
		}
	}
	if (r->value[INUSE_SPACE] < 0)
		return hf_err_set(r->b->err, HF_E_UNSUPPORTED,
			"%s: a profile, but not of a heap: it has no inuse_space", r->b->name);
	r->b->profile.has_totals = r->value[ALLOC_SPACE] >= 0;
	return HF_OK;
}

/* The number that Holdfast gives the site; 0: none. */
static uint64_t site_of(struct reader *r, const HfPb__Sample *s)
{
	for (size_t i = 0; r->b->profile.ids && i < s->n_label; i++) {
		if (string_is(r, s->label[i]->key, "site") && s->label[i]->num > 0)
			return (uint64_t)s->label[i]->num;
	}
	return 0;
}

static double value_of(const struct reader *r, const HfPb__Sample *s, enum value v)
{
	return r->value[v] < 0 ? 0 : (double)s->value[r->value[v]];
}

static enum hf_status read_sample(struct reader *r, const HfPb__Sample *s, uint64_t number)
{
	if (s->n_value != r->pb->n_sample_type)
		return corrupt(r, "wrong number of values in sample", number);
	for (int v = 0; v < N_VALUES; v++) {
		if (value_of(r, s, v) < 0)
			return hf_err_set(r->b->err, HF_E_UNSUPPORTED,
				"%s: negative values: the difference of two profiles", r->b->name);
	}
	size_t n = s->n_location_id;
	n = n < HF_PROFILE_MAX_FRAMES ? n : HF_PROFILE_MAX_FRAMES;
	for (size_t i = 0; i < n; i++) {
		r->stack[i] = find_id(&r->locations, s->location_id[i]);
		if (r->stack[i] == HF_PROFILE_NONE)
			return corrupt(r, "no location", s->location_id[i]);
	}
	uint64_t id = site_of(r, s);
	if (r->b->profile.ids && (!id || id > UINT32_MAX))
		return corrupt(r, "no site number in sample", number);
	struct profile_values values = {value_of(r, s, INUSE_SPACE), value_of(r, s, INUSE_OBJECTS),
		value_of(r, s, ALLOC_SPACE), value_of(r, s, ALLOC_OBJECTS)};
	return profile_add(r->b, r->stack, n, id, &values);
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_token(const char *text, uint8_t ret[HF_PROFILE_TOKEN_SIZE])
{
	for (int i = 0; i < HF_PROFILE_TOKEN_SIZE; i++) {
		int high = hex_digit(text[2 * i]), low = high < 0 ? -1 : hex_digit(text[2 * i + 1]);
		if (low < 0)
			return false;
		ret[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

/* The recorder's own comments. */
static enum hf_status read_comments(struct reader *r)
{
	static const char token[] = "holdfast-token: ", record[] = "holdfast-record: ";
	struct hf_profile *p = &r->b->profile;
	for (size_t i = 0; i < r->pb->n_comment; i++) {
		uint64_t period, lost_stacks, lost_objects, lost_nested;
		const char *text = string_at(r, r->pb->comment[i]);
		if (!text)
			return failed(r);
		if (!strncmp(text, token, sizeof(token) - 1)) {
			p->has_token = read_token(text + sizeof(token) - 1, p->token);
			p->ids = true;
		}
		if (sscanf(text,
			    "holdfast-record: period %" SCNu64 " samples %" SCNu64
			    " lost_stacks %" SCNu64 " lost_objects %" SCNu64
			    " lost_nested %" SCNu64,
			    &period, &p->n_samples, &lost_stacks, &lost_objects, &lost_nested) == 5)
			p->n_lost = lost_stacks + lost_objects + lost_nested;
		if (!strncmp(text, record, sizeof(record) - 1))
			p->ids = true;
	}
	p->maker = p->ids ? "Holdfast" : "pprof";
	return HF_OK;
}

static enum hf_status read_all(struct reader *r)
{
	struct hf_profile *p = &r->b->profile;
	const HfPb__ValueType *period_type = r->pb->period_type;
	p->kind = HF_PROFILE_PPROF;
	p->time_ns = r->pb->time_nanos;
	p->duration_ns = r->pb->duration_nanos;
	if (r->pb->period > 0 && period_type && string_is(r, period_type->type, "space"))
		p->period = (uint64_t)r->pb->period;
	p->sampled = p->period > 1;
	r->stack = calloc(HF_PROFILE_MAX_FRAMES, sizeof(*r->stack));
	r->strings = calloc(r->pb->n_string_table + 1, sizeof(*r->strings));
	if (!r->stack || !r->strings)
		return profile_no_memory(r->b);
	enum hf_status status = find_values(r);
	if (!status)
		status = read_comments(r);
	if (!status)
		status = read_mappings(r);
	if (!status)
		status = read_functions(r);
	if (!status)
		status = read_locations(r);
	for (size_t i = 0; !status && i < r->pb->n_sample; i++)
		status = read_sample(r, r->pb->sample[i], i);
	return status;
}

enum hf_status profile_read_pprof(struct profile_build *b, const uint8_t *data, size_t size)
{
	_cleanup_(reader_deinit) struct reader r = {.b = b};
	struct hf_profile_raw *raw = b->raw ? b->raw : &r.own;
	ProtobufCAllocator allocator = {budget_alloc, budget_free, raw};
	r.pb = raw->pb = hf_pb__profile__unpack(&allocator, size, data);
	if (!r.pb || !r.pb->n_sample_type || !r.pb->n_string_table ||
		r.pb->string_table[0].len != 0)
		return hf_err_set(
			b->err, HF_E_UNSUPPORTED, "%s: not a heap profile, or damaged", b->name);
	return read_all(&r);
}
