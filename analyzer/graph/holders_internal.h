/*
 * The region of a question: the union of the holder subtrees of some nodes. Whatever becomes
 * unreachable when the nodes are removed is inside: the best path to anything outside avoids them.
 */
#pragma once
#include "graph/holders.h"
#include "graph/internal.h"

struct hf_graph_region {
	struct hf_graph_holders *h;
	const uint32_t *nodes; /* removed: of the caller */
	size_t n_nodes;
	uint32_t *object; /* [n] */
	uint32_t n;
	struct hf_graph_sum sum;
};

/* Marks its objects in h->inside and its nodes in h->removed until it is deinitialised. */
enum hf_status hf_graph_region_init(struct hf_graph_region *ret, struct hf_graph_holders *h,
	const uint32_t *nodes, size_t n_nodes, struct hf_err *err);
void hf_graph_region_deinit(struct hf_graph_region *region);

/* Does a root word stay when the nodes are removed? */
bool hf_graph_region_root_enters(const struct hf_graph_region *region, uint32_t root);
/* Does an edge from src to an object inside come from outside, and keep it alive? */
bool hf_graph_region_edge_enters(
	const struct hf_graph_region *region, uint32_t src, uint32_t target);

/* Follow edges inside the region that avoid the removed nodes, and append what is found to queue
 * (room for the whole region), whose first *n are marked in h->mark already. false: looking at the
 * edges takes more than *steps, and the search is not complete. */
bool hf_graph_region_spread(
	const struct hf_graph_region *region, uint32_t *queue, uint32_t *n, uint64_t *steps);
/* Clear the marks of n objects and add them up. */
struct hf_graph_sum hf_graph_region_unmark(
	const struct hf_graph_region *region, const uint32_t *queue, uint32_t n);
