#include "fake_heap.h"

#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"

static uint64_t next(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

static const char *text(struct hf_heap *heap, const char *format, unsigned n)
{
	char buf[64];
	size_t size = hf_fmt(buf, sizeof(buf), format, n);
	return hf_heap_string(heap, buf, size);
}

static void fill_objects(struct hf_heap *heap, const struct fake_heap_options *o, uint64_t *rng)
{
	uint64_t at = 0x555555559000;
	for (uint64_t i = 0; i < o->n_objects; i++) {
		uint64_t r = next(rng);
		uint64_t usable = 24 + 16 * (r % 8);
		if (r >> 56 == 0)
			usable += 16 * (r >> 16 & 0xfff);
		if (o->list && i % 3 == 0)
			usable = 40;
		heap->addr[i] = at;
		heap->usable[i] = usable;
		heap->arena[i] = (uint32_t)(i * o->n_arenas / o->n_objects);
		if (heap->requested)
			heap->requested[i] = usable - (r >> 8) % 8;
		if (heap->site)
			heap->site[i] = (uint32_t)((r >> 20) % (o->n_sites + 1));
		heap->total_usable += usable;
		at += usable + 8;
	}
}

/* Target of an edge of object i. */
static uint64_t target(const struct fake_heap_options *o, uint64_t i, uint64_t r)
{
	uint64_t n = o->n_objects, kind = r % 16;
	r >>= 4;
	if (kind < 10)
		return (i + 1 + r % 200) % n;
	if (kind < 14)
		return r % n;
	return r % n / 1000 * 1000; /* hubs */
}

static void fill_edges(struct hf_heap *heap, const struct fake_heap_options *o, uint64_t *rng)
{
	uint64_t e = 0;
	for (uint64_t i = 0; i < o->n_objects; i++) {
		heap->edge_offset[i] = e;
		uint64_t left = o->n_edges - e, objects = o->n_objects - i;
		uint64_t want = left / objects, r = next(rng);
		/* Many leaves, some wide objects. */
		want = r % 4 == 0 ? want * 3 + r / 4 % 3 : r % 4 == 1 ? want : r / 4 % 2;
		if (i + 1 == o->n_objects || want > left)
			want = left;
		for (uint64_t k = 0; k < want; k++, e++) {
			r = next(rng);
			heap->edge_src_off[e] = (uint32_t)k;
			heap->edge_dst[e] = (uint32_t)target(o, i, r);
			heap->edge_dst_off[e] = r >> 60 == 0 ? 8 : 0;
			if (o->list && i % 3 == 0 && k == 0 && i + 3 < o->n_objects)
				heap->edge_dst[e] = (uint32_t)i + 3;
		}
	}
	heap->edge_offset[o->n_objects] = e;
}

static bool fill_roots(struct hf_heap *heap, const struct fake_heap_options *o, uint64_t *rng)
{
	for (uint32_t v = 0; v < o->n_variables; v++) {
		struct hf_heap_variable *var = hf_heap_push(&heap->variables);
		if (!var)
			return false;
		*var = (struct hf_heap_variable){.name = text(heap, "variable_%u", v),
			.addr = 0x404000 + 64ull * v,
			.size_bytes = 64,
			.kind = HF_ROOT_GLOBAL + v % 7,
			.module = v % 7 < 2 ? 0 : HF_NONE,
			.thread = v % 7 < 2 ? HF_NONE : 0};
	}
	/* Some of them are no kind that we know. */
	static const uint32_t bare_kinds[] = {HF_ROOT_STATIC, 0, 99, HF_ROOT_STACK};
	for (uint32_t i = 0; i < o->n_roots; i++) {
		struct hf_heap_root *root = hf_heap_push(&heap->roots);
		if (!root)
			return false;
		uint64_t r = next(rng);
		uint32_t v = o->n_variables ? (uint32_t)(r % o->n_variables) : HF_NONE;
		bool bare = v == HF_NONE || i % 10 == 9;
		*root = (struct hf_heap_root){
			.addr = bare ? 0x500000 + 8ull * i
				     : heap->variables.at[v].addr + 8 * (r >> 32 & 7),
			.object = (uint32_t)((r >> 8) % o->n_objects),
			.kind = bare ? bare_kinds[i / 10 % 4] : heap->variables.at[v].kind,
			.variable = bare ? HF_NONE : v,
			.module = 0,
			.thread = HF_NONE};
		if (root->kind == HF_ROOT_REGISTER)
			root->addr = HF_REG_RBX + i % 4;
	}
	return true;
}

static bool fill_rest(struct hf_heap *heap, const struct fake_heap_options *o)
{
	uint64_t start = heap->n_objects ? heap->addr[0] & ~4095ull : 0x555555559000;
	uint64_t last = heap->n_objects ? heap->addr[heap->n_objects - 1] +
						  heap->usable[heap->n_objects - 1]
					: start;
	uint64_t size = (last - start + 8191) & ~4095ull;
	for (uint32_t a = 0; a < o->n_arenas; a++) {
		struct hf_heap_arena *arena = hf_heap_push(&heap->arenas);
		if (!arena)
			return false;
		*arena = (struct hf_heap_arena){.allocator = "glibc 2.36",
			.kind = a ? HF_ARENA_THREAD : HF_ARENA_MAIN,
			.addr = start + 4096 * a,
			.size_bytes = size / o->n_arenas,
			.free_bytes = 4096,
			.free_count = 1,
			.metadata_bytes = 8 * heap->n_objects / o->n_arenas};
	}
	for (uint64_t i = 0; i < heap->n_objects; i++) {
		heap->arenas.at[heap->arena[i]].live_bytes += heap->usable[i];
		heap->arenas.at[heap->arena[i]].live_count++;
	}
	struct hf_heap_mapping *m = hf_heap_push(&heap->mappings);
	struct hf_heap_module *module = hf_heap_push(&heap->modules);
	struct hf_heap_thread *thread = hf_heap_push(&heap->threads);
	struct hf_heap_property *p = hf_heap_push(&heap->properties);
	if (!m || !module || !thread || !p)
		return false;
	*m = (struct hf_heap_mapping){.start = start,
		.size = size,
		.rss_bytes = size,
		.perms = 3,
		.kind = HF_MAPPING_HEAP,
		.path = "[heap]"};
	*module = (struct hf_heap_module){
		.base = 0x400000, .size = 0x100000, .path = "/usr/bin/fake", .build_id = NULL};
	*thread = (struct hf_heap_thread){.tid = 4711, .name = "fake"};
	*p = (struct hf_heap_property){"pid", "4711"};
	memcpy(heap->format, "holdfast 1.0", 13);
	heap->time_ns = 1700000000123456789;
	return true;
}

enum hf_status fake_heap_init(
	struct hf_heap *ret, const struct fake_heap_options *options, struct hf_err *err)
{
	uint64_t rng = options->seed;
	hf_heap_init(ret);
	enum hf_status status = hf_heap_alloc_objects(ret, options->n_objects, err);
	if (!status)
		status = hf_heap_alloc_edges(ret, options->n_edges, err);
	if (status)
		return status;
	if (options->requested)
		ret->requested = calloc(options->n_objects + 1, sizeof(*ret->requested));
	if (options->n_sites)
		ret->site = calloc(options->n_objects + 1, sizeof(*ret->site));
	fill_objects(ret, options, &rng);
	fill_edges(ret, options, &rng);
	if (!fill_roots(ret, options, &rng) || !fill_rest(ret, options))
		return hf_err_set(err, HF_E_NOMEM, "no memory for a made-up heap");
	return HF_OK;
}
