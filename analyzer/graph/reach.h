/*
 * What the root words reach, over the fewest edges, and from which root word; and the heads of what
 * they do not reach.
 */
#pragma once
#include "graph/graph.h"

/*
 * link[i].depth is the least number of edges from a root word's object to i, HF_GRAPH_NONE if there
 * is no path. Of the shortest paths, the one from the best root word is taken (rank, then index),
 * and of its parents the one that a breadth-first search finds first.
 */
struct hf_graph_reach {
	struct hf_graph_link *link; /* [n_objects]; all HF_GRAPH_NONE if unreachable */
	uint64_t *reachable;        /* bitmap over objects; ones past the last object are clear */
	uint32_t n_reachable;
	uint64_t reachable_bytes, total_bytes; /* sums of size */
};

enum hf_status hf_graph_reach_init(
	struct hf_graph_reach *ret, const struct hf_graph *g, struct hf_err *err);
void hf_graph_reach_deinit(struct hf_graph_reach *reach);

/*
 * Heads of the unreachable part: the fewest objects that reach all of it. An object that no
 * unreachable object points to is a head; of a cycle that nothing else leads into, the object with
 * the lowest id.
 */
struct hf_graph_heads {
	uint32_t n;
	uint32_t *object; /* [n] ascending */
	uint64_t *head;   /* bitmap over objects */
};

/* reachable and n_reachable are those of hf_graph_reach. */
enum hf_status hf_graph_heads_init(struct hf_graph_heads *ret, const struct hf_graph *g,
	const uint64_t *reachable, uint32_t n_reachable, struct hf_err *err);
void hf_graph_heads_deinit(struct hf_graph_heads *heads);
