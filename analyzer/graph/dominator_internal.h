/*
 * The two halves of the dominator computation: a depth-first search that numbers the nodes (dfs.c),
 * and Semi-NCA over these numbers (dominator.c). Number 0 is the virtual root.
 */
#pragma once
#include "graph/internal.h"
#include "graph/reach.h"

/* Predecessor u of v with u > v, both numbers. */
struct hf_graph_arc {
	uint32_t v, u;
};

enum { HF_GRAPH_CHUNK = 512 };

/* Arcs are written in buckets of 2^bucket_shift targets, each a chain of chunks: appending goes to
 * few cache lines, and a bucket can be sorted within the cache. */
struct hf_graph_chunk {
	uint32_t previous; /* chunk of the same bucket that was filled before, or HF_GRAPH_NONE */
	uint32_t n;
	struct hf_graph_arc arc[HF_GRAPH_CHUNK - 1];
};

struct hf_graph_dfs {
	uint32_t n;       /* nodes numbered, the virtual root included */
	uint32_t *vertex; /* [n] node by number; vertex[0] is HF_GRAPH_NONE */
	uint32_t *idom;   /* [n] by number: the parent in the search tree, becomes the idom */
	uint32_t *semi;   /* [n] the least predecessor, becomes the semidominator; in the scratch
			   * memory behind the cells */

	unsigned bucket_shift;
	uint32_t n_buckets, n_chunks;
	uint32_t *bucket;             /* [n_buckets] newest chunk, or HF_GRAPH_NONE */
	struct hf_graph_chunk *chunk; /* [n_chunks], a mapping of chunk_bytes */
	size_t chunk_bytes;
};

/* Positions of edges are kept in 32 bits, from the start of a block of objects that has fewer edges
 * than block_edges: HF_GRAPH_BLOCK_EDGES, but for tests. */
#define HF_GRAPH_BLOCK_EDGES (1ull << 32)
/* scratch: HF_GRAPH_SCRATCH bytes a node, the virtual root included. When this is done, its first 8
 * bytes a node are free for other use. */
enum { HF_GRAPH_SCRATCH = 12 };
enum hf_status hf_graph_dfs_init(struct hf_graph_dfs *ret, const struct hf_graph *g,
	const struct hf_graph_heads *heads, uint64_t block_edges, void *scratch,
	struct hf_err *err);
void hf_graph_dfs_deinit(struct hf_graph_dfs *dfs);
/* Give the memory of the arcs back. */
void hf_graph_dfs_drop_arcs(struct hf_graph_dfs *dfs);
