/*
 * How long to wait until memory is looked at again: the nearer the limit, the shorter; longer if
 * nothing has changed of late.
 * Pure arithmetic.
 */
#pragma once
#include <stdint.h>

#define HF_PACE_SHORTEST_NS 2000000ull    /* while memory grows */
#define HF_PACE_STILL_NS    20000000ull   /* the shortest while it does not */
#define HF_PACE_LONGEST_NS  1000000000ull /* a limit may change, too */

struct hf_pace {
	uint64_t seen;     /* bytes at the last look */
	uint64_t grown_ns; /* when more was seen than before */
};

/* Nanoseconds until the next look. bytes: in use now, below limit. */
uint64_t hf_pace_next(struct hf_pace *pace, uint64_t now_ns, uint64_t bytes, uint64_t limit);
