/*
 * What the files of the hooks share. Inside site_hooks alone.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "site/record.h"

#define HF_API  __attribute__((visibility("default")))
#define SLOW    __attribute__((noinline, cold))
#define HOT     __attribute__((aligned(64))) /* in one cache line */
#define RARE(c) __builtin_expect(!!(c), 0)

/* Does the allocation reach the countdown? If not, it is counted down: one subtraction in place, by
 * whose flags the caller branches. One that reaches it is taken back, so that the recorder finds
 * what it would have found before. */
static inline bool is_sampled(size_t size)
{
	bool reached;
	__asm__("subq %2, %0" : "+m"(hf_site_thread.countdown), "=@ccbe"(reached) : "er"(size));
	if (RARE(reached)) {
		hf_site_thread.countdown += size;
		return true;
	}
	return false;
}

static inline bool is_in_filter(const void *p)
{
	return RARE(hf_site_filter[hf_site_filter_index(p)] != 0); /* a byte: read whole */
}

static inline bool may_be_recorded(const void *p)
{
	return is_in_filter(p) || RARE(hf_site_all());
}

/* The function's caller: functions that use this are compiled with a frame pointer, and are jumped
 * to, or inlined, so that their frame is directly below the program's. */
#define CALLER                                                                                     \
	(struct hf_context)                                                                        \
	{                                                                                          \
		(uint64_t) __builtin_return_address(0), (uint64_t)__builtin_frame_address(0) + 16, \
			*(const uint64_t *)__builtin_frame_address(0)                              \
	}

/* Is it memory from before the next definitions were known? */
bool hf_hooks_early(const void *p);
/* The next definition of malloc; NULL: it is being looked up. */
void *hf_hooks_next_malloc(void);
