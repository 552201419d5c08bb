/*
 * Many look-ups at once, over arrays: what the scan does with every word that may be a pointer.
 * First all addresses get their places, while the cells there come from memory; then the places are
 * looked at.
 *
 * Arrays that are written have room for HF_INDEX_SLACK elements more than n.
 * Async-signal-safe; any number of threads after the seal.
 */
#pragma once
#include "index/index.h"

enum { HF_INDEX_SLACK = 8 };

/* An address in question: the cell that answers, and how far behind that cell's first byte it is. A
 * single has a cell of its own, however large it is. */
struct hf_index_places {
	uint64_t *cell; /* const struct hf_index_cell * */
	uint64_t *rest; /* bytes; bit 63: in the last bytes of its granule, which may be a tail */
};

/* The places of n addresses. One that is in no region gets a place where nothing is, and its number
 * goes to ret_outside, ascending. Returns how many those are. *hint is the caller's from call to
 * call, zeroed before the first. */
uint32_t hf_index_place_many(const struct hf_index *index, struct hf_index_region *hint,
	const uint64_t *addr, uint32_t n, const struct hf_index_places *ret, uint16_t *ret_outside);

/* Which places are inside live objects? For the k-th of them, in order, id[k] is the object and
 * offset[k] how far inside it is, and of the caller's own arrays along[j][k] is what was at its
 * number: they shrink. Returns how many there are. */
struct hf_index_answers {
	uint64_t *id, *offset, *along[2];
};
uint32_t hf_index_look_many(
	const struct hf_index_places *places, uint32_t n, const struct hf_index_answers *ret);

/* Inside the module only: the same for one address, and for AVX-512. */
int64_t hf_index_look(uint64_t cell, uint64_t rest, uint64_t addr, uint64_t *ret_start);
void hf_index_place(const struct hf_index *index, struct hf_index_region *hint, uint64_t addr,
	uint64_t *ret_cell, uint64_t *ret_rest);
uint32_t hf_index_place_many_512(const struct hf_index *index, struct hf_index_region *hint,
	const uint64_t *addr, uint32_t n, const struct hf_index_places *ret, uint16_t *ret_outside);
uint32_t hf_index_look_many_512(
	const struct hf_index_places *places, uint32_t n, const struct hf_index_answers *ret);
/* Bytes from its start in which an address is certain to be the region's: the next one may start
 * in its tail. */
static inline uint64_t hf_index_hint_size(const struct hf_index_region *region)
{
	return region->end - region->tail_bytes - region->start;
}
/* The cell of addresses that are in no region. */
extern const struct hf_index_cell hf_index_nowhere[1];
