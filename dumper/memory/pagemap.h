/*
 * Which pages of a process are there, by /proc/PID/pagemap and, on Linux ≥ 6.7, its ioctl
 * PAGEMAP_SCAN, which crosses a terabyte of untouched memory in one step
 * (Documentation/admin-guide/mm/pagemap.rst). Async-signal-safe.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* Bits of an entry: in memory; swapped out; of a guard region (Linux ≥ 6.15; before that a guard
 * page looks swapped). */
static const uint64_t HF_PAGEMAP_PRESENT = 1ull << 63, HF_PAGEMAP_SWAPPED = 1ull << 62,
		      HF_PAGEMAP_GUARD = 1ull << 58;

/* What the entries of the n pages from start on say of these bits; others may be set or not. Where
 * scans, by PAGEMAP_SCAN if the kernel has it, which does not look at each page's descriptor. How
 * many of them, from the first on, or a negative errno value. */
int64_t hf_pagemap_entries(
	int pagemap, bool scans, uint64_t start, uint64_t n, uint64_t *ret_entries);

/* Start of the first page in [start, end) that is in memory or swapped out; end: there is none.
 * start where the kernel cannot tell in one step. Page-aligned. */
uint64_t hf_pagemap_next(int pagemap, uint64_t start, uint64_t end);
/* Bytes of [start, end) that are in memory. */
uint64_t hf_pagemap_present(int pagemap, uint64_t start, uint64_t end);
