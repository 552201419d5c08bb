/*
 * Immediate dominators of objects and variables, and exact retained sizes.
 *
 * The flow graph has a virtual root over all variables, and over the objects that root words
 * without a variable point to. a dominates b if every path from the virtual root to b leads through
 * a: b is then freed with a. The unreachable part hangs under the virtual root by its heads, so
 * that what a leaked object keeps from being freed has a retained size as well; edges from leaked
 * objects to reachable ones hold nothing and are ignored.
 */
#pragma once
#include "graph/graph.h"
#include "graph/reach.h"

struct hf_graph_dominance {
	uint64_t retained_size;  /* bytes of all objects that the node dominates, itself included */
	uint32_t retained_count; /* their number; a variable does not count itself */
	uint32_t idom;           /* node: an object, n_objects + a variable, or HF_GRAPH_NONE: the
				  * virtual root */
};

struct hf_graph_dominators {
	struct hf_graph_dominance *node; /* [n_objects + n_variables] by node; a variable that no
					  * root word belongs to has zero sizes and no idom */
};

/* heads are those of the unreachable part (hf_graph_heads_init). Peak beside input and result: 8
 * bytes an object, and 8 bytes for every edge that leads back or across in the search (about half
 * of them) and for every edge that waits on the stack. */
enum hf_status hf_graph_dominators_init(struct hf_graph_dominators *ret, const struct hf_graph *g,
	const struct hf_graph_heads *heads, struct hf_err *err);
void hf_graph_dominators_deinit(struct hf_graph_dominators *dominators);
