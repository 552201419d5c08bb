#include "sample.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t sample_random(uint64_t *state)
{
	uint64_t x = *state;
	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * 0x2545f4914f6cdd1dull;
}

static uint32_t below(uint64_t *state, uint32_t n)
{
	return (uint32_t)((sample_random(state) >> 32) * n >> 32);
}

void sample_init(struct sample *s, uint32_t n_objects, uint32_t n_variables)
{
	memset(s, 0, sizeof(*s));
	s->g = (struct hf_graph){
		.n_objects = n_objects,
		.n_variables = n_variables,
		.size = s->size,
		.offset = s->offset,
		.dst = s->dst,
		.roots = s->roots,
	};
}

void sample_edge(struct sample *s, uint32_t src, uint32_t dst, bool doubtful)
{
	if (s->n_edges == SAMPLE_EDGES)
		return;
	s->edge[s->n_edges].src = src;
	s->edge[s->n_edges].dst = dst;
	s->edge[s->n_edges++].doubtful = doubtful;
}

void sample_root(struct sample *s, uint32_t object, uint32_t variable, uint8_t rank)
{
	if (s->g.n_roots < SAMPLE_ROOTS)
		s->roots[s->g.n_roots++] = (struct hf_graph_root){object, variable, rank};
}

void sample_finish(struct sample *s)
{
	uint64_t at = 0;
	for (uint32_t i = 0; i < s->g.n_objects; i++) {
		s->offset[i] = at;
		for (uint32_t e = 0; e < s->n_edges; e++) {
			if (s->edge[e].src != i)
				continue;
			s->dst[at] = s->edge[e].dst;
			if (s->edge[e].doubtful) {
				s->doubtful[at / 64] |= 1ull << at % 64;
				s->g.doubtful = s->doubtful;
			}
			at++;
		}
	}
	s->offset[s->g.n_objects] = at;
}

typedef void (*shape_fn)(struct sample *s, uint64_t *state);

static void edges_per_object(struct sample *s, uint64_t *state, uint32_t percent)
{
	uint32_t n = s->g.n_objects;
	for (uint32_t k = 0; k < n * percent / 100; k++)
		sample_edge(s, below(state, n), below(state, n), false);
}

static void shape_sparse(struct sample *s, uint64_t *state)
{
	edges_per_object(s, state, 90);
}

static void shape_heap(struct sample *s, uint64_t *state)
{
	edges_per_object(s, state, 180);
}

static void shape_dense(struct sample *s, uint64_t *state)
{
	edges_per_object(s, state, 600);
}

static void shape_dag(struct sample *s, uint64_t *state)
{
	uint32_t n = s->g.n_objects;
	bool up = below(state, 2);
	for (uint32_t k = 0; n > 1 && k < 2 * n; k++) {
		uint32_t a = below(state, n - 1), b = a + 1 + below(state, n - a - 1);
		sample_edge(s, up ? a : b, up ? b : a, false);
	}
}

static void shape_cycles(struct sample *s, uint64_t *state)
{
	uint32_t n = s->g.n_objects;
	for (uint32_t first = 0; first < n;) {
		uint32_t length = 1 + below(state, n - first);
		for (uint32_t i = 0; i < length; i++)
			sample_edge(s, first + i, first + (i + 1) % length, false);
		first += length;
	}
	edges_per_object(s, state, 30);
}

static void shape_self_and_multi(struct sample *s, uint64_t *state)
{
	uint32_t n = s->g.n_objects;
	for (uint32_t k = 0; k < n; k++) {
		uint32_t a = below(state, n), b = below(state, 3) ? below(state, n) : a;
		for (uint32_t times = 1 + below(state, 3); times > 0; times--)
			sample_edge(s, a, b, false);
	}
}

/* A list whose payloads also sit in an array. */
static void shape_list_and_array(struct sample *s, uint64_t *state)
{
	uint32_t n = s->g.n_objects, length = (n - 1) / 2;
	for (uint32_t i = 0; i < length; i++) {
		uint32_t cell = 1 + i, payload = 1 + length + i;
		if (i + 1 < length)
			sample_edge(s, cell, cell + 1, false);
		sample_edge(s, cell, payload, false);
		if (below(state, 8))
			sample_edge(s, 0, payload, false);
		if (!below(state, 4))
			sample_edge(s, payload, cell, false);
	}
	if (length)
		sample_edge(s, 0, 1, false);
}

