#include "store/summary.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "source/sampling.h"
#include "store/estimates.h"

static inline bool ranks_before(struct hf_summary_ranked a, struct hf_summary_ranked b)
{
	return a.size != b.size ? a.size > b.size : a.object < b.object;
}

static int compare_ranked(const void *pa, const void *pb)
{
	const struct hf_summary_ranked *a = pa, *b = pb;
	return ranks_before(*a, *b) ? -1 : ranks_before(*b, *a);
}

/* Restore the heap, whose root is the last in rank, after its root was replaced. */
static void sift_down(struct hf_summary_ranked *heap, uint32_t n)
{
	for (uint32_t i = 0, child; (child = 2 * i + 1) < n; i = child) {
		if (child + 1 < n && ranks_before(heap[child], heap[child + 1]))
			child++;
		if (!ranks_before(heap[i], heap[child]))
			return;
		struct hf_summary_ranked swap = heap[i];
		heap[i] = heap[child];
		heap[child] = swap;
	}
}

/* Sizes in order in some 56,000 classes: exact below 1024, then 1024 to each power of two. */
enum { CLASS_BITS = 10, N_CLASSES = (64 - CLASS_BITS + 1) << CLASS_BITS };

static inline uint32_t class_of(uint64_t size)
{
	if (size >> CLASS_BITS == 0)
		return (uint32_t)size;
	unsigned shift = 63 - CLASS_BITS - (unsigned)__builtin_clzll(size);
	return ((shift + 1) << CLASS_BITS) + (uint32_t)(size >> shift & ((1 << CLASS_BITS) - 1));
}

static uint64_t least_of_class(uint32_t class)
{
	if (class >> CLASS_BITS == 0)
		return class;
	unsigned shift = (class >> CLASS_BITS) - 1;
	return (uint64_t)(1 << CLASS_BITS | (class & ((1 << CLASS_BITS) - 1))) << shift;
}

/* A size that at least n_top have, and not many more; UINT64_MAX: no memory. */
static uint64_t least_of_top(const char *at, size_t stride, uint32_t n, uint32_t n_top)
{
	uint32_t *count = calloc(N_CLASSES, sizeof(*count)), class = N_CLASSES;
	if (!count)
		return UINT64_MAX;
	for (uint32_t i = 0; i < n; i++, at += stride)
		count[class_of(*(const uint64_t *)at)]++;
	for (uint64_t sum = 0; class && sum < n_top;)
		sum += count[--class];
	free(count);
	return class < N_CLASSES ? least_of_class(class) : 0;
}

struct hf_summary_ranked *hf_summary_top(
	const uint64_t *size, size_t stride, uint32_t n, uint32_t n_top, uint32_t *ret_n)
{
	if (n_top > n)
		n_top = n;
	const char *at = (const char *)size;
	uint64_t least = least_of_top(at, stride, n, n_top);
	struct hf_summary_ranked *top = malloc(((size_t)n_top + 1) * sizeof(*top));
	if (!top || least == UINT64_MAX) {
		free(top);
		return NULL;
	}
	uint32_t i = 0, k = 0;
	for (; i < n && k < n_top; i++, at += stride)
		if (*(const uint64_t *)at >= least)
			top[k++] = (struct hf_summary_ranked){*(const uint64_t *)at, i};
	qsort(top, n_top, sizeof(*top), compare_ranked);
	/* Sorted from the last in rank on, it is a heap. */
	for (uint32_t a = 0, b = n_top; a + 1 < b; a++) {
		struct hf_summary_ranked swap = top[a];
		top[a] = top[--b];
		top[b] = swap;
	}
	for (; n_top && i < n; i++, at += stride) {
		uint64_t s = *(const uint64_t *)at;
		if (s <= top[0].size) /* an equal one has the higher id */
			continue;
		top[0] = (struct hf_summary_ranked){s, i};
		sift_down(top, n_top);
	}
	qsort(top, n_top, sizeof(*top), compare_ranked);
	*ret_n = n_top;
	return top;
}

