// The Boost graph library's Lengauer-Tarjan on the same flow graph, if it is installed.
#include "heap_graph.h"

#include <ctime>

#if HF_HAVE_BOOST_GRAPH
#	include <boost/graph/adjacency_list.hpp>
#	include <boost/graph/dominator_tree.hpp>
#	include <vector>

double bench_boost_dominators(const hf_graph *g, const uint32_t *heads, uint32_t n_heads)
{
	using Graph = boost::adjacency_list<boost::vecS, boost::vecS, boost::bidirectionalS>;
	const size_t root = size_t(g->n_objects) + g->n_variables;
	Graph graph(root + 1);
	for (size_t i = 0; i < g->n_objects; i++)
		for (uint64_t e = g->offset[i]; e < g->offset[i + 1]; e++)
			boost::add_edge(i, g->dst[e], graph);
	for (size_t v = 0; v < g->n_variables; v++)
		boost::add_edge(root, g->n_objects + v, graph);
	for (size_t r = 0; r < g->n_roots; r++) {
		uint32_t v = g->roots[r].variable;
		boost::add_edge(
			v == HF_GRAPH_NONE ? root : g->n_objects + v, g->roots[r].object, graph);
	}
	for (size_t h = 0; h < n_heads; h++)
		boost::add_edge(root, heads[h], graph);
	std::vector<size_t> idom(root + 1);
	auto map = boost::make_iterator_property_map(idom.begin(), get(boost::vertex_index, graph));
	timespec a, b;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	boost::lengauer_tarjan_dominator_tree(graph, root, map);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	double ns = double(b.tv_sec - a.tv_sec) * 1e9 + double(b.tv_nsec - a.tv_nsec);
	return ns / double(hf_graph_n_edges(g));
}
#else
double bench_boost_dominators(const hf_graph *, const uint32_t *, uint32_t)
{
	return -1;
}
#endif
