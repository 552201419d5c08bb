#include "graph/reach.h"

#include <string.h>

#include "graph/internal.h"

static const char STAGE[] = "shortest paths";

static enum hf_status reach_all(
	struct hf_graph_reach *reach, const struct hf_graph *g, struct hf_err *err)
{
	_cleanup_free_ uint32_t *roots = hf_graph_roots_by_rank(g);
	_cleanup_free_ uint32_t *order = hf_graph_alloc(g->n_objects, sizeof(*order));
	if (!roots || !order)
		return hf_graph_nomem(err, STAGE);
	_cleanup_(hf_graph_forest_deinit) struct hf_graph_forest f = {
		.seen = reach->reachable, .link = reach->link, .order = order};
	enum hf_status st = hf_graph_forest_init(&f, g, STAGE, false, err);
	if (st)
		return st;
	for (uint32_t i = 0; i < g->n_roots; i++)
		hf_graph_forest_start(&f, g->roots[roots[i]].object, roots[i]);
	st = hf_graph_forest_grow(&f, err);
	reach->n_reachable = f.n;
	return st;
}

enum hf_status hf_graph_reach_init(
	struct hf_graph_reach *ret, const struct hf_graph *g, struct hf_err *err)
{
	_cleanup_(hf_graph_reach_deinit) struct hf_graph_reach reach = {0};
	reach.link = hf_graph_alloc(g->n_objects, sizeof(*reach.link));
	reach.reachable = hf_graph_zalloc(bitmap_words(g->n_objects), sizeof(*reach.reachable));
	if (!reach.link || !reach.reachable)
		return hf_graph_nomem(err, STAGE);
	memset(reach.link, 0xff, g->n_objects * sizeof(*reach.link));
	enum hf_status st = reach_all(&reach, g, err);
	if (st)
		return st;
	for (uint32_t i = 0; i < g->n_objects; i++) {
		reach.total_bytes += g->size[i];
		if (hf_graph_bit(reach.reachable, i))
			reach.reachable_bytes += g->size[i];
	}
	*ret = reach;
	reach = (struct hf_graph_reach){0};
	return HF_OK;
}

void hf_graph_reach_deinit(struct hf_graph_reach *reach)
{
	free(reach->link);
	free(reach->reachable);
	*reach = (struct hf_graph_reach){0};
}
