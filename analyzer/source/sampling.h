/*
 * Sampling by bytes: each byte is a sample point with the probability 1 / period, so an object of s
 * bytes is recorded with the probability 1 - e^(-s / period), as pprof unsamples, too.
 */
#pragma once
#include <math.h>

/* How many allocations a recorded one of that size stands for; 1 where all are recorded. */
static inline double hf_sample_weight(double size, double period)
{
	return period > 1 ? 1 / -expm1(-(size > 0 ? size : 1) / period) : 1;
}
