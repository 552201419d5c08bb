#include "heap_graph.h"

#include <math.h>
#include <stdlib.h>

static uint64_t next_random(uint64_t *state)
{
	uint64_t x = *state;
	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * 0x2545f4914f6cdd1dull;
}

static double uniform(uint64_t *state)
{
	return (double)(next_random(state) >> 11) * 0x1p-53;
}

/* Out-degree: almost half of the objects are leaves, the others follow a power law with the mean
 * that gives edges_per_object. */
static uint32_t degree(uint64_t *state, double edges_per_object)
{
	const double leaves = 0.45, exponent = 2.2, cut = 100000;
	if (uniform(state) < leaves)
		return 0;
	/* Pareto with minimum 1 has mean exponent / (exponent - 1) = 1.83. */
	double d = pow(1 - uniform(state), -1 / exponent);
	d *= edges_per_object / (1 - leaves) / 1.83;
	return (uint32_t)((d < cut ? d : cut) + uniform(state));
}

static uint32_t target(uint64_t *state, uint32_t u, uint32_t n, unsigned percent_local)
{
	double kind = uniform(state) * 100;
	if (kind < percent_local) {
		/* A neighbour in allocation order, at a log-uniform distance. */
		double distance = exp2(uniform(state) * log2(n / 2.0));
		int64_t v = (int64_t)u + (int64_t)(next_random(state) & 1 ? distance : -distance);
		if (v >= 0 && v < n)
			return (uint32_t)v;
	}
	/* A fifth of the rest goes to objects that everybody knows. */
	double r = uniform(state);
	return (uint32_t)((kind > 80 ? pow(r, 6) : r) * n);
}

static bool make_edges(struct heap_graph *h, const struct heap_graph_options *o)
{
	uint32_t n = o->n_objects;
	uint64_t state = o->seed, m = 0;
	for (uint32_t i = 0; i < n; i++) {
		h->offset[i] = m;
		m += degree(&state, o->edges_per_object);
		h->size[i] = 16 * (1 + (next_random(&state) >> 59));
	}
	h->offset[n] = m;
	h->dst = hf_graph_alloc(m, sizeof(*h->dst));
	if (!h->dst)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		for (uint64_t e = h->offset[i]; e < h->offset[i + 1]; e++)
			h->dst[e] = target(&state, i, n, o->percent_local);
	}
	return true;
}

static bool make_roots(struct heap_graph *h, const struct heap_graph_options *o)
{
	uint64_t state = o->seed + 1;
	uint32_t n_roots = o->n_objects / 2000 + 1, n_variables = n_roots / 2 + 1;
	h->roots = hf_graph_alloc(n_roots, sizeof(*h->roots));
	if (!h->roots)
		return false;
	for (uint32_t r = 0; r < n_roots; r++) {
		h->roots[r].object = (uint32_t)(uniform(&state) * o->n_objects);
		bool bare = uniform(&state) < 0.2;
		h->roots[r].variable =
			bare ? HF_GRAPH_NONE : (uint32_t)(uniform(&state) * n_variables);
		h->roots[r].rank = (uint8_t)(uniform(&state) * 7);
	}
	h->g.n_roots = n_roots;
	h->g.n_variables = n_variables;
	return true;
}

bool heap_graph_init(struct heap_graph *ret, const struct heap_graph_options *o)
{
	struct heap_graph h = {.g = {.n_objects = o->n_objects}};
	h.size = hf_graph_alloc(o->n_objects, sizeof(*h.size));
	h.offset = hf_graph_alloc(o->n_objects + 1ull, sizeof(*h.offset));
	if (!h.size || !h.offset || !make_edges(&h, o) || !make_roots(&h, o)) {
		heap_graph_deinit(&h);
		return false;
	}
	h.g.size = h.size;
	h.g.offset = h.offset;
	h.g.dst = h.dst;
	h.g.roots = h.roots;
	*ret = h;
	return true;
}

void heap_graph_deinit(struct heap_graph *h)
{
	free(h->size);
	free(h->offset);
	free(h->dst);
	free(h->roots);
}
