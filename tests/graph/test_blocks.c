/* Positions of edges in 32 bits from the start of a block of objects: as if a block had room for
 * few edges only, the search numbers the nodes in the same way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "graph/dominator_internal.h"

enum { N = 3000, ROOTS = 40 };

static void test_blocks(void **state)
{
	for (unsigned seed = 1; seed <= 20; seed++) {
		srand(seed);
		static uint64_t size[N], offset[N + 1];
		static uint32_t dst[N * 12];
		struct hf_graph_root roots[ROOTS];
		uint64_t m = 0;
		for (uint32_t i = 0; i < N; i++) {
			offset[i] = m;
			for (int k = rand() % (i % 97 ? 6 : 300); k > 0 && m < N * 12; k--)
				dst[m++] = (uint32_t)rand() % N;
		}
		offset[N] = m;
		for (uint32_t r = 0; r < ROOTS; r++)
			roots[r] = (struct hf_graph_root){
				(uint32_t)rand() % (N / 4), r % 3 ? r % 5 : HF_GRAPH_NONE, 0};
		struct hf_graph g = {.n_objects = N,
			.n_variables = 5,
			.n_roots = ROOTS,
			.size = size,
			.offset = offset,
			.dst = dst,
			.roots = roots};
		struct hf_graph_reach reach;
		struct hf_graph_heads heads;
		struct hf_err err;
		assert_int_equal(hf_graph_reach_init(&reach, &g, &err), HF_OK);
		assert_int_equal(
			hf_graph_heads_init(&heads, &g, reach.reachable, reach.n_reachable, &err),
			HF_OK);
		static const uint64_t limits[] = {HF_GRAPH_BLOCK_EDGES, 1, 2, 7, 100, 1000, 5000};
		struct hf_graph_dfs want = {0};
		size_t scratch_size = (size_t)HF_GRAPH_SCRATCH * (N + 5 + 1);
		void *want_scratch = malloc(scratch_size), *scratch = malloc(scratch_size);
		for (size_t l = 0; l < sizeof(limits) / sizeof(*limits); l++) {
			struct hf_graph_dfs got = {0};
			assert_int_equal(hf_graph_dfs_init(l ? &got : &want, &g, &heads, limits[l],
						 l ? scratch : want_scratch, &err),
				HF_OK);
			if (!l)
				continue;
			assert_int_equal(got.n, want.n);
			assert_memory_equal(got.vertex, want.vertex, want.n * sizeof(*want.vertex));
			assert_memory_equal(got.idom, want.idom, want.n * sizeof(*want.idom));
			assert_memory_equal(got.semi, want.semi, want.n * sizeof(*want.semi));
			hf_graph_dfs_deinit(&got);
		}
		hf_graph_dfs_deinit(&want);
		free(want_scratch);
		free(scratch);
		hf_graph_heads_deinit(&heads);
		hf_graph_reach_deinit(&reach);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_blocks)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
