#include "analyzer/analysis.h"

#include <stdlib.h>

#include "base/cleanup.h"

/* Best holders first: data that has a name and lives as long as the program, then what lives as
 * long as a thread, then what somebody registered, then stack words, other memory and registers,
 * where a stale word is most likely. */
enum rank {
	RANK_NAMED,
	RANK_TLS,
	RANK_REGISTERED,
	RANK_UNNAMED, /* static data that no symbol covers */
	RANK_BORROWS, /* static data that by its type hardly owns what it leads to, or the loader's
		       */
	RANK_FRAME,   /* a variable of a frame, on a stack or in a register */
	RANK_STACK,
	RANK_MAPPING,
	RANK_REGISTER,
	RANK_DATA, /* by its type certainly no pointer */
};

static uint8_t rank_of(const struct hf_heap *heap, const struct hf_heap_root *root)
{
	const struct hf_heap_variable *variable =
		root->variable != HF_NONE ? &heap->variables.at[root->variable] : NULL;
	if (root->doubt == HF_ROOT_DATA)
		return RANK_DATA;
	switch (root->kind) {
	case HF_ROOT_GLOBAL:
	case HF_ROOT_STATIC:
		if (root->doubt == HF_ROOT_BORROWS || hf_heap_is_loaders_own(heap, root))
			return RANK_BORROWS;
		return variable && variable->name[0] ? RANK_NAMED : RANK_UNNAMED;
	case HF_ROOT_TLS:
		return RANK_TLS;
	case HF_ROOT_REGISTERED:
		return RANK_REGISTERED;
	case HF_ROOT_STACK:
		return variable && variable->declared ? RANK_FRAME : RANK_STACK;
	case HF_ROOT_REGISTER:
		return variable && variable->declared ? RANK_FRAME : RANK_REGISTER;
	default:
		return RANK_MAPPING;
	}
}

enum hf_status hf_analysis_init(struct hf_analysis *ret, const struct hf_heap *heap,
	const uint64_t *doubtful, struct hf_err *err)
{
	*ret = (struct hf_analysis){0};
	size_t n_roots = heap->roots.n;
	if (heap->n_objects >= UINT32_MAX || heap->variables.n >= UINT32_MAX ||
		n_roots >= UINT32_MAX)
		return hf_err_set(err, HF_E_UNSUPPORTED,
			"a heap of 2^32 objects, variables or root words and more");
	_cleanup_(hf_freep) struct hf_graph_root *roots = malloc((n_roots + 1) * sizeof(*roots));
	static const uint64_t no_edges[1];
	if (!roots)
		return hf_err_set(err, HF_E_NOMEM, "no memory for %zu root words", n_roots);
	for (size_t i = 0; i < n_roots; i++) {
		const struct hf_heap_root *r = &heap->roots.at[i];
		roots[i] = (struct hf_graph_root){r->object, r->variable, rank_of(heap, r)};
	}
	ret->graph = (struct hf_graph){
		.n_objects = (uint32_t)heap->n_objects,
		.n_variables = (uint32_t)heap->variables.n,
		.n_roots = (uint32_t)n_roots,
		.size = heap->requested ? heap->requested : heap->usable,
		.offset = heap->edge_offset ? heap->edge_offset : no_edges,
		.dst = heap->edge_dst,
		.doubtful = doubtful,
		.roots = roots,
	};
	ret->roots = return_ptr(roots);
	return HF_OK;
}

/* The graph with a hook of the caller's thread. */
static struct hf_graph with_hook(
	const struct hf_analysis *analysis, hf_graph_progress progress, void *ctx)
{
	struct hf_graph g = analysis->graph;
	g.progress = progress;
	g.progress_ctx = ctx;
	return g;
}

static void count_doubts(struct hf_analysis *analysis, const struct hf_graph_reach *certain)
{
	const struct hf_graph *g = &analysis->graph;
	for (uint32_t i = 0; i < g->n_objects; i++) {
		if (!hf_graph_bit(analysis->reach.reachable, i) ||
			hf_graph_bit(certain->reachable, i))
			continue;
		analysis->doubtful_count++;
		analysis->doubtful_size += g->size[i];
	}
}

