/*
 * Depth-first search for the dominators: numbers the nodes and sorts every edge into what Semi-NCA
 * needs of it.
 *
 * Visiting a node pushes all its edges, and an edge is looked at when it is popped: its target's
 * record has been asked for meanwhile. An edge from a lower to a higher number (to a node that is
 * already numbered) can only lower the target's least predecessor; only an edge from a higher to a
 * lower number has to be kept as an arc. So each edge costs one access, and about half of them are
 * stored.
 */
#include <string.h>
#include <sys/mman.h>

#include "base/checked.h"
#include "graph/dominator_internal.h"

static const char STAGE[] = "dominators: search";

/* Numbers of objects that were not visited yet. */
#define UNSEEN      HF_GRAPH_NONE
#define UNSEEN_LEAF (HF_GRAPH_NONE - 1)

struct record {
	uint64_t offset;      /* first edge: a copy, so that number and edges are one cache miss */
	uint32_t number, min; /* own number or HF_GRAPH_NONE; least predecessor's number */
};

struct pending {
	uint32_t target, from; /* an object, and the number of the node that points to it */
};

struct search {
	const struct hf_graph *g;
	struct hf_graph_dfs *dfs;
	struct record *record; /* [n_objects + 1] */
	struct pending *stack; /* a mapping that can hold all edges; pages are used on demand */
	size_t stack_bytes;
	uint64_t top, n_edges;
	uint32_t floor; /* lower numbers belong to the reachable part, while searching the leaks */
	uint64_t done;
};

static void *map_lazily(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	hf_graph_prefer_huge_pages(p, bytes);
	return p;
}

static struct hf_graph_chunk *new_chunk(struct hf_graph_dfs *dfs, uint32_t bucket)
{
	struct hf_graph_chunk *chunk = &dfs->chunk[dfs->n_chunks];
	chunk->previous = dfs->bucket[bucket];
	chunk->n = 0;
	dfs->bucket[bucket] = dfs->n_chunks++;
	return chunk;
}

static inline void store_arc(struct hf_graph_dfs *dfs, uint32_t v, uint32_t u)
{
	uint32_t bucket = v >> dfs->bucket_shift;
	struct hf_graph_chunk *chunk = &dfs->chunk[dfs->bucket[bucket]];
	if (chunk->n == HF_GRAPH_CHUNK - 1)
		chunk = new_chunk(dfs, bucket);
	chunk->arc[chunk->n++] = (struct hf_graph_arc){v, u};
}

static inline uint32_t number_node(struct search *s, uint32_t node, uint32_t parent)
{
	uint32_t number = s->dfs->n++;
	s->dfs->vertex[number] = node;
	s->dfs->dom[number] = (struct hf_graph_dom){parent, parent};
	return number;
}

static inline void push(struct search *s, uint32_t target, uint32_t from)
{
	s->stack[s->top++] = (struct pending){target, from};
}

/* The node that is numbered `from`, the highest number so far, points to target. */
static inline void touch(struct search *s, uint32_t target, uint32_t from)
{
	struct record *r = &s->record[target];
	if (r->number < UNSEEN_LEAF) {
		if (r->number < from && r->number >= s->floor)
			store_arc(s->dfs, r->number, from);
		return;
	}
	if (r->min == HF_GRAPH_NONE)
		r->min = from;
	if (r->number == UNSEEN_LEAF) {
		r->number = number_node(s, target, from);
		return;
	}
	__builtin_prefetch(&s->g->dst[r->offset]);
	push(s, target, from);
}

static inline void touch_all(struct search *s, const uint32_t *target, uint64_t n, uint32_t from)
{
	for (uint64_t i = 0; i < n && i < HF_GRAPH_PREFETCH; i++)
		__builtin_prefetch(&s->record[target[i]]);
	for (uint64_t i = 0; i < n; i++) {
		if (i + HF_GRAPH_PREFETCH < n)
			__builtin_prefetch(&s->record[target[i + HF_GRAPH_PREFETCH]]);
		touch(s, target[i], from);
	}
}

/* Ask for what is needed when the search comes back to the entries below the top: their records,
 * and the records of the first few objects that they point to. */