enum hf_status hf_summary_preorder(uint32_t *ret_order, const struct hf_graph_dominance *node,
	uint32_t n_objects, uint32_t n_variables, struct hf_err *err)
{
	enum { UNPLACED = UINT32_MAX };
	uint32_t n = n_objects + n_variables;
	/* Where the next child of a node goes; of an unplaced node nothing is known yet. */
	_cleanup_(hf_freep) uint32_t *next = hf_graph_alloc(n + 1ull, sizeof(*next));
	/* The ancestors of a node that are not yet placed; a chain of them is each node's own, so
	 * it is linked through an array. */
	_cleanup_(hf_freep) uint32_t *below = hf_graph_alloc(n + 1ull, sizeof(*below));
	if (!next || !below)
		return hf_err_set(err, HF_E_NOMEM, "no memory to order the dominator tree");
	memset(next, 0xff, n * sizeof(*next));
	uint32_t top = 0; /* next position under the virtual root */
	for (uint32_t i = 0; i < n_objects; i++) {
		uint32_t v = i, from = UINT32_MAX;
		while (v != HF_GRAPH_NONE && next[v] == UNPLACED) {
			below[v] = from;
			from = v;
			v = node[v].idom;
		}
		for (; from != UINT32_MAX; v = from, from = below[from]) {
			uint32_t *at = v == HF_GRAPH_NONE ? &top : &next[v];
			uint32_t position = *at;
			*at += node[from].retained_count;
			next[from] = position;
			if (from < n_objects) {
				ret_order[position] = from;
				next[from]++;
			}
		}
	}
	return HF_OK;
}

/* In preorder a member is dominated by another one exactly if it comes before the end of the last
 * one that counted. */
static enum hf_status groups_retained(struct hf_summary_group *ret, uint32_t n_groups,
	const uint32_t *group, const struct hf_rows_objects *objects, const uint32_t *order,
	struct hf_err *err)
{
	_cleanup_(hf_freep) uint32_t *end = calloc(n_groups, sizeof(*end));
	if (!end)
		return hf_err_set(err, HF_E_NOMEM, "no memory for sums by group");
	for (uint32_t p = 0; p < objects->heap->n_objects; p++) {
		uint32_t v = order[p], g = group[v];
		if (p < end[g])
			continue;
		ret[g].retained_size += objects->dominance[v].retained_size;
		end[g] = p + objects->dominance[v].retained_count;
	}
	return HF_OK;
}

enum hf_status hf_summary_groups(struct hf_summary_group *ret, uint32_t n_groups,
	const uint32_t *group, const struct hf_rows_objects *objects, const uint32_t *order,
	struct hf_err *err)
{
	memset(ret, 0, n_groups * sizeof(*ret));
	for (uint32_t i = 0; i < objects->heap->n_objects; i++) {
		struct hf_summary_group *g = &ret[order ? group[i] : 0];
		g->count++;
		g->size += objects->size[i];
		uint32_t age = objects->heap->age ? objects->heap->age[i] + 1 : 0;
		g->oldest = age > g->oldest ? age : g->oldest;
		if (objects->reach[i].depth == HF_GRAPH_NONE) {
			g->leak_count++;
			g->leak_size += objects->size[i];
		}
	}
	if (order)
		return groups_retained(ret, n_groups, group, objects, order, err);
	ret[0].retained_size = ret[0].size;
	return HF_OK;
}

/* A hash table of leak groups, open addressing. */
struct groups {
	struct hf_summary_leak *at;
	uint32_t *slot; /* index + 1 into at */
	size_t n, cap;  /* groups */
	size_t mask;    /* slots - 1 */
};

static uint64_t hash(const struct hf_summary_leak *key)
{
	uint64_t h =
		key->object_size * 0x9e3779b97f4a7c15 ^ ((uint64_t)key->site << 32 | key->type);
	h = (h ^ h >> 32) * 0xd6e8feb86659fd93;
	return h ^ h >> 29;
}

