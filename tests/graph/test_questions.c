/* Questions about who holds what, on many small random graphs, against brute force. */
#include "solved.h"

enum { N_GRAPHS = 20000 };

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
			/* Nearest first, then by rank: the key's order with the distance
			 * in the place of the doubts. */
			struct oracle_key a = {s.roots[w].rank, distance[s.roots[w].object], 0, w},
					  b;
			if (used[w] || a.doubts == HF_GRAPH_NONE)
				continue;
			if (best != HF_GRAPH_NONE)
				b = (struct oracle_key){s.roots[best].rank,
					distance[s.roots[best].object], 0, best};
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

static void check_all(void)
{
	check_children();
	check_retained_sets();
	check_entries();
	check_paths();
}

static void test_random_questions(void **state)
{
	for_each_graph(N_GRAPHS, check_all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_questions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
