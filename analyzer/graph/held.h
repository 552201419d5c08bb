/*
 * One holder for every object: the spanning forest of the best paths, and the sums over it.
 *
 * A path is better if it has fewer doubtful edges, which are certainly no pointers; then if its
 * root word has the lower rank; then if it is shorter; then if its root word has the lower index.
 * The parent is the one, among those that the best path can come from, that the search finds first.
 * Unreachable objects are held by the heads of the unreachable part in the same way, all heads
 * being of one rank.
 */
#pragma once
#include "graph/graph.h"
#include "graph/reach.h"

struct hf_graph_sum {
	uint64_t size;  /* bytes */
	uint64_t count; /* objects */
};

struct hf_graph_held {
	/* [n_objects] parent: the holder, HF_GRAPH_NONE if a root word holds the object itself (or
	 * it is a head). root: the root word at the end of the path; for an unreachable object the
	 * id of its head. depth: edges of the path. */
	struct hf_graph_link *link;
	uint64_t *size;  /* [n_objects] bytes in the object's subtree, itself included */
	uint32_t *count; /* [n_objects] objects in it */
	/* Sums over the objects that a root word, or all root words of a variable, hold. The sums
	 * of all root words are exactly the reachable part. */
	struct hf_graph_sum *root;     /* [n_roots] */
	struct hf_graph_sum *variable; /* [n_variables] */
	struct hf_graph_sum bare;      /* words without a variable, together */
	struct hf_graph_sum leaked;    /* the unreachable part */
};

enum hf_status hf_graph_held_init(struct hf_graph_held *ret, const struct hf_graph *g,
	const struct hf_graph_heads *heads, struct hf_err *err);
void hf_graph_held_deinit(struct hf_graph_held *held);
