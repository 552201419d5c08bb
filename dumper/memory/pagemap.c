#include "memory/pagemap.h"

#include <string.h>

#include "base/page_alloc.h"
#include "base/sys.h"

/* struct pm_scan_arg and struct page_region of <linux/fs.h>, which older headers do not have. */
struct scan {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages, category_inverted,
		category_mask, category_anyof_mask, return_mask;
};

struct region {
	uint64_t start, end, categories;
};

enum { IS_PRESENT = 1 << 3, IS_SWAPPED = 1 << 4, REGIONS = 64, ENTRIES = 1024 };
static const unsigned long PAGEMAP_SCAN_ = 0xc0606610; /* _IOWR('f', 16, struct pm_scan_arg) */
_Static_assert(sizeof(struct scan) == 0x60, "as the number says");

/* Regions of pages with one of the categories: how many, or a negative errno value. */
static long scan(int pagemap, uint64_t categories, uint64_t start, uint64_t end,
	struct region *regions, uint64_t n, uint64_t *ret_end)
{
	struct scan arg = {.size = sizeof(arg),
		.start = start,
		.end = end,
		.vec = (uint64_t)(uintptr_t)regions,
		.vec_len = n,
		.category_anyof_mask = categories,
		.return_mask = categories};
	long rc = hf_syscall3(SYS_ioctl, pagemap, PAGEMAP_SCAN_, &arg);
	*ret_end = arg.walk_end;
	return rc;
}

uint64_t hf_pagemap_next(int pagemap, uint64_t start, uint64_t end)
{
	struct region region;
	uint64_t walked;
	long n = scan(pagemap, IS_PRESENT | IS_SWAPPED, start, end, &region, 1, &walked);
	if (n < 0)
		return start;
	return n && region.start >= start && region.start < end ? region.start : end;
}

/* False: there may be guard pages, or the kernel cannot tell. */
static bool entries_by_scan(int pagemap, uint64_t start, uint64_t n, uint64_t *ret)
{
	const uint64_t end = start + n * HF_PAGE;
	struct region regions[REGIONS];
	memset(ret, 0, n * sizeof(*ret));
	for (uint64_t at = start; at < end;) {
		uint64_t walked;
		const long found =
			scan(pagemap, IS_PRESENT | IS_SWAPPED, at, end, regions, REGIONS, &walked);
		if (found < 0 || walked <= at)
			return false;
		for (long i = 0; i < found; i++) {
			if (regions[i].categories & IS_SWAPPED)
				return false;
			for (uint64_t page = regions[i].start; page < regions[i].end;
				page += HF_PAGE)
				ret[(page - start) / HF_PAGE] = HF_PAGEMAP_PRESENT;
		}
		at = walked;
	}
	return true;
}

int64_t hf_pagemap_entries(
	int pagemap, bool scans, uint64_t start, uint64_t n, uint64_t *ret_entries)
{
	if (scans && entries_by_scan(pagemap, start, n, ret_entries))
		return (int64_t)n;
	const int64_t got = hf_sys_pread_full(
		pagemap, ret_entries, n * sizeof(*ret_entries), start / HF_PAGE * 8);
	return got < 0 ? got : got / 8;
}

static bool present_by_scan(int pagemap, uint64_t start, uint64_t end, uint64_t *ret)
{
	struct region regions[REGIONS];
	*ret = 0;
	while (start < end) {
		uint64_t walked;
		long n = scan(pagemap, IS_PRESENT, start, end, regions, REGIONS, &walked);
		if (n < 0 || walked <= start)
			return false;
		for (long i = 0; i < n; i++)
			*ret += regions[i].end - regions[i].start;
		start = walked;
	}
	return true;
}

static uint64_t present_by_entries(int pagemap, uint64_t start, uint64_t end)
{
	uint64_t entries[ENTRIES], n = (end - start) / HF_PAGE, bytes = 0;
	for (uint64_t at = 0; at < n;) {
		uint64_t want = n - at < ENTRIES ? n - at : ENTRIES;
		int64_t got =
			hf_sys_pread_full(pagemap, entries, want * 8, (start / HF_PAGE + at) * 8);
		if (got < 8)
			break;
		for (int64_t i = 0; i < got / 8; i++)
			bytes += entries[i] & HF_PAGEMAP_PRESENT ? HF_PAGE : 0;
		at += (uint64_t)got / 8;
	}
	return bytes;
}

uint64_t hf_pagemap_present(int pagemap, uint64_t start, uint64_t end)
{
	uint64_t bytes;
	return present_by_scan(pagemap, start, end, &bytes)
		       ? bytes
		       : present_by_entries(pagemap, start, end);
}
