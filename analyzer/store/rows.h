/*
 * The rows of the big tables and their indexes, in order, from the arrays of heap and graph: what
 * the page writer (and, as its oracle, prepared INSERT) is fed with.
 *
 * Thread rule: a context belongs to one thread; the arrays are only read.
 */
#pragma once
#include "graph/dominator.h"
#include "graph/graph.h"
#include "graph/held.h"
#include "graph/reach.h"
#include "source/heap.h"
#include "source/names.h"
#include "store/btree.h"

/* Context of hf_rows_object; nothing in it is owned. */
struct hf_rows_objects {
	const struct hf_heap *heap;
	const struct hf_names *names; /* or NULL */
	const uint64_t *size;         /* [n_objects] */
	const struct hf_graph_link *reach;
	const struct hf_graph_dominance *dominance;
	const struct hf_graph_held *held;
};
void hf_rows_object(void *ctx, uint64_t i, struct hf_btree_row *row);

/* The node above an object in the tree of dominators, or of holders; HF_GRAPH_NONE at the top. */
static inline uint32_t hf_rows_parent_in(const struct hf_rows_objects *objects,
	const struct hf_graph *graph, bool dominators, uint32_t object)
{
	if (dominators)
		return objects->dominance[object].idom;
	const struct hf_graph_link *link = &objects->held->link[object];
	if (link->parent != HF_GRAPH_NONE || objects->reach[object].depth == HF_GRAPH_NONE)
		return link->parent;
	uint32_t variable = graph->roots[link->root].variable;
	return variable == HF_GRAPH_NONE ? HF_GRAPH_NONE : graph->n_objects + variable;
}
/* What its columns have where a row ends before them. */
enum { HF_ROWS_OBJECT_COLUMNS = 22 };
extern const int64_t hf_rows_object_default[HF_ROWS_OBJECT_COLUMNS];

/* Context of hf_rows_edge: rows by (source, offset). */
struct hf_rows_edges {
	const struct hf_heap *heap;
	const uint32_t *field; /* [n_edges] index+1, or NULL */
	uint32_t src;          /* of the row before */
};
void hf_rows_edge(void *ctx, uint64_t i, struct hf_btree_row *row);

/* Context of the partial indexes of object: (key, object) sorted; owned. */
struct hf_rows_pair {
	uint64_t key;
	uint32_t object;
};
struct hf_rows_pairs {
	struct hf_rows_pair *pair;
	size_t n;
};
/* Index object_far_idom: immediate dominators that do not point to the object. */
enum hf_status hf_rows_far_idom_init(
	struct hf_rows_pairs *ret, const struct hf_rows_objects *objects, struct hf_err *err);
/* Index object_leak: held sizes of unreachable objects. */
enum hf_status hf_rows_leak_init(
	struct hf_rows_pairs *ret, const struct hf_rows_objects *objects, struct hf_err *err);
void hf_rows_pairs_deinit(struct hf_rows_pairs *pairs);
void hf_rows_pair(void *ctx, uint64_t i, struct hf_btree_row *row);
