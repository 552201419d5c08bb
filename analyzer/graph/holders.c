#include "graph/holders.h"

#include "graph/holders_internal.h"

static const char STAGE[] = "holder tree";

/* The node that holds an object directly, or HF_GRAPH_NONE: a word without a variable, or no one.
 */
static inline uint32_t holder_node(const struct hf_graph_holders *h, uint32_t object)
{
	struct hf_graph_link link = h->held->link[object];
	if (link.parent != HF_GRAPH_NONE)
		return link.parent;
	if (!hf_graph_bit(h->reachable, object))
		return HF_GRAPH_NONE;
	uint32_t v = h->g->roots[link.root].variable;
	return v == HF_GRAPH_NONE ? HF_GRAPH_NONE : h->g->n_objects + v;
}

/* Children sorted by holder. child_end[node] is where they start until they are placed, and
 * child_end[node + 1] afterwards where they end. */
static bool sort_children(struct hf_graph_holders *h)
{
	uint32_t n = h->g->n_objects;
	uint64_t n_nodes = (uint64_t)n + h->g->n_variables;
	h->child_end = hf_graph_zalloc(n_nodes + 2, sizeof(*h->child_end));
	h->child = hf_graph_alloc(n, sizeof(*h->child));
	if (!h->child_end || !h->child)
		return false;
	uint32_t *next = h->child_end + 1;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t holder = holder_node(h, i);
		next[holder == HF_GRAPH_NONE ? n_nodes : holder]++;
	}
	uint32_t sum = 0;
	for (uint64_t v = 0; v <= n_nodes; v++) {
		uint32_t count = next[v];
		next[v] = sum;
		sum += count;
	}
	for (uint32_t i = 0; i < n; i++) {
		uint32_t holder = holder_node(h, i);
		h->child[next[holder == HF_GRAPH_NONE ? n_nodes : holder]++] = i;
	}
	return true;
}

static int compare_root(const void *a, const void *b, void *ctx)
{
	const struct hf_graph_root *roots = ctx;
	uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
	if (roots[i].object != roots[j].object)
		return roots[i].object < roots[j].object ? -1 : 1;
	if (roots[i].rank != roots[j].rank)
		return roots[i].rank < roots[j].rank ? -1 : 1;
	return i < j ? -1 : i > j;
}

static bool sort_roots(struct hf_graph_holders *h)
{
	const struct hf_graph *g = h->g;
	h->root_by_object = hf_graph_alloc(g->n_roots, sizeof(*h->root_by_object));
	h->rooted = hf_graph_zalloc(bitmap_words(g->n_objects), sizeof(*h->rooted));
	if (!h->root_by_object || !h->rooted)
		return false;
	for (uint32_t r = 0; r < g->n_roots; r++) {
		h->root_by_object[r] = r;
		bit_set(h->rooted, g->roots[r].object);
	}
	if (g->n_roots)
		qsort_r(h->root_by_object, g->n_roots, sizeof(*h->root_by_object), compare_root,
			(void *)g->roots);
	return true;
}

enum hf_status hf_graph_holders_init(struct hf_graph_holders *ret, const struct hf_graph *g,
	const struct hf_graph_transpose *referrers, const struct hf_graph_reach *reach,
	const struct hf_graph_heads *heads, const struct hf_graph_held *held, struct hf_err *err)
{
	_cleanup_(hf_graph_holders_deinit) struct hf_graph_holders h = {
		.g = g,
		.referrers = referrers,
		.reachable = reach->reachable,
		.head = heads->head,
		.held = held,
	};
	uint64_t words = bitmap_words((uint64_t)g->n_objects + g->n_variables);
	h.inside = hf_graph_zalloc(words, sizeof(*h.inside));
	h.removed = hf_graph_zalloc(words, sizeof(*h.removed));
	h.mark = hf_graph_zalloc(words, sizeof(*h.mark));
	if (!h.inside || !h.removed || !h.mark || !sort_children(&h) || !sort_roots(&h))
		return hf_graph_nomem(err, STAGE);
	*ret = h;
	h = (struct hf_graph_holders){0};
	return HF_OK;
}

void hf_graph_holders_deinit(struct hf_graph_holders *h)
{
	free(h->child_end);
	free(h->child);
	free(h->root_by_object);
	free(h->rooted);
	free(h->inside);
	free(h->removed);
	free(h->mark);
	*h = (struct hf_graph_holders){0};
}

const uint32_t *hf_graph_children(const struct hf_graph_holders *h, uint32_t node, uint32_t *ret_n)
{
	*ret_n = h->child_end[node + 1] - h->child_end[node];
	return h->child + h->child_end[node];
}

