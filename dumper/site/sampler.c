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
	static const double inverse[] = {1.0 / 19, 1.0 / 17, 1.0 / 15, 1.0 / 13, 1.0 / 11, 1.0 / 9,
		1.0 / 7, 1.0 / 5, 1.0 / 3, 1};
	for (int i = 0; i < 10; i++)
		sum = sum * t2 + inverse[i];
	return 2 * t * sum + e * ln2;
}

/* x = n ln 2 + r with r in [0, ln 2); exp(-r) by its series; for small x the series of 1 - exp(-x)
 * itself, which loses no digits. The smaller r, the fewer terms count. */
double hf_sampler_one_minus_exp(double x)
{
	static const double inverse[] = {0, 1, 1.0 / 2, 1.0 / 3, 1.0 / 4, 1.0 / 5, 1.0 / 6, 1.0 / 7,
		1.0 / 8, 1.0 / 9, 1.0 / 10, 1.0 / 11, 1.0 / 12, 1.0 / 13, 1.0 / 14, 1.0 / 15,
		1.0 / 16, 1.0 / 17, 1.0 / 18};
	if (x >= 50)
		return 1;
	int n = (int)(x / ln2);
	double r = x - n * ln2, sum = 0;
	for (int k = r < 0.03 ? 8 : r < 0.2 ? 12 : 18; k > 0; k--)
		sum = (1 - sum) * r * inverse[k];
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
	double size = size_bytes ? (double)size_bytes : 1, x = size / (double)period_bytes;
	/* the first terms of 1 / (1 - exp(-x)); the next is below 1e-14 of it */
	if (x < 0.01)
		return 1 / x + (0.5 + x * (1.0 / 12 - x * x * (1.0 / 720)));
	return 1 / hf_sampler_one_minus_exp(x);
}
