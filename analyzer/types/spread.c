/* From typed roots along the edges. */
#include <stdlib.h>
#include <string.h>

#include "types/typing.h"

enum {
	SITE_MIN = 3,      /* typed objects of a site and size that can speak for the others */
	SITE_PERCENT = 90, /* … that are of one type */
};

/* src: the object that the word is in, or HF_NONE. */
static void spread_word(struct hf_typing *y, uint32_t type, enum hf_typed how, uint32_t src,
	uint64_t offset, uint32_t dst, uint64_t dst_offset)
{
	const struct hf_type_slot *slot = hf_type_slot(y->types, type, offset);
	if (hf_typing_is_text(y, dst, slot))
		slot = &y->types->slots[slot->bytes];
	const struct hf_type *pointee = &y->types->at[slot->pointee];
	if (slot->past) {
		hf_typing_propose_past(y, dst, dst_offset, slot->pointee, how);
		return;
	}
	if (slot->what == HF_SLOT_POINTER && src != HF_NONE && pointee->name &&
		!strncmp(pointee->name, "dyn ", 4)) {
		uint32_t dynamic = hf_typing_dynamic(y, src, offset);
		if (dynamic) {
			hf_typing_propose(y, dst, dst_offset, dynamic, type, how);
			return;
		}
	}
	if (slot->what == HF_SLOT_POINTER || (slot->what == HF_SLOT_BYTES && slot->pointee))
		hf_typing_propose(y, dst, dst_offset, slot->pointee, type, how);
}

static void spread_queue(struct hf_typing *y)
{
	const struct hf_heap *heap = y->heap;
	while (y->queue_n) {
		uint32_t src = y->queue[y->queue_at++];
		if (y->queue_at == heap->n_objects)
			y->queue_at = 0;
		y->queue_n--;
		y->queued[src / 64] &= ~(1ull << (src % 64));
		uint32_t type = y->object_type[src];
		enum hf_typed how = y->object_typed[src];
		const struct hf_type *t = &y->types->at[type];
		/* an array of what holds no pointer */
		if (t->kind == HF_TYPE_ARRAY && y->types->at[t->target].kind == HF_TYPE_BASE)
			continue;
		for (uint64_t e = heap->edge_offset[src]; e < heap->edge_offset[src + 1]; e++)
			spread_word(y, type, how, src, hf_heap_src_off(heap, e), heap->edge_dst[e],
				hf_heap_dst_off(heap, e));
	}
}

static void spread_roots(struct hf_typing *y)
{
	const struct hf_heap *heap = y->heap;
	/* static data first: among equals the first one stays */
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < heap->roots.n; i++) {
			const struct hf_heap_root *r = &heap->roots.at[i];
			uint32_t type = r->variable != HF_NONE ? y->variable_type[r->variable] : 0;
			bool fixed = r->kind == HF_ROOT_GLOBAL || r->kind == HF_ROOT_STATIC;
			if (type && fixed == !pass)
				spread_word(y, type, HF_TYPED_EXACT, HF_NONE,
					r->addr - heap->variables.at[r->variable].addr, r->object,
					r->offset);
		}
	}
}

/* Objects of one site and size */

struct alike {
	uint64_t size;
	uint32_t site, object;
};

static int compare_alike(const void *pa, const void *pb)
{
	const struct alike *a = pa, *b = pb;
	if (a->site != b->site)
		return a->site < b->site ? -1 : 1;
	if (a->size != b->size)
		return a->size < b->size ? -1 : 1;
	return a->object < b->object ? -1 : a->object > b->object;
}

/* The type of nearly all typed ones (Boyer and Moore's majority vote, then counted); 0: none. */
static uint32_t speaker(const struct hf_typing *y, const struct alike *at, size_t n)
{
	uint32_t candidate = 0;
	size_t votes = 0, typed = 0, agree = 0;
	for (size_t i = 0; i < n; i++) {
		uint32_t type = y->object_typed[at[i].object] > HF_TYPED_SITE
					? y->object_type[at[i].object]
					: 0;
		if (!type)
			continue;
		typed++;
		if (!votes)
			candidate = type;
		votes += candidate == type ? 1 : (size_t)-1;
	}
	for (size_t i = 0; i < n; i++)
		agree += y->object_typed[at[i].object] > HF_TYPED_SITE &&
			 y->object_type[at[i].object] == candidate;
	return typed >= SITE_MIN && agree * 100 >= typed * SITE_PERCENT ? candidate : 0;
}

static enum hf_status spread_sites(struct hf_typing *y, struct hf_err *err)
{
	const struct hf_heap *heap = y->heap;
	if (!heap->site || !heap->n_objects)
		return HF_OK;
	struct alike *at = malloc(heap->n_objects * sizeof(*at));
	size_t n = 0;
	if (!at)
		return hf_err_set(err, HF_E_NOMEM, "no memory to sort objects by site");
	for (uint32_t i = 0; i < heap->n_objects; i++) {
		if (heap->site[i])
			at[n++] = (struct alike){heap->requested[i], heap->site[i], i};
	}
	qsort(at, n, sizeof(*at), compare_alike);
	for (size_t from = 0, to; from < n; from = to) {
		for (to = from + 1;
			to < n && at[to].site == at[from].site && at[to].size == at[from].size;
			to++)
			;
		uint32_t type = speaker(y, at + from, to - from);
		for (size_t i = from; type && i < to; i++)
			hf_typing_set(y, at[i].object, type, HF_TYPED_SITE);
	}
	free(at);
	return HF_OK;
}

enum hf_status hf_typing_spread(struct hf_typing *y, struct hf_err *err)
{
	spread_roots(y);
	spread_queue(y);
	enum hf_status status = spread_sites(y, err);
	spread_queue(y);
	if (!status && y->types->no_memory)
		status = hf_err_set(err, HF_E_NOMEM, "no memory for types");
	return status;
}
