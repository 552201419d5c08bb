/*
 * One large graph that is many small random ones side by side, their objects shuffled into each
 * other in order: every small one must get the answers that the oracle gives for it alone. This
 * takes the code where small graphs never get: several words of a bitmap, several buckets of arcs,
 * prefetching, arrays on huge pages.
 */
#include "solved.h"

enum { N_PARTS = 30000 };

/* part[k] is the graph of seed k + 1; at[k][i] the number of its object i in the union. */
struct part {
	uint32_t n_objects, first_variable, n_variables, first_root, n_roots;
	uint32_t at[SAMPLE_OBJECTS];
};

static struct part part[N_PARTS];
static struct hf_graph g;
static uint64_t *size, *offset, *doubtful;
static uint32_t *dst;
static struct hf_graph_root *roots;
static uint32_t *owner; /* part of each object of the union */

static void count_parts(uint64_t *ret_n_edges)
{
	for (uint32_t k = 0; k < N_PARTS; k++) {
		sample_generate(&s, k + 1);
		part[k] = (struct part){.n_objects = s.g.n_objects,
			.first_variable = g.n_variables,
			.n_variables = s.g.n_variables,
			.first_root = g.n_roots,
			.n_roots = s.g.n_roots};
		g.n_objects += s.g.n_objects;
		g.n_variables += s.g.n_variables;
		g.n_roots += s.g.n_roots;
		*ret_n_edges += hf_graph_n_edges(&s.g);
	}
}

/* Deal the numbers of the union out to the parts in random order, to each part ascending. */
static void deal_objects(void)
{
	uint64_t state = 42;
	uint32_t n = 0;
	for (uint32_t k = 0; k < N_PARTS; k++) {
		for (uint32_t i = 0; i < part[k].n_objects; i++)
			owner[n++] = k;
	}
	for (uint32_t i = n; i-- > 1;) {
		uint32_t j = (uint32_t)(sample_random(&state) % (i + 1)), swap = owner[i];
		owner[i] = owner[j];
		owner[j] = swap;
	}
	static uint32_t dealt[N_PARTS];
	for (uint32_t i = 0; i < n; i++)
		part[owner[i]].at[dealt[owner[i]]++] = i;
}

/* Edges are made part by part, so the offsets come first. */
static void fill(void)
{
	for (uint32_t k = 0; k < N_PARTS; k++) {
		sample_generate(&s, k + 1);
		for (uint32_t i = 0; i < s.g.n_objects; i++) {
			size[part[k].at[i]] = s.size[i];
			offset[part[k].at[i] + 1] = s.offset[i + 1] - s.offset[i];
		}
		for (uint32_t w = 0; w < s.g.n_roots; w++) {
			struct hf_graph_root root = s.roots[w];
			root.object = part[k].at[root.object];
			if (root.variable != HF_GRAPH_NONE)
				root.variable += part[k].first_variable;
			roots[part[k].first_root + w] = root;
		}
	}
	for (uint32_t i = 0; i < g.n_objects; i++)
		offset[i + 1] += offset[i];
	for (uint32_t k = 0; k < N_PARTS; k++) {
		sample_generate(&s, k + 1);
		for (uint32_t i = 0; i < s.g.n_objects; i++) {
			for (uint64_t e = s.offset[i]; e < s.offset[i + 1]; e++) {
				uint64_t at = offset[part[k].at[i]] + e - s.offset[i];
				dst[at] = part[k].at[s.dst[e]];
				if (hf_graph_is_doubtful(&s.g, e))
					doubtful[at / 64] |= 1ull << at % 64;
			}
		}
	}
}

static int union_init(void **state)
{
	uint64_t n_edges = 0;
	count_parts(&n_edges);
	owner = calloc(g.n_objects, sizeof(*owner));
	size = calloc(g.n_objects, sizeof(*size));
	offset = calloc(g.n_objects + 1ull, sizeof(*offset));
	dst = calloc(n_edges, sizeof(*dst));
	doubtful = calloc(n_edges / 64 + 1, sizeof(*doubtful));
	roots = calloc(g.n_roots, sizeof(*roots));
	deal_objects();
	fill();
	g.size = size;
	g.offset = offset;
	g.dst = dst;
	g.doubtful = doubtful;
	g.roots = roots;
	struct hf_err err;
	assert_int_equal(hf_graph_check(&g, &err), HF_OK);
	results_init_of(&g);
	return 0;
}

static int union_deinit(void **state)
{
	results_deinit();
	free(owner);
	free(size);
	free(offset);
	free(dst);
	free(doubtful);
	free(roots);
	return 0;
}

