/*
 * Semi-NCA (Georgiadis, Tarjan, Werneck: "Finding dominators in practice", 2006) over the numbers
 * of a depth-first search, with two changes.
 *
 * Semidominators are labels themselves: evaluating a predecessor needs the least semidominator on
 * its path, never the node that has it, so {ancestor, label} is one 8-byte cell.
 *
 * The plain walk from the parent up the dominator tree to the semidominator is quadratic on a
 * common shape, a long list whose elements also sit in an array. Skew-binary jump pointers (Myers,
 * 1983) make each walk logarithmic.
 */
#include "graph/dominator.h"

#include <string.h>

#include "graph/dominator_internal.h"

static const char STAGE[] = "dominators";

/* While semidominators are computed: the nearest known ancestor that was not linked in when label
 * was computed, and the least semidominator from the node up to below it. */
struct cell {
	uint32_t ancestor, label;
};

/* Predecessors of one bucket's nodes, sorted by node. */
struct bucket {
	uint32_t *u;     /* [cap] */
	uint64_t *start; /* [nodes of a bucket + 1] */
	uint64_t n, cap;
};

static void bucket_deinit(struct bucket *b)
{
	free(b->u);
	free(b->start);
}

static bool bucket_room(struct bucket *b, uint64_t n)
{
	b->n = n;
	if (n <= b->cap)
		return true;
	free(b->u);
	b->cap = n + n / 4;
	b->u = hf_graph_alloc(b->cap, sizeof(*b->u));
	return b->u;
}

/* Counting sort of the arcs of bucket k. */
static bool bucket_load(struct bucket *b, const struct hf_graph_dfs *dfs, uint32_t k)
{
	uint32_t n_nodes = 1u << dfs->bucket_shift, mask = n_nodes - 1;
	memset(b->start, 0, (n_nodes + 1) * sizeof(*b->start));
	for (uint32_t c = dfs->bucket[k]; c != HF_GRAPH_NONE; c = dfs->chunk[c].previous) {
		for (uint32_t i = 0; i < dfs->chunk[c].n; i++)
			b->start[dfs->chunk[c].arc[i].v & mask]++;
	}
	uint64_t sum = 0;
	for (uint32_t v = 0; v <= n_nodes; v++) {
		sum += b->start[v];
		b->start[v] = sum;
	}
	if (!bucket_room(b, sum))
		return false;
	for (uint32_t c = dfs->bucket[k]; c != HF_GRAPH_NONE; c = dfs->chunk[c].previous) {
		for (uint32_t i = 0; i < dfs->chunk[c].n; i++) {
			struct hf_graph_arc arc = dfs->chunk[c].arc[i];
			b->u[--b->start[arc.v & mask]] = arc.u;
		}
	}
	return true;
}

/* The least semidominator on the path from u up to below the first node that is not linked, i.e.
 * not above v. Compresses the path: on the way up its cells point back down, so no stack is needed.
 */
static uint32_t evaluate(struct cell *cell, uint32_t u, uint32_t v)
{
	uint32_t below = HF_GRAPH_NONE, x = u;
	for (uint32_t a; (a = cell[x].ancestor) > v;) {
		cell[x].ancestor = below;
		below = x;
		x = a;
	}
	struct cell top = cell[x];
	while (below != HF_GRAPH_NONE) {
		uint32_t next = cell[below].ancestor;
		if (cell[below].label < top.label)
			top.label = cell[below].label;
		cell[below] = top;
		below = next;
	}
	return top.label;
}

/* The path from a node is a chain of cache misses: ask for its first cells step by step, while the
 * arcs before it are evaluated. */
static inline __attribute__((always_inline)) void prefetch_path(
	const struct cell *cell, const uint32_t *u, uint64_t k)
{
	enum { STEP = 12 };
	if (k >= 3 * STEP)
		__builtin_prefetch(&cell[u[k - 3 * STEP]], 1);
	if (k >= 2 * STEP)
		__builtin_prefetch(&cell[cell[u[k - 2 * STEP]].ancestor], 1);
	if (k >= STEP)
		__builtin_prefetch(&cell[cell[cell[u[k - STEP]].ancestor].ancestor], 1);
}

static void semidominators_of_bucket(struct hf_graph_dfs *dfs, struct cell *cell,
	const struct bucket *b, uint32_t first, uint32_t end)
{
	for (uint32_t v = end; v-- > first;) {
		uint32_t semi = dfs->semi[v];
		for (uint64_t k = b->start[v - first + 1]; k-- > b->start[v - first];) {
			prefetch_path(cell, b->u, k);
			uint32_t label = evaluate(cell, b->u[k], v);
			if (label < semi)
				semi = label;
		}
		dfs->semi[v] = semi;
		cell[v] = (struct cell){dfs->idom[v], semi};
	}
}

