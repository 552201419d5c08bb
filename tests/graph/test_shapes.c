/* Large graphs of one shape with answers that a formula gives: depth, and time that must not be
 * quadratic. And the edges of the interface: no objects, bad input, cancelling. */
#include <time.h>

#include "solved.h"

struct big {
	struct hf_graph g;
	uint64_t *size, *offset;
	uint32_t *dst;
	struct hf_graph_root root;
	uint64_t at, next_src;
};

/* Then big_edge() with ascending sources, and big_finish(). */
static void big_init(struct big *b, uint32_t n_objects, uint64_t max_edges)
{
	*b = (struct big){.root = {0, HF_GRAPH_NONE, 0}};
	b->size = calloc(n_objects, sizeof(*b->size));
	b->offset = calloc(n_objects + 1ull, sizeof(*b->offset));
	b->dst = calloc(max_edges, sizeof(*b->dst));
	assert_true(b->size && b->offset && b->dst);
	for (uint32_t i = 0; i < n_objects; i++)
		b->size[i] = 16;
	b->g = (struct hf_graph){.n_objects = n_objects,
		.n_roots = 1,
		.size = b->size,
		.offset = b->offset,
		.dst = b->dst,
		.roots = &b->root};
}

static void big_edge(struct big *b, uint32_t src, uint32_t dst)
{
	while (b->next_src <= src)
		b->offset[b->next_src++] = b->at;
	b->dst[b->at++] = dst;
}

static void big_finish(struct big *b)
{
	while (b->next_src <= b->g.n_objects)
		b->offset[b->next_src++] = b->at;
}

static void big_deinit(struct big *b)
{
	free(b->size);
	free(b->offset);
	free(b->dst);
}

static double cpu_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Object 0 -> {array, first cell}; cell k -> {cell k + 1, payload k}; array -> every payload. Plain
 * Semi-NCA walks up the whole list for every payload: minutes. */
static void test_list_and_array(void **state)
{
	enum { LENGTH = 1000000, CELL = 2, PAYLOAD = CELL + LENGTH };
	static struct big b;
	/* The array is the last edge of 0, or the list is: both orders of search. */
	for (int order = 0; order < 2; order++) {
		big_init(&b, PAYLOAD + LENGTH, 3ull * LENGTH + 2);
		big_edge(&b, 0, order ? 1 : CELL);
		big_edge(&b, 0, order ? CELL : 1);
		for (uint32_t k = 0; k < LENGTH; k++)
			big_edge(&b, 1, PAYLOAD + k);
		for (uint32_t k = 0; k < LENGTH; k++) {
			if (k + 1 < LENGTH)
				big_edge(&b, CELL + k, CELL + k + 1);
			big_edge(&b, CELL + k, PAYLOAD + k);
		}
		big_finish(&b);
		double start = cpu_seconds();
		results_init_of(&b.g);
		double seconds = cpu_seconds() - start;
		for (uint32_t k = 0; k < LENGTH; k++) {
			assert_int_equal(r.dominators.node[PAYLOAD + k].idom, 0);
			assert_int_equal(r.dominators.node[CELL + k].idom, k ? CELL + k - 1 : 0);
			assert_int_equal(r.dominators.node[CELL + k].retained_count, LENGTH - k);
		}
		assert_int_equal(r.dominators.node[1].retained_count, 1);
		assert_true(seconds < 30);
		results_deinit();
		big_deinit(&b);
	}
}

