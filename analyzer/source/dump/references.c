/* Edges and module references: by the place of their source. */
#include <stdlib.h>
#include <string.h>

#include "source/dump/reader.h"

enum { MAX_ROUNDS = 4 };

static bool push_wide(struct dump_block *block, uint32_t i, uint64_t src_unit, uint64_t dst_off)
{
	if (block->n_wide == block->cap_wide) {
		uint32_t cap = block->cap_wide ? block->cap_wide * 2 : 16;
		struct hf_heap_wide *grown = reallocarray(block->wide, cap, sizeof(*grown));
		if (!grown)
			return false;
		block->wide = grown;
		block->cap_wide = cap;
	}
	block->wide[block->n_wide++] = (struct hf_heap_wide){i, src_unit * 8, dst_off};
	return true;
}

static uint32_t narrow(uint64_t v)
{
	return v < HF_HEAP_WIDE ? (uint32_t)v : HF_HEAP_WIDE;
}

/* The place of a record, as the file has it, and whether it is after the one before. */
static inline bool in_order(
	uint64_t src, uint64_t unit, uint64_t last_src, uint64_t last_unit, bool first)
{
	return src > last_src || (src == last_src && unit > last_unit) || first;
}

/* The source object of a record. That of a lost one is the nearest kept object before it, so that
 * sources still ascend; *dropped says so. There is at least one object. */
static inline uint32_t source_of(const struct id_map *objects, uint64_t id, bool *dropped)
{
	uint32_t src = ids_get(objects, id);
	*dropped = src == HF_NONE;
	if (__builtin_expect(src != HF_NONE, 1))
		return src;
	uint64_t rank = ids_rank_slow(objects, id);
	return (uint32_t)(rank ? rank - 1 : 0);
}

/* Note where the edges of each source end but for the block's last one, whose edges may go on in
 * the next block. */
static void set_ends(struct hf_heap *heap, const struct dump_block *block, const uint32_t *src)
{
	for (uint32_t i = 1; i < block->n_items; i++) {
		/* another thread gets at the same element only if the blocks are out of order,
		 * which shows later */
		if (src[i] != src[i - 1])
			__atomic_store_n(&heap->edge_offset[src[i - 1] + 1], block->slot + i,
				__ATOMIC_RELAXED);
	}
}

const char *decode_edge(
	struct reader *reader, struct block_buffer *buffer, struct dump_block *block)
{
	struct hf_heap *heap = reader->heap;
	const struct id_map *objects = &reader->ids[HF_SECTION_OBJECT];
	uint32_t *dst = heap->edge_dst + block->slot, *dst_off = heap->edge_dst_off + block->slot,
		 *src_off = heap->edge_src_off + block->slot;
	struct column src_c = buffer->columns[0], unit_c = buffer->columns[1],
		      dst_c = buffer->columns[2], off_c = buffer->columns[3];
	uint32_t sources[HF_FORMAT_MAX_BLOCK_ITEMS];
	uint64_t last_src = 0, last_unit = 0;
	block->n_wide = 0;
	block->n_dropped = 0;
	for (uint32_t i = 0; i < block->n_items; i++) {
		if (!column_more(&src_c) || !column_more(&unit_c) || !column_more(&dst_c) ||
			!column_more(&off_c))
			return "a column is cut off";
		uint64_t src_id = column_d(&src_c), unit = column_u(&unit_c),
			 dst_id = column_e(&dst_c, src_id), off = column_u(&off_c);
		if (!in_order(src_id, unit, last_src, last_unit, !i))
			return "its edges are out of order";
		if (unit > UINT64_MAX / 8)
			return "a source offset is out of range";
		last_src = src_id;
		last_unit = unit;
		if (!i) {
			block->first[0] = src_id;
			block->first[1] = unit;
		}
		bool dropped;
		sources[i] = source_of(objects, src_id, &dropped);
		uint32_t to = ids_get(objects, dst_id);
		if (__builtin_expect(dropped | (to == HF_NONE), 0)) {
			to = HF_NONE;
			block->n_dropped++;
		}
		dst[i] = to;
		src_off[i] = narrow(unit);
		dst_off[i] = narrow(off);
		if (__builtin_expect((unit | off) >= HF_HEAP_WIDE, 0) &&
			(unit >= HF_HEAP_WIDE || off >= HF_HEAP_WIDE) &&
			!push_wide(block, i, unit, off))
			return block_no_memory;
	}
	if (!column_done(&src_c) || !column_done(&unit_c) || !column_done(&dst_c) ||
		!column_done(&off_c))
		return "a column is damaged";
	block->last[0] = last_src;
	block->last[1] = last_unit;
	block->last_source = sources[block->n_items - 1];
	set_ends(heap, block, sources);
	return NULL;
}

