#include "export/pprof_build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/cleanup.h"
#include "export/file.h"

enum { CHUNK = 1 << 16, FIRST_SLOTS = 1024, GZIP = 15 + 16, MEMORY_LEVEL = 8 };

struct hf_pprof_chunk {
	struct hf_pprof_chunk *next;
	size_t used, size;
	_Alignas(16) char bytes[];
};

/* Zeroed memory that lives as long as the profile. */
static void *take(struct hf_pprof *b, size_t size)
{
	size = (size + 15) / 16 * 16;
	struct hf_pprof_chunk *chunk = b->chunks;
	if (!chunk || chunk->size - chunk->used < size) {
		size_t want = size > CHUNK ? size : CHUNK;
		chunk = calloc(1, sizeof(*chunk) + want);
		if (!chunk) {
			b->failed = true;
			return NULL;
		}
		chunk->next = b->chunks;
		chunk->size = want;
		b->chunks = chunk;
	}
	void *p = chunk->bytes + chunk->used;
	chunk->used += size;
	return p;
}

static bool grow(struct hf_pprof *b, void **at, size_t n, size_t *cap, size_t size_bytes)
{
	if (n < *cap)
		return true;
	size_t want = n * 2 > 64 ? n * 2 : 64;
	void *bigger = reallocarray(*at, want, size_bytes);
	if (!bigger) {
		b->failed = true;
		return false;
	}
	*at = bigger;
	*cap = want;
	return true;
}

