#include "store/wide.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

enum {
	ROWS_PART = 64,       /* rows of all wide objects: one of so many objects … */
	ROWS_LEAST = 1 << 16, /* … or so many */
};

struct candidate {
	uint32_t node;
	uint32_t n_children;
	uint32_t width;     /* words or far children, whichever are more */
	bool always;        /* it does not count for the bound on rows */
	uint32_t n_filled;  /* of the largest, which are a heap with the smallest first */
	uint32_t n_seen;    /* children that went by */
	uint32_t n_drawn;   /* of the sample */
	uint32_t next_draw; /* which child is the next of the sample */
};

struct maker {
	const struct hf_rows_objects *objects;
	const struct hf_graph *g;
	enum hf_wide_tree tree;
	uint32_t n_nodes;
	uint64_t *is_candidate; /* bitmap over nodes */
	uint32_t *rank;         /* candidates before each word of the bitmap */
	struct candidate *at;   /* by node */
	uint32_t n;
};

static void maker_deinit(struct maker *m)
{
	free(m->is_candidate);
	free(m->rank);
	free(m->at);
}

static uint64_t size_of(const struct maker *m, uint32_t object)
{
	return m->tree == HF_WIDE_DOMINATORS ? m->objects->dominance[object].retained_size
					     : m->objects->held->size[object];
}

static uint32_t parent_of(const struct maker *m, uint32_t object)
{
	return hf_rows_parent_in(m->objects, m->g, m->tree == HF_WIDE_DOMINATORS, object);
}

/* Does no word of the variable that dominates an object point to it? If one does that is not the
 * nearest root word, the answer is wrong, and harmless. */
static bool is_far(const struct maker *m, uint32_t object, uint32_t variable_node)
{
	const struct hf_graph_link *reach = &m->objects->reach[object];
	return reach->depth != 0 ||
	       m->g->roots[reach->root].variable != variable_node - m->g->n_objects;
}

static void mark(struct maker *m, uint32_t node)
{
	m->is_candidate[node / 64] |= 1ull << (node % 64);
}

static struct candidate *candidate_of(const struct maker *m, uint32_t node)
{
	uint64_t word = m->is_candidate[node / 64], bit = 1ull << (node % 64);
	if (!(word & bit))
		return NULL;
	return &m->at[m->rank[node / 64] + (uint32_t)__builtin_popcountll(word & (bit - 1))];
}

