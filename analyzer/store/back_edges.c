#include "store/back_edges.h"

#include <stdlib.h>
#include <string.h>
#ifdef __SSE2__
#	include <emmintrin.h>
#endif

#include "graph/graph.h"

enum {
	BLOCK_SHIFT = 10, /* ranges are of whole blocks of so many targets */
	FEW_EDGES = 4000000,
	MANY_EDGES = 100000000,
};

void hf_back_edges_deinit(struct hf_back_edges *edges)
{
	free(edges->range_end);
	free(edges->edge);
	free(edges->edge_end);
	*edges = (struct hf_back_edges){0};
}

/* Where ranges of about as many edges each end; what the largest of them needs. */
static bool choose_ranges(struct hf_back_edges *b, uint32_t max_ranges, uint64_t *ret_most_edges,
	uint32_t *ret_most_targets)
{
	const struct hf_heap *heap = b->heap;
	uint64_t n_blocks = (heap->n_objects >> BLOCK_SHIFT) + 1, m = heap->n_edges;
	uint64_t *n_of = calloc(n_blocks, sizeof(*n_of));
	b->range_end = malloc(max_ranges * sizeof(*b->range_end));
	if (!n_of || !b->range_end) {
		free(n_of);
		return false;
	}
	for (uint64_t i = 0; i < m; i++)
		n_of[heap->edge_dst[i] >> BLOCK_SHIFT]++;
	uint64_t sum = 0, start = 0;
	*ret_most_edges = 0;
	*ret_most_targets = 0;
	for (uint64_t k = 0, low = 0; k < n_blocks; k++) {
		sum += n_of[k];
		bool last = k + 1 == n_blocks;
		uint64_t end = last ? heap->n_objects : (k + 1) << BLOCK_SHIFT;
		if (!last && (sum < (b->n_ranges + 1) * (m / max_ranges) + 1 ||
				     b->n_ranges + 1 == max_ranges))
			continue;
		b->range_end[b->n_ranges++] = (uint32_t)end;
		if (sum - start > *ret_most_edges)
			*ret_most_edges = sum - start;
		if (end - low > *ret_most_targets)
			*ret_most_targets = (uint32_t)(end - low);
		start = sum;
		low = end;
	}
	free(n_of);
	return true;
}

enum hf_status hf_back_edges_init(struct hf_back_edges *ret, const struct hf_heap *heap,
	uint32_t n_ranges, struct hf_err *err)
{
	*ret = (struct hf_back_edges){.heap = heap};
	uint64_t m = heap->n_edges, most_edges;
	uint32_t most_targets;
	if (!n_ranges)
		n_ranges = m < FEW_EDGES ? 1 : m < MANY_EDGES ? 4 : 8;
	bool ok = choose_ranges(ret, n_ranges, &most_edges, &most_targets);
	if (ok) {
		ret->edge = hf_graph_alloc(most_edges + 1, sizeof(*ret->edge));
		ret->edge_end = hf_graph_alloc(most_targets + 1ull, sizeof(*ret->edge_end));
	}
	if (ok && ret->edge && ret->edge_end)
		return HF_OK;
	hf_back_edges_deinit(ret);
	return hf_err_set(
		err, HF_E_NOMEM, "no memory to sort %llu edges by target", (unsigned long long)m);
}

enum { BATCH = 64 };

/* Which of the four targets from d on are at low … low + n - 1, as bits. Without a branch: that
 * would be guessed wrong too often. */
static inline unsigned four_in_range(const uint32_t *d, uint32_t low, uint32_t n)
{
#ifdef __SSE2__ /* compares signed */
	__m128i v = _mm_sub_epi32(_mm_loadu_si128((const __m128i *)d), _mm_set1_epi32((int)low));
	v = _mm_xor_si128(v, _mm_set1_epi32(INT32_MIN));
	__m128i less = _mm_cmplt_epi32(v, _mm_set1_epi32((int)(n ^ 0x80000000)));
	return (unsigned)_mm_movemask_ps(_mm_castsi128_ps(less));
#else
	return (d[0] - low < n) | (d[1] - low < n) << 1 | (d[2] - low < n) << 2 |
	       (d[3] - low < n) << 3;
#endif
}

/* Which of the edges i … i + BATCH - 1 point into the range, as bits. */
static inline uint64_t in_range(const struct hf_heap *heap, uint64_t i, uint32_t low, uint32_t n)
{
	const uint32_t *dst = heap->edge_dst + i;
	uint64_t mask = 0, left = heap->n_edges - i;
	if (left >= BATCH) {
		for (unsigned k = 0; k < BATCH; k += 4)
			mask |= (uint64_t)four_in_range(dst + k, low, n) << k;
	} else {
		for (unsigned k = 0; k < left; k++)
			mask |= (uint64_t)(dst[k] - low < n) << k;
	}
	return mask;
}