const char *decode_modref(
	struct reader *reader, struct block_buffer *buffer, struct dump_block *block)
{
	const struct id_map *objects = &reader->ids[HF_SECTION_OBJECT],
			    *modules = &reader->ids[HF_SECTION_MODULE];
	struct hf_heap_modref *to = reader->heap->modrefs.at + block->slot;
	struct column src_c = buffer->columns[0], unit_c = buffer->columns[1],
		      module_c = buffer->columns[2], off_c = buffer->columns[3];
	uint64_t last_src = 0, last_unit = 0;
	block->n_wide = 0;
	block->n_dropped = 0;
	for (uint32_t i = 0; i < block->n_items; i++) {
		if (!column_more(&src_c) || !column_more(&unit_c) || !column_more(&module_c) ||
			!column_more(&off_c))
			return "a column is cut off";
		uint64_t src_id = column_d(&src_c), unit = column_u(&unit_c),
			 module_id = column_u(&module_c), off = column_u(&off_c);
		if (!in_order(src_id, unit, last_src, last_unit, !i))
			return "its references are out of order";
		if (unit > UINT64_MAX / 8)
			return "a source offset is out of range";
		last_src = src_id;
		last_unit = unit;
		if (!i) {
			block->first[0] = src_id;
			block->first[1] = unit;
		}
		bool dropped;
		uint32_t src = source_of(objects, src_id, &dropped);
		uint32_t module = dropped ? HF_NONE : ids_get(modules, module_id);
		block->n_dropped += module == HF_NONE;
		to[i] = (struct hf_heap_modref){src, narrow(unit), module, narrow(off)};
		if ((unit >= HF_HEAP_WIDE || off >= HF_HEAP_WIDE) &&
			!push_wide(block, i, unit, off))
			return block_no_memory;
	}
	if (!column_done(&src_c) || !column_done(&unit_c) || !column_done(&module_c) ||
		!column_done(&off_c))
		return "a column is damaged";
	block->last[0] = last_src;
	block->last[1] = last_unit;
	return NULL;
}

/* Places for the records of all blocks of a section that have no problem; returns how many. */
static uint64_t place(struct reader *reader, enum hf_section section)
{
	uint64_t n = 0;
	for (size_t i = 0; i < reader->blocks.n; i++) {
		struct dump_block *block = &reader->blocks.at[i];
		if (block->section != section || block->problem)
			continue;
		block->slot = n;
		n += block->n_items;
	}
	return n;
}

/* Find the blocks that do not follow those before them. Returns how many blocks were decoded well
 * and do. */
static size_t check_order(struct reader *reader, enum hf_section section)
{
	const struct dump_block *last = NULL;
	size_t n_good = 0;
	for (size_t i = 0; i < reader->blocks.n; i++) {
		struct dump_block *block = &reader->blocks.at[i];
		if (block->section != section || block->problem)
			continue;
		if (last && !in_order(block->first[0], block->first[1], last->last[0],
				    last->last[1], false)) {
			block->problem = "its records are out of order with an earlier block's";
			continue;
		}
		last = block;
		n_good++;
	}
	return n_good;
}

static size_t count_candidates(const struct reader *reader, enum hf_section section)
{
	size_t n = 0;
	for (size_t i = 0; i < reader->blocks.n; i++)
		n += reader->blocks.at[i].section == section && !reader->blocks.at[i].problem;
	return n;
}

/* Decode until all blocks that are left are good: a block that turns out bad leaves a hole, and the
 * next round closes it. What a round finds does not depend on the holes, so the second is the last
 * unless the file changes meanwhile. */
static enum hf_status decode_rounds(struct reader *reader, struct hf_err *err)
{
	struct hf_heap *heap = reader->heap;
	for (int round = 0; round < MAX_ROUNDS; round++) {
		heap->n_edges = place(reader, HF_SECTION_EDGE);
		heap->modrefs.n = place(reader, HF_SECTION_MODREF);
		size_t n = count_candidates(reader, HF_SECTION_EDGE) +
			   count_candidates(reader, HF_SECTION_MODREF);
		if (round)
			memset(heap->edge_offset, 0,
				(heap->n_objects + 1) * sizeof(*heap->edge_offset));
		enum hf_status status =
			decode_all(reader, 1u << HF_SECTION_EDGE | 1u << HF_SECTION_MODREF, err);
		if (status != HF_OK)
			return status;
		if (check_order(reader, HF_SECTION_EDGE) + check_order(reader, HF_SECTION_MODREF) ==
			n)
			return HF_OK;
	}
	return hf_err_set(err, HF_E_FAILED, "%s: changes while it is read", reader->file.name);
}

/* From the ends that the blocks noted to the start of every object's edges. */
static void complete_offsets(struct reader *reader)
{
	struct hf_heap *heap = reader->heap;
	for (size_t i = 0; i < reader->blocks.n; i++) {
		const struct dump_block *block = &reader->blocks.at[i];
		if (block->section != HF_SECTION_EDGE || block->problem)
			continue;
		/* a later block that goes on with this source has noted a later end already */
		uint64_t *end = &heap->edge_offset[block->last_source + 1];
		if (*end < block->slot + block->n_items)
			*end = block->slot + block->n_items;
	}
	for (uint64_t i = 1; i <= heap->n_objects; i++) {
		if (!heap->edge_offset[i])
			heap->edge_offset[i] = heap->edge_offset[i - 1];
	}
}

