/*
 * Children of the nodes that have very many: a table of a million buckets cannot be read child by
 * child when somebody asks what it holds. For each such node of the holder tree and of the
 * dominator tree: how many children it has, the largest of them, and a fair sample of all.
 *
 * A node is wide if it has more than HF_WIDE_LEAST words that point to objects (or so many children
 * that it dominates from afar); so are, in the dominator tree, variables with children that none of
 * their words points to. If so many nodes are wide that their rows would be more than a small part
 * of the objects, the limit is doubled until they are not.
 *
 * Thread rule: pure functions over read-only arrays.
 */
#pragma once
#include "store/rows.h"

enum {
	HF_WIDE_LEAST = 2048,
	HF_WIDE_TOP = 100,    /* largest children that are listed */
	HF_WIDE_SAMPLE = 256, /* children that are drawn besides, evenly spread over all by id */
};

enum hf_wide_tree { HF_WIDE_HOLDERS, HF_WIDE_DOMINATORS, HF_WIDE_TREES };

struct hf_wide_node {
	uint32_t node;       /* as in the graph */
	uint32_t n_children; /* all */
	uint32_t first;      /* of its rows in child[] */
	uint32_t n_top, n_sample;
};

struct hf_wide {
	/* By tree; owned, ascending by node. */
	struct {
		struct hf_wide_node *node;
		uint32_t n;
		uint32_t *child; /* of each node: the largest, largest first; then the sample, which
				  * may have some of the largest again. All children if they are
				  * few. */
		uint64_t n_rows;
	} tree[HF_WIDE_TREES];
};

/* far_idom: the pairs of hf_rows_far_idom_init(). */
enum hf_status hf_wide_init(struct hf_wide *ret, const struct hf_rows_objects *objects,
	const struct hf_graph *graph, const struct hf_rows_pairs *far_idom, struct hf_err *err);
void hf_wide_deinit(struct hf_wide *wide);
