/* A large generated graph that looks like a heap: power-law degrees, many leaves, some lists, some
 * leaks; ids are dense and edges partly local. */
#pragma once
#include "graph/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

struct heap_graph {
	struct hf_graph g;
	uint64_t *size, *offset;
	uint32_t *dst;
	struct hf_graph_root *roots;
};

struct heap_graph_options {
	uint32_t n_objects;
	double edges_per_object;
	unsigned percent_local; /* of the edges: to objects allocated at about the same time */
	uint64_t seed;
};

bool heap_graph_init(struct heap_graph *ret, const struct heap_graph_options *options);
void heap_graph_deinit(struct heap_graph *h);

/* CPU nanoseconds per edge of the Boost graph library's dominator tree, or a negative number if it
 * was not built in. It recurses: give it a large stack. */
double bench_boost_dominators(const struct hf_graph *g, const uint32_t *heads, uint32_t n_heads);
/* The same of igraph's, which does not recurse. */
double bench_igraph_dominators(const struct hf_graph *g, const uint32_t *heads, uint32_t n_heads);

#ifdef __cplusplus
}
#endif
