/*
 * The graph of a heap and every result over it, in the order that store/ wants them.
 *
 * Thread rule: an analysis belongs to one thread, but for what is said below; the heap is only read
 * and must outlive it.
 */
#pragma once
#include "graph/dominator.h"
#include "graph/graph.h"
#include "graph/held.h"
#include "graph/reach.h"
#include "source/heap.h"

struct hf_analysis {
	struct hf_graph graph;
	struct hf_graph_root *roots; /* owned; of graph */
	struct hf_graph_reach reach;
	struct hf_graph_heads heads;
	struct hf_graph_dominators dominators;
	struct hf_graph_held held;
	/* Of doubtful edges: how many, and what nothing but such edges reaches. */
	uint64_t n_doubtful, doubtful_count, doubtful_size;
	/* Dominators as if none of them were a pointer: set it before hf_analysis_reach(). */
	bool precise;
	struct hf_graph_certain certain;     /* if precise and there are some */
	struct hf_graph_heads certain_heads; /* of that graph */
};

/* Set up the graph only. doubtful: bitmap over edges, see hf_graph; or NULL. */
enum hf_status hf_analysis_init(struct hf_analysis *ret, const struct hf_heap *heap,
	const uint64_t *doubtful, struct hf_err *err);
/* The results in three steps: reach and heads first, then the other two, which may run at once on
 * two threads. The hook is called with the names of the stages, on the thread of the call. */
enum hf_status hf_analysis_reach(
	struct hf_analysis *analysis, hf_graph_progress progress, void *ctx, struct hf_err *err);
enum hf_status hf_analysis_dominators(
	struct hf_analysis *analysis, hf_graph_progress progress, void *ctx, struct hf_err *err);
enum hf_status hf_analysis_held(
	struct hf_analysis *analysis, hf_graph_progress progress, void *ctx, struct hf_err *err);
/* All of them. */
enum hf_status hf_analysis_run(
	struct hf_analysis *analysis, hf_graph_progress progress, void *ctx, struct hf_err *err);
void hf_analysis_deinit(struct hf_analysis *analysis);

/* Bytes of the results. */
uint64_t hf_analysis_memory(const struct hf_analysis *analysis);
