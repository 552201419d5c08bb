/*
 * Counting sort of the edges by target, in two steps so that nothing is accessed at random over
 * more than the cache holds: first into blocks of adjacent targets, written front to back, then
 * each block by itself.
 */
#include "graph/transpose.h"

#include <string.h>

#include "graph/internal.h"

static const char STAGE[] = "referrers";

enum { BLOCK_SHIFT = 14, BLOCK = 1 << BLOCK_SHIFT };

struct entry {
	uint64_t edge;
	uint32_t src;
};

struct sorter {
	const struct hf_graph *g;
	struct hf_graph_transpose *t;
	uint32_t n_blocks;
	uint64_t *next;   /* [n_blocks + 1] where the next edge of a block goes; at last, its end */
	uint16_t *target; /* [n_edges] target within the block, of the edges sorted by block */
	struct entry *block; /* [cap] one block's edges */
	uint64_t cap;
};

static void sorter_deinit(struct sorter *s)
{
	free(s->next);
	free(s->target);
	free(s->block);
}

/* A block with a good part of all edges: too large to be copied aside. There are few of them. */
static bool is_large(const struct sorter *s, uint64_t n_edges)
{
	return n_edges > 4 * BLOCK && n_edges > hf_graph_n_edges(s->g) / 16;
}

/* Where the blocks start, and room for sorting any but a large one. */
static bool sorter_init(struct sorter *s)
{
	const struct hf_graph *g = s->g;
	uint64_t m = hf_graph_n_edges(g), sum = 0;
	s->n_blocks = (uint32_t)(((uint64_t)g->n_objects + BLOCK - 1) >> BLOCK_SHIFT);
	s->next = hf_graph_zalloc(s->n_blocks + 1ull, sizeof(*s->next));
	s->target = hf_graph_alloc(m, sizeof(*s->target));
	if (!s->next || !s->target)
		return false;
	for (uint64_t e = 0; e < m; e++)
		s->next[g->dst[e] >> BLOCK_SHIFT]++;
	for (uint32_t b = 0; b <= s->n_blocks; b++) {
		uint64_t count = s->next[b];
		if (count > s->cap && !is_large(s, count))
			s->cap = count;
		s->next[b] = sum;
		sum += count;
	}
	s->block = hf_graph_alloc(s->cap, sizeof(*s->block));
	return s->block;
}

static inline void put(struct hf_graph_transpose *t, uint64_t at, struct entry entry)
{
	t->src[at] = entry.src;
	if (t->edge_low)
		t->edge_low[at] = (uint32_t)entry.edge;
	if (t->edge_high)
		t->edge_high[at] = (uint8_t)(entry.edge >> 32);
}

static inline struct entry get(const struct hf_graph_transpose *t, uint64_t at)
{
	return (struct entry){t->edge_low ? hf_graph_transpose_edge(t, at) : 0, t->src[at]};
}

static enum hf_status sort_by_block(struct sorter *s, struct hf_err *err)
{
	const struct hf_graph *g = s->g;
	for (uint32_t u = 0; u < g->n_objects; u++) {
		for (uint64_t e = g->offset[u]; e < g->offset[u + 1]; e++) {
			uint64_t at = s->next[g->dst[e] >> BLOCK_SHIFT]++;
			s->target[at] = g->dst[e] & (BLOCK - 1);
			put(s->t, at, (struct entry){e, u});
		}
		if (u % HF_GRAPH_TICK == 0) {
			enum hf_status st = hf_graph_tick(g, STAGE, u, g->n_objects, err);
			if (st)
				return st;
		}
	}
	return HF_OK;
}

/* Set offset[] of the n objects of a block to where their edges start, the block's to `first`. */
static void start_objects(
	const struct sorter *s, uint64_t *offset, uint32_t n, uint64_t first, uint64_t end)
{
	memset(offset, 0, n * sizeof(*offset));
	for (uint64_t i = first; i < end; i++)
		offset[s->target[i]]++;
	uint64_t sum = first;
	for (uint32_t v = 0; v < n; v++) {
		uint64_t count = offset[v];
		offset[v] = sum;
		sum += count;
	}
}

