/* Growing a breadth-first spanning forest group by group; see internal.h. */
#include "graph/internal.h"

enum hf_status hf_graph_forest_init(struct hf_graph_forest *f, const struct hf_graph *g,
	const char *stage, bool by_doubt, struct hf_err *err)
{
	f->g = g;
	f->stage = stage;
	f->by_doubt = by_doubt && g->doubtful;
	f->n = f->head = f->wait_head = f->wait_tail = 0;
	f->queued = NULL;
	f->wait = NULL;
	if (!f->by_doubt)
		return HF_OK;
	f->queued = hf_graph_zalloc(bitmap_words(g->n_objects), sizeof(*f->queued));
	f->wait = hf_graph_alloc(g->n_objects, sizeof(*f->wait));
	return f->queued && f->wait ? HF_OK : hf_graph_nomem(err, stage);
}

void hf_graph_forest_deinit(struct hf_graph_forest *f)
{
	free(f->queued);
	free(f->wait);
	f->queued = NULL;
	f->wait = NULL;
}

static inline void reached(struct hf_graph_forest *f, uint32_t object, struct hf_graph_link link)
{
	f->link[object] = link;
	f->order[f->n++] = object;
}

void hf_graph_forest_start(struct hf_graph_forest *f, uint32_t object, uint32_t tag)
{
	if (bit_claim(f->seen, object))
		reached(f, object, (struct hf_graph_link){HF_GRAPH_NONE, tag, 0});
}

/* Ask early for the link, the offset and the edges of objects that will be looked at soon. GCC
 * takes a function that only prefetches for one without effect and drops its calls, unless it is
 * inlined before that pass. */
static inline __attribute__((always_inline)) void prefetch_ahead(const struct hf_graph_forest *f)
{
	const struct hf_graph *g = f->g;
	if (f->head + 2 * HF_GRAPH_PREFETCH < f->n)
		__builtin_prefetch(&g->offset[f->order[f->head + 2 * HF_GRAPH_PREFETCH] + 1]);
	if (f->head + HF_GRAPH_PREFETCH < f->n) {
		uint32_t soon = f->order[f->head + HF_GRAPH_PREFETCH];
		uint64_t first = g->offset[soon], end = g->offset[soon + 1];
		__builtin_prefetch(&g->dst[first]);
		__builtin_prefetch(&g->dst[end]);
		__builtin_prefetch(&f->link[soon]);
		__builtin_prefetch(&f->link[soon].depth);
	}
}

static void wait_for(struct hf_graph_forest *f, uint32_t object, uint32_t up)
{
	if (bit_claim(f->queued, object))
		f->wait[f->wait_tail++] = (struct hf_graph_wait){object, up};
}

/* Look at the edges of the object at the head of the queue. */
static inline void expand(struct hf_graph_forest *f, bool by_doubt)
{
	const struct hf_graph *g = f->g;
	prefetch_ahead(f);
	uint32_t position = f->head++, u = f->order[position];
	struct hf_graph_link link = {u, f->link[u].root, f->link[u].depth + 1};
	for (uint64_t e = g->offset[u], end = g->offset[u + 1]; e < end; e++) {
		uint32_t v = g->dst[e];
		if (hf_graph_bit(f->seen, v))
			continue;
		if (by_doubt && hf_graph_bit(g->doubtful, e)) {
			wait_for(f, v, position);
			continue;
		}
		bit_set(f->seen, v);
		reached(f, v, link);
	}
}

/* Does a come before b in a level? */
static inline bool link_before(
	const struct hf_graph_forest *f, struct hf_graph_link a, struct hf_graph_link b)
{
	if (f->by_rank && f->g->roots[a.root].rank != f->g->roots[b.root].rank)
		return f->g->roots[a.root].rank < f->g->roots[b.root].rank;
	return a.depth != b.depth ? a.depth < b.depth : a.root <= b.root;
}

/* The first target in [wait_head, end) that nobody reached yet becomes *ret; false: none is left.
 */
static bool next_waiting(struct hf_graph_forest *f, uint32_t end, struct hf_graph_link *ret)
{
	while (f->wait_head < end && hf_graph_bit(f->seen, f->wait[f->wait_head].object))
		f->wait_head++;
	if (f->wait_head == end)
		return false;
	uint32_t u = f->order[f->wait[f->wait_head].up];
	*ret = (struct hf_graph_link){u, f->link[u].root, f->link[u].depth + 1};
	return true;
}

static void admit(struct hf_graph_forest *f, struct hf_graph_link link)
{
	struct hf_graph_wait w = f->wait[f->wait_head++];
	bit_set(f->seen, w.object);
	reached(f, w.object, link);
}

/* One more doubtful edge on the path. The targets that wait are in ascending order of (rank, depth,
 * root), and so is what the queue brings: merge the two, so that the queue stays in that order. */
static enum hf_status grow_doubtful(struct hf_graph_forest *f, struct hf_err *err)
{
	uint32_t end = f->wait_tail;
	struct hf_graph_link waiting;
	bool more;
	while ((more = next_waiting(f, end, &waiting)) || f->head < f->n) {
		if (f->head == f->n)
			admit(f, waiting);
		uint32_t u = f->order[f->head];
		struct hf_graph_link child = {u, f->link[u].root, f->link[u].depth + 1};
		while (next_waiting(f, end, &waiting) && link_before(f, waiting, child))
			admit(f, waiting);
		expand(f, true);
		if (f->head % HF_GRAPH_TICK == 0) {
			enum hf_status st =
				hf_graph_tick(f->g, f->stage, f->head, f->g->n_objects, err);
			if (st)
				return st;
		}
	}
	return HF_OK;
}

enum hf_status hf_graph_forest_grow_certain(struct hf_graph_forest *f, struct hf_err *err)
{
	while (f->head < f->n) {
		uint32_t stop = f->n - f->head < HF_GRAPH_TICK ? f->n : f->head + HF_GRAPH_TICK;
		if (f->by_doubt) {
			while (f->head < stop)
				expand(f, true);
		} else {
			while (f->head < stop)
				expand(f, false);
		}
		enum hf_status st = hf_graph_tick(f->g, f->stage, f->head, f->g->n_objects, err);
		if (st)
			return st;
	}
	return HF_OK;
}

enum hf_status hf_graph_forest_grow(struct hf_graph_forest *f, struct hf_err *err)
{
	enum hf_status st = hf_graph_forest_grow_certain(f, err);
	while (!st && f->wait_head < f->wait_tail)
		st = grow_doubtful(f, err);
	return st;
}
