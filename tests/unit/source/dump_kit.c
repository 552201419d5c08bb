#include "dump_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "base/varint.h"

static enum hf_status sink_append(
	struct hf_sink *sink, const void *data, size_t size, struct hf_err *err)
{
	struct kit_bytes *bytes = (struct kit_bytes *)sink;
	if (bytes->room && bytes->n + size > bytes->room)
		return hf_err_set(err, HF_E_IO, "full");
	kit_append(bytes, data, size);
	return HF_OK;
}

void kit_bytes_init(struct kit_bytes *bytes)
{
	*bytes = (struct kit_bytes){.sink.write = sink_append};
}

void kit_bytes_deinit(struct kit_bytes *bytes)
{
	free(bytes->data);
	*bytes = (struct kit_bytes){0};
}

void kit_append(struct kit_bytes *bytes, const void *data, size_t size)
{
	if (bytes->n + size > bytes->cap) {
		bytes->cap = (bytes->n + size) * 2;
		bytes->data = realloc(bytes->data, bytes->cap);
		assert_non_null(bytes->data);
	}
	if (size)
		memcpy(bytes->data + bytes->n, data, size);
	bytes->n += size;
}

void kit_header(struct kit_bytes *bytes)
{
	struct hf_file_header header = {.magic = HF_FORMAT_MAGIC,
		.major = HF_FORMAT_MAJOR,
		.minor = HF_FORMAT_MINOR,
		.header_size = sizeof(header),
		.byte_order = HF_FORMAT_LITTLE_ENDIAN,
		.pointer_size = 8};
	kit_append(bytes, &header, sizeof(header));
	kit_seal_header(bytes);
}

void kit_seal_header(struct kit_bytes *bytes)
{
	struct hf_file_header header;
	memcpy(&header, bytes->data, sizeof(header));
	header.crc = 0;
	memcpy(bytes->data, &header, sizeof(header));
	header.crc = hf_crc32c(0, bytes->data, header.header_size);
	memcpy(bytes->data, &header, sizeof(header));
}

void kit_tail(struct kit_bytes *bytes, uint64_t index_offset)
{
	struct hf_file_tail tail = {.index_offset = index_offset, .magic = HF_FORMAT_TAIL_MAGIC};
	tail.crc = hf_crc32c(0, &tail, sizeof(tail));
	kit_append(bytes, &tail, sizeof(tail));
}

void kit_block(struct kit_bytes *bytes, unsigned section, uint64_t first_item, uint32_t n_items,
	unsigned n_columns, const uint64_t *const *columns)
{
	struct hf_block_header header = {.magic = HF_FORMAT_BLOCK_MAGIC,
		.section = (uint16_t)section,
		.codec = HF_CODEC_NONE,
		.n_columns = (uint8_t)n_columns,
		.first_item = first_item,
		.n_items = n_items};
	size_t start = bytes->n;
	kit_append(bytes, &header, sizeof(header));
	uint32_t zero = 0;
	for (unsigned c = 0; c < n_columns; c++)
		kit_append(bytes, &zero, sizeof(zero));
	for (unsigned c = 0; c < n_columns; c++) {
		size_t before = bytes->n;
		for (uint32_t i = 0; i < n_items; i++) {
			uint8_t varint[HF_VARINT_MAX];
			kit_append(bytes, varint,
				(size_t)(hf_varint_put(varint, columns[c][i]) - varint));
		}
		uint32_t size = (uint32_t)(bytes->n - before);
		memcpy(bytes->data + start + sizeof(header) + 4 * c, &size, sizeof(size));
	}
	header.raw_size = header.stored_size = (uint32_t)(bytes->n - start - sizeof(header));
	memcpy(bytes->data + start, &header, sizeof(header));
	kit_seal_block(bytes, start);
}

void kit_seal_block(struct kit_bytes *bytes, size_t offset)
{
	struct hf_block_header header;
	memcpy(&header, bytes->data + offset, sizeof(header));
	header.crc = 0;
	memcpy(bytes->data + offset, &header, sizeof(header));
	header.crc = hf_crc32c(0, bytes->data + offset, sizeof(header) + header.stored_size);
	memcpy(bytes->data + offset, &header, sizeof(header));
}