static inline __attribute__((always_inline)) void prefetch_below(const struct search *s)
{
	enum { NEAR = 2, FAR = 6, N_TARGETS = 3 };
	if (s->top <= FAR)
		return;
	__builtin_prefetch(&s->record[s->stack[s->top - FAR].target]);
	const struct record *soon = &s->record[s->stack[s->top - NEAR].target];
	if (soon->offset + N_TARGETS > s->n_edges)
		return;
	for (unsigned i = 0; i < N_TARGETS; i++)
		__builtin_prefetch(&s->record[s->g->dst[soon->offset + i]]);
}

static enum hf_status empty_stack(struct search *s, struct hf_err *err)
{
	while (s->top) {
		struct pending p = s->stack[--s->top];
		prefetch_below(s);
		struct record *r = &s->record[p.target];
		if (r->number < UNSEEN_LEAF)
			continue;
		r->number = number_node(s, p.target, p.from);
		touch_all(s, s->g->dst + r->offset, r[1].offset - r->offset, r->number);
		if (++s->done % HF_GRAPH_TICK == 0) {
			enum hf_status st =
				hf_graph_tick(s->g, STAGE, s->done, s->g->n_objects, err);
			if (st)
				return st;
		}
	}
	return HF_OK;
}

/* Root words sorted by variable; those of variable v end at end[v]. The ones without a variable
 * come last. */
struct words {
	uint32_t *end;    /* [n_variables + 1] */
	uint32_t *object; /* [n_roots] */
};

static void words_deinit(struct words *words)
{
	free(words->end);
	free(words->object);
}

static bool words_init(struct words *ret, const struct hf_graph *g)
{
	ret->end = hf_graph_zalloc(g->n_variables + 1ull, sizeof(*ret->end));
	ret->object = hf_graph_alloc(g->n_roots, sizeof(*ret->object));
	if (!ret->end || !ret->object)
		return false;
	uint32_t none = g->n_variables, sum = 0;
	for (uint32_t r = 0; r < g->n_roots; r++)
		ret->end[g->roots[r].variable == HF_GRAPH_NONE ? none : g->roots[r].variable]++;
	for (uint32_t v = 0; v <= none; v++) {
		uint32_t count = ret->end[v];
		ret->end[v] = sum;
		sum += count;
	}
	for (uint32_t r = 0; r < g->n_roots; r++) {
		uint32_t v = g->roots[r].variable == HF_GRAPH_NONE ? none : g->roots[r].variable;
		ret->object[ret->end[v]++] = g->roots[r].object;
	}
	return true;
}

static enum hf_status search_reachable(struct search *s, struct hf_err *err)
{
	_cleanup_(words_deinit) struct words words = {0};
	if (!words_init(&words, s->g))
		return hf_graph_nomem(err, STAGE);
	/* Nothing is lower than the virtual root, whenever the search gets to these. */
	uint32_t w = 0, n_variables = s->g->n_variables;
	for (uint32_t k = n_variables ? words.end[n_variables - 1] : 0; k < s->g->n_roots; k++)
		s->record[words.object[k]].min = 0;
	for (uint32_t v = 0; v <= n_variables; v++) {
		if (w == words.end[v])
			continue;
		uint32_t from = v < n_variables ? number_node(s, s->g->n_objects + v, 0) : 0;
		touch_all(s, words.object + w, words.end[v] - w, from);
		w = words.end[v];
		enum hf_status st = empty_stack(s, err);
		if (st)
			return st;
	}
	return HF_OK;
}

static enum hf_status search_leaks(
	struct search *s, const struct hf_graph_heads *heads, struct hf_err *err)
{
	s->floor = s->dfs->n;
	for (uint32_t h = 0; h < heads->n; h++) {
		touch(s, heads->object[h], 0);
		enum hf_status st = empty_stack(s, err);
		if (st)
			return st;
	}
	return HF_OK;
}

static void collect_min(struct search *s)
{
	struct hf_graph_dfs *dfs = s->dfs;
	uint32_t n_objects = s->g->n_objects;
	for (uint32_t i = 1; i < dfs->n; i++) {
		if (i + HF_GRAPH_PREFETCH < dfs->n)
			__builtin_prefetch(&s->record[dfs->vertex[i + HF_GRAPH_PREFETCH]]);
		if (dfs->vertex[i] < n_objects)
			dfs->dom[i].semi = s->record[dfs->vertex[i]].min;
	}
}