/* Put the blocks' wide offsets into one table. */
static bool collect_wide(struct reader *reader, enum hf_section section)
{
	struct hf_heap *heap = reader->heap;
	for (size_t i = 0; i < reader->blocks.n; i++) {
		const struct dump_block *block = &reader->blocks.at[i];
		for (uint32_t k = 0;
			block->section == section && !block->problem && k < block->n_wide; k++) {
			struct hf_heap_wide *wide = section == HF_SECTION_EDGE
							    ? hf_heap_push(&heap->edges_wide)
							    : hf_heap_push(&heap->modrefs_wide);
			if (!wide)
				return false;
			*wide = block->wide[k];
			wide->index += block->slot;
		}
	}
	return true;
}

/* Close up the edges that were dropped. */
static void drop_edges(struct hf_heap *heap)
{
	uint64_t to = 0, from = 0;
	size_t wide = 0, n_wide = 0;
	for (uint64_t i = 0; i < heap->n_objects; i++) {
		uint64_t end = heap->edge_offset[i + 1];
		for (; from < end; from++) {
			bool is_wide = wide < heap->edges_wide.n &&
				       heap->edges_wide.at[wide].index == from;
			if (heap->edge_dst[from] != HF_NONE) {
				heap->edge_dst[to] = heap->edge_dst[from];
				heap->edge_src_off[to] = heap->edge_src_off[from];
				heap->edge_dst_off[to] = heap->edge_dst_off[from];
				if (is_wide) {
					heap->edges_wide.at[n_wide] = heap->edges_wide.at[wide];
					heap->edges_wide.at[n_wide++].index = to;
				}
				to++;
			}
			wide += is_wide;
		}
		heap->edge_offset[i + 1] = to;
	}
	heap->n_edges = to;
	heap->edges_wide.n = n_wide;
}

static void drop_modrefs(struct hf_heap *heap)
{
	size_t to = 0, wide = 0, n_wide = 0;
	for (size_t from = 0; from < heap->modrefs.n; from++) {
		bool is_wide =
			wide < heap->modrefs_wide.n && heap->modrefs_wide.at[wide].index == from;
		if (heap->modrefs.at[from].module != HF_NONE) {
			heap->modrefs.at[to] = heap->modrefs.at[from];
			if (is_wide) {
				heap->modrefs_wide.at[n_wide] = heap->modrefs_wide.at[wide];
				heap->modrefs_wide.at[n_wide++].index = to;
			}
			to++;
		}
		wide += is_wide;
	}
	heap->modrefs.n = to;
	heap->modrefs_wide.n = n_wide;
}

/* Count the records of the good blocks, and those of them that were dropped. */
static const char *account(struct reader *reader, enum hf_section section)
{
	uint64_t n = 0;
	for (size_t i = 0; i < reader->blocks.n; i++) {
		struct dump_block *block = &reader->blocks.at[i];
		if (block->section != section || block->problem)
			continue;
		/* nothing refers to their numbers, so a wrong one does no harm but is told */
		const char *problem = ids_add(&reader->ids[section], block, n);
		if (problem == block_no_memory)
			return problem;
		if (problem)
			problem_add(&reader->problems, block->offset, section, "%s", problem);
		n += block->n_items;
		reader->dropped[section] += block->n_dropped;
	}
	return NULL;
}

enum hf_status read_references(struct reader *reader, struct hf_err *err)
{
	struct hf_heap *heap = reader->heap;
	uint64_t n_edges = place(reader, HF_SECTION_EDGE);
	uint64_t n_modrefs = place(reader, HF_SECTION_MODREF);
	if (!heap->n_objects) { /* nothing to lead from or to */
		reader->dropped[HF_SECTION_EDGE] = n_edges;
		reader->dropped[HF_SECTION_MODREF] = n_modrefs;
		return hf_heap_alloc_edges(heap, 0, err);
	}
	enum hf_status status = hf_heap_alloc_edges(heap, n_edges, err);
	if (status != HF_OK)
		return status;
	status = hf_heap_alloc_modrefs(heap, n_modrefs, err);
	if (status != HF_OK)
		return status;
	status = decode_rounds(reader, err);
	if (status != HF_OK)
		return status;
	complete_offsets(reader);
	if (!collect_wide(reader, HF_SECTION_EDGE) || !collect_wide(reader, HF_SECTION_MODREF) ||
		account(reader, HF_SECTION_EDGE) || account(reader, HF_SECTION_MODREF))
		return hf_err_set(err, HF_E_NOMEM, "%s: no memory", reader->file.name);
	if (reader->dropped[HF_SECTION_EDGE])
		drop_edges(heap);
	if (reader->dropped[HF_SECTION_MODREF])
		drop_modrefs(heap);
	return HF_OK;
}
