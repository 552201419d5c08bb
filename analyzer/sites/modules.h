/*
 * The modules of a profile that stands alone, as a heap's: symbolize/ knows only those. The pages
 * of a mapping are matched with the segments of its file.
 *
 * Thread rule: pure function; the heap belongs to the caller.
 */
#pragma once
#include "profile/profile.h"
#include "source/heap.h"

/* Module i of the heap (which is empty before) is mapping i of the profile. */
enum hf_status hf_sites_modules(
	const struct hf_profile *profile, struct hf_heap *ret, struct hf_err *err);
