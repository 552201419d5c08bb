#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#include "dump_kit.h"

static uint64_t state;
static bool long_texts; /* not in the smallest models */

static uint64_t rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* Mostly small, sometimes as large as it gets. */
static uint64_t any(void)
{
	uint64_t r = rnd();
	return r % 8 == 0 ? rnd() : r % 8 == 1 ? UINT64_MAX : rnd() >> (r % 64);
}

static uint32_t below_or_none(size_t n)
{
	return n && rnd() % 4 ? (uint32_t)(rnd() % n) : HF_NONE;
}

static const char *any_text(struct hf_heap *heap)
{
	static char long_text[HF_FORMAT_MAX_STRING];
	char text[64];
	uint64_t r = rnd();
	if (r % 16 == 0)
		return "";
	if (long_texts && r % 512 == 1) {
		memset(long_text, 'x', sizeof(long_text));
		return hf_heap_string(heap, long_text, sizeof(long_text));
	}
	int n = snprintf(text, sizeof(text), "name_%lu_\xc3\xa9", r % 100000);
	return hf_heap_string(heap, text, (size_t)n);
}

static void model_places(struct hf_heap *heap)
{
	uint64_t at = 0x1000;
	for (unsigned i = 0; i < 5; i++) {
		struct hf_heap_module *m = hf_heap_push(&heap->modules);
		*m = (struct hf_heap_module){.base = at,
			.size = i == 1 ? 1ull << 34 : 0x10000,
			.bias = i == 2 ? 0ull - 0x400000 : at,
			.path = any_text(heap),
			.build_id = (const uint8_t *)hf_heap_string(heap, "\x01\0\xff", 3),
			.build_id_size = i == 3 ? 0 : 3};
		at += m->size + rnd() % 4 * 0x1000;
	}
	for (unsigned i = 0; i < 7; i++) {
		struct hf_heap_mapping *m = hf_heap_push(&heap->mappings);
		*m = (struct hf_heap_mapping){.start = i * 0x100000ull,
			.size = 0x100000,
			.perms = (uint32_t)rnd() % 16,
			.kind = (uint32_t)rnd() % 8,
			.rss_bytes = rnd() % 0x100000,
			.offset = any(),
			.path = any_text(heap)};
	}
	for (unsigned i = 0; i < 4; i++) {
		struct hf_heap_thread *t = hf_heap_push(&heap->threads);
		*t = (struct hf_heap_thread){
			any(), any(), any(), any(), any(), any(), any(), any_text(heap)};
	}
	for (unsigned i = 0; i < 9; i++) {
		struct hf_heap_register *r = hf_heap_push(&heap->registers);
		*r = (struct hf_heap_register){
			(uint32_t)rnd() % 4, i == 8 ? UINT32_MAX : (uint32_t)rnd() % 2000, any()};
	}
	for (unsigned i = 0; i < 20; i++) {
		struct hf_heap_stack_word *w = hf_heap_push(&heap->stack_words);
		*w = (struct hf_heap_stack_word){any(), any(), (uint32_t)rnd() % 4};
	}
	for (unsigned i = 0; i < 3; i++) {
		struct hf_heap_arena *a = hf_heap_push(&heap->arenas);
		*a = (struct hf_heap_arena){
			.allocator = any_text(heap), .kind = i, .addr = any(), .free_count = any()};
	}
}

static void model_objects(struct hf_heap *heap, uint32_t n)
{
	struct hf_err err;
	assert_int_equal(hf_heap_alloc_objects(heap, n, &err), HF_OK);
	uint64_t at = rnd() % 0x10000;
	for (uint32_t i = 0; i < n; i++) {
		heap->addr[i] = at;
		heap->usable[i] = i == 3 ? 1ull << 40 : i == 4 ? 0 : 8 + rnd() % 200 * 8;
		heap->arena[i] = (uint32_t)rnd() % 3;
		at += heap->usable[i] + (i == 4) + (rnd() % 4 ? 8 : rnd() % 100000);
		heap->total_usable += heap->usable[i];
		heap->arenas.at[heap->arena[i]].live_bytes += heap->usable[i];
		heap->arenas.at[heap->arena[i]].live_count++;
	}
	for (size_t a = 0; a < heap->arenas.n; a++) {
		struct hf_heap_arena *arena = &heap->arenas.at[a];
		arena->free_bytes = rnd() >> 20;
		arena->metadata_bytes = rnd() >> 20;
		arena->size_bytes = arena->live_bytes + arena->free_bytes + arena->metadata_bytes;
	}
}

