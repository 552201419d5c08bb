/*
 * Chains on a way down a tree: objects that are alike (a list's), each of which hangs on the one
 * before by the same word. Not thread safe.
 */
#pragma once
#include "report/children.h"
#include "report/trail.h"

struct hf_chain {
	struct hf_child head; /* the object that the first link leads from; it may be no link */
	struct hf_child last; /* the last object so far; its word leads into each link */
	uint64_t steps;
};

/* From an object on. */
void hf_chain_start(struct hf_chain *chain, const struct hf_child *first);
/* A step to a child of the last object: one more link, or the start of another chain. */
void hf_chain_add(struct hf_chain *chain, const struct hf_child *next);

/* What a chain comes to. */
struct hf_chain_sum {
	uint64_t links;         /* objects */
	uint64_t link_size;     /* what one of them holds by itself, on average */
	struct hf_child branch; /* what hangs on one and is no link: the largest; id 0: nothing */
	bool cut;               /* and more: the bound on steps was met */
};

/* On from where the way down ended to the end of the chain: near its tail a link has much less than
 * the one before, and what hangs on one of them may have more than all that follow. *steps counts
 * up to max_steps. A branch that has little of the chain is none. */
enum hf_status hf_chain_finish(struct hf_chain *chain, struct hf_children *children,
	struct hf_trail *trail, int64_t *steps, int64_t max_steps, struct hf_chain_sum *ret,
	struct hf_err *err);