static uint32_t words_of(const struct maker *m, uint32_t object)
{
	uint64_t n = m->g->offset[object + 1] - m->g->offset[object];
	return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

/* How many entries of one object the pairs have from i on. */
static size_t same_key(const struct hf_rows_pairs *pairs, size_t i)
{
	size_t end = i;
	while (end < pairs->n && pairs->pair[end].key == pairs->pair[i].key)
		end++;
	return end - i;
}

/* Every object with many words or far children, and every variable. */
static enum hf_status find_candidates(
	struct maker *m, const struct hf_rows_pairs *far_idom, struct hf_err *err)
{
	size_t n_words = m->n_nodes / 64 + 1;
	m->is_candidate = calloc(n_words, sizeof(*m->is_candidate));
	m->rank = malloc(n_words * sizeof(*m->rank));
	if (!m->is_candidate || !m->rank)
		return hf_err_set(err, HF_E_NOMEM, "no memory to look for wide objects");
	for (uint32_t i = 0; i < m->g->n_objects; i++)
		if (words_of(m, i) > HF_WIDE_LEAST)
			mark(m, i);
	bool far = m->tree == HF_WIDE_DOMINATORS;
	for (size_t i = 0, n; far && i < far_idom->n; i += n) {
		n = same_key(far_idom, i);
		if (n > HF_WIDE_LEAST)
			mark(m, (uint32_t)(far_idom->pair[i].key - 1));
	}
	for (uint32_t v = 0; v < m->g->n_variables; v++)
		mark(m, m->g->n_objects + v);
	for (size_t w = 0; w < n_words; w++) {
		m->rank[w] = m->n;
		m->n += (uint32_t)__builtin_popcountll(m->is_candidate[w]);
	}
	m->at = calloc(m->n + 1ull, sizeof(*m->at));
	if (!m->at)
		return hf_err_set(err, HF_E_NOMEM, "no memory to look for wide objects");
	uint32_t k = 0;
	for (size_t w = 0; w < n_words; w++)
		for (uint64_t word = m->is_candidate[w]; word; word &= word - 1, k++) {
			uint32_t node = (uint32_t)(w * 64) + (uint32_t)__builtin_ctzll(word);
			m->at[k].node = node;
			m->at[k].width = node < m->g->n_objects ? words_of(m, node) : 0;
		}
	for (uint32_t r = 0; r < m->g->n_roots; r++)
		if (m->g->roots[r].variable != HF_GRAPH_NONE)
			candidate_of(m, m->g->n_objects + m->g->roots[r].variable)->width++;
	for (size_t i = 0, n; far && i < far_idom->n; i += n) {
		n = same_key(far_idom, i);
		struct candidate *c = candidate_of(m, (uint32_t)(far_idom->pair[i].key - 1));
		if (c && c->width < n)
			c->width = (uint32_t)n;
	}
	return HF_OK;
}

static void count_children(struct maker *m)
{
	for (uint32_t i = 0; i < m->g->n_objects; i++) {
		uint32_t parent = parent_of(m, i);
		struct candidate *c = parent == HF_GRAPH_NONE ? NULL : candidate_of(m, parent);
		if (!c)
			continue;
		c->n_children++;
		if (m->tree == HF_WIDE_DOMINATORS && parent >= m->g->n_objects)
			c->always |= is_far(m, i, parent);
	}
}

static uint32_t rows_of(const struct candidate *c)
{
	return c->n_children < HF_WIDE_TOP + HF_WIDE_SAMPLE ? c->n_children
							    : HF_WIDE_TOP + HF_WIDE_SAMPLE;
}

/* The width from which on nodes are wide. */
static uint32_t least_width(const struct maker *m)
{
	uint64_t bound = m->g->n_objects / ROWS_PART, rows;
	uint32_t least = HF_WIDE_LEAST / 2;
	if (bound < ROWS_LEAST)
		bound = ROWS_LEAST;
	do {
		least *= 2;
		rows = 0;
		for (uint32_t k = 0; k < m->n; k++)
			if (!m->at[k].always && m->at[k].width > least)
				rows += rows_of(&m->at[k]);
	} while (rows > bound && least < UINT32_MAX / 2);
	return least;
}

static uint32_t hash(uint32_t a, uint32_t b)
{
	uint64_t v = ((uint64_t)a << 32 | b) * 0x9e3779b97f4a7c15;
	v = (v ^ (v >> 32)) * 0xd6e8feb86659fd93;
	return (uint32_t)(v >> 32);
}

/* The sample has one child out of each of equal stretches, at a place that a hash chooses: no
 * pattern of the program's own can agree with it. */
static void choose_draw(struct candidate *c)
{
	uint64_t n = c->n_children, k = c->n_drawn;
	uint64_t from = k * n / HF_WIDE_SAMPLE, to = (k + 1) * n / HF_WIDE_SAMPLE;
	c->next_draw = k < HF_WIDE_SAMPLE
			       ? (uint32_t)(from + hash(c->node, (uint32_t)k) % (to - from))
			       : UINT32_MAX;
}

/* Is a a smaller child than b? Of equal ones the later is. */
static bool is_smaller(const struct maker *m, uint32_t a, uint32_t b)
{
	uint64_t x = size_of(m, a), y = size_of(m, b);
	return x != y ? x < y : a > b;
}

/* A heap of the largest children: put one in the place of the first, and let it sink. */
static void sink(const struct maker *m, uint32_t *heap, uint32_t n, uint32_t object)
{
	uint32_t i = 0;
	for (;;) {
		uint32_t child = 2 * i + 1;
		if (child + 1 < n && is_smaller(m, heap[child + 1], heap[child]))
			child++;
		if (child >= n || !is_smaller(m, heap[child], object))
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = object;
}

static void rise(const struct maker *m, uint32_t *heap, uint32_t i, uint32_t object)
{
	for (; i && is_smaller(m, object, heap[(i - 1) / 2]); i = (i - 1) / 2)
		heap[i] = heap[(i - 1) / 2];
	heap[i] = object;
}

static void see_child(const struct maker *m, struct candidate *c, const struct hf_wide_node *to,
	uint32_t *rows, uint32_t object)
{
	if (c->n_filled < to->n_top)
		rise(m, rows, c->n_filled++, object);
	else if (to->n_top && is_smaller(m, rows[0], object))
		sink(m, rows, to->n_top, object);
	if (to->n_sample && c->n_seen == c->next_draw) {
		rows[to->n_top + c->n_drawn++] = object;
		choose_draw(c);
	}
	c->n_seen++;
}

/* From a heap, smallest first, to a list, largest first. */
static void sort_heap(const struct maker *m, uint32_t *heap, uint32_t n)
{
	while (n > 1) {
		uint32_t smallest = heap[0], last = heap[--n];
		sink(m, heap, n, last);
		heap[n] = smallest;
	}
}

static enum hf_status make_tree(struct maker *m, struct hf_wide *ret,
	const struct hf_rows_pairs *far_idom, struct hf_err *err)
{
	typeof(ret->tree[0]) *tree = &ret->tree[m->tree];
	enum hf_status status = find_candidates(m, far_idom, err);
	if (status != HF_OK)
		return status;
	count_children(m);
	uint32_t least = least_width(m);
	/* For each candidate: its place in the result + 1. */
	_cleanup_(hf_freep) uint32_t *place = calloc(m->n + 1ull, sizeof(*place));
	tree->node = calloc(m->n + 1ull, sizeof(*tree->node));
	if (!place || !tree->node)
		return hf_err_set(err, HF_E_NOMEM, "no memory to look for wide objects");
	for (uint32_t k = 0; k < m->n; k++) {
		struct candidate *c = &m->at[k];
		if (!c->always && c->width <= least)
			continue;
		bool all = c->n_children <= HF_WIDE_TOP + HF_WIDE_SAMPLE;
		tree->node[tree->n] = (struct hf_wide_node){.node = c->node,
			.n_children = c->n_children,
			.first = (uint32_t)tree->n_rows,
			.n_top = all ? c->n_children : HF_WIDE_TOP,
			.n_sample = all ? 0 : HF_WIDE_SAMPLE};
		place[k] = ++tree->n;
		tree->n_rows += rows_of(c);
		if (!all)
			choose_draw(c);
	}
	tree->child = malloc((tree->n_rows + 1) * sizeof(*tree->child));
	if (!tree->child)
		return hf_err_set(err, HF_E_NOMEM, "no memory for the children of wide objects");
	for (uint32_t i = 0; tree->n && i < m->g->n_objects; i++) {
		uint32_t parent = parent_of(m, i);
		struct candidate *c = parent == HF_GRAPH_NONE ? NULL : candidate_of(m, parent);
		if (!c || !place[c - m->at])
			continue;
		struct hf_wide_node *node = &tree->node[place[c - m->at] - 1];
		see_child(m, c, node, tree->child + node->first, i);
	}
	for (uint32_t k = 0; k < tree->n; k++)
		sort_heap(m, tree->child + tree->node[k].first, tree->node[k].n_top);
	return HF_OK;
}

enum hf_status hf_wide_init(struct hf_wide *ret, const struct hf_rows_objects *objects,
	const struct hf_graph *graph, const struct hf_rows_pairs *far_idom, struct hf_err *err)
{
	*ret = (struct hf_wide){0};
	enum hf_status status = HF_OK;
	for (int t = 0; t < HF_WIDE_TREES && status == HF_OK; t++) {
		_cleanup_(maker_deinit) struct maker m = {.objects = objects,
			.g = graph,
			.tree = (enum hf_wide_tree)t,
			.n_nodes = graph->n_objects + graph->n_variables};
		status = make_tree(&m, ret, far_idom, err);
	}
	if (status != HF_OK)
		hf_wide_deinit(ret);
	return status;
}

void hf_wide_deinit(struct hf_wide *wide)
{
	for (int t = 0; t < HF_WIDE_TREES; t++) {
		free(wide->tree[t].node);
		free(wide->tree[t].child);
	}
	*wide = (struct hf_wide){0};
}
