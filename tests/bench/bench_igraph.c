/* igraph's dominator tree on the same flow graph, if the library is installed. */
#include "heap_graph.h"

#if HF_HAVE_IGRAPH
#	include <igraph/igraph.h>
#	include <time.h>

static void add_edge(igraph_vector_int_t *edges, uint64_t from, uint64_t to)
{
	igraph_vector_int_push_back(edges, (igraph_integer_t)from);
	igraph_vector_int_push_back(edges, (igraph_integer_t)to);
}

double bench_igraph_dominators(const struct hf_graph *g, const uint32_t *heads, uint32_t n_heads)
{
	uint64_t n_edges = hf_graph_n_edges(g), root = (uint64_t)g->n_objects + g->n_variables;
	igraph_vector_int_t edges, idom;
	igraph_vector_int_init(&edges, 0);
	igraph_vector_int_reserve(
		&edges, (igraph_integer_t)(2 * (n_edges + g->n_variables + g->n_roots + n_heads)));
	for (uint32_t i = 0; i < g->n_objects; i++) {
		for (uint64_t e = g->offset[i]; e < g->offset[i + 1]; e++)
			add_edge(&edges, i, g->dst[e]);
	}
	for (uint32_t v = 0; v < g->n_variables; v++)
		add_edge(&edges, root, (uint64_t)g->n_objects + v);
	for (uint32_t r = 0; r < g->n_roots; r++) {
		uint32_t v = g->roots[r].variable;
		add_edge(&edges, v == HF_GRAPH_NONE ? root : (uint64_t)g->n_objects + v,
			g->roots[r].object);
	}
	for (uint32_t h = 0; h < n_heads; h++)
		add_edge(&edges, root, heads[h]);
	igraph_t graph;
	igraph_create(&graph, &edges, (igraph_integer_t)(root + 1), IGRAPH_DIRECTED);
	igraph_vector_int_destroy(&edges);
	igraph_vector_int_init(&idom, 0);
	struct timespec a, b;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	igraph_dominator_tree(&graph, (igraph_integer_t)root, &idom, NULL, NULL, IGRAPH_OUT);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	igraph_vector_int_destroy(&idom);
	igraph_destroy(&graph);
	double ns = (double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec);
	return ns / (double)n_edges;
}
#else
double bench_igraph_dominators(const struct hf_graph *g, const uint32_t *heads, uint32_t n_heads)
{
	return -1;
}
#endif