static uint32_t node_at(const struct part *p, uint32_t node)
{
	if (node == HF_GRAPH_NONE)
		return HF_GRAPH_NONE;
	if (node < p->n_objects)
		return p->at[node];
	return g.n_objects + p->first_variable + node - p->n_objects;
}

static void check_object(const struct part *p, uint32_t i)
{
	uint32_t at = p->at[i];
	struct hf_graph_link reach = r.reach.link[at], held = r.held.link[at];
	uint32_t root = o.reach[i].root, best = o.held[i].root;
	CHECK(hf_graph_bit(r.reach.reachable, at) == o.reachable[i], "object %u", i);
	CHECK(hf_graph_bit(r.heads.head, at) == o.head[i], "object %u", i);
	CHECK(reach.depth == o.reach[i].depth, "object %u", i);
	CHECK(reach.root == (root == HF_GRAPH_NONE ? root : p->first_root + root), "object %u", i);
	CHECK(held.depth == o.held[i].depth, "object %u", i);
	CHECK(held.root == (o.reachable[i] ? p->first_root + best : p->at[best]), "object %u", i);
}

static void check_node(const struct part *p, uint32_t v)
{
	struct hf_graph_dominance d = r.dominators.node[node_at(p, v)];
	uint32_t idom = v < p->n_objects ? o.idom[v] : HF_GRAPH_NONE;
	CHECK(d.idom == node_at(p, idom), "node %u: %u %u", v, d.idom, node_at(p, idom));
	CHECK(d.retained_size == o.retained_size[v], "node %u", v);
	CHECK(d.retained_count == o.retained_count[v], "node %u", v);
}

static void test_parts(void **state)
{
	for (uint32_t k = 0; k < N_PARTS; k++) {
		sample_generate(&s, k + 1);
		oracle_init(&o, &s);
		for (uint32_t i = 0; i < s.g.n_objects; i++)
			check_object(&part[k], i);
		for (uint32_t v = 0; v < s.g.n_objects + s.g.n_variables; v++)
			check_node(&part[k], v);
	}
}

static void test_held_sums(void **state)
{
	struct hf_graph_sum sum = {0, 0};
	for (uint32_t w = 0; w < g.n_roots; w++) {
		sum.size += r.held.root[w].size;
		sum.count += r.held.root[w].count;
	}
	assert_int_equal(sum.size, r.reach.reachable_bytes);
	assert_int_equal(sum.count, r.reach.n_reachable);
	/* A holder has what its children have, and itself. */
	uint64_t *want = calloc(g.n_objects, sizeof(*want));
	for (uint32_t i = 0; i < g.n_objects; i++) {
		want[i] += size[i];
		if (r.held.link[i].parent != HF_GRAPH_NONE)
			want[r.held.link[i].parent] += r.held.size[i];
	}
	for (uint32_t i = 0; i < g.n_objects; i++)
		assert_int_equal(r.held.size[i], want[i]);
	free(want);
}

static void test_referrers(void **state)
{
	const struct hf_graph_transpose *t = &r.transpose;
	uint64_t n = 0;
	for (uint32_t v = 0; v < g.n_objects; v++) {
		assert_int_equal(t->offset[v], n);
		for (uint64_t k = t->offset[v]; k < t->offset[v + 1]; k++, n++) {
			uint64_t e = hf_graph_transpose_edge(t, k);
			assert_int_equal(dst[e], v);
			assert_true(offset[t->src[k]] <= e && e < offset[t->src[k] + 1]);
			if (k > t->offset[v])
				assert_true(hf_graph_transpose_edge(t, k - 1) < e);
		}
	}
	assert_int_equal(n, hf_graph_n_edges(&g));
}

/* What removing a set of nodes frees is the sum of what it frees in every part. */
static void test_retained_set(void **state)
{
	uint32_t nodes[64];
	struct hf_graph_sum want = {0, 0}, have;
	struct hf_err err;
	for (uint32_t k = 0; k < 64; k++) {
		const struct part *p = &part[k * (N_PARTS / 64)];
		nodes[k] = node_at(p, (p->n_objects + p->n_variables) / 2);
		want.size += r.dominators.node[nodes[k]].retained_size;
		want.count += r.dominators.node[nodes[k]].retained_count;
	}
	assert_int_equal(hf_graph_retained_set(&r.holders, nodes, 64, &have, &err), HF_OK);
	assert_int_equal(have.size, want.size);
	assert_int_equal(have.count, want.count);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_held_sums),
		cmocka_unit_test(test_referrers),
		cmocka_unit_test(test_retained_set),
	};
	return cmocka_run_group_tests(tests, union_init, union_deinit);
}
