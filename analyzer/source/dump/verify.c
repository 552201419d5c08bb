#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "source/dump/reader.h"

enum hf_status reader_check_blocks(struct reader *reader, bool summary, struct hf_err *err)
{
	struct block_buffer buffer = {0};
	for (size_t i = 0; i < reader->blocks.n; i++) {
		struct dump_block *block = &reader->blocks.at[i];
		bool is_index = block->section == HF_SECTION_INDEX;
		bool is_read = hf_format_columns(block->section) && !is_index;
		if (!block->problem && (summary ? !is_index : !is_read))
			block->problem = block_check(&buffer, &reader->file, block);
	}
	bool no_memory = buffer.no_memory;
	block_buffer_free(&buffer);
	return no_memory ? hf_err_set(err, HF_E_NOMEM, "%s: no memory", reader->file.name) : HF_OK;
}

static void check_edges(struct reader *reader)
{
	const struct hf_heap *heap = reader->heap;
	for (uint64_t src = 0; src < heap->n_objects; src++) {
		for (uint64_t e = heap->edge_offset[src]; e < heap->edge_offset[src + 1]; e++) {
			uint64_t src_off = hf_heap_src_off(heap, e),
				 dst_off = hf_heap_dst_off(heap, e);
			uint32_t dst = heap->edge_dst[e];
			if (!hf_in_range(src_off, 8, 0, heap->usable[src]))
				problem_add(&reader->problems, 0, HF_SECTION_EDGE,
					"edge %lu: source offset %lu is outside object %lu of %lu "
					"bytes",
					e, src_off, src, heap->usable[src]);
			if (dst_off >= heap->usable[dst] && (dst_off || heap->usable[dst]))
				problem_add(&reader->problems, 0, HF_SECTION_EDGE,
					"edge %lu: target offset %lu is outside object %u of %lu "
					"bytes",
					e, dst_off, dst, heap->usable[dst]);
		}
	}
}

static void check_modrefs(struct reader *reader)
{
	const struct hf_heap *heap = reader->heap;
	for (size_t i = 0; i < heap->modrefs.n; i++) {
		const struct hf_heap_modref *ref = &heap->modrefs.at[i];
		uint64_t src_off = hf_heap_modref_src_off(heap, i);
		if (!hf_in_range(src_off, 8, 0, heap->usable[ref->src]))
			problem_add(&reader->problems, 0, HF_SECTION_MODREF,
				"reference %zu: source offset %lu is outside object %u of %lu "
				"bytes",
				i, src_off, ref->src, heap->usable[ref->src]);
		if (hf_heap_modref_module_off(heap, i) >= heap->modules.at[ref->module].size)
			problem_add(&reader->problems, 0, HF_SECTION_MODREF,
				"reference %zu: offset 0x%lx is outside module %u of 0x%lx bytes",
				i, hf_heap_modref_module_off(heap, i), ref->module,
				heap->modules.at[ref->module].size);
	}
}

static void check_roots(struct reader *reader)
{
	const struct hf_heap *heap = reader->heap;
	for (size_t i = 0; i < heap->roots.n; i++) {
		const struct hf_heap_root *root = &heap->roots.at[i];
		uint64_t usable = heap->usable[root->object];
		if (root->offset >= usable && (root->offset || usable))
			problem_add(&reader->problems, 0, HF_SECTION_ROOT,
				"root %zu: offset %lu is outside object %u of %lu bytes", i,
				root->offset, root->object, usable);
		if (!root->kind)
			problem_add(&reader->problems, 0, HF_SECTION_ROOT, "root %zu: no kind", i);
	}
}

/* The arenas' own sums against the objects that are in them. */
static enum hf_status check_arenas(struct reader *reader, struct hf_err *err)
{
	const struct hf_heap *heap = reader->heap;
	struct sum {
		uint64_t bytes, count;
	} *sums = calloc(heap->arenas.n + 1, sizeof(*sums));
	if (!sums)
		return hf_err_set(err, HF_E_NOMEM, "%s: no memory", reader->file.name);
	for (uint64_t i = 0; i < heap->n_objects; i++) {
		sums[heap->arena[i]].bytes += heap->usable[i];
		sums[heap->arena[i]].count++;
	}
	for (size_t a = 0; a < heap->arenas.n; a++) {
		const struct hf_heap_arena *arena = &heap->arenas.at[a];
		if (arena->live_bytes != sums[a].bytes || arena->live_count != sums[a].count)
			problem_add(&reader->problems, 0, HF_SECTION_ARENA,
				"arena %zu (%.40s) says %lu objects of %lu bytes, but %lu of %lu "
				"bytes are there",
				a, arena->allocator, arena->live_count, arena->live_bytes,
				sums[a].count, sums[a].bytes);
		uint64_t parts;
		if (!hf_add_u64(arena->live_bytes, arena->free_bytes, &parts) ||
			!hf_add_u64(parts, arena->metadata_bytes, &parts) ||
			(parts != arena->size_bytes && arena->size_bytes))
			problem_add(&reader->problems, 0, HF_SECTION_ARENA,
				"arena %zu (%.40s): live, free and metadata bytes do not add up to "
				"its %lu bytes",
				a, arena->allocator, arena->size_bytes);
	}
	free(sums);
	return HF_OK;
}

static void check_places(struct reader *reader)
{
	const struct hf_heap *heap = reader->heap;
	for (size_t i = 1; i < heap->mappings.n; i++) {
		const struct hf_heap_mapping *before = &heap->mappings.at[i - 1],
					     *mapping = &heap->mappings.at[i];
		if (mapping->start < before->start + before->size)
			problem_add(&reader->problems, 0, HF_SECTION_MAPPING,
				"mapping %zu at 0x%lx overlaps the one before", i, mapping->start);
	}
	for (size_t i = 0; i < heap->mappings.n; i++) {
		const struct hf_heap_mapping *mapping = &heap->mappings.at[i];
		if (mapping->rss_bytes > mapping->size)
			problem_add(&reader->problems, 0, HF_SECTION_MAPPING,
				"mapping %zu at 0x%lx has more bytes resident than it is long", i,
				mapping->start);
	}
}

enum hf_status hf_dump_verify(const char *path, const struct hf_dump_options *options,
	size_t max_problems, struct hf_dump_verdict *ret, struct hf_err *err)
{
	struct hf_heap heap;
	struct reader reader;
	hf_heap_init(&heap);
	enum hf_status status = reader_open(&reader, path, options, max_problems, &heap, err);
	if (status == HF_OK)
		status = reader_check_blocks(&reader, false, err);
	if (status == HF_OK)
		status = reader_read(&reader, false, err);
	if (status == HF_OK) {
		check_edges(&reader);
		check_modrefs(&reader);
		check_roots(&reader);
		check_places(&reader);
		status = check_arenas(&reader, err);
	}
	if (status == HF_OK) {
		*ret = (struct hf_dump_verdict){
			.n_problems = reader.problems.total,
			.n = reader.problems.n,
			.problems = reader.problems.at,
			.n_blocks = reader.blocks.n,
			.n_objects = heap.n_objects,
			.n_edges = heap.n_edges,
			.n_roots = heap.roots.n,
			.truncated = reader.blocks.cut,
			.declared_partial = heap.partial,
		};
		reader.problems.at = NULL;
	}
	reader_close(&reader);
	hf_heap_deinit(&heap);
	return status;
}

void hf_dump_verdict_deinit(struct hf_dump_verdict *verdict)
{
	free(verdict->problems);
	*verdict = (struct hf_dump_verdict){0};
}
