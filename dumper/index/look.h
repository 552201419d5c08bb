/*
 * Many look-ups at once, over arrays: what the scan does with every word that may be a pointer.
 *
 * Async-signal-safe; any number of threads after the seal.
 */
#pragma once
#include "index/index.h"

/* An address in question: the cell that answers (hf_index_place), and how far behind that cell's
 * first byte it is. A single has a cell of its own, however large it is. */
struct hf_index_places {
	uint64_t *cell; /* const struct hf_index_cell * */
	uint64_t *rest; /* bytes; bit 63: in the last bytes of its granule, which may be a tail */
};
enum { HF_INDEX_TAIL_BIT = 63 };

/* Addr, which is inside the region, as place i. */
static inline void hf_index_place(const struct hf_index_region *region, uint64_t addr,
	const struct hf_index_places *ret, uint32_t i)
{
	const uint64_t from = addr - region->start, number = from / HF_CELL_BYTES;
	const uint64_t in_tail = from % HF_GRANULE + region->tail_bytes >= HF_GRANULE;
	const struct hf_index_cell *cell = region->cells ? &region->cells[number] : region->single;
	ret->cell[i] = (uint64_t)cell;
	ret->rest[i] = (region->cells ? from % HF_CELL_BYTES : from) | in_tail << HF_INDEX_TAIL_BIT;
}

/* Which places are inside live objects? Their numbers, ascending, go to ret_kept, and for the k-th
 * of them ret_id[k] is the object and ret_offset[k] how far inside it is. Returns how many. The
 * arrays have room for 8 more than n. */
uint32_t hf_index_look_many(const struct hf_index_places *places, uint32_t n, uint64_t *ret_kept,
	uint64_t *ret_id, uint64_t *ret_offset);
/* The same for ascending addresses inside one region. */
uint32_t hf_index_look_run(const struct hf_index_region *region, const uint64_t *addr, uint32_t n,
	uint64_t *ret_kept, uint64_t *ret_id, uint64_t *ret_offset);
