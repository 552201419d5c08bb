#include "scan/words.h"

#include <immintrin.h>
#include <string.h>

#include "base/checked.h"
#include "base/cpu.h"

enum {
	WORDS = HF_WORDS_CELL,
	PER_GRANULE = HF_GRANULE / 8,
	LINE = 64, /* bytes of the cache */
	/* Bytes that memory is asked for ahead of the words. It goes on past the end of a page,
	 * where the hardware's own prefetching stops, and while a batch is looked up. */
	AHEAD = 4096,
};

/* Bits of granules to bits of their first words. */
static uint64_t spread(uint32_t bits)
{
	uint64_t x = bits;
	x = (x | x << 16) & 0x0000ffff0000ffff;
	x = (x | x << 8) & 0x00ff00ff00ff00ff;
	x = (x | x << 4) & 0x0f0f0f0f0f0f0f0f;
	x = (x | x << 2) & 0x3333333333333333;
	return (x | x << 1) & 0x5555555555555555;
}

static uint64_t bits_between(uint64_t first, uint64_t end, uint64_t base)
{
	const uint64_t from = first > base ? first - base : 0, to = end > base ? end - base : 0;
	if (from >= 64 || !to)
		return 0;
	return (~0ull << from) & (to >= 64 ? ~0ull : (1ull << to) - 1);
}

/* The granules of live extents: as in the seal of the index (number_cells), a one that is added
 * behind each live start runs as a carry up to the next start. */
static uint64_t live_granules(const struct hf_index_cell *cell, bool carried)
{
	const uint64_t gaps = ~cell->starts, ones = cell->live << 1 | carried;
	uint64_t sum;
	const uint64_t carry =
		(uint64_t)__builtin_add_overflow(gaps, ones, &sum) | cell->live >> 63;
	return (gaps ^ sum) >> 1 | carry << 63;
}

static struct hf_words_part part_of(
	const struct hf_index_region *region, uint64_t number, uint64_t first, uint64_t end)
{
	const struct hf_index_cell *cell = &region->cells[number], *before = cell - cell->back;
	const unsigned top = 63 - (unsigned)__builtin_clzll(before->starts | 1);
	const bool carried = cell->back && before->live >> top & 1;
	const uint64_t live = live_granules(cell, carried);
	const uint64_t ends = cell->starts >> 1 | (uint64_t)cell->next << 63;
	/* the first word of each granule, and the second */
	const uint64_t even = region->tail_bytes >= HF_GRANULE ? live & ~ends : live;
	const uint64_t odd = region->tail_bytes >= HF_GRANULE / 2 ? live & ~ends : live;
	struct hf_words_part part = {
		.starts = cell->starts,
		.live = cell->live,
		.id = cell->rank - 1ull,
		.carried = (uint64_t)cell->back * WORDS - top * PER_GRANULE,
		.whole = first == 0 && end == WORDS,
	};
	for (unsigned i = 0; i < 2; i++) {
		part.inside[i] =
			spread((uint32_t)(even >> 32 * i)) | spread((uint32_t)(odd >> 32 * i)) << 1;
		if (!part.whole)
			part.inside[i] &= bits_between(first, end, 64 * i);
	}
	return part;
}

/* Which of 64 words at data are in the span? Only those of `inside` are read. */
static uint64_t in_span(const struct hf_words *w, const uint8_t *data, uint64_t inside)
{
	uint64_t found = 0;
	for (; inside; inside &= inside - 1) {
		const unsigned i = (unsigned)__builtin_ctzll(inside);
		uint64_t word;
		memcpy(&word, data + 8 * i, 8);
		found |= (uint64_t)(word - w->lo < w->span) << i;
	}
	return found;
}

/* The same of 64 words that all may be read. */
__attribute__((target(HF_TARGET_AVX2))) static uint64_t in_span_avx2(
	const struct hf_words *w, const uint8_t *data)
{
	/* There is no unsigned compare: both sides are shifted by 2^63. */
	const uint64_t bias = 1ull << 63;
	const __m256i lo = _mm256_set1_epi64x((long long)(w->lo ^ bias)),
		      span = _mm256_set1_epi64x((long long)(w->span ^ bias));
	uint64_t found = 0;
	for (unsigned i = 0; i < 64; i += 4) {
		const __m256i x = _mm256_loadu_si256((const __m256i *)(data + 8 * i));
		const __m256i in = _mm256_cmpgt_epi64(span, _mm256_sub_epi64(x, lo));
		found |= (uint64_t)(unsigned)_mm256_movemask_pd((__m256d)in) << i;
	}
	return found;
}

static void take_part(struct hf_words *w, const struct hf_words_part *part, bool avx2)
{
	uint32_t n = w->n;
	for (unsigned half = 0; half < 2; half++) {
		const uint8_t *data = part->data + 64 * 8 * half;
		uint64_t found = avx2 && part->whole ? in_span_avx2(w, data) & part->inside[half]
						     : in_span(w, data, part->inside[half]);
		for (; found; found &= found - 1, n++) {
			const unsigned i = (unsigned)__builtin_ctzll(found);
			const unsigned at = 64 * half + i;
			const uint64_t up_to = ~0ull >> (63 - at / PER_GRANULE);
			const uint64_t below = part->starts & up_to;
			const unsigned start = 63 - (unsigned)__builtin_clzll(below | 1);
			memcpy(&w->word[n], data + 8 * i, 8);
			w->src[n] = part->id + (uint64_t)__builtin_popcountll(part->live & up_to);
			w->offset[n] = below ? at - start * PER_GRANULE : at + part->carried;
		}
	}
	w->n = n;
}

/* One object for its whole length. */
static uint64_t take_single(struct hf_words *w, const struct hf_index_region *region, uint64_t at,
	uint64_t stop, const uint8_t *data)
{
	for (; at < stop && w->n < HF_WORDS_FULL; at += 8, data += 8) {
		memcpy(&w->word[w->n], data, 8);
		w->src[w->n] = region->single->rank;
		w->offset[w->n] = (at - region->start) / 8;
		w->n += w->word[w->n] - w->lo < w->span;
	}
	return at;
}

uint64_t hf_words_take(struct hf_words *w, const struct hf_index_region *region, uint64_t at,
	uint64_t stop, const uint8_t *data)
{
	const enum hf_cpu cpu = hf_cpu();
	if (!region->cells)
		return take_single(w, region, at, stop, data);
	const uint8_t *const base = data - (at - region->start); /* of the region */
	while (at < stop && w->n < HF_WORDS_FULL) {
		const uint64_t number = (at - region->start) / HF_CELL_BYTES;
		const uint64_t start = region->start + number * HF_CELL_BYTES;
		const uint64_t end = stop - start < HF_CELL_BYTES ? stop - start : HF_CELL_BYTES;
		struct hf_words_part part = part_of(region, number, (at - start) / 8, end / 8);
		part.data = base + number * HF_CELL_BYTES;
		for (unsigned i = 0; i < HF_CELL_BYTES; i += LINE)
			__builtin_prefetch(part.data + AHEAD + i);
		if (cpu == HF_CPU_AVX512)
			hf_words_part_512(w, &part);
		else
			take_part(w, &part, cpu == HF_CPU_AVX2);
		at = start + end;
	}
	return at;
}

void hf_words_init(struct hf_words *w, uint64_t lo, uint64_t span)
{
	w->lo = lo;
	w->span = span;
	w->n = 0;
}
