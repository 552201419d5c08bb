/* Every result of the module on many small random graphs against brute force, and the laws that
 * hold for any graph. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "graph/dominator.h"
#include "graph/held.h"
#include "graph/holders.h"
#include "graph/reach.h"
#include "graph/transpose.h"
#include "oracle.h"

enum { N_GRAPHS = 20000 };

struct results {
	struct hf_graph_reach reach;
	struct hf_graph_heads heads;
	struct hf_graph_dominators dominators;
	struct hf_graph_held held;
	struct hf_graph_transpose transpose;
	struct hf_graph_holders holders;
};

static struct sample s;
static struct oracle o;
static struct results r;

#define CHECK(cond, ...)                                                                           \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			sample_print(&s);                                                          \
			fprintf(stderr, "%s: ", #cond);                                            \
			fprintf(stderr, __VA_ARGS__);                                              \
			fprintf(stderr, "\n");                                                     \
			fail();                                                                    \
		}                                                                                  \
	} while (0)

static void results_init(void)
{
	struct hf_err err;
	assert_int_equal(hf_graph_check(&s.g, &err), HF_OK);
	assert_int_equal(hf_graph_reach_init(&r.reach, &s.g, &err), HF_OK);
	assert_int_equal(
		hf_graph_heads_init(&r.heads, &s.g, r.reach.reachable, r.reach.n_reachable, &err),
		HF_OK);
	assert_int_equal(hf_graph_dominators_init(&r.dominators, &s.g, &r.heads, &err), HF_OK);
	assert_int_equal(hf_graph_held_init(&r.held, &s.g, &r.heads, &err), HF_OK);
	assert_int_equal(hf_graph_transpose_init(&r.transpose, &s.g, true, &err), HF_OK);
	assert_int_equal(hf_graph_holders_init(
				 &r.holders, &s.g, &r.transpose, &r.reach, &r.heads, &r.held, &err),
		HF_OK);
}

static void results_deinit(void)
{
	hf_graph_reach_deinit(&r.reach);
	hf_graph_heads_deinit(&r.heads);
	hf_graph_dominators_deinit(&r.dominators);
	hf_graph_held_deinit(&r.held);
	hf_graph_transpose_deinit(&r.transpose);
	hf_graph_holders_deinit(&r.holders);
}

static void check_reach(void)
{
	uint32_t n = 0;
	uint64_t bytes = 0;
	for (uint32_t i = 0; i < s.g.n_objects; i++) {
		struct hf_graph_link have = r.reach.link[i], want = o.reach[i];
		CHECK(have.depth == want.depth, "object %u: %u %u", i, have.depth, want.depth);
		CHECK(have.root == want.root, "object %u: %u %u", i, have.root, want.root);
		CHECK(have.parent == want.parent, "object %u: %u %u", i, have.parent, want.parent);
		CHECK(hf_graph_bit(r.reach.reachable, i) == o.reachable[i], "object %u", i);
		n += o.reachable[i];
		bytes += o.reachable[i] ? s.size[i] : 0;
	}
	CHECK(r.reach.n_reachable == n, "%u %u", r.reach.n_reachable, n);
	CHECK(r.reach.reachable_bytes == bytes, "%lu %lu", r.reach.reachable_bytes, bytes);
}

static void check_heads(void)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < s.g.n_objects; i++) {
		CHECK(hf_graph_bit(r.heads.head, i) == o.head[i], "object %u", i);
		if (o.head[i]) {
			CHECK(n < r.heads.n && r.heads.object[n] == i, "head %u: %u", n, i);
			n++;
		}
	}
	CHECK(r.heads.n == n, "%u %u", r.heads.n, n);
}

static void check_dominators(void)
{
	uint64_t under_root = 0, total = 0;
	for (uint32_t v = 0; v < s.g.n_objects + s.g.n_variables; v++) {
		struct hf_graph_dominance have = r.dominators.node[v];
		uint32_t idom = v < s.g.n_objects ? o.idom[v] : HF_GRAPH_NONE;
		CHECK(have.idom == idom, "node %u: %d %d", v, (int)have.idom, (int)idom);
		CHECK(have.retained_size == o.retained_size[v], "node %u: %lu %lu", v,
			have.retained_size, o.retained_size[v]);
		CHECK(have.retained_count == o.retained_count[v], "node %u: %u %u", v,
			have.retained_count, o.retained_count[v]);
		if (have.idom == HF_GRAPH_NONE)
			under_root += have.retained_size;
		if (v < s.g.n_objects)
			total += s.size[v];
	}
	CHECK(under_root == total, "%lu %lu", under_root, total);
	CHECK(r.reach.total_bytes == total, "%lu %lu", r.reach.total_bytes, total);
}

/* The path that the links describe has the best key, step by step. */
static void check_held_link(uint32_t i)
{
	struct hf_graph_link link = r.held.link[i];
	struct oracle_key want = o.held[i], have = {want.rank, 0, 0, link.root};
	CHECK(link.root == want.root, "object %u: %u %u", i, link.root, want.root);
	CHECK(link.depth == want.depth, "object %u: %u %u", i, link.depth, want.depth);
	if (link.parent == HF_GRAPH_NONE) {
		uint32_t top = o.reachable[i] ? s.roots[link.root].object : link.root;
		CHECK(top == i && want.depth == 0, "object %u", i);
		return;
	}
	uint64_t e = hf_graph_find_edge(&s.g, link.parent, i);
	CHECK(e != UINT64_MAX, "object %u: no edge from %u", i, link.parent);
	have = oracle_extend(&s, o.held[link.parent], e);
	CHECK(memcmp(&have, &want, sizeof(have)) == 0, "object %u: parent %u", i, link.parent);
}

