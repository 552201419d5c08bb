/* The children of wide nodes, held against the plainest count over all objects; and what the
 * largest and the sample must be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/wide.h"
#include "store_util.h"

static uint64_t seed;

static uint32_t draw(uint32_t n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((seed >> 33) % n);
}

/* A heap with two tables of 5000 and 3000 words, whose sessions have a payload each; a variable of
 * 2500 words of its own; and words that spoil some dominators. */
static void build(struct built *b, uint64_t use_seed)
{
	enum {
		SESSIONS = 8000,
		DIRECT = 2500,
		N = 2 + 2 * SESSIONS + DIRECT,
		EDGES = 4 * SESSIONS
	};
	seed = use_seed;
	memset(b, 0, sizeof(*b));
	struct hf_heap *h = &b->heap;
	struct hf_err err;
	hf_heap_init(h);
	check_ok(hf_heap_alloc_objects(h, N, &err), &err);
	for (uint32_t i = 0; i < N; i++) {
		h->addr[i] = 0x100000 + 0x10000ull * i;
		h->usable[i] = 16 + draw(50) * draw(200);
		h->arena[i] = 0;
	}
	*(struct hf_heap_arena *)hf_heap_push(&h->arenas) =
		(struct hf_heap_arena){.allocator = "toy 1"};
	check_ok(hf_heap_alloc_edges(h, EDGES, &err), &err);
	/* Sessions are at random places among their tables' words; some words are null. */
	uint64_t n = 0;
	for (uint32_t i = 0; i < N; i++) {
		h->edge_offset[i] = n;
		if (i < 2) {
			uint32_t first = i ? 5000 : 0, end = i ? SESSIONS : 5000;
			for (uint32_t s = first; s < end; s++) {
				if (draw(20) == 0)
					continue;
				h->edge_dst[n] = 2 + s;
				h->edge_dst_off[n] = 0;
				h->edge_src_off[n++] = s - first;
			}
		} else if (i < 2 + SESSIONS) {
			h->edge_dst[n] = i + SESSIONS;
			h->edge_dst_off[n] = 0;
			h->edge_src_off[n++] = 1;
			if (draw(10) == 0) {
				h->edge_dst[n] = 2 + SESSIONS + draw(SESSIONS);
				h->edge_dst_off[n] = 0;
				h->edge_src_off[n++] = 2;
			}
		}
	}
	h->edge_offset[N] = h->n_edges = n;
	for (uint32_t v = 0; v < 3; v++)
		*(struct hf_heap_variable *)hf_heap_push(&h->variables) =
			(struct hf_heap_variable){.name = "v",
				.addr = 0x1000,
				.size_bytes = 8,
				.module = HF_NONE,
				.thread = HF_NONE};
	for (uint32_t r = 0; r < 2 + DIRECT; r++)
		*(struct hf_heap_root *)hf_heap_push(&h->roots) =
			(struct hf_heap_root){.addr = 0x1000 + 8 * r,
				.object = r < 2 ? r : 2 + 2 * SESSIONS + r - 2,
				.variable = r < 2 ? r : 2,
				.module = HF_NONE,
				.thread = HF_NONE};
	check_ok(hf_analysis_init(&b->analysis, h, NULL, &err), &err);
	check_ok(hf_analysis_run(&b->analysis, NULL, NULL, &err), &err);
}

static struct hf_rows_objects objects_of(const struct built *b)
{
	return (struct hf_rows_objects){.heap = &b->heap,
		.size = b->analysis.graph.size,
		.reach = b->analysis.reach.link,
		.dominance = b->analysis.dominators.node,
		.held = &b->analysis.held};
}

static uint64_t size_in(const struct built *b, int tree, uint32_t object)
{
	return tree ? b->analysis.dominators.node[object].retained_size
		    : b->analysis.held.size[object];
}

static bool is_child(const struct built *b, int tree, uint32_t node, uint32_t object)
{
	const struct hf_analysis *a = &b->analysis;
	if (tree)
		return a->dominators.node[object].idom == node;
	const struct hf_graph_link *link = &a->held.link[object];
	if (node < a->graph.n_objects || link->parent != HF_GRAPH_NONE)
		return link->parent == node;
	return a->reach.link[object].depth != HF_GRAPH_NONE &&
	       a->graph.roots[link->root].variable == node - a->graph.n_objects;
}