const uint32_t *hf_graph_roots_of(
	const struct hf_graph_holders *h, uint32_t object, uint32_t *ret_n)
{
	*ret_n = 0;
	if (!hf_graph_bit(h->rooted, object))
		return h->root_by_object;
	uint32_t low = 0, high = h->g->n_roots;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		if (h->g->roots[h->root_by_object[mid]].object < object)
			low = mid + 1;
		else
			high = mid;
	}
	for (uint32_t i = low; i < h->g->n_roots; i++) {
		if (h->g->roots[h->root_by_object[i]].object != object)
			break;
		++*ret_n;
	}
	return h->root_by_object + low;
}

static void region_add(struct hf_graph_region *region, uint32_t object)
{
	struct hf_graph_holders *h = region->h;
	if (!bit_claim(h->inside, object))
		return;
	region->object[region->n++] = object;
	region->sum.size += h->g->size[object];
	region->sum.count++;
}

/* Everything that the object at `from` and those after it hold. A subtree that is inside already is
 * there as a whole. */
static void region_add_held(struct hf_graph_region *region, uint32_t from)
{
	for (uint32_t i = from; i < region->n; i++) {
		uint32_t n;
		const uint32_t *child = hf_graph_children(region->h, region->object[i], &n);
		for (uint32_t c = 0; c < n; c++)
			region_add(region, child[c]);
	}
}

static uint64_t held_count(const struct hf_graph_holders *h, uint32_t node)
{
	uint32_t n = h->g->n_objects;
	return node < n ? h->held->count[node] : h->held->variable[node - n].count;
}

enum hf_status hf_graph_region_init(struct hf_graph_region *ret, struct hf_graph_holders *h,
	const uint32_t *nodes, size_t n_nodes, struct hf_err *err)
{
	const struct hf_graph *g = h->g;
	uint64_t cap = 0;
	for (size_t i = 0; i < n_nodes; i++) {
		if (nodes[i] >= (uint64_t)g->n_objects + g->n_variables)
			return hf_err_set(err, HF_E_USAGE, "graph: no node %u", nodes[i]);
		cap += held_count(h, nodes[i]);
		if (cap >= g->n_objects)
			cap = g->n_objects;
	}
	*ret = (struct hf_graph_region){.h = h, .nodes = nodes, .n_nodes = n_nodes};
	ret->object = hf_graph_alloc(cap, sizeof(*ret->object));
	if (!ret->object)
		return hf_graph_nomem(err, STAGE);
	for (size_t i = 0; i < n_nodes; i++) {
		bit_set(h->removed, nodes[i]);
		uint32_t from = ret->n, n;
		if (nodes[i] < g->n_objects) {
			region_add(ret, nodes[i]);
		} else {
			const uint32_t *child = hf_graph_children(h, nodes[i], &n);
			for (uint32_t c = 0; c < n; c++)
				region_add(ret, child[c]);
		}
		region_add_held(ret, from);
	}
	return HF_OK;
}

void hf_graph_region_deinit(struct hf_graph_region *region)
{
	if (!region->object)
		return;
	for (uint32_t i = 0; i < region->n; i++)
		bit_clear(region->h->inside, region->object[i]);
	for (size_t i = 0; i < region->n_nodes; i++)
		bit_clear(region->h->removed, region->nodes[i]);
	free(region->object);
	region->object = NULL;
}

bool hf_graph_region_root_enters(const struct hf_graph_region *region, uint32_t root)
{
	const struct hf_graph *g = region->h->g;
	uint32_t v = g->roots[root].variable;
	return v == HF_GRAPH_NONE || !hf_graph_bit(region->h->removed, g->n_objects + v);
}

bool hf_graph_region_edge_enters(
	const struct hf_graph_region *region, uint32_t src, uint32_t target)
{
	const struct hf_graph_holders *h = region->h;
	return !hf_graph_bit(h->inside, src) &&
	       hf_graph_bit(h->reachable, src) == hf_graph_bit(h->reachable, target);
}

bool hf_graph_region_spread(
	const struct hf_graph_region *region, uint32_t *queue, uint32_t *n, uint64_t *steps)
{
	const struct hf_graph_holders *h = region->h;
	const struct hf_graph *g = h->g;
	for (uint32_t i = 0; i < *n; i++) {
		uint32_t u = queue[i];
		uint64_t degree = g->offset[u + 1] - g->offset[u];
		if (*steps < degree)
			return false;
		*steps -= degree;
		for (uint64_t e = g->offset[u]; e < g->offset[u + 1]; e++) {
			uint32_t v = g->dst[e];
			if (hf_graph_bit(h->inside, v) && !hf_graph_bit(h->removed, v) &&
				hf_graph_bit(h->reachable, v) == hf_graph_bit(h->reachable, u) &&
				bit_claim(h->mark, v))
				queue[(*n)++] = v;
		}
	}
	return true;
}

struct hf_graph_sum hf_graph_region_unmark(
	const struct hf_graph_region *region, const uint32_t *queue, uint32_t n)
{
	struct hf_graph_sum sum = {0, n};
	for (uint32_t i = 0; i < n; i++) {
		sum.size += region->h->g->size[queue[i]];
		bit_clear(region->h->mark, queue[i]);
	}
	return sum;
}
