#include "graph/internal.h"

enum hf_status hf_graph_certain_init(
	struct hf_graph_certain *ret, const struct hf_graph *g, struct hf_err *err)
{
	uint64_t m = hf_graph_n_edges(g), n_certain = m;
	for (uint64_t w = 0; g->doubtful && w < m / 64; w++)
		n_certain -= (uint64_t)__builtin_popcountll(g->doubtful[w]);
	for (uint64_t e = m / 64 * 64; e < m; e++)
		n_certain -= hf_graph_is_doubtful(g, e);

	_cleanup_(hf_graph_certain_deinit) struct hf_graph_certain c = {.g = *g};
	c.offset = hf_graph_alloc(g->n_objects + 1ull, sizeof(*c.offset));
	c.dst = hf_graph_alloc(n_certain, sizeof(*c.dst));
	if (!c.offset || !c.dst)
		return hf_graph_nomem(err, "certain edges");
	uint64_t at = 0;
	for (uint32_t u = 0; u < g->n_objects; u++) {
		c.offset[u] = at;
		for (uint64_t e = g->offset[u]; e < g->offset[u + 1]; e++) {
			if (!hf_graph_is_doubtful(g, e))
				c.dst[at++] = g->dst[e];
		}
	}
	c.offset[g->n_objects] = at;
	c.g.offset = c.offset;
	c.g.dst = c.dst;
	c.g.doubtful = NULL;
	*ret = c;
	c = (struct hf_graph_certain){0};
	return HF_OK;
}

void hf_graph_certain_deinit(struct hf_graph_certain *certain)
{
	free(certain->offset);
	free(certain->dst);
	*certain = (struct hf_graph_certain){0};
}