static void add_edge(
	struct hf_heap *heap, uint32_t src_unit, uint64_t wide_src, uint32_t dst, uint64_t dst_off)
{
	uint64_t e = heap->n_edges++;
	heap->edge_dst[e] = dst;
	heap->edge_src_off[e] = src_unit;
	heap->edge_dst_off[e] = dst_off < HF_HEAP_WIDE ? (uint32_t)dst_off : HF_HEAP_WIDE;
	if (src_unit != HF_HEAP_WIDE && dst_off < HF_HEAP_WIDE)
		return;
	struct hf_heap_wide *wide = hf_heap_push(&heap->edges_wide);
	*wide = (struct hf_heap_wide){
		e, src_unit != HF_HEAP_WIDE ? (uint64_t)src_unit * 8 : wide_src, dst_off};
}

static void model_references(struct hf_heap *heap, uint32_t n)
{
	struct hf_err err;
	assert_int_equal(hf_heap_alloc_edges(heap, 8ull * n + 8, &err), HF_OK);
	heap->n_edges = 0;
	for (uint32_t i = 0; i < n; i++) {
		heap->edge_offset[i] = heap->n_edges;
		uint64_t words = heap->usable[i] / 8, unit = 0;
		for (unsigned k = 0; k < rnd() % 6; k++, unit += 1 + rnd() % 3) {
			uint32_t dst = (uint32_t)(rnd() % n);
			if (unit >= words || !heap->usable[dst])
				continue;
			uint64_t off = rnd() % 4 ? 0 : rnd() % heap->usable[dst];
			add_edge(heap, (uint32_t)unit, 0, dst, off);
		}
		if (i == 3) /* 1 TiB long: both kinds of wide offsets */
			add_edge(heap, HF_HEAP_WIDE, 1ull << 36, 3, 1ull << 33);
		if (i == 3)
			add_edge(heap, HF_HEAP_WIDE, (1ull << 36) + 8, 0, 0);
	}
	heap->edge_offset[n] = heap->n_edges;
	for (uint32_t i = 0; i < n; i++) {
		if (rnd() % 3 || heap->usable[i] < 8)
			continue;
		bool wide = i == 3 || rnd() % 50 == 0;
		struct hf_heap_modref *ref = hf_heap_push(&heap->modrefs);
		*ref = (struct hf_heap_modref){
			i, 0, wide ? 1 : (uint32_t)rnd() % 5, (uint32_t)rnd() % 0x10000};
		if (!wide)
			continue;
		ref->module_off = HF_HEAP_WIDE;
		struct hf_heap_wide *w = hf_heap_push(&heap->modrefs_wide);
		*w = (struct hf_heap_wide){heap->modrefs.n - 1, 0, (1ull << 33) + rnd() % 100};
	}
}

static void model_sites(struct hf_heap *heap)
{
	struct hf_err err;
	assert_int_equal(hf_heap_alloc_sites(heap, &err), HF_OK);
	for (uint64_t i = 0; i < heap->n_objects; i++) {
		if (rnd() % 3)
			continue;
		heap->site[i] = (uint32_t)rnd() % 1000 + 1;
		heap->requested[i] -= heap->usable[i] ? rnd() % heap->usable[i] : 0;
	}
}

static void model_roots(struct hf_heap *heap, uint32_t n)
{
	for (unsigned i = 0; i < (n < 50 ? 5 : 30); i++) {
		struct hf_heap_variable *v = hf_heap_push(&heap->variables);
		*v = (struct hf_heap_variable){any_text(heap), any(), any(),
			1 + (uint32_t)rnd() % 7, below_or_none(heap->modules.n),
			below_or_none(heap->threads.n), false};
	}
	for (unsigned i = 0; n && i < (n < 50 ? 10 : 200); i++) {
		uint32_t object = (uint32_t)(rnd() % n);
		struct hf_heap_root *r = hf_heap_push(&heap->roots);
		*r = (struct hf_heap_root){any(),
			heap->usable[object] ? rnd() % heap->usable[object] : 0, object,
			1 + (uint32_t)rnd() % 7, below_or_none(heap->variables.n),
			below_or_none(heap->modules.n), below_or_none(heap->threads.n), 0};
	}
	for (unsigned i = 0; n && i < 5; i++) {
		struct hf_heap_label *l = hf_heap_push(&heap->labels);
		*l = (struct hf_heap_label){(uint32_t)(rnd() % n), any_text(heap)};
	}
}