static void check_node(
	const struct built *b, int tree, const struct hf_wide_node *node, const uint32_t *child)
{
	uint32_t n = 0, n_larger = 0;
	uint64_t least = node->n_top ? size_in(b, tree, child[node->n_top - 1]) : 0;
	for (uint32_t i = 0; i < b->analysis.graph.n_objects; i++) {
		if (!is_child(b, tree, node->node, i))
			continue;
		n++;
		n_larger += size_in(b, tree, i) > least;
	}
	assert_int_equal(node->n_children, n);
	assert_true(n_larger < node->n_top || !node->n_top);
	assert_int_equal(node->n_top + node->n_sample, n < 356 ? n : 356);
	for (uint32_t i = 0; i < node->n_top + node->n_sample; i++)
		assert_true(is_child(b, tree, node->node, child[i]));
	for (uint32_t i = 1; i < node->n_top; i++) {
		assert_true(size_in(b, tree, child[i - 1]) >= size_in(b, tree, child[i]));
		assert_true(child[i - 1] != child[i]);
	}
	/* Drawn by stretches of equal numbers: ascending, and none twice. */
	const uint32_t *sample = child + node->n_top;
	for (uint32_t i = 1; i < node->n_sample; i++)
		assert_true(sample[i - 1] < sample[i]);
}

static const struct hf_wide_node *find(const struct hf_wide *wide, int tree, uint32_t node)
{
	for (uint32_t k = 0; k < wide->tree[tree].n; k++)
		if (wide->tree[tree].node[k].node == node)
			return &wide->tree[tree].node[k];
	return NULL;
}

static void test_against_count(void **state)
{
	for (uint64_t s = 1; s <= 5; s++) {
		struct built b;
		struct hf_err err;
		build(&b, s);
		struct hf_rows_objects objects = objects_of(&b);
		struct hf_rows_pairs far;
		struct hf_wide wide;
		check_ok(hf_rows_far_idom_init(&far, &objects, &err), &err);
		check_ok(hf_wide_init(&wide, &objects, &b.analysis.graph, &far, &err), &err);
		for (int tree = 0; tree < HF_WIDE_TREES; tree++) {
			uint32_t n = b.analysis.graph.n_objects;
			assert_non_null(find(&wide, tree, 0));
			assert_non_null(find(&wide, tree, 1));
			assert_non_null(find(&wide, tree, n + 2));
			assert_null(find(&wide, tree, 2));
			uint64_t rows = 0;
			for (uint32_t k = 0; k < wide.tree[tree].n; k++) {
				const struct hf_wide_node *node = &wide.tree[tree].node[k];
				assert_int_equal(node->first, rows);
				rows += node->n_top + node->n_sample;
				check_node(&b, tree, node, wide.tree[tree].child + node->first);
			}
			assert_int_equal(wide.tree[tree].n_rows, rows);
		}
		hf_wide_deinit(&wide);
		hf_rows_pairs_deinit(&far);
		built_deinit(&b);
	}
}

/* The sample is fair: the mean of something that has nothing to do with how it is drawn is that of
 * all, within four standard errors. */
static void test_fair(void **state)
{
	struct built b;
	struct hf_err err;
	build(&b, 77);
	struct hf_rows_objects objects = objects_of(&b);
	struct hf_rows_pairs far;
	struct hf_wide wide;
	check_ok(hf_rows_far_idom_init(&far, &objects, &err), &err);
	check_ok(hf_wide_init(&wide, &objects, &b.analysis.graph, &far, &err), &err);
	const struct hf_wide_node *node = find(&wide, 0, 0);
	const uint32_t *sample = wide.tree[0].child + node->first + node->n_top;
	double all = 0, squares = 0, drawn = 0;
	for (uint32_t i = 0; i < b.analysis.graph.n_objects; i++)
		if (is_child(&b, 0, 0, i)) {
			all += (double)size_in(&b, 0, i);
			squares += (double)size_in(&b, 0, i) * (double)size_in(&b, 0, i);
		}
	for (uint32_t i = 0; i < node->n_sample; i++)
		drawn += (double)size_in(&b, 0, sample[i]);
	double mean = all / node->n_children, variance = squares / node->n_children - mean * mean;
	double off = drawn / node->n_sample - mean;
	assert_true(off * off < 16 * variance / node->n_sample);
	hf_wide_deinit(&wide);
	hf_rows_pairs_deinit(&far);
	built_deinit(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_count),
		cmocka_unit_test(test_fair),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