static void check_held(void)
{
	uint64_t size[SAMPLE_OBJECTS] = {0}, sum = 0, count = 0, variables = 0;
	uint32_t n[SAMPLE_OBJECTS] = {0};
	for (uint32_t i = 0; i < s.g.n_objects; i++)
		check_held_link(i);
	for (uint32_t i = 0; i < s.g.n_objects; i++) {
		for (uint32_t x = i; x != HF_GRAPH_NONE; x = r.held.link[x].parent) {
			size[x] += s.size[i];
			n[x]++;
		}
	}
	for (uint32_t i = 0; i < s.g.n_objects; i++) {
		CHECK(r.held.size[i] == size[i], "object %u: %lu %lu", i, r.held.size[i], size[i]);
		CHECK(r.held.count[i] == n[i], "object %u: %u %u", i, r.held.count[i], n[i]);
	}
	for (uint32_t w = 0; w < s.g.n_roots; w++) {
		struct hf_graph_sum want = {0, 0};
		uint32_t top = s.roots[w].object;
		if (r.held.link[top].parent == HF_GRAPH_NONE && r.held.link[top].root == w)
			want = (struct hf_graph_sum){size[top], n[top]};
		CHECK(r.held.root[w].size == want.size, "root word %u", w);
		CHECK(r.held.root[w].count == want.count, "root word %u", w);
		sum += want.size;
		count += want.count;
	}
	CHECK(sum == r.reach.reachable_bytes, "%lu %lu", sum, r.reach.reachable_bytes);
	CHECK(count == r.reach.n_reachable, "%lu %u", count, r.reach.n_reachable);
	CHECK(r.held.leaked.size == r.reach.total_bytes - sum, "%lu", r.held.leaked.size);
	for (uint32_t v = 0; v < s.g.n_variables; v++)
		variables += r.held.variable[v].size;
	CHECK(variables + r.held.bare.size == sum, "%lu %lu", variables, r.held.bare.size);
}

static void check_transpose(void)
{
	const struct hf_graph_transpose *t = &r.transpose;
	uint64_t at = 0;
	for (uint32_t v = 0; v < s.g.n_objects; v++) {
		CHECK(t->offset[v] == at, "object %u", v);
		for (uint32_t u = 0; u < s.g.n_objects; u++) {
			for (uint64_t e = s.offset[u]; e < s.offset[u + 1]; e++) {
				if (s.dst[e] != v)
					continue;
				CHECK(t->src[at] == u, "object %u", v);
				CHECK(hf_graph_transpose_edge(t, at) == e, "object %u", v);
				at++;
			}
		}
	}
	CHECK(t->offset[s.g.n_objects] == at, "%lu", at);
}

