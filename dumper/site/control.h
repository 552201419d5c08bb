/*
 * What the recorder shows to, and takes from, a tool outside the process: where its store is, and
 * how much to record from now on. It lies in the library's data behind a magic.
 *
 * A request is one word, written by holdfast_sample() or by a tool through /proc/PID/mem: a period
 * in bytes (0: off, 1: every allocation) with a check above it, so that a word that was read half
 * written is none. Each thread follows with its next look: the allocation after it when everything
 * is recorded, else when it has allocated another HF_SITE_LOOK bytes at most.
 */
#pragma once
#include <stdint.h>

#define HF_SITE_CONTROL_MAGIC "holdfast sites 1" /* 16 bytes, no NUL */

enum {
	HF_SITE_LOOK = 256 << 10,
	HF_SITE_MAX_PERIOD = 1 << 30,
};

struct hf_site_control {
	char magic[16];
	uint64_t store;   /* its address, 0: recording was never started */
	uint64_t request; /* the latest */
	uint64_t applied; /* the request that is in force; the same: done */
	int64_t result;   /* of the latest: 0 or a negative errno value, then nothing was changed */
};

static inline uint64_t hf_site_request(uint32_t period_bytes)
{
	return (uint64_t)(period_bytes * 0x9e3779b1u ^ 0x5eed5eedu) << 32 | period_bytes;
}
static inline uint32_t hf_site_request_period(uint64_t request)
{
	return (uint32_t)request;
}
static inline int hf_site_request_is_whole(uint64_t request)
{
	return request == hf_site_request((uint32_t)request);
}