static enum hf_status semidominators(
	struct hf_graph_dfs *dfs, const struct hf_graph *g, struct cell *cell, struct hf_err *err)
{
	_cleanup_(bucket_deinit) struct bucket b = {0};
	b.start = hf_graph_alloc((1ull << dfs->bucket_shift) + 1, sizeof(*b.start));
	if (!b.start)
		return hf_graph_nomem(err, STAGE);
	for (uint32_t k = ((dfs->n - 1) >> dfs->bucket_shift) + 1; k-- > 0;) {
		if (!bucket_load(&b, dfs, k))
			return hf_graph_nomem(err, STAGE);
		uint32_t first = k << dfs->bucket_shift;
		uint64_t end = first + (1ull << dfs->bucket_shift);
		semidominators_of_bucket(
			dfs, cell, &b, first, end < dfs->n ? (uint32_t)end : dfs->n);
		enum hf_status st = hf_graph_tick(g, STAGE, dfs->n - first, dfs->n, err);
		if (st)
			return st;
	}
	return HF_OK;
}

/* jump: an ancestor in the dominator tree; rank: the length of the jump is 2^rank - 1. */
struct jump {
	uint32_t jump, rank;
};

static struct jump jump_from(const struct jump *jump, uint32_t idom)
{
	struct jump j = jump[idom], k = jump[j.jump];
	if (j.rank == k.rank)
		return (struct jump){k.jump, j.rank + 1};
	return (struct jump){idom, 1};
}

static void immediate_dominators(struct hf_graph_dfs *dfs, struct jump *jump)
{
	uint32_t *idom = dfs->idom;
	/* The virtual root jumps to itself; no other node has rank 0, so nothing is merged with it.
	 */
	jump[0] = (struct jump){0, 0};
	for (uint32_t v = 1; v < dfs->n; v++) {
		uint32_t semi = dfs->semi[v], x = idom[v];
		while (x > semi)
			x = jump[x].jump >= semi ? jump[x].jump : idom[x];
		idom[v] = x;
		jump[v] = jump_from(jump, x);
	}
}

/* Sums bottom-up: a dominator has a lower number than what it dominates. The sums are added up
 * where they stay, by node; dominators of neighbours are mostly the same. */
static void retained(
	const struct hf_graph_dfs *dfs, const struct hf_graph *g, struct hf_graph_dominance *node)
{
	uint64_t n_nodes = (uint64_t)g->n_objects + g->n_variables;
	for (uint32_t i = 0; i < g->n_objects; i++)
		node[i] = (struct hf_graph_dominance){g->size[i], 1, HF_GRAPH_NONE};
	for (uint64_t v = g->n_objects; v < n_nodes; v++)
		node[v] = (struct hf_graph_dominance){0, 0, HF_GRAPH_NONE};
	for (uint32_t v = dfs->n; v-- > 1;) {
		if (v > HF_GRAPH_PREFETCH) {
			uint32_t soon = v - HF_GRAPH_PREFETCH, idom = dfs->idom[soon];
			__builtin_prefetch(&node[dfs->vertex[soon]], 1);
			if (idom)
				__builtin_prefetch(&node[dfs->vertex[idom]], 1);
		}
		if (dfs->idom[v] == 0)
			continue;
		struct hf_graph_dominance *d = &node[dfs->vertex[v]];
		d->idom = dfs->vertex[dfs->idom[v]];
		node[d->idom].retained_size += d->retained_size;
		node[d->idom].retained_count += d->retained_count;
	}
}

static enum hf_status number_dominators(
	struct hf_graph_dfs *dfs, const struct hf_graph *g, void *cells, struct hf_err *err)
{
	_Static_assert(sizeof(struct cell) == sizeof(struct jump), "one array serves both");
	/* prefetch_path() follows cells that are not set yet. */
	memset(cells, 0, dfs->n * sizeof(struct cell));
	enum hf_status st = semidominators(dfs, g, cells, err);
	if (st)
		return st;
	hf_graph_dfs_drop_arcs(dfs);
	immediate_dominators(dfs, cells);
	return HF_OK;
}

enum hf_status hf_graph_dominators_init(struct hf_graph_dominators *ret, const struct hf_graph *g,
	const struct hf_graph_heads *heads, struct hf_err *err)
{
	_cleanup_(hf_graph_dfs_deinit) struct hf_graph_dfs dfs = {0};
	/* The result's memory serves as scratch before. */
	_Static_assert(sizeof(*ret->node) >= HF_GRAPH_SCRATCH, "the scratch fits in");
	uint64_t n_nodes = (uint64_t)g->n_objects + g->n_variables;
	_cleanup_free_ struct hf_graph_dominance *node = hf_graph_alloc(n_nodes + 1, sizeof(*node));
	if (!node)
		return hf_graph_nomem(err, STAGE);
	enum hf_status st = hf_graph_dfs_init(&dfs, g, heads, HF_GRAPH_BLOCK_EDGES, node, err);
	if (!st)
		st = number_dominators(&dfs, g, node, err);
	if (st)
		return st;
	retained(&dfs, g, node);
	ret->node = return_ptr(node);
	return HF_OK;
}

void hf_graph_dominators_deinit(struct hf_graph_dominators *dominators)
{
	free(dominators->node);
	dominators->node = NULL;
}