static void shape_tree_with_parents(struct sample *s, uint64_t *state)
{
	for (uint32_t i = 1; i < s->g.n_objects; i++) {
		uint32_t parent = below(state, i);
		sample_edge(s, parent, i, false);
		sample_edge(s, i, parent, false);
	}
	edges_per_object(s, state, below(state, 40));
}

static void shape_doubly_linked(struct sample *s, uint64_t *state)
{
	for (uint32_t i = 1; i < s->g.n_objects; i++) {
		sample_edge(s, i - 1, i, false);
		if (below(state, 5))
			sample_edge(s, i, i - 1, false);
	}
	edges_per_object(s, state, below(state, 30));
}

static const struct {
	const char *name;
	shape_fn fn;
} SHAPES[] = {
	{"sparse", shape_sparse},
	{"heap", shape_heap},
	{"dense", shape_dense},
	{"dag", shape_dag},
	{"cycles", shape_cycles},
	{"self loops and multi-edges", shape_self_and_multi},
	{"list and array", shape_list_and_array},
	{"tree with parent pointers", shape_tree_with_parents},
	{"doubly linked list", shape_doubly_linked},
};

static void random_roots(struct sample *s, uint64_t *state)
{
	uint32_t n = s->g.n_objects, n_variables = s->g.n_variables;
	uint32_t n_ranks = 1 + below(state, 4), n_roots;
	switch (below(state, 8)) {
	case 0:
		n_roots = 0;
		break;
	case 1:
		n_roots = 0;
		for (uint32_t i = 0; i < n; i++)
			sample_root(s, i, HF_GRAPH_NONE, (uint8_t)below(state, n_ranks));
		break;
	default:
		n_roots = 1 + below(state, 1 + n / 3);
	}
	for (uint32_t r = 0; r < n_roots; r++) {
		uint32_t variable =
			n_variables && below(state, 3) ? below(state, n_variables) : HF_GRAPH_NONE;
		sample_root(s, below(state, n), variable, (uint8_t)(below(state, n_ranks) * 85));
	}
}

void sample_generate(struct sample *s, uint64_t seed)
{
	uint64_t state = seed * 0x9e3779b97f4a7c15ull + 1;
	for (int i = 0; i < 4; i++)
		sample_random(&state);
	uint32_t shape = below(&state, sizeof(SHAPES) / sizeof(SHAPES[0]));
	uint32_t n = 1 + below(&state, below(&state, 4) ? 12 : SAMPLE_OBJECTS);
	sample_init(s, n, below(&state, 3) ? below(&state, SAMPLE_VARIABLES + 1) : 0);
	s->seed = seed;
	s->shape = SHAPES[shape].name;
	SHAPES[shape].fn(s, &state);
	uint32_t percent_doubtful = below(&state, 2) ? below(&state, 60) : 0;
	for (uint32_t e = 0; e < s->n_edges; e++)
		s->edge[e].doubtful = below(&state, 100) < percent_doubtful;
	for (uint32_t i = 0; i < n; i++)
		s->size[i] = below(&state, 4) ? 16 * (1 + below(&state, 100)) : below(&state, 2);
	random_roots(s, &state);
	sample_finish(s);
}

void sample_print(const struct sample *s)
{
	fprintf(stderr, "seed %lu, %s: %u objects, %u variables\n", s->seed,
		s->shape ? s->shape : "by hand", s->g.n_objects, s->g.n_variables);
	for (uint32_t i = 0; i < s->g.n_objects; i++) {
		fprintf(stderr, "  %u (%lu bytes) ->", i, s->size[i]);
		for (uint64_t e = s->offset[i]; e < s->offset[i + 1]; e++)
			fprintf(stderr, " %u%s", s->dst[e],
				hf_graph_is_doubtful(&s->g, e) ? "?" : "");
		fprintf(stderr, "\n");
	}
	for (uint32_t r = 0; r < s->g.n_roots; r++)
		fprintf(stderr, "  root %u: object %u, variable %d, rank %u\n", r,
			s->roots[r].object, (int)s->roots[r].variable, s->roots[r].rank);
}