/* A list with links back: as deep as it is long, in every tree. */
static void test_deep_list(void **state)
{
	enum { LENGTH = 2000000 };
	static struct big b;
	big_init(&b, LENGTH, 2ull * LENGTH);
	for (uint32_t i = 0; i < LENGTH; i++) {
		if (i + 1 < LENGTH)
			big_edge(&b, i, i + 1);
		if (i)
			big_edge(&b, i, i - 1);
	}
	big_finish(&b);
	results_init_of(&b.g);
	for (uint32_t i = 0; i < LENGTH; i++) {
		assert_int_equal(r.reach.link[i].depth, i);
		assert_int_equal(r.dominators.node[i].idom, i ? i - 1 : HF_GRAPH_NONE);
		assert_int_equal(r.dominators.node[i].retained_size, 16ull * (LENGTH - i));
		assert_int_equal(r.held.size[i], 16ull * (LENGTH - i));
	}
	struct hf_graph_paths paths;
	struct hf_graph_entries entries;
	struct hf_graph_sum sum;
	struct hf_err err;
	uint32_t nodes[] = {LENGTH / 2, LENGTH / 4};
	assert_int_equal(hf_graph_paths_init(&paths, &r.holders, LENGTH - 1, 10, &err), HF_OK);
	assert_int_equal(paths.n, 1);
	assert_int_equal(paths.path[0].n_edges, LENGTH - 1);
	hf_graph_paths_deinit(&paths);
	assert_int_equal(hf_graph_entries_init(&entries, &r.holders, 1, 0, &err), HF_OK);
	assert_int_equal(entries.n, 0);
	assert_int_equal(entries.held.count, LENGTH - 1);
	hf_graph_entries_deinit(&entries);
	assert_int_equal(hf_graph_retained_set(&r.holders, nodes, 2, &sum, &err), HF_OK);
	assert_int_equal(sum.count, LENGTH - LENGTH / 4);
	results_deinit();
	big_deinit(&b);
}

/* A leaked ring: one head, the lowest; and all of it retained by that. */
static void test_leaked_ring(void **state)
{
	enum { LENGTH = 1000000 };
	static struct big b;
	big_init(&b, LENGTH, LENGTH);
	for (uint32_t i = 0; i < LENGTH; i++)
		big_edge(&b, i, (uint32_t)((i + 7ull) % LENGTH));
	big_finish(&b);
	b.g.n_roots = 0;
	results_init_of(&b.g);
	assert_int_equal(r.reach.n_reachable, 0);
	assert_int_equal(r.heads.n, 1);
	assert_int_equal(r.heads.object[0], 0);
	assert_int_equal(r.dominators.node[0].retained_count, LENGTH);
	assert_int_equal(r.held.leaked.count, LENGTH);
	results_deinit();
	big_deinit(&b);
}

/* Everybody points to few objects: two blocks of the counting sort have almost all referrers. */
static void test_hubs(void **state)
{
	enum { N = 300000, HUBS = 1000, FAR = 20000 };
	static struct big b;
	struct hf_graph_transpose t, bare;
	struct hf_err err;
	big_init(&b, N, 2ull * N);
	for (uint32_t i = 0; i < N; i++) {
		big_edge(&b, i, i % HUBS);
		big_edge(&b, i, i % 50 ? FAR + i % 7 : i);
	}
	big_finish(&b);
	assert_int_equal(hf_graph_transpose_init(&t, &b.g, true, &err), HF_OK);
	assert_int_equal(hf_graph_transpose_init(&bare, &b.g, false, &err), HF_OK);
	assert_int_equal(t.offset[0], 0);
	assert_int_equal(t.offset[N], 2 * N);
	for (uint32_t v = 0; v < N; v++) {
		for (uint64_t k = t.offset[v]; k < t.offset[v + 1]; k++) {
			uint64_t e = hf_graph_transpose_edge(&t, k);
			assert_int_equal(b.dst[e], v);
			assert_int_equal(t.src[k], e / 2);
			if (k > t.offset[v])
				assert_true(hf_graph_transpose_edge(&t, k - 1) < e);
		}
	}
	assert_memory_equal(t.src, bare.src, 2 * N * sizeof(*t.src));
	assert_memory_equal(t.offset, bare.offset, (N + 1) * sizeof(*t.offset));
	assert_null(bare.edge_low);
	hf_graph_transpose_deinit(&t);
	hf_graph_transpose_deinit(&bare);
	big_deinit(&b);
}

