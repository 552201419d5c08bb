/* Every array of the module on many small random graphs against brute force, and the laws that hold
 * for any graph. */
#include "solved.h"

enum { N_GRAPHS = 20000 };

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

/* Without doubtful edges the same graph comes out as if it had been made without them. */
static void check_certain(void)
{
	static struct sample without;
	struct hf_graph_certain certain;
	struct hf_err err;
	sample_init(&without, s.g.n_objects, s.g.n_variables);
	for (uint32_t e = 0; e < s.n_edges; e++) {
		if (!s.edge[e].doubtful)
			sample_edge(&without, s.edge[e].src, s.edge[e].dst, false);
	}
	sample_finish(&without);
	assert_int_equal(hf_graph_certain_init(&certain, &s.g, &err), HF_OK);
	uint64_t m = hf_graph_n_edges(&without.g);
	CHECK(hf_graph_n_edges(&certain.g) == m, "%lu", m);
	CHECK(memcmp(certain.dst, without.dst, m * sizeof(*certain.dst)) == 0, "targets");
	CHECK(memcmp(certain.offset, without.offset,
		      (s.g.n_objects + 1) * sizeof(*certain.offset)) == 0,
		"offsets");
	CHECK(!certain.g.doubtful && certain.g.roots == s.roots, "the rest");
	hf_graph_certain_deinit(&certain);
}

static void check_all(void)
{
	check_reach();
	check_heads();
	check_dominators();
	check_held();
	check_transpose();
	check_idom_on_paths();
	check_certain();
}

static void test_random_graphs(void **state)
{
	for_each_graph(N_GRAPHS, check_all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_graphs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