/* One more pointer at the end of a table. */
#define PUSH(b, field, value)                                                                      \
	({                                                                                         \
		typeof(*(b)->p.field) v_ = (value);                                                \
		bool ok_ = v_ && grow((b), (void **)&(b)->p.field, (b)->p.n_##field,               \
					 &(b)->cap_##field, sizeof(*(b)->p.field));                \
		if (ok_)                                                                           \
			(b)->p.field[(b)->p.n_##field++] = v_;                                     \
		ok_ ? v_ : NULL;                                                                   \
	})

void hf_pprof_init(struct hf_pprof *b)
{
	*b = (struct hf_pprof){0};
	hf_pb__profile__init(&b->p);
	hf_pprof_string(b, "");
}

static void *copy_table(struct hf_pprof *b, const void *from, size_t n, size_t size_bytes)
{
	void *to = calloc(n + 1, size_bytes);
	b->failed |= !to;
	if (to && n)
		memcpy(to, from, n * size_bytes);
	return to;
}

#define COPY(b, other, field)                                                                      \
	do {                                                                                       \
		(b)->p.field = copy_table(                                                         \
			(b), (other)->field, (other)->n_##field, sizeof(*(other)->field));         \
		(b)->p.n_##field = (b)->cap_##field = (b)->p.field ? (other)->n_##field : 0;       \
	} while (0)

static uint64_t hash_bytes(const uint8_t *bytes, size_t n)
{
	uint64_t h = 0xcbf29ce484222325ull;
	for (size_t i = 0; i < n; i++)
		h = (h ^ bytes[i]) * 0x100000001b3ull;
	return h ^ h >> 29;
}

static uint64_t hash_string(const struct hf_pprof *b, uint32_t i)
{
	return hash_bytes(b->p.string_table[i].data, b->p.string_table[i].len);
}

static uint64_t hash_of_function(int64_t name, int64_t system_name, int64_t file)
{
	uint64_t h = (uint64_t)name * 0x9e3779b97f4a7c15ull + (uint64_t)system_name;
	h = (h ^ h >> 32) * 0x9e3779b97f4a7c15ull + (uint64_t)file;
	return h ^ h >> 29;
}

static uint64_t hash_function(const struct hf_pprof *b, uint32_t i)
{
	const HfPb__Function *f = b->p.function[i];
	return hash_of_function(f->name, f->system_name, f->filename);
}

/* Room in a table of slots for one more entry after n. */
static bool grow_slots(struct hf_pprof *b, uint32_t **slots, size_t *n_slots, size_t n,
	uint64_t (*hash)(const struct hf_pprof *, uint32_t))
{
	if (*n_slots && n < *n_slots / 2)
		return true;
	size_t want = FIRST_SLOTS;
	while (want < 4 * (n + 1))
		want *= 2;
	uint32_t *new = calloc(want, sizeof(*new));
	if (!new) {
		b->failed = true;
		return false;
	}
	for (uint32_t i = 0; i < n; i++) {
		size_t at = hash(b, i) & (want - 1);
		while (new[at])
			at = (at + 1) & (want - 1);
		new[at] = i + 1;
	}
	free(*slots);
	*slots = new;
	*n_slots = want;
	return true;
}

void hf_pprof_init_from(struct hf_pprof *b, const HfPb__Profile *other)
{
	*b = (struct hf_pprof){.p = *other};
	COPY(b, other, sample_type);
	COPY(b, other, sample);
	COPY(b, other, mapping);
	COPY(b, other, location);
	COPY(b, other, function);
	COPY(b, other, string_table);
	COPY(b, other, comment);
}

void hf_pprof_deinit(struct hf_pprof *b)
{
	void *const tables[] = {b->p.sample_type, b->p.sample, b->p.mapping, b->p.location,
		b->p.function, b->p.string_table, b->p.comment, b->string_slots, b->function_slots};
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		free(tables[i]);
	while (b->chunks) {
		struct hf_pprof_chunk *chunk = b->chunks;
		b->chunks = chunk->next;
		free(chunk);
	}
	*b = (struct hf_pprof){0};
}

int64_t hf_pprof_string(struct hf_pprof *b, const char *text)
{
	size_t n = text ? strlen(text) : 0;
	const uint8_t *bytes = (const uint8_t *)(text ? text : "");
	if (!grow_slots(b, &b->string_slots, &b->n_string_slots, b->p.n_string_table, hash_string))
		return 0;
	size_t at = hash_bytes(bytes, n) & (b->n_string_slots - 1);
	for (; b->string_slots[at]; at = (at + 1) & (b->n_string_slots - 1)) {
		const ProtobufCBinaryData *s = &b->p.string_table[b->string_slots[at] - 1];
		if (s->len == n && (!n || !memcmp(s->data, bytes, n)))
			return (int64_t)b->string_slots[at] - 1;
	}
	uint8_t *copy = take(b, n + 1);
	if (!copy || !grow(b, (void **)&b->p.string_table, b->p.n_string_table,
			     &b->cap_string_table, sizeof(*b->p.string_table)))
		return 0;
	memcpy(copy, bytes, n);
	b->p.string_table[b->p.n_string_table++] = (ProtobufCBinaryData){n, copy};
	b->string_slots[at] = (uint32_t)b->p.n_string_table;
	return (int64_t)b->p.n_string_table - 1;
}

void hf_pprof_sample_type(struct hf_pprof *b, const char *type, const char *unit)
{
	HfPb__ValueType *t = PUSH(b, sample_type, take(b, sizeof(HfPb__ValueType)));
	if (!t)
		return;
	hf_pb__value_type__init(t);
	t->type = hf_pprof_string(b, type);
	t->unit = hf_pprof_string(b, unit);
}

void hf_pprof_comment(struct hf_pprof *b, const char *text)
{
	int64_t index = hf_pprof_string(b, text);
	if (grow(b, (void **)&b->p.comment, b->p.n_comment, &b->cap_comment, sizeof(*b->p.comment)))
		b->p.comment[b->p.n_comment++] = index;
}

uint64_t hf_pprof_function(
	struct hf_pprof *b, const char *name, const char *system_name, const char *file)
{
	int64_t n = hf_pprof_string(b, name), f = hf_pprof_string(b, file);
	int64_t s = system_name ? hf_pprof_string(b, system_name) : n;
	if (!grow_slots(
		    b, &b->function_slots, &b->n_function_slots, b->p.n_function, hash_function))
		return 0;
	size_t at = hash_of_function(n, s, f) & (b->n_function_slots - 1);
	for (; b->function_slots[at]; at = (at + 1) & (b->n_function_slots - 1)) {
		const HfPb__Function *have = b->p.function[b->function_slots[at] - 1];
		if (have->name == n && have->system_name == s && have->filename == f)
			return have->id;
	}
	HfPb__Function *new = PUSH(b, function, take(b, sizeof(*new)));
	if (!new)
		return 0;
	hf_pb__function__init(new);
	uint64_t most = 0; /* ids of another's need not be dense */
	if (b->p.n_function > 1)
		most = b->p.function[b->p.n_function - 2]->id;
	new->id = most >= b->p.n_function ? most + 1 : b->p.n_function;
	new->name = n;
	new->system_name = s;
	new->filename = f;
	b->function_slots[at] = (uint32_t)b->p.n_function;
	return new->id;
}

HfPb__Mapping *hf_pprof_mapping(struct hf_pprof *b)
{
	HfPb__Mapping *m = PUSH(b, mapping, take(b, sizeof(HfPb__Mapping)));
	if (m) {
		hf_pb__mapping__init(m);
		m->id = b->p.n_mapping;
	}
	return m;
}

bool hf_pprof_lines(struct hf_pprof *b, HfPb__Location *location, size_t n_lines)
{
	HfPb__Line *lines = take(b, n_lines * sizeof(*lines));
	location->line = lines ? take(b, n_lines * sizeof(*location->line)) : NULL;
	if (!location->line)
		return false;
	location->n_line = n_lines;
	for (size_t i = 0; i < n_lines; i++) {
		hf_pb__line__init(&lines[i]);
		location->line[i] = &lines[i];
	}
	return true;
}

HfPb__Location *hf_pprof_copy_location(struct hf_pprof *b, const HfPb__Location *location)
{
	HfPb__Location *copy = take(b, sizeof(*copy));
	if (copy)
		*copy = *location;
	return copy;
}

HfPb__Location *hf_pprof_location(struct hf_pprof *b, size_t n_lines)
{
	HfPb__Location *l = PUSH(b, location, take(b, sizeof(HfPb__Location)));
	if (!l)
		return NULL;
	hf_pb__location__init(l);
	l->id = b->p.n_location;
	return !n_lines || hf_pprof_lines(b, l, n_lines) ? l : NULL;
}

HfPb__Sample *hf_pprof_sample(struct hf_pprof *b, size_t n_locations)
{
	HfPb__Sample *s = PUSH(b, sample, take(b, sizeof(HfPb__Sample)));
	if (!s)
		return NULL;
	hf_pb__sample__init(s);
	s->location_id = take(b, (n_locations + 1) * sizeof(*s->location_id));
	s->value = take(b, (b->p.n_sample_type + 1) * sizeof(*s->value));
	if (!s->location_id || !s->value)
		return NULL;
	s->n_location_id = n_locations;
	s->n_value = b->p.n_sample_type;
	return s;
}

void hf_pprof_label(
	struct hf_pprof *b, HfPb__Sample *sample, const char *key, const char *text, int64_t number)
{
	HfPb__Label *label = take(b, sizeof(*label));
	HfPb__Label **labels = take(b, (sample->n_label + 1) * sizeof(*labels));
	if (!label || !labels)
		return;
	hf_pb__label__init(label);
	label->key = hf_pprof_string(b, key);
	label->str = text ? hf_pprof_string(b, text) : 0;
	label->num = number;
	if (sample->n_label)
		memcpy(labels, sample->label, sample->n_label * sizeof(*labels));
	labels[sample->n_label++] = label;
	sample->label = labels;
}

void hf_pprof_period(struct hf_pprof *b, uint64_t period)
{
	HfPb__ValueType *type = take(b, sizeof(*type));
	if (!type)
		return;
	hf_pb__value_type__init(type);
	type->type = hf_pprof_string(b, "space");
	type->unit = hf_pprof_string(b, "bytes");
	b->p.period_type = type;
	b->p.period = (int64_t)period;
}

enum hf_status hf_pprof_write(struct hf_pprof *b, const char *path, struct hf_err *err)
{
	if (b->failed)
		return hf_err_set(err, HF_E_NOMEM, "%s: no memory for the profile", path);
	size_t size = hf_pb__profile__get_packed_size(&b->p);
	z_stream z = {0};
	if (size > UINT32_MAX / 2 || deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP,
					     MEMORY_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK)
		return hf_err_set(err, HF_E_NOMEM, "%s: the profile is too large", path);
	size_t bound = deflateBound(&z, size);
	_cleanup_(hf_freep) uint8_t *plain = malloc(size + 1);
	_cleanup_(hf_freep) uint8_t *packed = malloc(bound);
	bool ok = plain && packed;
	if (ok) {
		hf_pb__profile__pack(&b->p, plain);
		z.next_in = plain;
		z.avail_in = (uInt)size;
		z.next_out = packed;
		z.avail_out = (uInt)bound;
		ok = deflate(&z, Z_FINISH) == Z_STREAM_END;
	}
	size_t n = z.total_out;
	deflateEnd(&z);
	return ok ? hf_export_file(path, packed, n, err)
		  : hf_err_set(err, HF_E_NOMEM, "%s: no memory for the profile", path);
}