/* The immediate dominator lies on every path, so also on the shortest and on the best one. */
static void check_idom_on_paths(void)
{
	for (uint32_t i = 0; i < s.g.n_objects; i++) {
		uint32_t idom = r.dominators.node[i].idom, x;
		if (idom == HF_GRAPH_NONE || !o.reachable[i])
			continue;
		if (idom >= s.g.n_objects) {
			uint32_t v = idom - s.g.n_objects;
			CHECK(s.roots[r.reach.link[i].root].variable == v, "object %u", i);
			CHECK(s.roots[r.held.link[i].root].variable == v, "object %u", i);
			continue;
		}
		for (x = r.reach.link[i].parent; x != idom; x = r.reach.link[x].parent)
			CHECK(x != HF_GRAPH_NONE, "object %u, shortest path", i);
		for (x = r.held.link[i].parent; x != idom; x = r.held.link[x].parent)
			CHECK(x != HF_GRAPH_NONE, "object %u, best path", i);
	}
}

static void check_set(const uint32_t *nodes, size_t n)
{
	bool removed[ORACLE_NODES] = {0}, alive[SAMPLE_OBJECTS], alive_leaked[SAMPLE_OBJECTS];
	struct hf_graph_sum want = {0, 0}, have;
	struct hf_err err;
	for (size_t i = 0; i < n; i++)
		removed[nodes[i]] = true;
	oracle_alive(&o, &s, removed, false, alive);
	oracle_alive(&o, &s, removed, true, alive_leaked);
	for (uint32_t i = 0; i < s.g.n_objects; i++) {
		if (o.reachable[i] ? alive[i] : alive_leaked[i])
			continue;
		want.size += s.size[i];
		want.count++;
	}
	assert_int_equal(hf_graph_retained_set(&r.holders, nodes, n, &have, &err), HF_OK);
	CHECK(have.size == want.size, "%zu nodes, first %u: %lu %lu", n, nodes[0], have.size,
		want.size);
	CHECK(have.count == want.count, "%zu nodes, first %u: %lu %lu", n, nodes[0], have.count,
		want.count);
}

static void check_retained_sets(void)
{
	uint64_t state = s.seed + 1;
	uint32_t n_nodes = s.g.n_objects + s.g.n_variables, nodes[5];
	for (uint32_t v = 0; v < n_nodes; v++)
		check_set(&v, 1);
	for (int k = 0; k < 4; k++) {
		size_t n = 1 + sample_random(&state) % 5;
		for (size_t i = 0; i < n; i++)
			nodes[i] = (uint32_t)(sample_random(&state) % n_nodes);
		check_set(nodes, n);
	}
}

/* inside[i]: the chain of holders from i leads through node x. */
static void holder_subtree(uint32_t x, bool *inside)
{
	for (uint32_t i = 0; i < s.g.n_objects; i++) {
		uint32_t at = i;
		while (at != x && r.held.link[at].parent != HF_GRAPH_NONE)
			at = r.held.link[at].parent;
		inside[i] = at == x;
		if (x >= s.g.n_objects && o.reachable[i])
			inside[i] = s.roots[r.held.link[i].root].variable == x - s.g.n_objects;
	}
}

/* Flood from marked objects inside, without x; returns the bytes and objects marked at the end. */
static struct hf_graph_sum flood_inside(const bool *inside, uint32_t x, bool *mark)
{
	struct hf_graph_sum sum = {0, 0};
	for (bool more = true; more;) {
		more = false;
		for (uint32_t u = 0; u < s.g.n_objects; u++) {
			for (uint64_t e = s.offset[u]; mark[u] && e < s.offset[u + 1]; e++) {
				uint32_t v = s.dst[e];
				if (mark[v] || !inside[v] || v == x ||
					o.reachable[u] != o.reachable[v])
					continue;
				mark[v] = more = true;
			}
		}
	}
	for (uint32_t i = 0; i < s.g.n_objects; i++) {
		sum.size += mark[i] ? s.size[i] : 0;
		sum.count += mark[i];
	}
	return sum;
}

static void check_entry(const struct hf_graph_entries *es, const bool *inside, uint32_t x,
	uint32_t src, uint32_t target, uint64_t word, uint32_t *n)
{
	bool mark[SAMPLE_OBJECTS] = {0};
	const struct hf_graph_entry *found = NULL;
	for (size_t i = 0; i < es->n; i++) {
		if (es->entry[i].src == src && es->entry[i].word == word)
			found = &es->entry[i];
	}
	CHECK(found, "node %u: entry %d %lu is missing", x, (int)src, word);
	mark[target] = true;
	struct hf_graph_sum want = flood_inside(inside, x, mark);
	CHECK(found->target == target && found->exact, "node %u: entry %lu", x, word);
	CHECK(found->reaches.size == want.size, "node %u: entry %lu", x, word);
	CHECK(found->reaches.count == want.count, "node %u: entry %lu", x, word);
	++*n;
}