void kit_model(struct hf_heap *ret, uint64_t seed, uint32_t n_objects)
{
	hf_heap_init(ret);
	long_texts = n_objects >= 50;
	state = seed * 0x9e3779b97f4a7c15 + 88172645463325252ull;
	for (unsigned i = 0; i < 6; i++) {
		struct hf_heap_property *p = hf_heap_push(&ret->properties);
		p->key = any_text(ret);
		p->value = any_text(ret);
	}
	model_places(ret);
	model_objects(ret, n_objects);
	model_references(ret, n_objects);
	if (n_objects % 7)
		model_sites(ret);
	model_roots(ret, n_objects);
	for (unsigned i = 0; i < 4; i++) {
		struct hf_heap_counter *c = hf_heap_push(&ret->counters);
		uint64_t v = any();
		*c = (struct hf_heap_counter){any_text(ret), v, i % 2 ? v : any(), i % 2};
	}
	for (unsigned i = 0; i < 3; i++) {
		struct hf_heap_finding *f = hf_heap_push(&ret->findings);
		*f = (struct hf_heap_finding){HF_INFO + i % 2, any(), any_text(ret)};
	}
}

static void write_places(struct hf_writer *w, const struct hf_heap *heap)
{
	for (size_t i = 0; i < heap->modules.n; i++) {
		const struct hf_heap_module *m = &heap->modules.at[i];
		hf_write_module(
			w, m->base, m->size, m->bias, m->path, m->build_id, m->build_id_size);
	}
	for (size_t i = 0; i < heap->mappings.n; i++) {
		const struct hf_heap_mapping *m = &heap->mappings.at[i];
		hf_write_mapping(w, m->start, m->size, m->perms, (enum hf_mapping_kind)m->kind,
			m->rss_bytes, m->offset, m->path);
	}
	for (size_t i = 0; i < heap->threads.n; i++) {
		const struct hf_heap_thread *t = &heap->threads.at[i];
		struct hf_thread_record record = {t->tid, t->flags, t->pc, t->sp, t->stack_start,
			t->stack_size, t->tp, t->name};
		hf_write_thread(w, &record);
	}
	for (size_t i = 0; i < heap->registers.n; i++)
		hf_write_register(w, heap->registers.at[i].thread, heap->registers.at[i].number,
			heap->registers.at[i].value);
	for (size_t i = 0; i < heap->stack_words.n; i++)
		hf_write_stack_word(w, heap->stack_words.at[i].thread, heap->stack_words.at[i].addr,
			heap->stack_words.at[i].value);
	for (size_t i = 0; i < heap->arenas.n; i++) {
		const struct hf_heap_arena *a = &heap->arenas.at[i];
		struct hf_arena_record record = {a->allocator, (enum hf_arena_kind)a->kind, a->addr,
			a->size_bytes, a->live_bytes, a->live_count, a->free_bytes, a->free_count,
			a->metadata_bytes};
		hf_write_arena(w, &record);
	}
}

static void write_graph(struct hf_writer *w, const struct hf_heap *heap)
{
	for (uint64_t i = 0; i < heap->n_objects; i++)
		hf_write_object(w, heap->addr[i], heap->usable[i], heap->arena[i]);
	size_t ref = 0;
	for (uint64_t i = 0; i < heap->n_objects; i++) {
		for (uint64_t e = heap->edge_offset[i]; e < heap->edge_offset[i + 1]; e++)
			hf_write_edge(w, (uint32_t)i, hf_heap_src_off(heap, e), heap->edge_dst[e],
				hf_heap_dst_off(heap, e));
		for (; ref < heap->modrefs.n && heap->modrefs.at[ref].src == i; ref++)
			hf_write_modref(w, (uint32_t)i, hf_heap_modref_src_off(heap, ref),
				heap->modrefs.at[ref].module, hf_heap_modref_module_off(heap, ref));
	}
}

