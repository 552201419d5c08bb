/*
 * Which allocations are recorded, and what one of them stands for.
 *
 * Each allocated byte is a sample point with probability 1/R (R: the period). The distance to the
 * next point is exponential with mean R and is counted down by the thread that allocates. An object
 * of s bytes holds a point with probability p(s) = 1 - exp(-s/R), so one recorded object stands for
 * 1/p(s) like it: sums of these weights are unbiased for any mix of sizes. With R = 1 every
 * allocation is recorded and weighs 1.
 *
 * Logarithm and exponential are computed here, since the library in a target links no libm.
 * Thread and signal safety: pure functions on the caller's state.
 */
#pragma once
#include <stdint.h>

enum { HF_SAMPLER_EXACT = 1 }; /* the period at which everything is recorded */

/* The next number of a xorshift64* generator; *state is never 0. */
uint64_t hf_sampler_random(uint64_t *state);
/* Bytes to the next sample point, ≥ 1. */
uint64_t hf_sampler_gap(uint64_t *state, uint64_t period_bytes);
/* 1/p(size) ≥ 1. An object of 0 bytes counts as one of 1. */
double hf_sampler_weight(uint64_t size_bytes, uint64_t period_bytes);
/* The natural logarithm of u > 0, and 1 - exp(-x) for x ≥ 0. */
double hf_sampler_ln(double u);
double hf_sampler_one_minus_exp(double x);