/* The edges of a large block come from the graph once more. */
static void place_large(struct sorter *s, uint32_t b, uint64_t *offset)
{
	const struct hf_graph *g = s->g;
	for (uint32_t u = 0; u < g->n_objects; u++) {
		for (uint64_t e = g->offset[u]; e < g->offset[u + 1]; e++) {
			if (g->dst[e] >> BLOCK_SHIFT == b)
				put(s->t, offset[g->dst[e] & (BLOCK - 1)]++, (struct entry){e, u});
		}
	}
}

/* Sort edges first to end - 1, all of block b, and set the offsets of its objects. */
static void sort_block(struct sorter *s, uint32_t b, uint64_t first, uint64_t end)
{
	uint64_t n_left = s->g->n_objects - ((uint64_t)b << BLOCK_SHIFT);
	uint32_t n = n_left < BLOCK ? (uint32_t)n_left : BLOCK;
	uint64_t *offset = s->t->offset + ((uint64_t)b << BLOCK_SHIFT);
	start_objects(s, offset, n, first, end);
	if (is_large(s, end - first)) {
		place_large(s, b, offset);
	} else {
		for (uint64_t i = first; i < end; i++)
			s->block[i - first] = get(s->t, i);
		for (uint64_t i = first; i < end; i++)
			put(s->t, offset[s->target[i]]++, s->block[i - first]);
	}
	/* Each offset is now the end of its object: the start of the next one. */
	memmove(offset + 1, offset, (n - 1) * sizeof(*offset));
	offset[0] = first;
}

static enum hf_status transpose(
	struct hf_graph_transpose *t, const struct hf_graph *g, struct hf_err *err)
{
	_cleanup_(sorter_deinit) struct sorter s = {.g = g, .t = t};
	if (!sorter_init(&s))
		return hf_graph_nomem(err, STAGE);
	enum hf_status st = sort_by_block(&s, err);
	if (st)
		return st;
	for (uint32_t b = 0; b < s.n_blocks; b++)
		sort_block(&s, b, b ? s.next[b - 1] : 0, s.next[b]);
	t->offset[g->n_objects] = hf_graph_n_edges(g);
	return HF_OK;
}

enum hf_status hf_graph_transpose_init(struct hf_graph_transpose *ret, const struct hf_graph *g,
	bool with_edges, struct hf_err *err)
{
	uint64_t m = hf_graph_n_edges(g);
	if (m >> 40)
		return hf_err_set(err, HF_E_UNSUPPORTED, "graph, %s: %lu edges", STAGE, m);
	_cleanup_(hf_graph_transpose_deinit) struct hf_graph_transpose t = {0};
	t.offset = hf_graph_alloc(g->n_objects + 1ull, sizeof(*t.offset));
	t.src = hf_graph_alloc(m, sizeof(*t.src));
	if (with_edges)
		t.edge_low = hf_graph_alloc(m, sizeof(*t.edge_low));
	if (with_edges && m >> 32)
		t.edge_high = hf_graph_alloc(m, sizeof(*t.edge_high));
	if (!t.offset || !t.src || (with_edges && !t.edge_low) ||
		(with_edges && m >> 32 && !t.edge_high))
		return hf_graph_nomem(err, STAGE);
	enum hf_status st = transpose(&t, g, err);
	if (st)
		return st;
	*ret = t;
	t = (struct hf_graph_transpose){0};
	return HF_OK;
}

void hf_graph_transpose_deinit(struct hf_graph_transpose *t)
{
	free(t->offset);
	free(t->src);
	free(t->edge_low);
	free(t->edge_high);
	*t = (struct hf_graph_transpose){0};
}
