#include "site/sampler.h"

#include <string.h>

static const double ln2 = 0.693147180559945309417;

uint64_t hf_sampler_random(uint64_t *state)
{
	uint64_t x = *state;
	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * 0x2545f4914f6cdd1dull;
}

/* u = m 2^e with m in [√½, √2); ln m = 2 atanh((m - 1)/(m + 1)), whose argument is below 0.172. */
double hf_sampler_ln(double u)
{
	uint64_t bits;
	memcpy(&bits, &u, 8);
	int e = (int)(bits >> 52) - 1023;
	bits = (bits & 0xfffffffffffffull) | 1023ull << 52;
	double m;
	memcpy(&m, &bits, 8);
	if (m > 1.41421356237309504880) {
		m *= 0.5;
		e++;
	}
	double t = (m - 1) / (m + 1), t2 = t * t, sum = 0;
	for (int k = 19; k > 0; k -= 2)
		sum = sum * t2 + 1.0 / k;
	return 2 * t * sum + e * ln2;
}

/* x = n ln 2 + r with r in [0, ln 2); exp(-r) by its series; for small x the series of 1 - exp(-x)
 * itself, which loses no digits. */
double hf_sampler_one_minus_exp(double x)
{
	if (x >= 50)
		return 1;
	int n = (int)(x / ln2);
	double r = x - n * ln2, sum = 0;
	for (int k = 18; k > 0; k--)
		sum = (1 - sum) * r / k;
	double power = 1;
	for (int i = 0; i < n; i++)
		power *= 0.5;
	return n ? 1 - (1 - sum) * power : sum;
}

uint64_t hf_sampler_gap(uint64_t *state, uint64_t period_bytes)
{
	double u = (double)((hf_sampler_random(state) >> 11) + 1) * 0x1p-53; /* (0, 1] */
	double gap = -hf_sampler_ln(u) * (double)period_bytes;
	return gap < 1 ? 1 : (uint64_t)(gap + 0.5);
}

double hf_sampler_weight(uint64_t size_bytes, uint64_t period_bytes)
{
	if (period_bytes <= HF_SAMPLER_EXACT)
		return 1;
	double size = size_bytes ? (double)size_bytes : 1;
	return 1 / hf_sampler_one_minus_exp(size / (double)period_bytes);
}
