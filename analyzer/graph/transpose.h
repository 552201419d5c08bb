/*
 * Reverse edges: for every object the edges that point to it.
 */
#pragma once
#include "graph/graph.h"

/*
 * The referrers of object i are entries offset[i] .. offset[i+1]-1, in ascending order of the
 * edge's index, and so of the source's id.
 */
struct hf_graph_transpose {
	uint64_t *offset;   /* [n_objects + 1] */
	uint32_t *src;      /* [n_edges] source of the edge */
	uint32_t *edge_low; /* [n_edges] low 32 bits of the forward edge's index */
	uint8_t *edge_high; /* [n_edges] bits 32 to 39; NULL if there are fewer than 2^32 edges */
};

/* with_edges false leaves edge_low and edge_high NULL. */
enum hf_status hf_graph_transpose_init(struct hf_graph_transpose *ret, const struct hf_graph *g,
	bool with_edges, struct hf_err *err);
void hf_graph_transpose_deinit(struct hf_graph_transpose *transpose);

static inline uint64_t hf_graph_transpose_edge(const struct hf_graph_transpose *t, uint64_t i)
{
	return t->edge_low[i] | (t->edge_high ? (uint64_t)t->edge_high[i] << 32 : 0);
}
