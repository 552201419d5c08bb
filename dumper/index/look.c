#include "index/look.h"

#include <immintrin.h>

/* One place. Without branches but for the rare one: what is looked up is not predictable. */
static inline __attribute__((always_inline)) bool look(
	const struct hf_index_cell *cell, uint64_t rest, uint64_t *ret_id, uint64_t *ret_offset)
{
	const bool may_be_tail = rest >> HF_INDEX_TAIL_BIT;
	rest &= ~(1ull << HF_INDEX_TAIL_BIT);
	const unsigned bit = rest / HF_GRANULE % 64;
	/* The tail of an extent belongs to nobody: the last bytes before the next start. */
	const uint64_t starts_after = cell->starts >> 1 | (uint64_t)cell->next << 63;
	const bool in_tail = (starts_after >> bit & 1) & may_be_tail;
	uint64_t below = cell->starts & (~0ull >> (63 - bit));
	if (__builtin_expect(!below, 0)) {
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

/* What is asked: places, or addresses of one region. */
struct question {
	const struct hf_index_places *places; /* NULL: region and addr */
	const struct hf_index_region *region;
	const uint64_t *addr;
	uint32_t n;
};

struct answers {
	uint64_t *kept, *id, *offset;
};

static inline __attribute__((always_inline)) uint32_t look_each(
	const struct question *q, uint32_t first, uint32_t n_kept, const struct answers *ret)
{
	for (uint32_t i = first; i < q->n; i++) {
		uint64_t cell, rest;
		if (q->places) {
			cell = q->places->cell[i];
			rest = q->places->rest[i];
		} else {
			hf_index_place(
				q->region, q->addr[i], &(struct hf_index_places){&cell, &rest}, 0);
		}
		ret->kept[n_kept] = i;
		n_kept += look((const struct hf_index_cell *)cell, rest, &ret->id[n_kept],
			&ret->offset[n_kept]);
	}
	return n_kept;
}

static uint32_t look_plain(const struct question *q, const struct answers *ret)
{
	return look_each(q, 0, 0, ret);
}

__attribute__((target("bmi,bmi2,lzcnt,popcnt"))) static uint32_t look_bmi(
	const struct question *q, const struct answers *ret)
{
	return look_each(q, 0, 0, ret);
}

/* Eight at a time. */
#define TARGET_512 "avx512f,avx512cd,avx512vpopcntdq,bmi,bmi2,lzcnt,popcnt"

struct cells_512 {
	__m512i at, starts, live, last; /* last: rank, back, next */
};

__attribute__((target(TARGET_512))) static inline struct cells_512 gather(__m512i at)
{
	_Static_assert(sizeof(struct hf_index_cell) == 24, "three words");
	return (struct cells_512){at, _mm512_i64gather_epi64(at, (void *)0, 1),
		_mm512_i64gather_epi64(at, (void *)8, 1),
		_mm512_i64gather_epi64(at, (void *)16, 1)};
}

/* As look(), line by line. Returns which of the eight are kept. */
__attribute__((target(TARGET_512))) static inline __mmask8 look_eight(struct cells_512 c,
	__m512i rest, __mmask8 may_be_tail, __m512i *ret_id, __m512i *ret_offset)
{
	const __m512i one = _mm512_set1_epi64(1), last_bit = _mm512_set1_epi64(63);
	const __m512i bit = _mm512_and_si512(_mm512_srli_epi64(rest, 4), last_bit);
	const __m512i next = _mm512_andnot_si512(_mm512_set1_epi64(INT64_MAX), c.last);
	const __m512i after = _mm512_or_si512(_mm512_srli_epi64(c.starts, 1), next);
	const __mmask8 in_tail =
		may_be_tail & _mm512_test_epi64_mask(_mm512_srlv_epi64(after, bit), one);
	__m512i below = _mm512_and_si512(c.starts,
		_mm512_srlv_epi64(_mm512_set1_epi64(-1), _mm512_sub_epi64(last_bit, bit)));
	const __mmask8 none = _mm512_testn_epi64_mask(below, below);
	if (__builtin_expect(none, 0)) {
		const __m512i back = _mm512_maskz_and_epi64(
			none, _mm512_srli_epi64(c.last, 32), _mm512_set1_epi64(INT32_MAX));
		c = gather(_mm512_sub_epi64(c.at,
			_mm512_add_epi64(_mm512_slli_epi64(back, 4), _mm512_slli_epi64(back, 3))));
		below = _mm512_mask_mov_epi64(below, none, c.starts);
		rest = _mm512_add_epi64(rest, _mm512_slli_epi64(back, 10));
	}
	const __m512i top =
		_mm512_sub_epi64(last_bit, _mm512_lzcnt_epi64(_mm512_or_si512(below, one)));
	const __m512i before = _mm512_sub_epi64(_mm512_sllv_epi64(one, top), one);
	const __m512i rank = _mm512_and_si512(c.last, _mm512_set1_epi64(UINT32_MAX));
	*ret_id = _mm512_add_epi64(rank, _mm512_popcnt_epi64(_mm512_and_si512(c.live, before)));
	*ret_offset = _mm512_sub_epi64(rest, _mm512_slli_epi64(top, 4));
	return _mm512_test_epi64_mask(_mm512_srlv_epi64(c.live, top), one) & ~in_tail;
}

/* The cells of ascending addresses: two, mostly, which is quicker than gathering. */
__attribute__((target(TARGET_512))) static inline struct cells_512 cells_of_run(
	const struct hf_index_region *region, uint64_t first, __m512i number)
{
	const struct hf_index_cell *a = &region->cells[first], *b = a;
	const __mmask8 later = _mm512_cmpgt_epu64_mask(number, _mm512_set1_epi64((long long)first));
	const __m512i at = _mm512_add_epi64(_mm512_set1_epi64((long long)region->cells),
		_mm512_add_epi64(_mm512_slli_epi64(number, 4), _mm512_slli_epi64(number, 3)));
	if (later) {
		if (_mm512_cmpgt_epu64_mask(number, _mm512_set1_epi64((long long)first + 1)))
			return gather(at);
		b++;
	}
	const long long *x = (const long long *)a, *y = (const long long *)b;
	return (struct cells_512){at, _mm512_mask_set1_epi64(_mm512_set1_epi64(x[0]), later, y[0]),
		_mm512_mask_set1_epi64(_mm512_set1_epi64(x[1]), later, y[1]),
		_mm512_mask_set1_epi64(_mm512_set1_epi64(x[2]), later, y[2])};
}

__attribute__((target(TARGET_512))) static uint32_t look_512(
	const struct question *q, const struct answers *ret)
{
	const __m512i tail_bit = _mm512_set1_epi64(INT64_MIN);
	__m512i numbers = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
	const struct hf_index_region *region = q->region;
	uint32_t n_kept = 0, i = 0;
	if (!q->places && !region->cells)
		return look_each(q, 0, 0, ret);
	for (; i + 8 <= q->n; i += 8, numbers = _mm512_add_epi64(numbers, _mm512_set1_epi64(8))) {
		struct cells_512 c;
		__m512i rest, id, offset;
		__mmask8 may_be_tail;
		if (q->places) {
			const __m512i asked = _mm512_loadu_si512(&q->places->rest[i]);
			c = gather(_mm512_loadu_si512(&q->places->cell[i]));
			may_be_tail = _mm512_test_epi64_mask(asked, tail_bit);
			rest = _mm512_andnot_si512(tail_bit, asked);
		} else {
			const __m512i from = _mm512_sub_epi64(_mm512_loadu_si512(&q->addr[i]),
				_mm512_set1_epi64((long long)region->start));
			c = cells_of_run(region, (q->addr[i] - region->start) / HF_CELL_BYTES,
				_mm512_srli_epi64(from, 10));
			rest = _mm512_and_si512(from, _mm512_set1_epi64(HF_CELL_BYTES - 1));
			may_be_tail = _mm512_cmpge_epu64_mask(
				_mm512_and_si512(from, _mm512_set1_epi64(HF_GRANULE - 1)),
				_mm512_set1_epi64(HF_GRANULE - (long long)region->tail_bytes));
		}
		const __mmask8 keep = look_eight(c, rest, may_be_tail, &id, &offset);
		_mm512_storeu_si512(&ret->kept[n_kept], _mm512_maskz_compress_epi64(keep, numbers));
		_mm512_storeu_si512(&ret->id[n_kept], _mm512_maskz_compress_epi64(keep, id));
		_mm512_storeu_si512(
			&ret->offset[n_kept], _mm512_maskz_compress_epi64(keep, offset));
		n_kept += (uint32_t)__builtin_popcount(keep);
	}
	return look_each(q, i, n_kept, ret);
}

static uint32_t answer(const struct question *q, const struct answers *ret)
{
	_Static_assert(HF_GRANULE == 16 && HF_CELL_BYTES == 1024, "shifts above");
	if (__builtin_cpu_supports("avx512vpopcntdq") && __builtin_cpu_supports("avx512cd"))
		return look_512(q, ret);
	if (__builtin_cpu_supports("bmi2") && __builtin_cpu_supports("avx2"))
		return look_bmi(q, ret);
	return look_plain(q, ret);
}

uint32_t hf_index_look_many(const struct hf_index_places *places, uint32_t n, uint64_t *ret_kept,
	uint64_t *ret_id, uint64_t *ret_offset)
{
	return answer(&(struct question){.places = places, .n = n},
		&(struct answers){ret_kept, ret_id, ret_offset});
}

uint32_t hf_index_look_run(const struct hf_index_region *region, const uint64_t *addr, uint32_t n,
	uint64_t *ret_kept, uint64_t *ret_id, uint64_t *ret_offset)
{
	return answer(&(struct question){.region = region, .addr = addr, .n = n},
		&(struct answers){ret_kept, ret_id, ret_offset});
}
