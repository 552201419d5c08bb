/*
 * The edges by (target, source, offset): the rows of the index edge_dst.
 *
 * They are sorted a range of targets at a time, each from passes over all edges, so that only a
 * part of them is held beside the heap.
 *
 * Thread rule: belongs to one thread; the heap is only read.
 */
#pragma once
#include "source/heap.h"
#include "store/btree.h"

struct hf_back_edge {
	uint32_t src, src_off; /* as in struct hf_heap */
};

struct hf_back_edges {
	const struct hf_heap *heap;
	uint32_t *range_end; /* [n_ranges] targets; owned */
	uint32_t n_ranges, range;
	uint32_t low;              /* first target of the range at hand */
	uint64_t first, end;       /* its edges are rows first … end - 1 */
	struct hf_back_edge *edge; /* those; owned */
	uint64_t *edge_end;        /* where the edges of its targets end, from 0; owned */
	/* of the row before: */
	uint32_t dst;
	uint64_t wide; /* rows before it with the same ends and a wide offset */
};

/* n_ranges: as many at most; 0 chooses. */
enum hf_status hf_back_edges_init(struct hf_back_edges *ret, const struct hf_heap *heap,
	uint32_t n_ranges, struct hf_err *err);
void hf_back_edges_deinit(struct hf_back_edges *edges);
/* Row i, which counts up from 0. */
void hf_back_edges_row(void *ctx, uint64_t i, struct hf_btree_row *row);
