/*
 * Eight look-ups at a time. Gathering is slow on the CPUs that this was written for: eight rows are
 * loaded and turned into columns.
 */
#include <immintrin.h>

#include "base/cpu.h"
#include "index/look.h"

#define TARGET  __attribute__((target(HF_TARGET_AVX512)))
#define EACH(x) _mm512_set1_epi64((long long)(x))

enum { LANES = 8, ROW = 32 /* bytes of a row that are loaded */ };

struct columns {
	__m512i a, b, c, d; /* the words of each row */
};

/* Rows of 32 bytes as columns. */
TARGET static inline __attribute__((always_inline)) struct columns load_rows(
	const uint64_t at[LANES])
{
#define PAIR(i)                                                                                    \
	_mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)at[i])),     \
		_mm256_loadu_si256((const __m256i *)at[i + 4]), 1)
	const __m512i r04 = PAIR(0), r15 = PAIR(1), r26 = PAIR(2), r37 = PAIR(3);
#undef PAIR
	/* words a and c, b and d of two rows each */
	const __m512i ac01 = _mm512_unpacklo_epi64(r04, r15),
		      bd01 = _mm512_unpackhi_epi64(r04, r15);
	const __m512i ac23 = _mm512_unpacklo_epi64(r26, r37),
		      bd23 = _mm512_unpackhi_epi64(r26, r37);
	const __m512i low = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
	const __m512i high = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
	return (struct columns){_mm512_permutex2var_epi64(ac01, low, ac23),
		_mm512_permutex2var_epi64(bd01, low, bd23),
		_mm512_permutex2var_epi64(ac01, high, ac23),
		_mm512_permutex2var_epi64(bd01, high, bd23)};
}

TARGET static inline __m512i cells_size(__m512i n)
{
	_Static_assert(sizeof(struct hf_index_cell) == ROW, "a cell");
	return _mm512_slli_epi64(n, 5);
}

struct place_512 {
	__m512i cell, rest;
};

/* from: bytes behind the start of a region. */
TARGET static inline struct place_512 place_512(__m512i cells, __m512i tail_bytes, __m512i from)
{
	_Static_assert(HF_GRANULE == 16 && HF_CELL_BYTES == 1024, "shifts");
	const __m512i cell = _mm512_add_epi64(cells, cells_size(_mm512_srli_epi64(from, 10)));
	const __m512i rest = _mm512_and_si512(from, EACH(HF_CELL_BYTES - 1));
	const __m512i reach =
		_mm512_add_epi64(_mm512_and_si512(from, EACH(HF_GRANULE - 1)), tail_bytes);
	const __mmask8 in_tail = _mm512_cmpge_epu64_mask(reach, EACH(HF_GRANULE));
	return (struct place_512){cell, _mm512_mask_or_epi64(rest, in_tail, rest, EACH(INT64_MIN))};
}

/* Regions by slots, for addresses that are not all in one region. Returns the lanes that are done;
 * what is left is in a slot of several regions, or a single. */
TARGET static __mmask8 place_by_slots(const struct hf_index *index, __m512i addr, __mmask8 lanes,
	uint64_t *ret_cell, uint64_t *ret_rest, struct hf_index_region *hint)
{
	/* start, end, cells, arena and tail_bytes: what a row has */
	_Static_assert(offsetof(struct hf_index_region, tail_bytes) == ROW - 4, "a row");
	static const struct hf_index_region none = {.start = UINT64_MAX, .end = UINT64_MAX};
	const struct hf_index_region *regions = index->regions.data;
	const __m512i from_lo = _mm512_sub_epi64(addr, EACH(index->lo));
	lanes &= _mm512_cmplt_epu64_mask(from_lo, EACH(index->hi - index->lo));
	if (!lanes)
		return 0;
	uint64_t slot[LANES], at[LANES];
	_mm512_storeu_si512(slot, _mm512_maskz_srli_epi64(lanes, from_lo, HF_SLOT_SHIFT));
	for (unsigned i = 0; i < LANES; i++) {
		const uint32_t number = index->slots[slot[i]];
		at[i] = (uint64_t)(number ? &regions[number - 1] : &none);
	}
	if (at[0] != (uint64_t)&none)
		*hint = *(const struct hf_index_region *)at[0];
	const struct columns r = load_rows(at);
	const __m512i tail = _mm512_srli_epi64(r.d, 32);
	const __mmask8 in = lanes & _mm512_test_epi64_mask(r.c, r.c) &
			    _mm512_cmpge_epu64_mask(addr, r.a) &
			    _mm512_cmplt_epu64_mask(addr, _mm512_sub_epi64(r.b, tail));
	const struct place_512 p = place_512(r.c, tail, _mm512_sub_epi64(addr, r.a));
	_mm512_mask_storeu_epi64(ret_cell, in, p.cell);
	_mm512_mask_storeu_epi64(ret_rest, in, p.rest);
	return in;
}

