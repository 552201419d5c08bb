#include "scan/filter.h"

#include <immintrin.h>
#include <string.h>

enum { VECTOR = 8 /* words a step */ };

static uint64_t run_plain(struct hf_filter *f, uint64_t at, const uint8_t *data, uint64_t n)
{
	uint64_t i = 0;
	for (; i < n && f->n < HF_FILTER_FULL; i++) {
		uint64_t word;
		memcpy(&word, data + 8 * i, 8);
		f->at[f->n] = at + 8 * i;
		f->word[f->n] = word;
		f->n += word - f->lo < f->span;
	}
	return i;
}

/* Compressed in registers and stored whole, with room for VECTOR words past the end: vpcompressq to
 * memory is slow on some CPUs, and a loop over the mask's bits is mispredicted. */
__attribute__((target("avx512f,popcnt"))) static uint64_t run_avx512(
	struct hf_filter *f, uint64_t at, const uint8_t *data, uint64_t n)
{
	const __m512i lo = _mm512_set1_epi64((long long)f->lo),
		      span = _mm512_set1_epi64((long long)f->span);
	const __m512i steps = _mm512_setr_epi64(0, 8, 16, 24, 32, 40, 48, 56);
	uint64_t i = 0;
	uint32_t kept = f->n;
	for (; i + VECTOR <= n && kept < HF_FILTER_FULL; i += VECTOR) {
		__m512i words = _mm512_loadu_si512(data + 8 * i);
		__mmask8 mask = _mm512_cmplt_epu64_mask(_mm512_sub_epi64(words, lo), span);
		if (!mask)
			continue;
		__m512i places =
			_mm512_add_epi64(_mm512_set1_epi64((long long)(at + 8 * i)), steps);
		_mm512_storeu_si512(&f->word[kept], _mm512_maskz_compress_epi64(mask, words));
		_mm512_storeu_si512(&f->at[kept], _mm512_maskz_compress_epi64(mask, places));
		kept += (uint32_t)__builtin_popcount(mask);
	}
	f->n = kept;
	return i + (n - i < VECTOR ? run_plain(f, at + 8 * i, data + 8 * i, n - i) : 0);
}

__attribute__((target("avx2"))) static uint64_t run_avx2(
	struct hf_filter *f, uint64_t at, const uint8_t *data, uint64_t n)
{
	/* There is no unsigned compare: shift both sides by 2^63. */
	const long long bias = (long long)(1ull << 63);
	const __m256i lo = _mm256_set1_epi64x((long long)(f->lo ^ (uint64_t)bias));
	const __m256i span = _mm256_set1_epi64x((long long)(f->span ^ (uint64_t)bias));
	uint64_t i = 0;
	for (; i + VECTOR <= n && f->n < HF_FILTER_FULL; i += VECTOR) {
		__m256i a = _mm256_loadu_si256((const __m256i *)(data + 8 * i));
		__m256i b = _mm256_loadu_si256((const __m256i *)(data + 8 * i + 32));
		a = _mm256_cmpgt_epi64(span, _mm256_sub_epi64(a, lo));
		b = _mm256_cmpgt_epi64(span, _mm256_sub_epi64(b, lo));
		unsigned mask = (unsigned)_mm256_movemask_pd((__m256d)a) |
				(unsigned)_mm256_movemask_pd((__m256d)b) << 4;
		for (; mask; mask &= mask - 1) {
			uint64_t k = i + (unsigned)__builtin_ctz(mask);
			f->at[f->n] = at + 8 * k;
			memcpy(&f->word[f->n++], data + 8 * k, 8);
		}
	}
	return i + (n - i < VECTOR ? run_plain(f, at + 8 * i, data + 8 * i, n - i) : 0);
}

void hf_filter_init(struct hf_filter *filter, uint64_t lo, uint64_t span)
{
	filter->lo = lo;
	filter->span = span;
	filter->n = 0;
	filter->run = __builtin_cpu_supports("avx512f") ? run_avx512
		      : __builtin_cpu_supports("avx2")  ? run_avx2
							: run_plain;
}
