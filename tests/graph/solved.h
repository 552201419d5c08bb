/* A sample with its answers twice: from the module and from the oracle. */
#pragma once
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

struct results {
	struct hf_graph_reach reach;
	struct hf_graph_heads heads;
	struct hf_graph_dominators dominators;
	struct hf_graph_held held;
	struct hf_graph_transpose transpose;
	struct hf_graph_holders holders;
};

/* The graph under test: of the size of a test program, so global. */
extern struct sample s;
extern struct oracle o;
extern struct results r;

/* On failure print the graph, with the seed that makes it, and what was compared. */
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

/* Solve a graph; s.g, or any other. */
void results_init(void);
void results_init_of(const struct hf_graph *g);
void results_deinit(void);

/* Generate, solve and check the graphs of seeds 1 to n_graphs, or only that of the environment's
 * HF_GRAPH_SEED. */
void for_each_graph(uint64_t n_graphs, void (*check)(void));
