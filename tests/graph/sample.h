/* Small graphs for tests: room for the arrays, a seeded generator of many shapes, a printer. */
#pragma once
#include "graph/graph.h"

enum {
	SAMPLE_OBJECTS = 40,
	SAMPLE_VARIABLES = 12,
	SAMPLE_ROOTS = 60,
	SAMPLE_EDGES = 400,
};

struct sample {
	struct hf_graph g;
	const char *shape;
	uint64_t seed;
	uint64_t size[SAMPLE_OBJECTS];
	uint64_t offset[SAMPLE_OBJECTS + 1];
	uint32_t dst[SAMPLE_EDGES];
	uint64_t doubtful[SAMPLE_EDGES / 64 + 1];
	struct hf_graph_root roots[SAMPLE_ROOTS];
	/* Edges while the sample is built, in any order. */
	uint32_t n_edges;
	struct {
		uint32_t src, dst;
		bool doubtful;
	} edge[SAMPLE_EDGES];
};

/* xorshift64*, never 0. */
uint64_t sample_random(uint64_t *state);

/* Build up a sample by hand. */
void sample_init(struct sample *s, uint32_t n_objects, uint32_t n_variables);
void sample_edge(struct sample *s, uint32_t src, uint32_t dst, bool doubtful);
void sample_root(struct sample *s, uint32_t object, uint32_t variable, uint8_t rank);
/* Make the CSR of what was added. */
void sample_finish(struct sample *s);

/* A random graph; the same seed gives the same graph. */
void sample_generate(struct sample *s, uint64_t seed);

/* To stderr. */
void sample_print(const struct sample *s);
