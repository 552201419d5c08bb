/* Heaps made up for tests and benchmarks: deterministic by seed. */
#pragma once
#include "source/heap.h"

struct fake_heap_options {
	uint64_t n_objects, n_edges;
	uint32_t n_roots, n_variables, n_arenas, n_sites; /* n_sites 0: no sites */
	uint64_t seed;
	bool requested; /* sizes as requested are known */
	bool list;      /* a third of the objects is one linked list */
};

/* Objects of power-law sizes, three quarters of them reached from roots, edges mostly to neighbours
 * and to a few hubs. */
enum hf_status fake_heap_init(
	struct hf_heap *ret, const struct fake_heap_options *options, struct hf_err *err);
