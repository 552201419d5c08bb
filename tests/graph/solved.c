#include "solved.h"

struct sample s;
struct oracle o;
struct results r;

void results_init_of(const struct hf_graph *g)
{
	struct hf_err err;
	assert_int_equal(hf_graph_check(g, &err), HF_OK);
	assert_int_equal(hf_graph_reach_init(&r.reach, g, &err), HF_OK);
	assert_int_equal(
		hf_graph_heads_init(&r.heads, g, r.reach.reachable, r.reach.n_reachable, &err),
		HF_OK);
	assert_int_equal(hf_graph_dominators_init(&r.dominators, g, &r.heads, &err), HF_OK);
	assert_int_equal(hf_graph_held_init(&r.held, g, &r.heads, &err), HF_OK);
	assert_int_equal(hf_graph_transpose_init(&r.transpose, g, true, &err), HF_OK);
	assert_int_equal(hf_graph_holders_init(
				 &r.holders, g, &r.transpose, &r.reach, &r.heads, &r.held, &err),
		HF_OK);
}

void results_init(void)
{
	results_init_of(&s.g);
}

void results_deinit(void)
{
	hf_graph_reach_deinit(&r.reach);
	hf_graph_heads_deinit(&r.heads);
	hf_graph_dominators_deinit(&r.dominators);
	hf_graph_held_deinit(&r.held);
	hf_graph_transpose_deinit(&r.transpose);
	hf_graph_holders_deinit(&r.holders);
}

void for_each_graph(uint64_t n_graphs, void (*check)(void))
{
	uint64_t first = 1, end = n_graphs + 1;
	if (getenv("HF_GRAPH_SEED")) {
		first = strtoull(getenv("HF_GRAPH_SEED"), NULL, 0);
		end = first + 1;
	}
	for (uint64_t seed = first; seed < end; seed++) {
		sample_generate(&s, seed);
		oracle_init(&o, &s);
		results_init();
		check();
		results_deinit();
	}
	print_message("%lu random graphs\n", end - first);
}