TARGET uint32_t hf_index_place_many_512(const struct hf_index *index, struct hf_index_region *hint,
	const uint64_t *addr, uint32_t n, const struct hf_index_places *ret, uint16_t *ret_outside)
{
	struct hf_index_region last = *hint;
	uint32_t n_outside = 0;
	for (uint32_t i = 0; i < n; i += LANES) {
		const __mmask8 lanes = n - i < LANES ? (__mmask8)((1u << (n - i)) - 1) : 0xff;
		const __m512i words = _mm512_loadu_si512(addr + i);
		const __m512i from = _mm512_sub_epi64(words, EACH(last.start));
		uint64_t *cell = ret->cell + i, *rest = ret->rest + i;
		__mmask8 left =
			lanes & ~_mm512_cmplt_epu64_mask(from, EACH(hf_index_hint_size(&last)));
		if (last.cells) {
			const struct place_512 p =
				place_512(EACH(last.cells), EACH(last.tail_bytes), from);
			_mm512_storeu_si512(cell, p.cell);
			_mm512_storeu_si512(rest, p.rest);
		} else {
			left = lanes;
		}
		if (__builtin_expect(left, 0)) {
			left &= ~place_by_slots(index, words, left, cell, rest, &last);
			for (; left; left &= left - 1) {
				const unsigned k = (unsigned)__builtin_ctz(left);
				hf_index_place(index, &last, addr[i + k], &cell[k], &rest[k]);
				ret_outside[n_outside] = (uint16_t)(i + k);
				n_outside += cell[k] == (uint64_t)hf_index_nowhere;
			}
		}
		for (unsigned k = 0; k < LANES; k++)
			__builtin_prefetch((const char *)cell[k]);
	}
	*hint = last;
	return n_outside;
}

/* What starts in the cells before, for places below their cell's first start. */
struct before {
	__mmask8 live;
	__m512i bytes; /* from that start to the cell's first byte */
};

TARGET static __attribute__((noinline)) struct before look_back(
	const uint64_t *cell, __m512i last, __mmask8 lanes)
{
	const __m512i back =
		_mm512_maskz_and_epi64(lanes, _mm512_srli_epi64(last, 32), EACH(INT32_MAX));
	uint64_t at[LANES];
	_mm512_storeu_si512(at, _mm512_sub_epi64(_mm512_loadu_si512(cell), cells_size(back)));
	const struct columns c = load_rows(at);
	const __m512i above = _mm512_lzcnt_epi64(c.a); /* the last one that starts there */
	const __mmask8 live = _mm512_mask_cmpeq_epi64_mask(
		_mm512_test_epi64_mask(back, back), above, _mm512_lzcnt_epi64(c.b));
	/* 1024 a cell, less 16 for each granule below the start: that is 63 - above */
	const __m512i bytes = _mm512_add_epi64(_mm512_slli_epi64(back, 10),
		_mm512_slli_epi64(_mm512_sub_epi64(above, EACH(63)), 4));
	return (struct before){live, bytes};
}

/* look() of look.c. An object's rank is one less than the number of live starts up to and
 * including its own, behind which there is no other. */
TARGET uint32_t hf_index_look_many_512(
	const struct hf_index_places *places, uint32_t n, const struct hf_index_answers *ret)
{
	const __m512i ones = EACH(-1), top_bit = EACH(63);
	uint32_t kept = 0;
	for (uint32_t i = 0; i < n; i += LANES) {
		const __mmask8 lanes = n - i < LANES ? (__mmask8)((1u << (n - i)) - 1) : 0xff;
		uint64_t spare[LANES];
		const uint64_t *cell = places->cell + i;
		if (__builtin_expect(lanes != 0xff, 0)) {
			for (unsigned k = 0; k < LANES; k++)
				spare[k] = k < n - i ? cell[k] : (uint64_t)hf_index_nowhere;
			cell = spare;
		}
		const struct columns c = load_rows(cell); /* starts, live, rank and back and next */
		const __m512i asked = _mm512_loadu_si512(places->rest + i);
		const __m512i rest = _mm512_andnot_si512(EACH(INT64_MIN), asked);
		const __m512i bit = _mm512_and_si512(_mm512_srli_epi64(rest, 4), top_bit);
		/* bits up to this one */
		const __m512i up_to = _mm512_srlv_epi64(ones, _mm512_xor_si512(bit, top_bit));
		const __m512i starts = _mm512_and_si512(c.a, up_to);
		const __m512i live = _mm512_and_si512(c.b, up_to);
		const __m512i above = _mm512_lzcnt_epi64(starts);
		/* In a tail: something starts at the next granule, the next cell's too. */
		const __mmask8 ends =
			_mm512_test_epi64_mask(c.a, _mm512_sub_epi64(up_to, ones)) |
			_mm512_mask_cmpeq_epi64_mask(_mm512_movepi64_mask(c.c), up_to, ones);
		const __mmask8 in_tail = _mm512_movepi64_mask(asked) & ends;
		__mmask8 keep = _mm512_cmpeq_epi64_mask(above, _mm512_lzcnt_epi64(live));
		const __m512i rank = _mm512_and_si512(c.c, EACH(UINT32_MAX));
		const __m512i id =
			_mm512_add_epi64(_mm512_add_epi64(rank, ones), _mm512_popcnt_epi64(live));
		__m512i offset = _mm512_add_epi64(
			rest, _mm512_slli_epi64(_mm512_sub_epi64(above, top_bit), 4));
		const __mmask8 none = _mm512_testn_epi64_mask(starts, starts);
		if (__builtin_expect(none & lanes, 0)) {
			const struct before b = look_back(cell, c.c, none);
			keep = (keep & ~none) | (none & b.live);
			offset = _mm512_mask_add_epi64(offset, none, rest, b.bytes);
		}
		keep &= lanes & ~in_tail;
#define KEEP(array, x) _mm512_storeu_si512((array) + kept, _mm512_maskz_compress_epi64(keep, x))
		const __m512i along0 = _mm512_loadu_si512(ret->along[0] + i),
			      along1 = _mm512_loadu_si512(ret->along[1] + i);
		KEEP(ret->id, id);
		KEEP(ret->offset, offset);
		KEEP(ret->along[0], along0);
		KEEP(ret->along[1], along1);
#undef KEEP
		kept += (uint32_t)__builtin_popcount(keep);
	}
	return kept;
}
