#include "store/rows.h"

#include <stdlib.h>
#include <string.h>

static inline int64_t nonzero_or_null(uint32_t id)
{
	return id ? (int64_t)id : HF_BTREE_NULL;
}

/* The stored columns of object, in order; see the schema. */
enum {
	ID,
	ADDR,
	SIZE,
	DEPTH,
	ROOT,
	PARENT_STEP,
	ARENA,
	HELD_EXTRA,
	HELD_COUNT,
	IDOM_STEP,
	RETAINED_EXTRA,
	RETAINED_COUNT,
	TYPE,
	ORIGIN,
	SITE,
	AGE,
	ALLOC_TID,
	USABLE_EXTRA,
	HOLDER_STEP,
	HOLDER_ROOT_OTHER,
	IDOM_VARIABLE,
	LABEL,
};
_Static_assert(LABEL + 1 == HF_ROWS_OBJECT_COLUMNS, "");

const int64_t hf_rows_object_default[HF_ROWS_OBJECT_COLUMNS] = {
	[ID] = HF_BTREE_NULL,
	[DEPTH] = HF_BTREE_NULL,
	[ROOT] = HF_BTREE_NULL,
	[PARENT_STEP] = HF_BTREE_NULL,
	[ARENA] = 1,
	[HELD_COUNT] = 1,
	[IDOM_STEP] = HF_BTREE_NULL,
	[RETAINED_COUNT] = 1,
	[TYPE] = HF_BTREE_NULL,
	[SITE] = HF_BTREE_NULL,
	[AGE] = HF_BTREE_NULL,
	[ALLOC_TID] = HF_BTREE_NULL,
	[HOLDER_STEP] = HF_BTREE_NULL,
	[HOLDER_ROOT_OTHER] = HF_BTREE_NULL,
	[IDOM_VARIABLE] = HF_BTREE_NULL,
	[ORIGIN] = 10, /* exact: docs/schema.md */
	[LABEL] = HF_BTREE_NULL,
};

/* From one id to another; no object is at a distance of 0 from itself. */
static inline int64_t step(uint64_t from, uint32_t to)
{
	return (int64_t)to - (int64_t)from;
}

/* Columns of their own where the usual value will not do. */
static void holder(int64_t *v, uint64_t i, const struct hf_graph_link *reach,
	const struct hf_graph_link *held, bool reachable)
{
	uint32_t parent = reachable ? reach->parent : HF_NONE;
	if (held->parent != parent)
		v[HOLDER_STEP] = held->parent == HF_NONE ? 0 : step(i, held->parent);
	if (reachable && held->root != reach->root)
		v[HOLDER_ROOT_OTHER] = (int64_t)held->root + 1;
}

void hf_rows_object(void *ctx, uint64_t i, struct hf_btree_row *row)
{
	const struct hf_rows_objects *o = ctx;
	const struct hf_graph_link *reach = &o->reach[i], *held = &o->held->link[i];
	const struct hf_graph_dominance *dom = &o->dominance[i];
	bool reachable = reach->depth != HF_GRAPH_NONE;
	int64_t *v = row->value;

	memcpy(v, hf_rows_object_default, sizeof(hf_rows_object_default));
	row->rowid = (int64_t)i + 1;
	v[ADDR] = (int64_t)o->heap->addr[i];
	v[SIZE] = (int64_t)o->size[i];
	v[ARENA] = (int64_t)o->heap->arena[i] + 1;
	if (reachable) {
		v[DEPTH] = reach->depth;
		v[ROOT] = (int64_t)reach->root + 1;
		if (reach->parent != HF_NONE)
			v[PARENT_STEP] = step(i, reach->parent);
	}
	v[HELD_EXTRA] = (int64_t)(o->held->size[i] - o->size[i]);
	v[HELD_COUNT] = o->held->count[i];
	if (dom->idom < o->heap->n_objects)
		v[IDOM_STEP] = reachable && dom->idom == reach->parent ? 0 : step(i, dom->idom);
	else if (dom->idom != HF_GRAPH_NONE)
		v[IDOM_VARIABLE] = (int64_t)(dom->idom - o->heap->n_objects) + 1;
	v[RETAINED_EXTRA] = (int64_t)(dom->retained_size - o->size[i]);
	v[RETAINED_COUNT] = dom->retained_count;
	if (o->names && o->names->object_type)
		v[TYPE] = nonzero_or_null(o->names->object_type[i]);
	if (o->names && o->names->object_typed && o->names->object_typed[i])
		v[ORIGIN] = o->names->object_typed[i];
	if (o->heap->site)
		v[SITE] = nonzero_or_null(o->heap->site[i]);
	if (o->heap->age && o->heap->age[i] != HF_NONE) {
		v[AGE] = o->heap->age[i];
		v[ALLOC_TID] = nonzero_or_null(o->heap->tid[i]);
	}
	v[USABLE_EXTRA] = (int64_t)(o->heap->usable[i] - o->size[i]);
	holder(v, i, reach, held, reachable);

	uint32_t n = HF_ROWS_OBJECT_COLUMNS;
	while (n > PARENT_STEP && v[n - 1] == hf_rows_object_default[n - 1])
		n--;
	row->n = n;
}