static void search_deinit(struct search *s)
{
	free(s->record);
	if (s->stack)
		munmap(s->stack, s->stack_bytes);
}

static bool search_init(struct search *s, uint64_t n_heads)
{
	const struct hf_graph *g = s->g;
	s->record = hf_graph_alloc(g->n_objects + 1ull, sizeof(*s->record));
	uint64_t n_pending = hf_graph_n_edges(g), bytes;
	if (!s->record || !hf_add_u64(n_pending, g->n_roots + n_heads, &n_pending) ||
		!hf_mul_u64(n_pending + 1, sizeof(*s->stack), &bytes))
		return false;
	s->stack_bytes = bytes;
	s->stack = map_lazily(bytes);
	for (uint64_t i = 0; i < g->n_objects; i++) {
		bool leaf = g->offset[i] == g->offset[i + 1];
		s->record[i] =
			(struct record){g->offset[i], leaf ? UNSEEN_LEAF : UNSEEN, HF_GRAPH_NONE};
	}
	s->record[g->n_objects] = (struct record){hf_graph_n_edges(g), UNSEEN, HF_GRAPH_NONE};
	return s->stack;
}

/* Room for one chunk a bucket, and for all edges and root words in full chunks. */
static bool chunks_init(struct hf_graph_dfs *dfs, uint64_t n_nodes, const struct hf_graph *g)
{
	uint64_t n_arcs = hf_graph_n_edges(g) + g->n_roots;
	dfs->bucket_shift = 14;
	dfs->n_buckets = (uint32_t)(n_nodes >> dfs->bucket_shift) + 1;
	uint64_t n_chunks = n_arcs / (HF_GRAPH_CHUNK - 1) + dfs->n_buckets + 1, bytes;
	if (n_chunks >= HF_GRAPH_NONE || !hf_mul_u64(n_chunks, sizeof(*dfs->chunk), &bytes))
		return false;
	dfs->bucket = hf_graph_alloc(dfs->n_buckets, sizeof(*dfs->bucket));
	dfs->chunk = map_lazily(bytes);
	if (!dfs->bucket || !dfs->chunk)
		return false;
	dfs->chunk_bytes = bytes;
	for (uint32_t b = 0; b < dfs->n_buckets; b++) {
		dfs->bucket[b] = HF_GRAPH_NONE;
		new_chunk(dfs, b);
	}
	return true;
}

enum hf_status hf_graph_dfs_init(struct hf_graph_dfs *ret, const struct hf_graph *g,
	const struct hf_graph_heads *heads, struct hf_err *err)
{
	uint64_t n_nodes = 1ull + g->n_objects + g->n_variables;
	_cleanup_(hf_graph_dfs_deinit) struct hf_graph_dfs dfs = {0};
	_cleanup_(search_deinit) struct search s = {
		.g = g, .dfs = &dfs, .n_edges = hf_graph_n_edges(g)};
	dfs.vertex = hf_graph_alloc(n_nodes, sizeof(*dfs.vertex));
	dfs.dom = hf_graph_alloc(n_nodes, sizeof(*dfs.dom));
	if (!dfs.vertex || !dfs.dom || !chunks_init(&dfs, n_nodes, g) || !search_init(&s, heads->n))
		return hf_graph_nomem(err, STAGE);
	number_node(&s, HF_GRAPH_NONE, 0);
	enum hf_status st = search_reachable(&s, err);
	if (!st)
		st = search_leaks(&s, heads, err);
	if (st)
		return st;
	collect_min(&s);
	*ret = dfs;
	dfs = (struct hf_graph_dfs){0};
	return HF_OK;
}

void hf_graph_dfs_drop_arcs(struct hf_graph_dfs *dfs)
{
	free(dfs->bucket);
	if (dfs->chunk)
		munmap(dfs->chunk, dfs->chunk_bytes);
	dfs->bucket = NULL;
	dfs->chunk = NULL;
}

void hf_graph_dfs_deinit(struct hf_graph_dfs *dfs)
{
	hf_graph_dfs_drop_arcs(dfs);
	free(dfs->vertex);
	free(dfs->dom);
	*dfs = (struct hf_graph_dfs){0};
}
