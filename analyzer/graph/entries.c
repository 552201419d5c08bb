#include <string.h>

#include "graph/holders_internal.h"

static const char STAGE[] = "words that enter a holder tree";

struct gather {
	const struct hf_graph_region *region;
	struct hf_graph_entry *entry;
	size_t n, cap;
};

static void gather_deinit(struct gather *gather)
{
	free(gather->entry);
}

static bool add_entry(struct gather *g, uint32_t target, uint32_t src, uint64_t word)
{
	if (g->n == g->cap) {
		size_t cap = g->cap ? 2 * g->cap : 64;
		void *p = reallocarray(g->entry, cap, sizeof(*g->entry));
		if (!p)
			return false;
		g->entry = p;
		g->cap = cap;
	}
	g->entry[g->n++] =
		(struct hf_graph_entry){.word = word, .src = src, .target = target, .exact = true};
	return true;
}

static bool gather_at(struct gather *gather, uint32_t target)
{
	const struct hf_graph_holders *h = gather->region->h;
	uint32_t n;
	const uint32_t *root = hf_graph_roots_of(h, target, &n);
	for (uint32_t i = 0; i < n; i++) {
		if (hf_graph_region_root_enters(gather->region, root[i]) &&
			!add_entry(gather, target, HF_GRAPH_NONE, root[i]))
			return false;
	}
	const struct hf_graph_transpose *t = h->referrers;
	for (uint64_t i = t->offset[target]; i < t->offset[target + 1]; i++) {
		if (hf_graph_region_edge_enters(gather->region, t->src[i], target) &&
			!add_entry(gather, target, t->src[i], hf_graph_transpose_edge(t, i)))
			return false;
	}
	return true;
}

/* Largest held size first, so that the work limit cuts off the least; equal targets together. */
static int compare_target(const void *a, const void *b, void *ctx)
{
	const uint64_t *held_size = ctx;
	uint32_t t = ((const struct hf_graph_entry *)a)->target;
	uint32_t u = ((const struct hf_graph_entry *)b)->target;
	if (held_size[t] != held_size[u])
		return held_size[t] > held_size[u] ? -1 : 1;
	return t < u ? -1 : t > u;
}

static int compare_entry(const void *a, const void *b)
{
	const struct hf_graph_entry *x = a, *y = b;
	if (x->reaches.size != y->reaches.size)
		return x->reaches.size > y->reaches.size ? -1 : 1;
	bool x_edge = x->src != HF_GRAPH_NONE, y_edge = y->src != HF_GRAPH_NONE;
	if (x_edge != y_edge)
		return x_edge - y_edge;
	return x->word < y->word ? -1 : x->word > y->word;
}

/* What target reaches inside; *steps becomes 0 when they were not enough, and false is returned. */
static bool reach_from(const struct hf_graph_region *region, uint32_t target, uint32_t *queue,
	uint64_t *steps, struct hf_graph_sum *ret)
{
	uint32_t n = 0;
	bit_set(region->h->mark, target);
	queue[n++] = target;
	bool whole = hf_graph_region_spread(region, queue, &n, steps);
	*ret = hf_graph_region_unmark(region, queue, n);
	if (!whole)
		*steps = 0;
	return whole;
}

static void measure_entries(struct gather *gather, uint32_t *queue, uint64_t max_steps)
{
	const struct hf_graph_region *region = gather->region;
	const struct hf_graph_held *held = region->h->held;
	uint64_t steps = max_steps ? max_steps : UINT64_MAX;
	for (size_t i = 0; i < gather->n; i++) {
		struct hf_graph_entry *entry = &gather->entry[i];
		if (i && entry[-1].target == entry->target) {
			entry->reaches = entry[-1].reaches;
			entry->exact = entry[-1].exact;
			continue;
		}
		entry->exact =
			steps && reach_from(region, entry->target, queue, &steps, &entry->reaches);
		if (!entry->exact)
			entry->reaches = (struct hf_graph_sum){
				held->size[entry->target], held->count[entry->target]};
	}
}

/* The union of what all entries reach. */
static struct hf_graph_sum measure_shared(const struct gather *gather, uint32_t *queue)
{
	uint32_t n = 0;
	for (size_t i = 0; i < gather->n; i++) {
		if (bit_claim(gather->region->h->mark, gather->entry[i].target))
			queue[n++] = gather->entry[i].target;
	}
	uint64_t steps = UINT64_MAX;
	hf_graph_region_spread(gather->region, queue, &n, &steps);
	return hf_graph_region_unmark(gather->region, queue, n);
}

enum hf_status hf_graph_entries_init(struct hf_graph_entries *ret, struct hf_graph_holders *h,
	uint32_t node, uint64_t max_steps, struct hf_err *err)
{
	_cleanup_(hf_graph_region_deinit) struct hf_graph_region region = {0};
	enum hf_status st = hf_graph_region_init(&region, h, &node, 1, err);
	if (st)
		return st;
	_cleanup_(gather_deinit) struct gather gather = {.region = &region};
	_cleanup_free_ uint32_t *queue = hf_graph_alloc(region.n, sizeof(*queue));
	if (!queue)
		return hf_graph_nomem(err, STAGE);
	for (uint32_t i = 0; i < region.n; i++) {
		if (region.object[i] != node && !gather_at(&gather, region.object[i]))
			return hf_graph_nomem(err, STAGE);
	}
	if (gather.n)
		qsort_r(gather.entry, gather.n, sizeof(*gather.entry), compare_target,
			h->held->size);
	measure_entries(&gather, queue, max_steps);
	ret->held = region.sum;
	ret->shared = measure_shared(&gather, queue);
	if (gather.n)
		qsort(gather.entry, gather.n, sizeof(*gather.entry), compare_entry);
	ret->n = gather.n;
	ret->entry = return_ptr(gather.entry);
	return HF_OK;
}

void hf_graph_entries_deinit(struct hf_graph_entries *entries)
{
	free(entries->entry);
	*entries = (struct hf_graph_entries){0};
}