static void check_entries_of(uint32_t x)
{
	bool inside[SAMPLE_OBJECTS], mark[SAMPLE_OBJECTS] = {0};
	struct hf_graph_entries es;
	struct hf_err err;
	uint32_t n = 0;
	assert_int_equal(hf_graph_entries_init(&es, &r.holders, x, 0, &err), HF_OK);
	holder_subtree(x, inside);
	for (uint32_t w = 0; w < s.g.n_roots; w++) {
		uint32_t t = s.roots[w].object;
		if (!inside[t] || t == x ||
			(s.roots[w].variable != HF_GRAPH_NONE &&
				s.roots[w].variable + s.g.n_objects == x))
			continue;
		check_entry(&es, inside, x, HF_GRAPH_NONE, t, w, &n);
		mark[t] = true;
	}
	for (uint32_t u = 0; u < s.g.n_objects; u++) {
		for (uint64_t e = s.offset[u]; e < s.offset[u + 1]; e++) {
			uint32_t t = s.dst[e];
			if (inside[u] || !inside[t] || t == x || o.reachable[u] != o.reachable[t])
				continue;
			check_entry(&es, inside, x, u, t, e, &n);
			mark[t] = true;
		}
	}
	CHECK(es.n == n, "node %u: %zu %u", x, es.n, n);
	for (size_t i = 1; i < es.n; i++)
		CHECK(es.entry[i - 1].reaches.size >= es.entry[i].reaches.size, "node %u", x);
	struct hf_graph_sum shared = flood_inside(inside, x, mark);
	CHECK(es.shared.size == shared.size, "node %u", x);
	CHECK(es.shared.count == shared.count, "node %u", x);
	CHECK(es.held.size - es.shared.size == r.dominators.node[x].retained_size, "node %u", x);
	CHECK(es.held.count - es.shared.count == r.dominators.node[x].retained_count, "node %u", x);
	hf_graph_entries_deinit(&es);

	/* With hardly any work allowed, what is not exact is a lower bound. */
	struct hf_graph_entries bounded;
	assert_int_equal(hf_graph_entries_init(&es, &r.holders, x, 0, &err), HF_OK);
	assert_int_equal(hf_graph_entries_init(&bounded, &r.holders, x, 3, &err), HF_OK);
	CHECK(bounded.n == es.n && bounded.shared.size == es.shared.size, "node %u", x);
	for (size_t i = 0; i < es.n; i++) {
		for (size_t k = 0; k < es.n; k++) {
			const struct hf_graph_entry *a = &es.entry[i], *b = &bounded.entry[k];
			if (a->src != b->src || a->word != b->word)
				continue;
			CHECK(b->exact ? b->reaches.size == a->reaches.size
				       : b->reaches.size <= a->reaches.size,
				"node %u", x);
		}
	}
	hf_graph_entries_deinit(&es);
	hf_graph_entries_deinit(&bounded);
}

static void check_entries(void)
{
	for (uint32_t x = 0; x < s.g.n_objects + s.g.n_variables; x++)
		check_entries_of(x);
}

static void check_children(void)
{
	uint32_t n, total = 0;
	for (uint32_t x = 0; x < s.g.n_objects + s.g.n_variables; x++) {
		const uint32_t *child = hf_graph_children(&r.holders, x, &n);
		total += n;
		for (uint32_t c = 0; c < n; c++) {
			struct hf_graph_link link = r.held.link[child[c]];
			CHECK(c == 0 || child[c - 1] < child[c], "node %u", x);
			if (x < s.g.n_objects)
				CHECK(link.parent == x, "node %u", x);
			else
				CHECK(link.parent == HF_GRAPH_NONE &&
						s.roots[link.root].variable == x - s.g.n_objects,
					"node %u", x);
		}
	}
	for (uint32_t i = 0; i < s.g.n_objects; i++) {
		struct hf_graph_link link = r.held.link[i];
		bool bare = link.parent == HF_GRAPH_NONE &&
			    (!o.reachable[i] || s.roots[link.root].variable == HF_GRAPH_NONE);
		total += bare;
	}
	CHECK(total == s.g.n_objects, "%u", total);
}

