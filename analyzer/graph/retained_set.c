#include "graph/holders_internal.h"

static const char STAGE[] = "retained set";

/* Is the object kept by anything outside the region? */
static bool kept_from_outside(const struct hf_graph_region *region, uint32_t object)
{
	const struct hf_graph_holders *h = region->h;
	uint32_t n;
	const uint32_t *root = hf_graph_roots_of(h, object, &n);
	for (uint32_t i = 0; i < n; i++) {
		if (hf_graph_region_root_enters(region, root[i]))
			return true;
	}
	const struct hf_graph_transpose *t = h->referrers;
	for (uint64_t i = t->offset[object]; i < t->offset[object + 1]; i++) {
		if (hf_graph_region_edge_enters(region, t->src[i], object))
			return true;
	}
	return false;
}

enum hf_status hf_graph_retained_set(struct hf_graph_holders *h, const uint32_t *nodes, size_t n,
	struct hf_graph_sum *ret, struct hf_err *err)
{
	_cleanup_(hf_graph_region_deinit) struct hf_graph_region region = {0};
	enum hf_status st = hf_graph_region_init(&region, h, nodes, n, err);
	if (st)
		return st;
	_cleanup_free_ uint32_t *queue = hf_graph_alloc(region.n, sizeof(*queue));
	if (!queue)
		return hf_graph_nomem(err, STAGE);
	uint32_t n_alive = 0;
	for (uint32_t i = 0; i < region.n; i++) {
		uint32_t object = region.object[i];
		if (hf_graph_bit(h->removed, object) || !kept_from_outside(&region, object))
			continue;
		bit_set(h->mark, object);
		queue[n_alive++] = object;
	}
	uint64_t steps = UINT64_MAX;
	hf_graph_region_spread(&region, queue, &n_alive, &steps);
	struct hf_graph_sum alive = hf_graph_region_unmark(&region, queue, n_alive);
	ret->size = region.sum.size - alive.size;
	ret->count = region.sum.count - alive.count;
	return HF_OK;
}