/* What is left without the doubtful edges. */
static enum hf_status doubt(
	struct hf_analysis *analysis, const struct hf_graph *g, struct hf_err *err)
{
	uint64_t n_edges = hf_graph_n_edges(g);
	for (uint64_t w = 0; g->doubtful && w < (n_edges + 63) / 64; w++)
		analysis->n_doubtful += (uint64_t)__builtin_popcountll(g->doubtful[w]);
	if (!analysis->n_doubtful)
		return HF_OK;
	_cleanup_(hf_graph_reach_deinit) struct hf_graph_reach reach = {0};
	enum hf_status status = hf_graph_certain_init(&analysis->certain, g, err);
	if (!status)
		status = hf_graph_reach_init(&reach, &analysis->certain.g, err);
	if (status)
		return status;
	count_doubts(analysis, &reach);
	if (analysis->precise)
		return hf_graph_heads_init(&analysis->certain_heads, &analysis->certain.g,
			reach.reachable, reach.n_reachable, err);
	hf_graph_certain_deinit(&analysis->certain);
	return HF_OK;
}

enum hf_status hf_analysis_reach(
	struct hf_analysis *analysis, hf_graph_progress progress, void *ctx, struct hf_err *err)
{
	struct hf_graph g = with_hook(analysis, progress, ctx);
	enum hf_status status = hf_graph_check(&g, err);
	if (!status)
		status = hf_graph_reach_init(&analysis->reach, &g, err);
	if (!status)
		status = hf_graph_heads_init(&analysis->heads, &g, analysis->reach.reachable,
			analysis->reach.n_reachable, err);
	if (!status)
		status = doubt(analysis, &g, err);
	return status;
}

enum hf_status hf_analysis_dominators(
	struct hf_analysis *analysis, hf_graph_progress progress, void *ctx, struct hf_err *err)
{
	struct hf_graph g = with_hook(analysis, progress, ctx);
	bool less = analysis->precise && analysis->certain.offset;
	if (less) {
		g.offset = analysis->certain.g.offset;
		g.dst = analysis->certain.g.dst;
		g.doubtful = NULL;
	}
	return hf_graph_dominators_init(
		&analysis->dominators, &g, less ? &analysis->certain_heads : &analysis->heads, err);
}

enum hf_status hf_analysis_held(
	struct hf_analysis *analysis, hf_graph_progress progress, void *ctx, struct hf_err *err)
{
	struct hf_graph g = with_hook(analysis, progress, ctx);
	return hf_graph_held_init(&analysis->held, &g, &analysis->heads, err);
}

enum hf_status hf_analysis_run(
	struct hf_analysis *analysis, hf_graph_progress progress, void *ctx, struct hf_err *err)
{
	enum hf_status status = hf_analysis_reach(analysis, progress, ctx, err);
	if (!status)
		status = hf_analysis_dominators(analysis, progress, ctx, err);
	if (!status)
		status = hf_analysis_held(analysis, progress, ctx, err);
	return status;
}

void hf_analysis_deinit(struct hf_analysis *analysis)
{
	hf_graph_held_deinit(&analysis->held);
	hf_graph_dominators_deinit(&analysis->dominators);
	hf_graph_heads_deinit(&analysis->heads);
	hf_graph_reach_deinit(&analysis->reach);
	hf_graph_heads_deinit(&analysis->certain_heads);
	hf_graph_certain_deinit(&analysis->certain);
	free(analysis->roots);
	*analysis = (struct hf_analysis){0};
}

uint64_t hf_analysis_memory(const struct hf_analysis *analysis)
{
	const struct hf_graph *g = &analysis->graph;
	uint64_t an_object = sizeof(*analysis->reach.link) + sizeof(*analysis->held.link) +
			     sizeof(*analysis->dominators.node) + sizeof(*analysis->held.size) +
			     sizeof(*analysis->held.count);
	uint64_t a_variable = sizeof(*analysis->dominators.node) + sizeof(*analysis->held.variable);
	uint64_t a_root = sizeof(*analysis->roots) + sizeof(*analysis->held.root);
	return g->n_objects * an_object + g->n_objects / 4 + g->n_variables * a_variable +
	       g->n_roots * a_root + analysis->heads.n * sizeof(*analysis->heads.object);
}
