#include "graph/held.h"

#include "graph/internal.h"

static const char STAGE[] = "holders";

/* Root words rank by rank, then what only doubtful edges lead to, then the heads of the leaks. */
static enum hf_status grow_groups(struct hf_graph_forest *f, const struct hf_graph_heads *heads,
	uint32_t *ret_n_reachable, struct hf_err *err)
{
	const struct hf_graph *g = f->g;
	_cleanup_free_ uint32_t *roots = hf_graph_roots_by_rank(g);
	if (!roots)
		return hf_graph_nomem(err, STAGE);
	for (uint32_t i = 0; i < g->n_roots;) {
		uint8_t rank = g->roots[roots[i]].rank;
		for (; i < g->n_roots && g->roots[roots[i]].rank == rank; i++)
			hf_graph_forest_start(f, g->roots[roots[i]].object, roots[i]);
		enum hf_status st = hf_graph_forest_grow_certain(f, err);
		if (st)
			return st;
	}
	f->by_rank = true;
	enum hf_status st = hf_graph_forest_grow(f, err);
	if (st)
		return st;
	f->by_rank = false;
	*ret_n_reachable = f->n;
	for (uint32_t h = 0; h < heads->n; h++)
		hf_graph_forest_start(f, heads->object[h], heads->object[h]);
	return hf_graph_forest_grow(f, err);
}

static void add(struct hf_graph_sum *to, struct hf_graph_sum what)
{
	to->size += what.size;
	to->count += what.count;
}

static inline __attribute__((always_inline)) void prefetch_sums(
	const struct hf_graph_held *held, const uint32_t *order, uint32_t i)
{
	if (i >= 2 * HF_GRAPH_PREFETCH)
		__builtin_prefetch(&held->link[order[i - 2 * HF_GRAPH_PREFETCH]]);
	if (i < HF_GRAPH_PREFETCH)
		return;
	uint32_t soon = order[i - HF_GRAPH_PREFETCH];
	__builtin_prefetch(&held->size[soon], 1);
	__builtin_prefetch(&held->count[soon], 1);
}

/* Against the order of the search: an object is complete when it is added to its parent. Children
 * of one parent are neighbours in that order. */
static void sum_up(
	struct hf_graph_held *held, const struct hf_graph_forest *f, uint32_t n_reachable)
{
	const struct hf_graph *g = f->g;
	for (uint32_t i = 0; i < g->n_objects; i++) {
		held->size[i] = g->size[i];
		held->count[i] = 1;
	}
	for (uint32_t i = f->n; i-- > 0;) {
		prefetch_sums(held, f->order, i);
		uint32_t object = f->order[i];
		struct hf_graph_link link = held->link[object];
		struct hf_graph_sum sum = {held->size[object], held->count[object]};
		if (link.parent != HF_GRAPH_NONE) {
			held->size[link.parent] += sum.size;
			held->count[link.parent] += (uint32_t)sum.count;
		} else if (i < n_reachable) {
			add(&held->root[link.root], sum);
		} else {
			add(&held->leaked, sum);
		}
	}
	for (uint32_t r = 0; r < g->n_roots; r++) {
		uint32_t v = g->roots[r].variable;
		add(v == HF_GRAPH_NONE ? &held->bare : &held->variable[v], held->root[r]);
	}
}

static enum hf_status hold_all(struct hf_graph_held *held, const struct hf_graph *g,
	const struct hf_graph_heads *heads, struct hf_err *err)
{
	_cleanup_free_ uint64_t *seen = hf_graph_zalloc(bitmap_words(g->n_objects), sizeof(*seen));
	_cleanup_free_ uint32_t *order = hf_graph_alloc(g->n_objects, sizeof(*order));
	if (!seen || !order)
		return hf_graph_nomem(err, STAGE);
	_cleanup_(hf_graph_forest_deinit) struct hf_graph_forest f = {
		.seen = seen, .link = held->link, .order = order};
	enum hf_status st = hf_graph_forest_init(&f, g, STAGE, true, err);
	uint32_t n_reachable = 0;
	if (!st)
		st = grow_groups(&f, heads, &n_reachable, err);
	if (st)
		return st;
	hf_graph_forest_deinit(&f);

	held->size = hf_graph_alloc(g->n_objects, sizeof(*held->size));
	held->count = hf_graph_alloc(g->n_objects, sizeof(*held->count));
	if (!held->size || !held->count)
		return hf_graph_nomem(err, STAGE);
	sum_up(held, &f, n_reachable);
	return HF_OK;
}

enum hf_status hf_graph_held_init(struct hf_graph_held *ret, const struct hf_graph *g,
	const struct hf_graph_heads *heads, struct hf_err *err)
{
	_cleanup_(hf_graph_held_deinit) struct hf_graph_held held = {0};
	held.link = hf_graph_alloc(g->n_objects, sizeof(*held.link));
	held.root = hf_graph_zalloc(g->n_roots, sizeof(*held.root));
	held.variable = hf_graph_zalloc(g->n_variables, sizeof(*held.variable));
	if (!held.link || !held.root || !held.variable)
		return hf_graph_nomem(err, STAGE);
	enum hf_status st = hold_all(&held, g, heads, err);
	if (st)
		return st;
	*ret = held;
	held = (struct hf_graph_held){0};
	return HF_OK;
}

void hf_graph_held_deinit(struct hf_graph_held *held)
{
	free(held->link);
	free(held->size);
	free(held->count);
	free(held->root);
	free(held->variable);
	*held = (struct hf_graph_held){0};
}