/* Set edge_end[] of n targets to where the edges of each start. */
static void count_range(struct hf_back_edges *b, uint32_t n)
{
	const struct hf_heap *heap = b->heap;
	memset(b->edge_end, 0, (n + 1ull) * sizeof(*b->edge_end));
	for (uint64_t i = 0; i < heap->n_edges; i += BATCH) {
		for (uint64_t bits = in_range(heap, i, b->low, n); bits; bits &= bits - 1)
			b->edge_end[heap->edge_dst[i + (unsigned)__builtin_ctzll(bits)] - b->low]++;
	}
	uint64_t sum = 0;
	for (uint32_t t = 0; t < n; t++) {
		uint64_t count = b->edge_end[t];
		b->edge_end[t] = sum;
		sum += count;
	}
	b->first = b->end;
	b->end += sum;
}

/* Edges on their way to their places: what is accessed at random is asked for two batches ahead. */
struct batch {
	uint32_t n;
	struct {
		uint32_t target;
		struct hf_back_edge edge;
	} at[BATCH];
};

static inline void ask_places(const struct hf_back_edges *b, const struct batch *batch)
{
	for (uint32_t k = 0; k < batch->n; k++)
		__builtin_prefetch(&b->edge[b->edge_end[batch->at[k].target]], 1);
}

static inline void place(struct hf_back_edges *b, const struct batch *batch)
{
	for (uint32_t k = 0; k < batch->n; k++)
		b->edge[b->edge_end[batch->at[k].target]++] = batch->at[k].edge;
}

/* The next range: a counting sort. */
static void next_range(struct hf_back_edges *b)
{
	const struct hf_heap *heap = b->heap;
	b->low = b->range ? b->range_end[b->range - 1] : 0;
	b->dst = b->low;
	uint32_t n = b->range_end[b->range++] - b->low;
	count_range(b, n);
	struct batch batches[3] = {0}, *fresh = &batches[0], *asked = &batches[1],
		     *ready = &batches[2];
	uint32_t src = 0;
	for (uint64_t i = 0; i < heap->n_edges; i += BATCH) {
		fresh->n = 0;
		for (uint64_t bits = in_range(heap, i, b->low, n); bits; bits &= bits - 1) {
			uint64_t e = i + (unsigned)__builtin_ctzll(bits);
			while (e >= heap->edge_offset[src + 1])
				src++;
			uint32_t target = heap->edge_dst[e] - b->low;
			__builtin_prefetch(&b->edge_end[target], 1);
			fresh->at[fresh->n].target = target;
			fresh->at[fresh->n++].edge =
				(struct hf_back_edge){src, heap->edge_src_off[e]};
		}
		ask_places(b, asked);
		place(b, ready);
		struct batch *spare = ready;
		ready = asked;
		asked = fresh;
		fresh = spare;
	}
	place(b, ready);
	place(b, asked);
}

/* The wide offset of an edge, found again by its ends: there are next to none. */
static uint64_t wide_offset(const struct hf_heap *heap, uint32_t src, uint32_t dst, uint64_t nth)
{
	for (uint64_t i = heap->edge_offset[src]; i < heap->edge_offset[src + 1]; i++)
		if (heap->edge_dst[i] == dst && heap->edge_src_off[i] == HF_HEAP_WIDE && !nth--)
			return hf_heap_src_off(heap, i);
	return 0;
}

void hf_back_edges_row(void *ctx, uint64_t i, struct hf_btree_row *row)
{
	struct hf_back_edges *b = ctx;
	while (__builtin_expect(i >= b->end, 0))
		next_range(b);
	uint64_t at = i - b->first;
	bool same = true;
	while (at >= b->edge_end[b->dst - b->low]) {
		b->dst++;
		same = false;
	}
	const struct hf_back_edge *edge = &b->edge[at];
	row->value[0] = (int64_t)b->dst + 1;
	row->value[1] = (int64_t)edge->src + 1;
	row->value[2] = (int64_t)edge->src_off * 8;
	row->n = 3;
	if (__builtin_expect(edge->src_off == HF_HEAP_WIDE, 0)) {
		bool again =
			same && at && edge[-1].src == edge->src && edge[-1].src_off == HF_HEAP_WIDE;
		b->wide = again ? b->wide + 1 : 0;
		row->value[2] = (int64_t)wide_offset(b->heap, edge->src, b->dst, b->wide);
	}
}