/* Edges from each object to x, HF_GRAPH_NONE if there is no path within its part. */
static void distances_to(uint32_t x, uint32_t *distance)
{
	memset(distance, 0xff, SAMPLE_OBJECTS * sizeof(*distance));
	distance[x] = 0;
	for (bool more = true; more;) {
		more = false;
		for (uint32_t u = 0; u < s.g.n_objects; u++) {
			for (uint64_t e = s.offset[u]; e < s.offset[u + 1]; e++) {
				uint32_t d = distance[s.dst[e]];
				if (d == HF_GRAPH_NONE || d + 1 >= distance[u] ||
					o.reachable[u] != o.reachable[x])
					continue;
				distance[u] = d + 1;
				more = true;
			}
		}
	}
}

static void check_path(const struct hf_graph_path *path, uint32_t x, const uint32_t *distance)
{
	if (path->root == HF_GRAPH_NONE)
		CHECK(o.head[path->object[0]], "path to %u", x);
	else
		CHECK(s.roots[path->root].object == path->object[0], "path to %u", x);
	CHECK(path->n_edges == distance[path->object[0]], "path to %u", x);
	CHECK(path->object[path->n_edges] == x, "path to %u", x);
	for (uint32_t k = 0; k < path->n_edges; k++) {
		uint64_t e = path->edge[k];
		CHECK(s.offset[path->object[k]] <= e && e < s.offset[path->object[k] + 1],
			"path to %u", x);
		CHECK(s.dst[e] == path->object[k + 1], "path to %u", x);
	}
}

/* Root words by (distance, rank, index), the first of each owner. */
static uint32_t expected_roots(const uint32_t *distance, uint32_t *ret)
{
	bool used[SAMPLE_ROOTS] = {0}, owner[SAMPLE_VARIABLES] = {0};
	uint32_t n = 0;
	for (;;) {
		uint32_t best = HF_GRAPH_NONE;
		for (uint32_t w = 0; w < s.g.n_roots; w++) {
			struct oracle_key a = {distance[s.roots[w].object], s.roots[w].rank, 0, w},
					  b;
			if (used[w] || a.rank == HF_GRAPH_NONE)
				continue;
			if (best != HF_GRAPH_NONE)
				b = (struct oracle_key){distance[s.roots[best].object],
					s.roots[best].rank, 0, best};
			if (best == HF_GRAPH_NONE || oracle_better(a, b))
				best = w;
		}
		if (best == HF_GRAPH_NONE)
			return n;
		used[best] = true;
		uint32_t v = s.roots[best].variable;
		if (v != HF_GRAPH_NONE && owner[v])
			continue;
		if (v != HF_GRAPH_NONE)
			owner[v] = true;
		ret[n++] = best;
	}
}

static void check_paths(void)
{
	uint32_t distance[SAMPLE_OBJECTS], want[SAMPLE_ROOTS];
	struct hf_graph_paths paths;
	struct hf_err err;
	for (uint32_t x = 0; x < s.g.n_objects; x++) {
		distances_to(x, distance);
		uint32_t n = expected_roots(distance, want);
		for (uint32_t i = 0; !o.reachable[x] && i < s.g.n_objects; i++)
			n += o.head[i] && distance[i] != HF_GRAPH_NONE;
		size_t max = x % 3 == 0 ? SIZE_MAX : x % 3;
		assert_int_equal(hf_graph_paths_init(&paths, &r.holders, x, max, &err), HF_OK);
		CHECK(paths.n == (n < max ? n : max), "paths to %u: %zu %u", x, paths.n, n);
		for (size_t i = 0; i < paths.n; i++) {
			check_path(&paths.path[i], x, distance);
			CHECK(i == 0 || paths.path[i - 1].n_edges <= paths.path[i].n_edges,
				"paths to %u", x);
			if (o.reachable[x])
				CHECK(paths.path[i].root == want[i], "paths to %u", x);
		}
		hf_graph_paths_deinit(&paths);
	}
}

static void test_random_graphs(void **state)
{
	uint64_t first = 1, end = N_GRAPHS + 1;
	if (getenv("HF_GRAPH_SEED")) {
		first = strtoull(getenv("HF_GRAPH_SEED"), NULL, 0);
		end = first + 1;
	}
	for (uint64_t seed = first; seed < end; seed++) {
		sample_generate(&s, seed);
		oracle_init(&o, &s);
		results_init();
		check_reach();
		check_heads();
		check_dominators();
		check_held();
		check_transpose();
		check_idom_on_paths();
		check_children();
		check_retained_sets();
		check_entries();
		check_paths();
		results_deinit();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_graphs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
