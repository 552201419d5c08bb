#include <string.h>

#include "source/dump/reader.h"

const char *decode_object(
	struct reader *reader, struct block_buffer *buffer, struct dump_block *block)
{
	struct hf_heap *heap = reader->heap;
	uint64_t *addrs = heap->addr + block->slot, *usables = heap->usable + block->slot;
	uint32_t *arenas = heap->arena + block->slot;
	struct column addr_c = buffer->columns[0], usable_c = buffer->columns[1],
		      arena_c = buffer->columns[2];
	const struct id_map *arena_ids = &reader->ids[HF_SECTION_ARENA];
	uint64_t end = 0, sum = 0;
	uint32_t n_lost_arenas = 0;
	for (uint32_t i = 0; i < block->n_items; i++) {
		if (!column_more(&addr_c) || !column_more(&usable_c) || !column_more(&arena_c))
			return "a column is cut off";
		uint64_t addr = column_d(&addr_c), usable = column_u(&usable_c);
		if (addr < end || (i && addr == addrs[i - 1]))
			return "objects overlap or are out of order";
		if (__builtin_add_overflow(addr, usable, &end))
			return "an object ends past the end of memory";
		uint32_t arena = ids_get(arena_ids, column_u(&arena_c));
		if (arena == HF_NONE) {
			arena = (uint32_t)heap->arenas.n; /* the place of the unknown arena */
			n_lost_arenas++;
		}
		addrs[i] = addr;
		usables[i] = usable;
		arenas[i] = arena;
		sum += usable;
	}
	if (!column_done(&addr_c) || !column_done(&usable_c) || !column_done(&arena_c))
		return "a column is damaged";
	block->first[0] = addrs[0];
	block->last[0] = addrs[block->n_items - 1];
	block->last[1] = end;
	block->sum = sum;
	block->n_dropped = n_lost_arenas;
	return NULL;
}

/* Give every block of objects that may be sound its place. */
static enum hf_status place_objects(struct reader *reader, struct hf_err *err)
{
	uint64_t n = 0;
	for (size_t i = 0; i < reader->blocks.n; i++) {
		struct dump_block *block = &reader->blocks.at[i];
		if (block->section != HF_SECTION_OBJECT || block->problem)
			continue;
		block->slot = n;
		n += block->n_items;
	}
	return hf_heap_alloc_objects(reader->heap, n, err);
}

/* Take a block's objects over as the next ones, or find that they do not follow. */
static const char *keep_objects(struct reader *reader, struct dump_block *block, uint64_t n_kept,
	const struct dump_block *last)
{
	struct hf_heap *heap = reader->heap;
	if (last && (block->first[0] < last->last[1] || block->first[0] == last->last[0]))
		return "its objects overlap those of an earlier block or are out of order";
	const char *problem = ids_add(&reader->ids[HF_SECTION_OBJECT], block, n_kept);
	if (problem || block->slot == n_kept)
		return problem;
	size_t n = block->n_items;
	memmove(heap->addr + n_kept, heap->addr + block->slot, n * sizeof(*heap->addr));
	memmove(heap->usable + n_kept, heap->usable + block->slot, n * sizeof(*heap->usable));
	memmove(heap->arena + n_kept, heap->arena + block->slot, n * sizeof(*heap->arena));
	block->slot = n_kept;
	return NULL;
}

/* Objects whose arena's record is not in the file get an arena that says so. */
static enum hf_status add_unknown_arena(struct reader *reader, struct hf_err *err)
{
	struct hf_heap *heap = reader->heap;
	uint32_t unknown = (uint32_t)heap->arenas.n;
	struct hf_heap_arena *arena = hf_heap_push(&heap->arenas);
	if (!arena)
		return hf_err_set(err, HF_E_NOMEM, "%s: no memory", reader->file.name);
	arena->allocator = "unknown (its record is lost)";
	for (uint64_t i = 0; i < heap->n_objects; i++) {
		if (heap->arena[i] != unknown)
			continue;
		arena->live_bytes += heap->usable[i];
		arena->live_count++;
	}
	return HF_OK;
}

enum hf_status read_objects(struct reader *reader, struct hf_err *err)
{
	struct hf_heap *heap = reader->heap;
	enum hf_status status = place_objects(reader, err);
	if (status == HF_OK)
		status = decode_all(reader, 1u << HF_SECTION_OBJECT, err);
	if (status != HF_OK)
		return status;
	uint64_t n_kept = 0, n_lost_arenas = 0;
	const struct dump_block *last = NULL;
	for (size_t i = 0; i < reader->blocks.n; i++) {
		struct dump_block *block = &reader->blocks.at[i];
		if (block->section != HF_SECTION_OBJECT || block->problem)
			continue;
		block->problem = keep_objects(reader, block, n_kept, last);
		if (block->problem == block_no_memory)
			return hf_err_set(err, HF_E_NOMEM, "%s: no memory", reader->file.name);
		if (block->problem)
			continue;
		last = block;
		n_kept += block->n_items;
		n_lost_arenas += block->n_dropped;
		heap->total_usable += block->sum;
	}
	heap->n_objects = n_kept;
	reader->dangling[HF_SECTION_OBJECT] += n_lost_arenas;
	return n_lost_arenas ? add_unknown_arena(reader, err) : HF_OK;
}
