#include "index/look.h"

#include "base/cpu.h"

enum { TAIL_BIT = 63 };

/* One start, that is not live. */
const struct hf_index_cell hf_index_nowhere[1] = {{.starts = 1}};

static inline __attribute__((always_inline)) void place_in(
	const struct hf_index_region *region, uint64_t addr, uint64_t *ret_cell, uint64_t *ret_rest)
{
	const uint64_t from = addr - region->start, number = from / HF_CELL_BYTES;
	const uint64_t in_tail = from % HF_GRANULE + region->tail_bytes >= HF_GRANULE;
	const struct hf_index_cell *cell = region->cells ? &region->cells[number] : region->single;
	*ret_cell = (uint64_t)cell;
	*ret_rest = (region->cells ? from % HF_CELL_BYTES : from) | in_tail << TAIL_BIT;
}

void hf_index_place(const struct hf_index *index, struct hf_index_region *hint, uint64_t addr,
	uint64_t *ret_cell, uint64_t *ret_rest)
{
	const struct hf_index_region *region = hf_index_search_region(index, addr);
	if (region) {
		*hint = *region;
		place_in(hint, addr, ret_cell, ret_rest);
	} else {
		*ret_cell = (uint64_t)hf_index_nowhere;
		*ret_rest = 0;
	}
}

static uint32_t place_many(const struct hf_index *index, struct hf_index_region *hint,
	const uint64_t *addr, uint32_t n, const struct hf_index_places *ret, uint16_t *ret_outside)
{
	uint32_t n_outside = 0;
	for (uint32_t i = 0; i < n; i++) {
		if (addr[i] - hint->start < hf_index_hint_size(hint))
			place_in(hint, addr[i], &ret->cell[i], &ret->rest[i]);
		else
			hf_index_place(index, hint, addr[i], &ret->cell[i], &ret->rest[i]);
		const char *cell = (const char *)ret->cell[i];
		__builtin_prefetch(cell);
		ret_outside[n_outside] = (uint16_t)i;
		n_outside += cell == (const char *)hf_index_nowhere;
	}
	return n_outside;
}

/* One place. Without branches but for the rare one: what is looked up is not predictable. */
static inline __attribute__((always_inline)) bool look(
	const struct hf_index_cell *cell, uint64_t rest, uint64_t *ret_id, uint64_t *ret_offset)
{
	const bool may_be_tail = rest >> TAIL_BIT;
	rest &= ~(1ull << TAIL_BIT);
	const unsigned bit = rest / HF_GRANULE % 64;
	/* The tail of an extent belongs to nobody: the last bytes before the next start. */
	const uint64_t starts_after = cell->starts >> 1 | (uint64_t)cell->next << 63;
	const bool in_tail = (starts_after >> bit & 1) & may_be_tail;
	uint64_t below = cell->starts & (~0ull >> (63 - bit));
	if (__builtin_expect(!below && cell->back, 0)) {
		rest += (uint64_t)cell->back * HF_CELL_BYTES;
		cell -= cell->back;
		below = cell->starts;
	}
	/* nothing at all starts before: bit 0, which is no live start then */
	const unsigned top = 63 - (unsigned)__builtin_clzll(below | 1);
	*ret_offset = rest - top * HF_GRANULE;
	*ret_id = cell->rank + (uint64_t)__builtin_popcountll(cell->live & ((1ull << top) - 1));
	return (cell->live >> top & 1) & !in_tail;
}

int64_t hf_index_look(uint64_t cell, uint64_t rest, uint64_t addr, uint64_t *ret_start)
{
	uint64_t id, offset;
	if (!look((const struct hf_index_cell *)cell, rest, &id, &offset))
		return HF_NO_OBJECT;
	*ret_start = addr - offset;
	return (int64_t)id;
}

static inline __attribute__((always_inline)) uint32_t look_each(
	const struct hf_index_places *places, uint32_t n, const struct hf_index_answers *ret)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < n; i++) {
		ret->along[0][kept] = ret->along[0][i];
		ret->along[1][kept] = ret->along[1][i];
		kept += look((const struct hf_index_cell *)places->cell[i], places->rest[i],
			&ret->id[kept], &ret->offset[kept]);
	}
	return kept;
}

static uint32_t look_plain(
	const struct hf_index_places *places, uint32_t n, const struct hf_index_answers *ret)
{
	return look_each(places, n, ret);
}

__attribute__((target(HF_TARGET_AVX2))) static uint32_t look_avx2(
	const struct hf_index_places *places, uint32_t n, const struct hf_index_answers *ret)
{
	return look_each(places, n, ret);
}

uint32_t hf_index_place_many(const struct hf_index *index, struct hf_index_region *hint,
	const uint64_t *addr, uint32_t n, const struct hf_index_places *ret, uint16_t *ret_outside)
{
	return (hf_cpu() == HF_CPU_AVX512 ? hf_index_place_many_512 : place_many)(
		index, hint, addr, n, ret, ret_outside);
}

uint32_t hf_index_look_many(
	const struct hf_index_places *places, uint32_t n, const struct hf_index_answers *ret)
{
	const enum hf_cpu cpu = hf_cpu();
	return (cpu == HF_CPU_AVX512 ? hf_index_look_many_512
		: cpu == HF_CPU_AVX2 ? look_avx2
				     : look_plain)(places, n, ret);
}
