/*
 * Which pages of a process are there, by /proc/PID/pagemap and, on Linux ≥ 6.7, its ioctl
 * PAGEMAP_SCAN, which crosses a terabyte of untouched memory in one step
 * (Documentation/admin-guide/mm/pagemap.rst). Async-signal-safe.
 */
#pragma once
#include <stdint.h>

/* Start of the first page in [start, end) that is in memory or swapped out; end: there is none.
 * start where the kernel cannot tell in one step. Page-aligned. */
uint64_t hf_pagemap_next(int pagemap, uint64_t start, uint64_t end);
/* Bytes of [start, end) that are in memory. */
uint64_t hf_pagemap_present(int pagemap, uint64_t start, uint64_t end);
