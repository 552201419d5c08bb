/*
 * Who claims which memory: sorted, disjoint address ranges with a tag, built category by category;
 * what an earlier category claimed a later one does not get. Async-signal-safe; one thread.
 */
#pragma once
#include "base/page_alloc.h"

struct hf_tagged_range {
	uint64_t start, end;
	uint64_t tag;
};

struct hf_rangeset {
	struct hf_vec ranges; /* of struct hf_tagged_range, sorted, disjoint */
};

void hf_rangeset_init(struct hf_rangeset *set);
void hf_rangeset_deinit(struct hf_rangeset *set);

/* Claim what is still free of the ranges in `claims` (struct hf_tagged_range; sorted here; where
 * they overlap each other the first by address wins). False without memory: nothing changed. */
bool hf_rangeset_claim(struct hf_rangeset *set, struct hf_vec *claims);

/* The range that contains addr, or NULL. */
const struct hf_tagged_range *hf_rangeset_find(const struct hf_rangeset *set, uint64_t addr);
