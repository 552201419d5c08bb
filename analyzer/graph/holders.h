/*
 * Questions about who holds what, answered on the arrays of the whole graph: the subtree of a
 * holder, the words outside it that reach in, the exact retained size of a set, and the shortest
 * paths from several roots.
 *
 * A question costs time and memory in proportion to the part of the graph that it is about, not to
 * the whole. An index holds scratch memory: one question at a time.
 */
#pragma once
#include "graph/graph.h"
#include "graph/held.h"
#include "graph/reach.h"
#include "graph/transpose.h"

struct hf_graph_holders {
	/* Of the caller, and must stay. */
	const struct hf_graph *g;
	const struct hf_graph_transpose *referrers;
	const uint64_t *reachable, *head; /* bitmaps of hf_graph_reach and hf_graph_heads */
	const struct hf_graph_held *held;
	/* Own. */
	uint32_t *child_end;      /* [n_objects + n_variables + 2] by node + 1 */
	uint32_t *child;          /* [n_objects] */
	uint32_t *root_by_object; /* [n_roots] root words by object, then by rank and index */
	uint64_t *rooted;         /* bitmap: objects with a root word */
	uint64_t *inside, *removed, *mark; /* scratch bitmaps over nodes; clear between questions */
};

enum hf_status hf_graph_holders_init(struct hf_graph_holders *ret, const struct hf_graph *g,
	const struct hf_graph_transpose *referrers, const struct hf_graph_reach *reach,
	const struct hf_graph_heads *heads, const struct hf_graph_held *held, struct hf_err *err);
void hf_graph_holders_deinit(struct hf_graph_holders *holders);

/* The objects that a node holds directly, ascending. Those of a variable are what its words hold.
 */
const uint32_t *hf_graph_children(
	const struct hf_graph_holders *holders, uint32_t node, uint32_t *ret_n);
/* The root words that point into an object, best first. */
const uint32_t *hf_graph_roots_of(
	const struct hf_graph_holders *holders, uint32_t object, uint32_t *ret_n);

/*
 * What the removal of all these nodes (objects and variables, in any order, repeats allowed) would
 * free: what becomes unreachable from the root words, the reachable members themselves included;
 * plus what the leaked members keep of the leaked part. For one node it is the retained size.
 */
enum hf_status hf_graph_retained_set(struct hf_graph_holders *holders, const uint32_t *nodes,
	size_t n, struct hf_graph_sum *ret, struct hf_err *err);

/*
 * A word outside the holder tree of X that points to an object inside, other than X itself.
 *
 * It reaches the target, and all that can be reached from there over edges inside the tree without
 * X. What any such word reaches survives the removal of X, and nothing else inside does:
 *     retained_size(X) = held size of X - size of the union of what the entries reach
 */
struct hf_graph_entry {
	uint64_t word; /* index of the edge, or of the root word if src is HF_GRAPH_NONE */
	uint32_t src;  /* object outside; leaked objects hold nothing reachable and do not count */
	uint32_t target; /* object inside */
	struct hf_graph_sum reaches;
	bool exact; /* false: the work limit was met, and reaches is what the target holds, a lower
		     * bound */
};

struct hf_graph_entries {
	size_t n;
	struct hf_graph_entry *entry; /* most bytes first, then root words before edges, then by
				       * word */
	struct hf_graph_sum held;     /* the tree of X */
	struct hf_graph_sum shared;   /* union of what the entries reach */
};

/* X is an object or a variable node. max_steps bounds the edges looked at to find what the entries
 * reach one by one, those with the largest targets first; 0 is no bound. */
enum hf_status hf_graph_entries_init(struct hf_graph_entries *ret, struct hf_graph_holders *holders,
	uint32_t node, uint64_t max_steps, struct hf_err *err);
void hf_graph_entries_deinit(struct hf_graph_entries *entries);

/* A path from a root word to the object asked for. */
struct hf_graph_path {
	uint32_t root;    /* root word; HF_GRAPH_NONE on a path from the head of a leak */
	uint32_t n_edges; /* 0: the root word points to the object itself */
	uint32_t *object; /* [n_edges + 1], from the root word's object to the one asked for */
	uint64_t *edge;   /* [n_edges] */
};

struct hf_graph_paths {
	size_t n;
	struct hf_graph_path *path;
};

/* The shortest path from each of the nearest max_paths owners of root words (a variable, or a word
 * without one): nearest first, then by rank and index of the root word. Of an unreachable object:
 * from the nearest heads. */
enum hf_status hf_graph_paths_init(struct hf_graph_paths *ret, struct hf_graph_holders *holders,
	uint32_t object, size_t max_paths, struct hf_err *err);
void hf_graph_paths_deinit(struct hf_graph_paths *paths);
