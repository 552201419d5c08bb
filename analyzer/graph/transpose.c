#include "graph/transpose.h"

#include "graph/internal.h"

static const char STAGE[] = "referrers";

/* offset[i] becomes the first entry of object i. */
static void count_referrers(uint64_t *offset, const struct hf_graph *g)
{
	uint64_t m = hf_graph_n_edges(g), sum = 0;
	for (uint64_t e = 0; e < m; e++) {
		if (e + HF_GRAPH_PREFETCH < m)
			__builtin_prefetch(&offset[g->dst[e + HF_GRAPH_PREFETCH]], 1);
		offset[g->dst[e]]++;
	}
	for (uint64_t i = 0; i <= g->n_objects; i++) {
		uint64_t count = offset[i];
		offset[i] = sum;
		sum += count;
	}
}

static inline void put(struct hf_graph_transpose *t, uint64_t at, uint32_t src, uint64_t edge)
{
	t->src[at] = src;
	if (t->edge_low)
		t->edge_low[at] = (uint32_t)edge;
	if (t->edge_high)
		t->edge_high[at] = (uint8_t)(edge >> 32);
}

static enum hf_status place(
	struct hf_graph_transpose *t, const struct hf_graph *g, struct hf_err *err)
{
	uint64_t m = hf_graph_n_edges(g);
	for (uint32_t u = 0; u < g->n_objects; u++) {
		for (uint64_t e = g->offset[u]; e < g->offset[u + 1]; e++) {
			if (e + HF_GRAPH_PREFETCH < m)
				__builtin_prefetch(&t->offset[g->dst[e + HF_GRAPH_PREFETCH]], 1);
			put(t, t->offset[g->dst[e]]++, u, e);
		}
		if (u % HF_GRAPH_TICK == 0) {
			enum hf_status st = hf_graph_tick(g, STAGE, u, g->n_objects, err);
			if (st)
				return st;
		}
	}
	/* Every offset now is the end of its object, i.e. the start of the next. */
	for (uint64_t i = g->n_objects; i > 0; i--)
		t->offset[i] = t->offset[i - 1];
	t->offset[0] = 0;
	return HF_OK;
}

enum hf_status hf_graph_transpose_init(struct hf_graph_transpose *ret, const struct hf_graph *g,
	bool with_edges, struct hf_err *err)
{
	uint64_t m = hf_graph_n_edges(g);
	if (m >> 40)
		return hf_err_set(err, HF_E_UNSUPPORTED, "graph, %s: %lu edges", STAGE, m);
	_cleanup_(hf_graph_transpose_deinit) struct hf_graph_transpose t = {0};
	t.offset = hf_graph_zalloc(g->n_objects + 1ull, sizeof(*t.offset));
	t.src = hf_graph_alloc(m, sizeof(*t.src));
	if (with_edges)
		t.edge_low = hf_graph_alloc(m, sizeof(*t.edge_low));
	if (with_edges && m >> 32)
		t.edge_high = hf_graph_alloc(m, sizeof(*t.edge_high));
	if (!t.offset || !t.src || (with_edges && !t.edge_low) ||
		(with_edges && m >> 32 && !t.edge_high))
		return hf_graph_nomem(err, STAGE);
	count_referrers(t.offset, g);
	enum hf_status st = place(&t, g, err);
	if (st)
		return st;
	*ret = t;
	t = (struct hf_graph_transpose){0};
	return HF_OK;
}

void hf_graph_transpose_deinit(struct hf_graph_transpose *t)
{
	free(t->offset);
	free(t->src);
	free(t->edge_low);
	free(t->edge_high);
	*t = (struct hf_graph_transpose){0};
}
