/* As take_part() of words.c, eight words at a time. */
#include <immintrin.h>

#include "base/cpu.h"
#include "scan/words.h"

#define TARGET  __attribute__((target(HF_TARGET_AVX512)))
#define EACH(x) _mm512_set1_epi64((long long)(x))

enum { LANES = 8 };

static const uint8_t numbers[64] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17,
	18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
	41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};

/* Whose the words are that were found, a bit each, among 64, which are words `first` … of the
 * cell. Where they are goes through memory once, since what was stored piece by piece could not be
 * loaded as one before all of it is in the cache. */
TARGET static inline __attribute__((always_inline)) void find_sources(struct hf_words *w,
	const struct hf_words_part *part, uint32_t n, uint64_t found, unsigned first)
{
	uint8_t places[64] __attribute__((aligned(64)));
	const uint32_t end = n + (uint32_t)__builtin_popcountll(found);
	const __m512i starts = EACH(part->starts), live = EACH(part->live);
	const __m512i id = EACH(part->id), carried = EACH(part->carried);
	_mm512_store_si512(places, _mm512_maskz_compress_epi8(found, _mm512_loadu_si512(numbers)));
	for (const uint8_t *at8 = places; n < end; n += LANES, at8 += LANES) {
		const __m512i at = _mm512_add_epi64(
			EACH(first), _mm512_cvtepu8_epi64(_mm_loadl_epi64((const __m128i *)at8)));
		const __m512i up_to = _mm512_srlv_epi64(
			EACH(-1), _mm512_sub_epi64(EACH(63), _mm512_srli_epi64(at, 1)));
		const __m512i below = _mm512_and_si512(starts, up_to);
		const __m512i above = _mm512_lzcnt_epi64(below);
		const __m512i offset = _mm512_add_epi64(
			at, _mm512_slli_epi64(_mm512_sub_epi64(above, EACH(63)), 1));
		const __mmask8 none = _mm512_testn_epi64_mask(below, below);
		_mm512_storeu_si512(
			&w->offset[n], _mm512_mask_add_epi64(offset, none, at, carried));
		_mm512_storeu_si512(&w->src[n],
			_mm512_add_epi64(id, _mm512_popcnt_epi64(_mm512_and_si512(live, up_to))));
	}
}

/* Compressed in registers and stored whole: vpcompressq to memory is slow on some CPUs, and a loop
 * over the mask's bits is mispredicted. */
TARGET static inline __attribute__((always_inline)) void take_64(
	struct hf_words *w, const struct hf_words_part *part, unsigned first, bool whole)
{
	const __m512i lo = EACH(w->lo), span = EACH(w->span);
	const uint8_t *const data = part->data + 8ul * first;
	const uint64_t inside = part->inside[first / 64];
	uint64_t found = 0;
	uint32_t n = w->n;
	for (unsigned i = 0; i < 64; i += LANES) {
		/* words that may not be read are masked */
		const __mmask8 mask = (__mmask8)(inside >> i);
		const __m512i words = whole ? _mm512_loadu_si512(data + 8 * i)
					    : _mm512_maskz_loadu_epi64(mask, data + 8 * i);
		const __mmask8 in =
			_mm512_mask_cmplt_epu64_mask(mask, _mm512_sub_epi64(words, lo), span);
		_mm512_storeu_si512(&w->word[n], _mm512_maskz_compress_epi64(in, words));
		n += (uint32_t)__builtin_popcount(in);
		found |= (uint64_t)in << i;
	}
	if (found)
		find_sources(w, part, w->n, found, first);
	w->n = n;
}

TARGET void hf_words_part_512(struct hf_words *w, const struct hf_words_part *part)
{
	if (part->whole) {
		take_64(w, part, 0, true);
		take_64(w, part, 64, true);
	} else {
		take_64(w, part, 0, false);
		take_64(w, part, 64, false);
	}
}