void kit_write_model(struct hf_writer *w, const struct hf_heap *heap)
{
	for (size_t i = 0; i < heap->properties.n; i++)
		hf_write_process(w, heap->properties.at[i].key, heap->properties.at[i].value);
	write_places(w, heap);
	write_graph(w, heap);
	for (size_t i = 0; i < heap->variables.n; i++) {
		const struct hf_heap_variable *v = &heap->variables.at[i];
		struct hf_variable_record record = {(enum hf_root_kind)v->kind, v->module + 1,
			v->thread + 1, v->addr, v->size_bytes, v->name};
		hf_write_variable(w, &record);
	}
	for (size_t i = 0; i < heap->roots.n; i++) {
		const struct hf_heap_root *r = &heap->roots.at[i];
		struct hf_root_record record = {(enum hf_root_kind)r->kind, r->variable + 1,
			r->module + 1, r->thread + 1, r->addr, r->object, r->offset};
		hf_write_root(w, &record);
	}
	for (size_t i = 0; i < heap->labels.n; i++)
		hf_write_label(w, heap->labels.at[i].object, heap->labels.at[i].text);
	for (uint64_t i = 0; heap->site && i < heap->n_objects; i++) {
		struct hf_site_facts facts = {heap->site[i], heap->requested[i], i, 1000};
		if (heap->site[i])
			hf_write_site(w, (uint32_t)i, &facts);
	}
	static const uint8_t bytes[100] = {1, 2, 3};
	for (uint64_t i = 0; i < heap->n_objects; i += 3) {
		uint64_t n = heap->usable[i] < sizeof(bytes) ? heap->usable[i] : sizeof(bytes);
		if (n)
			hf_write_content(w, (uint32_t)i, 0, bytes, n);
	}
	for (size_t i = 0; i < heap->counters.n; i++)
		hf_write_counter(w, heap->counters.at[i].name, heap->counters.at[i].allocator,
			heap->counters.at[i].walked, heap->counters.at[i].must_match);
	for (size_t i = 0; i < heap->findings.n; i++)
		hf_write_finding(w, (enum hf_severity)heap->findings.at[i].severity,
			heap->findings.at[i].addr, heap->findings.at[i].text);
}

/* As writers of format 1 did it: each block a zlib stream where that is smaller. */
static void zip(struct kit_bytes *bytes)
{
	struct kit_bytes zipped;
	struct hf_block_header header;
	enum { MAX = 64 };
	uint64_t columns[4][MAX], previous = 0;
	const uint64_t *const index[] = {columns[0], columns[1], columns[2], columns[3]};
	uint32_t n = 0;
	kit_bytes_init(&zipped);
	kit_append(&zipped, bytes->data, sizeof(struct hf_file_header));
	for (unsigned i = 0;; i++) {
		size_t at = kit_find_block(bytes, 0, i);
		memcpy(&header, bytes->data + at, sizeof(header));
		if (header.section == HF_SECTION_INDEX)
			break;
		assert_true(n < MAX);
		uint64_t offset = zipped.n;
		uLongf size = compressBound(header.raw_size);
		uint8_t *stream = malloc(size), *payload = bytes->data + at + sizeof(header);
		assert_int_equal(compress2(stream, &size, payload, header.raw_size, 1), Z_OK);
		bool smaller = size < header.raw_size;
		if (smaller) {
			header.codec = HF_CODEC_ZLIB;
			header.stored_size = (uint32_t)size;
		}
		kit_append(&zipped, &header, sizeof(header));
		kit_append(&zipped, smaller ? stream : payload, header.stored_size);
		kit_seal_block(&zipped, offset);
		free(stream);
		columns[0][n] = header.section;
		columns[1][n] = offset - previous;
		columns[2][n] = header.n_items;
		columns[3][n++] = header.first_item;
		previous = offset;
	}
	uint64_t index_offset = zipped.n;
	kit_block(&zipped, HF_SECTION_INDEX, 0, n, 4, index);
	kit_tail(&zipped, index_offset);
	kit_bytes_deinit(bytes);
	*bytes = zipped;
}

void kit_dump(struct kit_bytes *bytes, const struct hf_heap *heap, enum hf_codec codec)
{
	struct hf_writer_options options = {
		.codec = codec == HF_CODEC_LZ4 ? HF_CODEC_LZ4 : HF_CODEC_NONE,
		.time_ns = 42,
		.token = {7}};
	struct hf_writer *writer;
	struct hf_err err;
	kit_bytes_init(bytes);
	assert_int_equal(hf_writer_create(&bytes->sink, &options, &writer, &err), HF_OK);
	kit_write_model(writer, heap);
	assert_int_equal(hf_writer_finish(writer, &err), HF_OK);
	assert_int_equal(hf_writer_bytes(writer), bytes->n);
	hf_writer_destroy(writer);
	if (codec == HF_CODEC_ZLIB)
		zip(bytes);
}
