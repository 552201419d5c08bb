/*
 * Depth-first search for the dominators: numbers the nodes and sorts every edge into what Semi-NCA
 * needs of it.
 *
 * Visiting a node pushes all its edges, and an edge is looked at when it is popped: what is needed
 * of its target has been asked for meanwhile. The node that is looked at has the highest number so
 * far, so the first edge that touches a node is the one from its least predecessor; and only an
 * edge to a node that has a number already has to be kept, as an arc. So each edge costs one access
 * to an array of 8 bytes an object, and about half of them are stored.
 *
 * Of the objects that wait, the search goes to the one next, in address order, to where it is: what
 * is known of it is mostly in the cache, and so the numbers, over which all else works, keep
 * neighbours together.
 */
#include <string.h>
#include <sys/mman.h>

#include "base/checked.h"
#include "graph/dominator_internal.h"

static const char STAGE[] = "dominators: search";

/* The state of an object: its number once it has one (below PENDING: hf_graph_check() sees to
 * that), PENDING + its least predecessor while edges to it wait on the stack, or one of these: */
#define PENDING      (1u << 31)
#define UNSEEN       UINT32_MAX
#define LEAF         (UINT32_MAX - 1) /* unseen, and has no edges */
#define LEAF_OF_ROOT (UINT32_MAX - 2) /* and the virtual root points to it */

/* State and edges of an object in one place: it is one cache miss. */
struct record {
	uint32_t state;
	uint32_t offset; /* of its first edge, from the base of its block of objects */
};

struct pending {
	uint32_t target, from; /* an object, and the number of the node that points to it */
};