static void test_no_objects(void **state)
{
	static const uint64_t zero;
	struct hf_graph g = {.offset = &zero, .n_variables = 2};
	results_init_of(&g);
	assert_int_equal(r.heads.n, 0);
	assert_int_equal(r.dominators.node[1].retained_size, 0);
	assert_int_equal(r.dominators.node[1].idom, HF_GRAPH_NONE);
	results_deinit();
}

static void test_check(void **state)
{
	struct hf_err err;
	sample_init(&s, 3, 1);
	sample_edge(&s, 0, 2, false);
	sample_root(&s, 0, 0, 0);
	sample_finish(&s);
	assert_int_equal(hf_graph_check(&s.g, &err), HF_OK);
	s.dst[0] = 3;
	assert_int_equal(hf_graph_check(&s.g, &err), HF_E_CORRUPT);
	s.dst[0] = 2;
	s.offset[1] = 2;
	assert_int_equal(hf_graph_check(&s.g, &err), HF_E_CORRUPT);
	s.offset[1] = 1;
	s.offset[0] = 1;
	assert_int_equal(hf_graph_check(&s.g, &err), HF_E_CORRUPT);
	s.offset[0] = 0;
	s.roots[0].object = 3;
	assert_int_equal(hf_graph_check(&s.g, &err), HF_E_CORRUPT);
	s.roots[0].object = 0;
	s.roots[0].variable = 1;
	assert_int_equal(hf_graph_check(&s.g, &err), HF_E_CORRUPT);
	s.roots[0].variable = 0;
	s.g.n_variables = UINT32_MAX - 4;
	assert_int_equal(hf_graph_check(&s.g, &err), HF_E_UNSUPPORTED);
}

static bool cancel_stage(void *ctx, const char *stage, uint64_t done, uint64_t total)
{
	assert_true(done <= total);
	return strcmp(stage, ctx) != 0;
}

static enum hf_status all_stages(struct hf_graph *g, struct hf_err *err)
{
	enum hf_status st = hf_graph_reach_init(&r.reach, g, err);
	if (!st)
		st = hf_graph_heads_init(&r.heads, g, r.reach.reachable, r.reach.n_reachable, err);
	if (!st)
		st = hf_graph_dominators_init(&r.dominators, g, &r.heads, err);
	if (!st)
		st = hf_graph_held_init(&r.held, g, &r.heads, err);
	if (!st)
		st = hf_graph_transpose_init(&r.transpose, g, true, err);
	results_deinit();
	return st;
}

/* Every long stage asks the hook, and stops when told to. */
static void test_cancel(void **state)
{
	enum { LENGTH = 1 << 21 };
	static const char *const STAGES[] = {"shortest paths", "heads of leaks",
		"dominators: search", "dominators", "holders", "referrers"};
	static struct big b;
	struct hf_err err;
	char want[100];
	big_init(&b, 2 * LENGTH, 2 * LENGTH);
	for (uint32_t i = 0; i < 2 * LENGTH; i++)
		big_edge(&b, i, i % LENGTH + 1 < LENGTH ? i + 1 : i);
	big_finish(&b);
	b.g.progress = cancel_stage;
	for (size_t k = 0; k < sizeof(STAGES) / sizeof(STAGES[0]); k++) {
		b.g.progress_ctx = (void *)STAGES[k];
		assert_int_equal(all_stages(&b.g, &err), HF_E_FAILED);
		snprintf(want, sizeof(want), "graph, %s: cancelled", STAGES[k]);
		assert_string_equal(err.msg, want);
	}
	b.g.progress_ctx = (void *)"no stage";
	assert_int_equal(all_stages(&b.g, &err), HF_OK);
	big_deinit(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list_and_array),
		cmocka_unit_test(test_deep_list),
		cmocka_unit_test(test_leaked_ring),
		cmocka_unit_test(test_hubs),
		cmocka_unit_test(test_no_objects),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_cancel),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
