#include "frontend/pace.h"

/* Bytes a second that a process can touch for the first time, at most: faults on several cores. */
static const uint64_t FASTEST = 4ull << 30;
static const uint64_t STILL_FOR_NS = 1000000000;
static const uint64_t GROWTH = 1 << 20; /* less is no growth */

uint64_t hf_pace_next(struct hf_pace *pace, uint64_t now_ns, uint64_t bytes, uint64_t limit)
{
	if (bytes > pace->seen + GROWTH) {
		pace->grown_ns = now_ns;
		pace->seen = bytes;
	} else if (bytes < pace->seen) {
		pace->seen = bytes;
	}
	uint64_t left = limit > bytes ? limit - bytes : 0;
	uint64_t wait = left / (FASTEST / 1000000000);
	uint64_t shortest =
		now_ns - pace->grown_ns < STILL_FOR_NS ? HF_PACE_SHORTEST_NS : HF_PACE_STILL_NS;
	if (wait < shortest)
		return shortest;
	return wait < HF_PACE_LONGEST_NS ? wait : HF_PACE_LONGEST_NS;
}