struct search {
	const struct hf_graph *g;
	struct hf_graph_dfs *dfs;
	struct record *record; /* [n_objects + 1], in the scratch memory */
	uint64_t *base;        /* [(n_objects >> base_shift) + 1] of the offsets in records */
	unsigned base_shift;
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

static inline uint32_t number_node(struct search *s, uint32_t node, uint32_t parent, uint32_t least)
{
	uint32_t number = s->dfs->n++;
	s->dfs->vertex[number] = node;
	s->dfs->idom[number] = parent;
	s->dfs->semi[number] = least;
	return number;
}

static inline uint64_t edges_of(const struct search *s, uint32_t object)
{
	return s->base[object >> s->base_shift] + s->record[object].offset;
}

static inline void push(struct search *s, uint32_t target, uint32_t from)
{
	s->stack[s->top++] = (struct pending){target, from};
}

/* The node that is numbered `from`, the highest number so far, points to target. */
static inline void touch(struct search *s, uint32_t target, uint32_t from)
{
	struct record *r = &s->record[target];
	uint32_t was = r->state;
	if (was < PENDING) {
		if (was < from && was >= s->floor)
			store_arc(s->dfs, was, from);
		return;
	}
	if (was == LEAF || was == LEAF_OF_ROOT) {
		r->state = number_node(s, target, from, was == LEAF ? from : 0);
		return;
	}
	if (was == UNSEEN)
		r->state = PENDING + from;
	__builtin_prefetch(&s->g->dst[edges_of(s, target)]);
	push(s, target, from);
}

static inline void touch_all(struct search *s, const uint32_t *target, uint64_t n, uint32_t from)
{
	for (uint64_t i = 0; i < n && i < HF_GRAPH_PREFETCH; i++)
		__builtin_prefetch(&s->record[target[i]], 1);
	for (uint64_t i = 0; i < n; i++) {
		if (i + HF_GRAPH_PREFETCH < n)
			__builtin_prefetch(&s->record[target[i + HF_GRAPH_PREFETCH]], 1);
		touch(s, target[i], from);
	}
}

/* Of the entries from base on, objects that `object` points to, the nearest one is the next. */
static inline void nearest_on_top(struct search *s, uint64_t base, uint32_t object)
{
	if (s->top < base + 2)
		return;
	uint64_t nearest = base;
	uint32_t least = UINT32_MAX;
	for (uint64_t i = base; i < s->top; i++) {
		uint32_t target = s->stack[i].target;
		uint32_t distance = target > object ? target - object : object - target;
		if (distance < least) {
			least = distance;
			nearest = i;
		}
	}
	struct pending top = s->stack[s->top - 1];
	s->stack[s->top - 1] = s->stack[nearest];
	s->stack[nearest] = top;
}

/* Ask for what is needed when the search comes back to the entries below the top: their edges, and
 * the states of the first few objects that those point to. */
static inline __attribute__((always_inline)) void prefetch_below(const struct search *s)
{
	enum { NEAR = 2, FAR = 6, N_TARGETS = 3 };
	if (s->top <= FAR)
		return;
	const struct pending *top = &s->stack[s->top];
	__builtin_prefetch(&s->record[top[-FAR].target], 1);
	uint64_t soon = edges_of(s, top[-NEAR].target);
	if (soon + N_TARGETS > s->n_edges)
		return;
	for (unsigned i = 0; i < N_TARGETS; i++)
		__builtin_prefetch(&s->record[s->g->dst[soon + i]], 1);
}

static enum hf_status empty_stack(struct search *s, struct hf_err *err)
{
	while (s->top) {
		struct pending p = s->stack[--s->top];
		prefetch_below(s);
		struct record *r = &s->record[p.target];
		if (r->state < PENDING)
			continue;
		uint32_t number = number_node(s, p.target, p.from, r->state - PENDING);
		r->state = number;
		uint64_t first = edges_of(s, p.target), end = edges_of(s, p.target + 1);
		uint64_t base = s->top;
		touch_all(s, s->g->dst + first, end - first, number);
		nearest_on_top(s, base, p.target);
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

/* The virtual root points to an object that no edge has touched yet. */
static void touch_early(struct search *s, uint32_t object)
{
	uint32_t *state = &s->record[object].state;
	*state = *state == LEAF || *state == LEAF_OF_ROOT ? LEAF_OF_ROOT : PENDING + 0;
}

static enum hf_status search_reachable(struct search *s, struct hf_err *err)
{
	_cleanup_(words_deinit) struct words words = {0};
	if (!words_init(&words, s->g))
		return hf_graph_nomem(err, STAGE);
	/* Nothing is lower than the virtual root, whenever the search gets to these. */
	uint32_t w = 0, n_variables = s->g->n_variables;
	for (uint32_t k = n_variables ? words.end[n_variables - 1] : 0; k < s->g->n_roots; k++)
		touch_early(s, words.object[k]);
	for (uint32_t v = 0; v <= n_variables; v++) {
		if (w == words.end[v])
			continue;
		uint32_t from = v < n_variables ? number_node(s, s->g->n_objects + v, 0, 0) : 0;
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

static void search_deinit(struct search *s)
{
	free(s->base);
	if (s->stack)
		munmap(s->stack, s->stack_bytes);
}

/* Blocks of objects, as large as they can be if each has fewer edges than max_edges. */
static bool make_bases(struct search *s, uint64_t max_edges)
{
	const struct hf_graph *g = s->g;
	s->base_shift = 31;
	for (uint64_t block = 0; s->base_shift && block <= g->n_objects >> s->base_shift; block++) {
		uint64_t first = block << s->base_shift, end = (block + 1) << s->base_shift;
		if (end > g->n_objects)
			end = g->n_objects;
		if (g->offset[end] - g->offset[first] < max_edges)
			continue;
		s->base_shift--;
		block = UINT64_MAX; /* from the start */
	}
	uint64_t n_blocks = ((uint64_t)g->n_objects >> s->base_shift) + 1;
	s->base = hf_graph_alloc(n_blocks, sizeof(*s->base));
	for (uint64_t block = 0; s->base && block < n_blocks; block++)
		s->base[block] = g->offset[block << s->base_shift];
	return s->base;
}

static bool search_init(struct search *s, uint64_t n_heads, uint64_t block_edges)
{
	const struct hf_graph *g = s->g;
	uint64_t n_pending = hf_graph_n_edges(g), bytes;
	if (!make_bases(s, block_edges) ||
		!hf_add_u64(n_pending, g->n_roots + n_heads, &n_pending) ||
		!hf_mul_u64(n_pending + 1, sizeof(*s->stack), &bytes))
		return false;
	s->stack_bytes = bytes;
	s->stack = map_lazily(bytes);
	for (uint64_t i = 0; i <= g->n_objects; i++) {
		bool leaf = i < g->n_objects && g->offset[i] == g->offset[i + 1];
		s->record[i].state = leaf ? LEAF : UNSEEN;
		s->record[i].offset = (uint32_t)(g->offset[i] - s->base[i >> s->base_shift]);
	}
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
	const struct hf_graph_heads *heads, uint64_t block_edges, void *scratch, struct hf_err *err)
{
	_Static_assert(sizeof(struct record) + sizeof(*ret->semi) == HF_GRAPH_SCRATCH, "");
	uint64_t n_nodes = 1ull + g->n_objects + g->n_variables;
	_cleanup_(hf_graph_dfs_deinit) struct hf_graph_dfs dfs = {0};
	_cleanup_(search_deinit) struct search s = {
		.g = g, .dfs = &dfs, .n_edges = hf_graph_n_edges(g)};
	dfs.vertex = hf_graph_alloc(n_nodes, sizeof(*dfs.vertex));
	dfs.idom = hf_graph_alloc(n_nodes, sizeof(*dfs.idom));
	dfs.semi = (uint32_t *)((struct record *)scratch + n_nodes);
	s.record = scratch;
	if (!dfs.vertex || !dfs.idom || !chunks_init(&dfs, n_nodes, g) ||
		!search_init(&s, heads->n, block_edges))
		return hf_graph_nomem(err, STAGE);
	number_node(&s, HF_GRAPH_NONE, 0, 0);
	enum hf_status st = search_reachable(&s, err);
	if (!st)
		st = search_leaks(&s, heads, err);
	if (st)
		return st;
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
	free(dfs->idom);
	*dfs = (struct hf_graph_dfs){0};
}