static bool groups_grow(struct groups *g)
{
	size_t cap = g->cap ? 2 * g->cap : 512;
	struct hf_summary_leak *at = realloc(g->at, cap * sizeof(*at));
	if (at)
		g->at = at;
	uint32_t *slot = calloc(2 * cap, sizeof(*slot));
	if (!at || !slot) {
		free(slot);
		return false;
	}
	free(g->slot);
	g->slot = slot;
	g->cap = cap;
	g->mask = 2 * cap - 1;
	for (size_t i = 0; i < g->n; i++) {
		size_t s = hash(&g->at[i]) & g->mask;
		while (g->slot[s])
			s = (s + 1) & g->mask;
		g->slot[s] = (uint32_t)i + 1;
	}
	return true;
}

static struct hf_summary_leak *groups_get(struct groups *g, const struct hf_summary_leak *key)
{
	if (g->n == g->cap && !groups_grow(g))
		return NULL;
	size_t s = hash(key) & g->mask;
	for (; g->slot[s]; s = (s + 1) & g->mask) {
		struct hf_summary_leak *have = &g->at[g->slot[s] - 1];
		if (have->site == key->site && have->type == key->type &&
			have->object_size == key->object_size)
			return have;
	}
	g->at[g->n] = *key;
	g->slot[s] = (uint32_t)++g->n;
	return &g->at[g->n - 1];
}

static int compare_leaks(const void *pa, const void *pb)
{
	const struct hf_summary_leak *a = pa, *b = pb;
#define BY(field, sign)                                                                            \
	if (a->field != b->field)                                                                  \
		return a->field < b->field ? -(sign) : (sign);
	BY(held_size, -1)
	BY(size, -1)
	BY(site, 1)
	BY(type, 1)
	BY(object_size, 1)
#undef BY
	return 0;
}

/* Estimates and ages. */
static void count_leak(struct hf_summary_leak *leak, const struct hf_rows_objects *o, uint32_t i)
{
	double period = o->names && leak->site ? (double)o->names->sample_period : 0;
	double size = (double)o->size[i], weight = hf_sample_weight(size, period);
	leak->est_count += weight;
	leak->est_size += weight * size;
	uint32_t age = o->heap->age ? o->heap->age[i] + 1 : 0;
	leak->oldest = age > leak->oldest ? age : leak->oldest;
	leak->youngest = age && (!leak->youngest || age < leak->youngest) ? age : leak->youngest;
}

enum hf_status hf_summary_leaks(struct hf_summary_leak **ret, size_t *ret_n,
	const struct hf_rows_objects *o, const struct hf_graph_heads *heads, struct hf_err *err)
{
	struct groups g = {0};
	bool ok = true;
	for (uint32_t i = 0; ok && i < o->heap->n_objects; i++) {
		if (o->reach[i].depth != HF_GRAPH_NONE)
			continue;
		struct hf_summary_leak key = {
			.site = o->heap->site ? o->heap->site[i] : 0,
			.type = o->names && o->names->object_type ? o->names->object_type[i] : 0,
		};
		if (!key.site && !key.type)
			key.object_size = o->size[i];
		struct hf_summary_leak *leak = groups_get(&g, &key);
		if (!leak) {
			ok = false;
			break;
		}
		uint32_t unit =
			o->heap->usable ? hf_estimate_unit(o->heap->usable[i]) : HF_ESTIMATE_MIXED;
		leak->unit = leak->count && leak->unit != unit ? HF_ESTIMATE_MIXED : unit;
		leak->count++;
		leak->size += o->size[i];
		count_leak(leak, o, i);
		if (hf_graph_bit(heads->head, i)) {
			leak->head_count++;
			leak->held_size += o->held->size[i];
		}
	}
	free(g.slot);
	if (!ok) {
		free(g.at);
		return hf_err_set(err, HF_E_NOMEM, "no memory to group the leaks");
	}
	if (g.n)
		qsort(g.at, g.n, sizeof(*g.at), compare_leaks);
	*ret = g.at;
	*ret_n = g.n;
	return HF_OK;
}