size_t kit_find_block(const struct kit_bytes *bytes, unsigned section, unsigned n)
{
	struct hf_block_header header;
	for (size_t at = sizeof(struct hf_file_header); at + sizeof(header) < bytes->n;) {
		memcpy(&header, bytes->data + at, sizeof(header));
		if (header.magic != HF_FORMAT_BLOCK_MAGIC)
			break;
		if ((!section || header.section == section) && !n--)
			return at;
		at += sizeof(header) + header.stored_size;
	}
	return SIZE_MAX;
}

const char *kit_path(const void *data, size_t size)
{
	static int fd = -1;
	static char path[40];
	if (fd < 0) {
		fd = memfd_create("dump", MFD_CLOEXEC);
		assert_true(fd >= 0);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	for (size_t done = 0; done < size;) {
		ssize_t n = pwrite(fd, (const char *)data + done, size - done, (off_t)done);
		assert_true(n > 0);
		done += (size_t)n;
	}
	return path;
}

enum hf_status kit_read(const struct kit_bytes *bytes, struct hf_heap *ret, struct hf_err *err)
{
	return hf_dump_read(kit_path(bytes->data, bytes->n), NULL, ret, err);
}

uint64_t kit_verify(const struct kit_bytes *bytes)
{
	struct hf_dump_verdict verdict;
	struct hf_err err;
	if (hf_dump_verify(kit_path(bytes->data, bytes->n), NULL, 4, &verdict, &err) != HF_OK)
		return UINT64_MAX;
	uint64_t n = verdict.n_problems;
	assert_true(verdict.n <= 4 && verdict.n <= n);
	hf_dump_verdict_deinit(&verdict);
	return n;
}

static void check_index(uint32_t i, size_t n)
{
	assert_true(i == HF_NONE || i < n);
}

static void check_edges(const struct hf_heap *heap)
{
	assert_int_equal(heap->edge_offset[0], 0);
	assert_int_equal(heap->edge_offset[heap->n_objects], heap->n_edges);
	size_t n_wide = 0;
	for (uint64_t i = 0; i < heap->n_objects; i++) {
		assert_true(heap->edge_offset[i] <= heap->edge_offset[i + 1]);
		for (uint64_t e = heap->edge_offset[i]; e < heap->edge_offset[i + 1]; e++) {
			assert_true(heap->edge_dst[e] < heap->n_objects);
			if (e > heap->edge_offset[i])
				assert_true(
					hf_heap_src_off(heap, e - 1) < hf_heap_src_off(heap, e));
			if (heap->edge_src_off[e] == HF_HEAP_WIDE ||
				heap->edge_dst_off[e] == HF_HEAP_WIDE)
				assert_int_equal(heap->edges_wide.at[n_wide++].index, e);
		}
	}
	assert_int_equal(heap->edges_wide.n, n_wide);
}

void kit_check_heap(const struct hf_heap *heap)
{
	uint64_t total = 0;
	for (uint64_t i = 0; i < heap->n_objects; i++) {
		assert_true(heap->arena[i] < heap->arenas.n);
		assert_true(heap->addr[i] + heap->usable[i] >= heap->addr[i]);
		if (i) {
			assert_true(heap->addr[i] > heap->addr[i - 1]);
			assert_true(heap->addr[i] >= heap->addr[i - 1] + heap->usable[i - 1]);
		}
		total += heap->usable[i];
	}
	assert_int_equal(total, heap->total_usable);
	check_edges(heap);
	assert_int_equal(heap->site != NULL, heap->requested != NULL);
	for (uint64_t i = 0; heap->site && i < heap->n_objects; i++)
		assert_true(heap->requested[i] <= heap->usable[i]);
	for (size_t i = 0; i < heap->modrefs.n; i++) {
		const struct hf_heap_modref *ref = &heap->modrefs.at[i];
		assert_true(ref->src < heap->n_objects && ref->module < heap->modules.n);
		if (i && ref[-1].src == ref->src)
			assert_true(hf_heap_modref_src_off(heap, i - 1) <
				    hf_heap_modref_src_off(heap, i));
		assert_true(!i || ref[-1].src <= ref->src);
		hf_heap_modref_module_off(heap, i);
	}
	for (size_t i = 0; i < heap->registers.n; i++)
		assert_true(heap->registers.at[i].thread < heap->threads.n);
	for (size_t i = 0; i < heap->stack_words.n; i++)
		assert_true(heap->stack_words.at[i].thread < heap->threads.n);
	for (size_t i = 0; i < heap->variables.n; i++) {
		check_index(heap->variables.at[i].module, heap->modules.n);
		check_index(heap->variables.at[i].thread, heap->threads.n);
		assert_non_null(heap->variables.at[i].name);
	}
	for (size_t i = 0; i < heap->roots.n; i++) {
		const struct hf_heap_root *root = &heap->roots.at[i];
		assert_true(root->object < heap->n_objects);
		check_index(root->variable, heap->variables.n);
		check_index(root->module, heap->modules.n);
		check_index(root->thread, heap->threads.n);
	}
	for (size_t i = 0; i < heap->labels.n; i++)
		assert_true(heap->labels.at[i].object < heap->n_objects);
	assert_int_equal(heap->partial, heap->reasons.n > 0);
	assert_true(hf_heap_memory(heap) >= sizeof(*heap));
}

#define CHECK_NUMBERS(a, b, n)                                                                     \
	do {                                                                                       \
		if (n)                                                                             \
			assert_memory_equal(a, b, (n) * sizeof(*(a)));                             \
	} while (0)

static void check_equal_lists(const struct hf_heap *a, const struct hf_heap *b)
{
	assert_int_equal(a->properties.n, b->properties.n);
	for (size_t i = 0; i < a->properties.n; i++) {
		assert_string_equal(a->properties.at[i].key, b->properties.at[i].key);
		assert_string_equal(a->properties.at[i].value, b->properties.at[i].value);
	}
	assert_int_equal(a->modules.n, b->modules.n);
	for (size_t i = 0; i < a->modules.n; i++) {
		const struct hf_heap_module *x = &a->modules.at[i], *y = &b->modules.at[i];
		assert_true(x->base == y->base && x->size == y->size && x->bias == y->bias);
		assert_string_equal(x->path, y->path);
		assert_int_equal(x->build_id_size, y->build_id_size);
		CHECK_NUMBERS(x->build_id, y->build_id, x->build_id_size);
	}
	assert_int_equal(a->mappings.n, b->mappings.n);
	for (size_t i = 0; i < a->mappings.n; i++) {
		const struct hf_heap_mapping *x = &a->mappings.at[i], *y = &b->mappings.at[i];
		assert_true(x->start == y->start && x->size == y->size && x->perms == y->perms &&
			    x->kind == y->kind && x->rss_bytes == y->rss_bytes &&
			    x->offset == y->offset);
		assert_string_equal(x->path, y->path);
	}
	assert_int_equal(a->threads.n, b->threads.n);
	for (size_t i = 0; i < a->threads.n; i++) {
		const struct hf_heap_thread *x = &a->threads.at[i], *y = &b->threads.at[i];
		assert_memory_equal(x, y, offsetof(struct hf_heap_thread, name));
		assert_string_equal(x->name, y->name);
	}
	assert_int_equal(a->arenas.n, b->arenas.n);
	for (size_t i = 0; i < a->arenas.n; i++) {
		const struct hf_heap_arena *x = &a->arenas.at[i], *y = &b->arenas.at[i];
		assert_string_equal(x->allocator, y->allocator);
		assert_true(x->kind == y->kind && x->addr == y->addr &&
			    x->size_bytes == y->size_bytes && x->live_bytes == y->live_bytes &&
			    x->live_count == y->live_count && x->free_bytes == y->free_bytes &&
			    x->free_count == y->free_count &&
			    x->metadata_bytes == y->metadata_bytes);
	}
	assert_int_equal(a->variables.n, b->variables.n);
	for (size_t i = 0; i < a->variables.n; i++) {
		const struct hf_heap_variable *x = &a->variables.at[i], *y = &b->variables.at[i];
		assert_true(x->addr == y->addr && x->size_bytes == y->size_bytes &&
			    x->kind == y->kind && x->module == y->module && x->thread == y->thread);
		assert_string_equal(x->name, y->name);
	}
	assert_int_equal(a->labels.n, b->labels.n);
	for (size_t i = 0; i < a->labels.n; i++) {
		assert_int_equal(a->labels.at[i].object, b->labels.at[i].object);
		assert_string_equal(a->labels.at[i].text, b->labels.at[i].text);
	}
	assert_int_equal(a->counters.n, b->counters.n);
	for (size_t i = 0; i < a->counters.n; i++) {
		const struct hf_heap_counter *x = &a->counters.at[i], *y = &b->counters.at[i];
		assert_string_equal(x->name, y->name);
		assert_true(x->allocator == y->allocator && x->walked == y->walked &&
			    x->must_match == y->must_match);
	}
}

void kit_check_equal(const struct hf_heap *a, const struct hf_heap *b)
{
	assert_int_equal(a->n_objects, b->n_objects);
	CHECK_NUMBERS(a->addr, b->addr, a->n_objects);
	CHECK_NUMBERS(a->usable, b->usable, a->n_objects);
	CHECK_NUMBERS(a->arena, b->arena, a->n_objects);
	bool any_site = false;
	for (uint64_t i = 0; i < a->n_objects; i++) {
		assert_int_equal(a->site ? a->site[i] : 0, b->site ? b->site[i] : 0);
		assert_int_equal(a->requested ? a->requested[i] : a->usable[i],
			b->requested ? b->requested[i] : b->usable[i]);
		any_site |= a->site && a->site[i];
	}
	assert_int_equal(b->site != NULL, any_site);
	assert_int_equal(a->n_edges, b->n_edges);
	CHECK_NUMBERS(a->edge_offset, b->edge_offset, a->n_objects + 1);
	CHECK_NUMBERS(a->edge_dst, b->edge_dst, a->n_edges);
	CHECK_NUMBERS(a->edge_src_off, b->edge_src_off, a->n_edges);
	CHECK_NUMBERS(a->edge_dst_off, b->edge_dst_off, a->n_edges);
	assert_int_equal(a->edges_wide.n, b->edges_wide.n);
	CHECK_NUMBERS(a->edges_wide.at, b->edges_wide.at, a->edges_wide.n);
	assert_int_equal(a->modrefs.n, b->modrefs.n);
	CHECK_NUMBERS(a->modrefs.at, b->modrefs.at, a->modrefs.n);
	assert_int_equal(a->modrefs_wide.n, b->modrefs_wide.n);
	CHECK_NUMBERS(a->modrefs_wide.at, b->modrefs_wide.at, a->modrefs_wide.n);
	assert_int_equal(a->registers.n, b->registers.n);
	for (size_t i = 0; i < a->registers.n; i++)
		assert_true(a->registers.at[i].thread == b->registers.at[i].thread &&
			    a->registers.at[i].number == b->registers.at[i].number &&
			    a->registers.at[i].value == b->registers.at[i].value);
	assert_int_equal(a->stack_words.n, b->stack_words.n);
	for (size_t i = 0; i < a->stack_words.n; i++)
		assert_true(a->stack_words.at[i].thread == b->stack_words.at[i].thread &&
			    a->stack_words.at[i].addr == b->stack_words.at[i].addr &&
			    a->stack_words.at[i].value == b->stack_words.at[i].value);
	assert_int_equal(a->roots.n, b->roots.n);
	for (size_t i = 0; i < a->roots.n; i++) {
		const struct hf_heap_root *x = &a->roots.at[i], *y = &b->roots.at[i];
		assert_true(x->addr == y->addr && x->offset == y->offset &&
			    x->object == y->object && x->kind == y->kind &&
			    x->variable == y->variable && x->module == y->module &&
			    x->thread == y->thread);
	}
	check_equal_lists(a, b);
}
