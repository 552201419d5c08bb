/*
 * The heap as a graph over dense ids: the input of every function of this module.
 *
 * Objects are 0 .. n_objects-1 in address order. Edges are a forward CSR: the edges of object i are
 * dst[offset[i]] .. dst[offset[i+1]-1], and the position in dst is the edge's index. Root words
 * point to objects; a word may belong to a variable (a global, a frame's variable, a mapping, a
 * thread's registers), and all words of one variable are one holder.
 *
 *     virtual root -> variable -> object     and     virtual root -> object (a word without
 * variable)
 *
 * Objects and variables share one number space of "nodes": object i is node i, variable v is node
 * n_objects + v. HF_GRAPH_NONE stands for no node, no root word, or the virtual root.
 *
 * The module is pure computation over arrays of the caller: it knows neither files nor SQL, nothing
 * recurses, and every result depends on the input alone (same arrays in, same arrays out). All
 * input arrays are read only and must outlive the call. Thread rule: functions share no state;
 * several may run at once over one input, also with one progress hook if that is thread-safe.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define HF_GRAPH_NONE UINT32_MAX

/* Objects and variables together: the dominators need a bit of each number, and a few numbers. */
static const uint32_t HF_GRAPH_MAX_NODES = (1u << 31) - 8;

struct hf_graph_root {
	uint32_t object;   /* the object that the word points into */
	uint32_t variable; /* the variable that owns the word, or HF_GRAPH_NONE */
	uint8_t rank;      /* how good a holder the word is; 0 is the best */
};

/* How a spanning forest gets to an object. */
struct hf_graph_link {
	uint32_t parent; /* next object towards the start; HF_GRAPH_NONE at the start itself */
	uint32_t root;   /* index of the root word it starts from */
	uint32_t depth;  /* edges from the first object; 0: the root word points here */
};

/* Called now and then with the work done so far of a stage; returning false cancels the stage. */
typedef bool (*hf_graph_progress)(void *ctx, const char *stage, uint64_t done, uint64_t total);

struct hf_graph {
	uint32_t n_objects, n_variables, n_roots;
	const uint64_t *size;     /* [n_objects] bytes of each object */
	const uint64_t *offset;   /* [n_objects + 1], ascending from 0 */
	const uint32_t *dst;      /* [offset[n_objects]] */
	const uint64_t *doubtful; /* bitmap over edge indices: not known to be a pointer; or NULL */
	const struct hf_graph_root *roots; /* [n_roots], in any order */
	hf_graph_progress progress;        /* or NULL */
	void *progress_ctx;
};

static inline uint64_t hf_graph_n_edges(const struct hf_graph *g)
{
	return g->offset[g->n_objects];
}

static inline bool hf_graph_bit(const uint64_t *bitmap, uint64_t i)
{
	return bitmap[i / 64] >> (i % 64) & 1;
}

static inline bool hf_graph_is_doubtful(const struct hf_graph *g, uint64_t edge)
{
	return g->doubtful && hf_graph_bit(g->doubtful, edge);
}

/* Is every id in range and every offset in order? HF_E_CORRUPT names the first that is not. All
 * other functions rely on it: call this once on arrays that came from a file. */
enum hf_status hf_graph_check(const struct hf_graph *g, struct hf_err *err);

/* An array of n elements of elem bytes, uninitialised, on huge pages when that is worth it; NULL if
 * there is no memory or the size overflows. Free it with free(). Input arrays that come from here
 * make the passes over them faster. */
void *hf_graph_alloc(uint64_t n, size_t elem);
/* The same, zeroed. */
void *hf_graph_zalloc(uint64_t n, size_t elem);

/* The index of an edge from src to dst, a certain one if there is one, or UINT64_MAX. Looks at all
 * edges of src. */
uint64_t hf_graph_find_edge(const struct hf_graph *g, uint32_t src, uint32_t dst);

/* A graph without its doubtful edges, for the sizes that hold if none of them is a pointer. Its
 * edges have indices of their own. */
struct hf_graph_certain {
	struct hf_graph g; /* sizes, roots and progress hook of the original; doubtful is NULL */
	uint64_t *offset;  /* own */
	uint32_t *dst;     /* own */
};

enum hf_status hf_graph_certain_init(
	struct hf_graph_certain *ret, const struct hf_graph *g, struct hf_err *err);
void hf_graph_certain_deinit(struct hf_graph_certain *certain);