void hf_rows_edge(void *ctx, uint64_t i, struct hf_btree_row *row)
{
	struct hf_rows_edges *e = ctx;
	const struct hf_heap *heap = e->heap;
	while (i >= heap->edge_offset[e->src + 1])
		e->src++;
	uint32_t field = e->field ? e->field[i] : 0;
	int64_t dst_off = (int64_t)hf_heap_dst_off(heap, i);
	row->value[0] = (int64_t)e->src + 1;
	row->value[1] = (int64_t)hf_heap_src_off(heap, i);
	row->value[2] = (int64_t)heap->edge_dst[i] + 1;
	row->value[3] = dst_off;
	row->value[4] = nonzero_or_null(field);
	row->n = field ? 5 : dst_off ? 4 : 3;
}

void hf_rows_pairs_deinit(struct hf_rows_pairs *pairs)
{
	free(pairs->pair);
	pairs->pair = NULL;
}

/* Sort by key; pairs are in order of object already, and radix sort keeps that order. */
static enum hf_status sort_pairs(struct hf_rows_pairs *pairs, struct hf_err *err)
{
	struct hf_rows_pair *from = pairs->pair, *to = malloc((pairs->n + 1) * sizeof(*to));
	if (!to)
		return hf_err_set(err, HF_E_NOMEM, "no memory to sort %zu index entries", pairs->n);
	uint64_t all = 0;
	for (size_t i = 0; i < pairs->n; i++)
		all |= from[i].key;
	enum { BITS = 11 };
	for (unsigned shift = 0; shift < 64 && all >> shift; shift += BITS) {
		size_t at[1 << BITS] = {0};
		for (size_t i = 0; i < pairs->n; i++)
			at[from[i].key >> shift & ((1 << BITS) - 1)]++;
		for (size_t d = 0, sum = 0; d < 1 << BITS; d++) {
			size_t count = at[d];
			at[d] = sum;
			sum += count;
		}
		for (size_t i = 0; i < pairs->n; i++)
			to[at[from[i].key >> shift & ((1 << BITS) - 1)]++] = from[i];
		struct hf_rows_pair *swap = from;
		from = to;
		to = swap;
	}
	pairs->pair = from;
	free(to);
	return HF_OK;
}

/* Collect the objects for which key() gives a key, and sort them by it. */
static enum hf_status collect(struct hf_rows_pairs *ret, const struct hf_rows_objects *o,
	bool (*key)(const struct hf_rows_objects *o, uint32_t i, uint64_t *ret_key),
	struct hf_err *err)
{
	*ret = (struct hf_rows_pairs){0};
	uint64_t k;
	size_t n = 0;
	for (uint32_t i = 0; i < o->heap->n_objects; i++)
		n += key(o, i, &k);
	ret->pair = malloc((n + 1) * sizeof(*ret->pair));
	if (!ret->pair)
		return hf_err_set(err, HF_E_NOMEM, "no memory for %zu index entries", n);
	for (uint32_t i = 0; i < o->heap->n_objects; i++)
		if (key(o, i, &k))
			ret->pair[ret->n++] = (struct hf_rows_pair){k, i};
	enum hf_status status = sort_pairs(ret, err);
	if (status)
		hf_rows_pairs_deinit(ret);
	return status;
}

static bool far_idom(const struct hf_rows_objects *o, uint32_t i, uint64_t *ret_key)
{
	uint32_t idom = o->dominance[i].idom;
	*ret_key = (uint64_t)idom + 1;
	return idom < o->heap->n_objects && idom != o->reach[i].parent;
}

enum hf_status hf_rows_far_idom_init(
	struct hf_rows_pairs *ret, const struct hf_rows_objects *objects, struct hf_err *err)
{
	return collect(ret, objects, far_idom, err);
}

static bool leaked(const struct hf_rows_objects *o, uint32_t i, uint64_t *ret_key)
{
	*ret_key = o->held->size[i];
	return o->reach[i].depth == HF_GRAPH_NONE;
}

enum hf_status hf_rows_leak_init(
	struct hf_rows_pairs *ret, const struct hf_rows_objects *objects, struct hf_err *err)
{
	return collect(ret, objects, leaked, err);
}

void hf_rows_pair(void *ctx, uint64_t i, struct hf_btree_row *row)
{
	const struct hf_rows_pairs *pairs = ctx;
	row->value[0] = (int64_t)pairs->pair[i].key;
	row->value[1] = (int64_t)pairs->pair[i].object + 1;
	row->n = 2;
}
