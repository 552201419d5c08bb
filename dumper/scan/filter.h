/*
 * Words that cannot be pointers fall through here at the speed of memory. Inside the module scan
 * only.
 */
#pragma once
#include <stdint.h>

enum {
	HF_FILTER_FULL = 512,
	HF_FILTER_MAX = HF_FILTER_FULL + 8, /* a step of the filter may go past FULL */
};

struct hf_filter {
	uint64_t lo, span; /* words in [lo, lo + span) stay */
	uint32_t n;
	uint64_t at[HF_FILTER_MAX], word[HF_FILTER_MAX]; /* where a word was, and the word */
	uint64_t (*run)(struct hf_filter *filter, uint64_t at, const uint8_t *data, uint64_t n);
};

/* An empty filter for this CPU. */
void hf_filter_init(struct hf_filter *filter, uint64_t lo, uint64_t span);

/* Look at n words from data on, which is the memory at `at`. Returns how many were looked at: all,
 * or fewer when the filter is full (n ≥ HF_FILTER_FULL). */
static inline uint64_t hf_filter_words(
	struct hf_filter *filter, uint64_t at, const uint8_t *data, uint64_t n)
{
	return filter->run(filter, at, data, n);
}
