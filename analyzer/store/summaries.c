#include "store/summaries.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "graph/graph.h"
#include "store/tables.h"

/* Ids are dense, or nearly: a stranger's are refused before they make us allocate for them. */
static enum hf_status count_groups(
	uint32_t *ret, const char *what, const uint32_t *group, uint64_t n, struct hf_err *err)
{
	enum { SPARSE = 16, SMALL = 1 << 20 };
	uint32_t most = 0;
	for (uint64_t i = 0; group && i < n; i++)
		most = group[i] > most ? group[i] : most;
	if (most / SPARSE > n + SMALL)
		return hf_err_set(err, HF_E_CORRUPT, "%s id %u is out of range", what, most);
	*ret = most + 1;
	return HF_OK;
}

/* Sums by one grouping; group: of each object, order: the dominator tree in preorder. */
static enum hf_status sum_groups(struct hf_summaries_groups *groups,
	const struct hf_rows_objects *objects, const uint32_t *group, const uint32_t *order,
	struct hf_err *err)
{
	if (!groups->n)
		return HF_OK;
	groups->at = calloc(groups->n, sizeof(*groups->at));
	if (!groups->at)
		return hf_err_set(err, HF_E_NOMEM, "no memory for %u groups", groups->n);
	return hf_summary_groups(
		groups->at, groups->n, group, objects, groups->n > 1 ? order : NULL, err);
}

static enum hf_status sum_all_groups(struct hf_summaries *s, const struct hf_store_input *in,
	const struct hf_rows_objects *objects, struct hf_err *err)
{
	const struct hf_heap *heap = in->heap;
	const uint32_t *type = in->names ? in->names->object_type : NULL;
	s->arenas.n = (uint32_t)heap->arenas.n;
	enum hf_status status = count_groups(&s->types.n, "type", type, heap->n_objects, err);
	if (!status)
		status = count_groups(&s->sites.n, "site", heap->site, heap->n_objects, err);
	if (status)
		return status;
	_cleanup_(hf_freep) uint32_t *order = NULL;
	if (s->arenas.n > 1 || s->types.n > 1 || s->sites.n > 1) {
		order = hf_graph_alloc(heap->n_objects + 1, sizeof(*order));
		if (!order)
			return hf_err_set(err, HF_E_NOMEM, "no memory for sums by group");
		status = hf_summary_preorder(order, in->dominators->node, in->graph->n_objects,
			in->graph->n_variables, err);
	}
	if (!status)
		status = sum_groups(&s->arenas, objects, heap->arena, order, err);
	if (!status)
		status = sum_groups(&s->types, objects, type, order, err);
	if (!status)
		status = sum_groups(&s->sites, objects, heap->site, order, err);
	return status;
}

static enum hf_status find_top(struct hf_summaries_top *top, const uint64_t *size, size_t stride,
	uint32_t n, struct hf_err *err)
{
	top->at = hf_summary_top(size, stride, n, HF_SUMMARY_TOP, &top->n);
	return top->at ? HF_OK : hf_err_set(err, HF_E_NOMEM, "no memory for the largest objects");
}

/* Heads of leaks are ranked among themselves. */
static enum hf_status find_heads(
	struct hf_summaries *s, const struct hf_store_input *in, struct hf_err *err)
{
	_cleanup_(hf_freep) uint64_t *held = malloc((in->heads->n + 1ull) * sizeof(*held));
	if (!held)
		return hf_err_set(err, HF_E_NOMEM, "no memory for the heads of leaks");
	for (uint32_t h = 0; h < in->heads->n; h++)
		held[h] = in->held->size[in->heads->object[h]];
	return find_top(&s->heads, held, sizeof(*held), in->heads->n, err);
}

static enum hf_status find_tops(
	struct hf_summaries *s, const struct hf_store_input *in, struct hf_err *err)
{
	uint32_t n = in->graph->n_objects;
	const struct hf_graph_dominance *node = in->dominators->node;
	enum hf_status status = find_top(&s->retained, &node->retained_size, sizeof(*node), n, err);
	if (!status)
		status = find_top(&s->held, in->held->size, sizeof(uint64_t), n, err);
	if (!status)
		status = find_top(&s->size, in->graph->size, sizeof(uint64_t), n, err);
	return status ? status : find_heads(s, in, err);
}

enum hf_status hf_summaries_init(
	struct hf_summaries *ret, const struct hf_store_input *in, struct hf_err *err)
{
	*ret = (struct hf_summaries){0};
	struct hf_rows_objects objects = hf_tables_objects(in);
	struct hf_suspect_input suspects = {&objects, in->graph, in->heads};
	enum hf_status status = hf_rows_far_idom_init(&ret->far_idom, &objects, err);
	if (!status)
		status = hf_rows_leak_init(&ret->leak, &objects, err);
	if (!status)
		status = sum_all_groups(ret, in, &objects, err);
	if (!status)
		status = find_tops(ret, in, err);
	if (!status)
		status = hf_summary_leaks(&ret->leaks, &ret->n_leaks, &objects, in->heads, err);
	if (!status)
		status = hf_estimates_of_leaks(
			ret->leaks, ret->n_leaks, &objects, ret->types.at, ret->types.n, err);
	if (!status)
		status = hf_estimates_of_sites(&ret->estimates, &ret->n_estimates, &objects,
			ret->types.at, ret->types.n, ret->sites.n, err);
	if (!status)
		status = hf_suspects_init(&ret->suspects, &suspects, err);
	if (!status)
		status = hf_wide_init(&ret->wide, &objects, in->graph, &ret->far_idom, err);
	if (status)
		hf_summaries_deinit(ret);
	return status;
}

void hf_summaries_deinit(struct hf_summaries *s)
{
	free(s->arenas.at);
	free(s->types.at);
	free(s->sites.at);
	free(s->retained.at);
	free(s->held.at);
	free(s->size.at);
	free(s->heads.at);
	free(s->leaks);
	free(s->estimates);
	hf_suspects_deinit(&s->suspects);
	hf_wide_deinit(&s->wide);
	hf_rows_pairs_deinit(&s->far_idom);
	hf_rows_pairs_deinit(&s->leak);
	*s = (struct hf_summaries){0};
}
