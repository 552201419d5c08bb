/* From typed roots along the edges. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "types/index.h"
#include "types/parts.h"
#include "types/typing.h"

enum {
	SITE_MIN = 3, /* typed objects of a site and size that can speak for the others */
	SITE_ROUNDS = 3,
	SITE_PERCENT = 90, /* … that are of one type */
	TAG = 7,           /* bits of a pointer to what is aligned to 8 */
};

/* What a word leads to. */
struct word {
	uint64_t edge;
	uint32_t src; /* the object that it is in, or HF_NONE */
	uint32_t dst;
	uint32_t type, slot; /* what it is a word of; which one */
	uint8_t how;         /* enum hf_typed: how well that is known */
};

/* Does a word say anything about what it leads to? */
static bool says_something(const struct hf_type_slot *slot)
{
	return slot->what == HF_SLOT_POINTER || (slot->what == HF_SLOT_BYTES && slot->pointee) ||
	       slot->bytes || slot->past || slot->dynamic;
}

static void spread_word(struct hf_typing *y, const struct word *w, uint64_t dst_offset)
{
	const struct hf_type_slot *slot = &y->types->slots[w->slot];
	if (y->tagged_pointers && slot->what == HF_SLOT_POINTER &&
		hf_type_is_record(&y->types->at[slot->pointee]) &&
		y->types->at[slot->pointee].size >= 8)
		dst_offset &= ~(uint64_t)TAG;
	if (hf_typing_is_text(y, w->dst, slot))
		slot = &y->types->slots[slot->bytes];
	if (slot->past) {
		hf_typing_propose_past(y, w->dst, dst_offset, slot->pointee, w->how);
		return;
	}
	uint32_t dynamic = slot->dynamic && w->src != HF_NONE
				   ? hf_typing_dynamic(y, w->src, hf_heap_src_off(y->heap, w->edge))
				   : 0;
	if (dynamic)
		hf_typing_propose(y, w->dst, dst_offset, dynamic, w->type, w->how);
	else if (slot->what == HF_SLOT_POINTER || (slot->what == HF_SLOT_BYTES && slot->pointee))
		hf_typing_propose(y, w->dst, dst_offset, slot->pointee, w->type, w->how);
}

/* The first edge of an object that leaves from that offset or behind it. */
static uint64_t edge_from(const struct hf_heap *heap, uint32_t object, uint64_t offset)
{
	uint64_t lo = heap->edge_offset[object], hi = heap->edge_offset[object + 1];
	while (lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2;
		if (hf_heap_src_off(heap, mid) < offset)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void spread_parts(struct hf_typing *y)
{
	const struct hf_heap *heap = y->heap;
	struct hf_part p;
	while (hf_parts_next(y, &p)) {
		uint64_t end = p.offset + y->types->at[p.type].size;
		for (uint64_t e = edge_from(heap, p.object, p.offset);
			e < heap->edge_offset[p.object + 1] && hf_heap_src_off(heap, e) < end;
			e++) {
			struct word w = {.edge = e,
				.src = HF_NONE,
				.dst = heap->edge_dst[e],
				.type = p.type,
				.how = p.how};
			w.slot = hf_type_slot_id(
				y->types, p.type, hf_heap_src_off(heap, e) - p.offset);
			spread_word(y, &w, hf_heap_dst_off(heap, e));
		}
	}
}

/* Objects are taken in batches, and so are their words: what the next step reads of a batch is on
 * its way to the caches while this step is at others of it. */
enum { OBJECTS = 64, WORDS = 256 };
struct batch {
	struct word word[WORDS];
	size_t n;
};

static void spread_batch(struct hf_typing *y, struct batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		const struct word *w = &b->word[i];
		/* nothing is better than that */
		if (hf_typing_how(y, w->dst) < HF_TYPED_EXACT)
			spread_word(y, w, hf_heap_dst_off(y->heap, w->edge));
	}
	b->n = 0;
}

static void gather(struct hf_typing *y, uint32_t src, struct batch *b)
{
	const struct hf_heap *heap = y->heap;
	struct hf_types *types = y->types;
	uint64_t object = y->object[src];
	uint32_t type = hf_object_type(object);
	const struct hf_type *t = &types->at[type];
	/* an array of what holds no pointer */
	if (t->kind == HF_TYPE_ARRAY && types->at[t->target].kind == HF_TYPE_BASE)
		return;
	for (uint64_t e = heap->edge_offset[src], end = heap->edge_offset[src + 1]; e < end; e++) {
		uint32_t slot = hf_type_slot_id(types, type, hf_heap_src_off(heap, e));
		if (!says_something(&types->slots[slot]))
			continue;
		uint32_t dst = heap->edge_dst[e];
		__builtin_prefetch(&y->object[dst]);
		b->word[b->n++] =
			(struct word){e, src, dst, type, slot, (uint8_t)hf_object_how(object)};
		if (b->n == WORDS)
			spread_batch(y, b);
	}
}

static void spread_objects(struct hf_typing *y, const uint32_t *object, size_t n, struct batch *b)
{
	const struct hf_heap *heap = y->heap;
	for (size_t i = 0; i < n; i++) {
		__builtin_prefetch(&heap->edge_offset[object[i]]);
		__builtin_prefetch(&y->object[object[i]]);
	}
	for (size_t i = 0; i < n; i++) {
		uint64_t e = heap->edge_offset[object[i]];
		__builtin_prefetch(&heap->edge_src_off[e]);
		__builtin_prefetch(&heap->edge_dst[e]);
		__builtin_prefetch(&heap->edge_dst_off[e]);
	}
	for (size_t i = 0; i < n; i++)
		gather(y, object[i], b);
}

/* Step by step away from the roots. */
static void spread_queue(struct hf_typing *y)
{
	uint32_t object[OBJECTS];
	struct batch b = {.n = 0};
	while (!hf_todo_is_empty(&y->next)) {
		struct hf_todo now = y->next;
		y->next = y->now;
		y->now = now;
		for (size_t n; (n = hf_todo_take(&y->now, object, OBJECTS));)
			spread_objects(y, object, n, &b);
		spread_batch(y, &b);
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
			if (!type || fixed != !pass || hf_heap_is_loaders_own(heap, r))
				continue;
			struct word w = {.src = HF_NONE,
				.dst = r->object,
				.type = type,
				.how = HF_TYPED_EXACT};
			w.slot = hf_type_slot_id(
				y->types, type, r->addr - heap->variables.at[r->variable].addr);
			spread_word(y, &w, r->offset);
		}
	}
}

/* Objects of one site and size. A site is here the function that allocates, and the line: who calls
 * it does not matter. */

struct alike {
	uint64_t size, where;
	uint32_t object, site; /* site: of names, + 1; 0: not there */
};

static int compare_alike(const void *pa, const void *pb)
{
	const struct alike *a = pa, *b = pb;
	if (a->where != b->where)
		return a->where < b->where ? -1 : 1;
	if (a->size != b->size)
		return a->size < b->size ? -1 : 1;
	return a->object < b->object ? -1 : a->object > b->object;
}

/* Is its type known, and not by others of its site? */
static bool is_told(const struct hf_typing *y, uint32_t object)
{
	enum hf_typed how = hf_typing_how(y, object);
	return how >= HF_TYPED_ARRAY && how != HF_TYPED_SITE;
}

/* The type of nearly all typed ones (Boyer and Moore's majority vote, then counted); 0: none. */
static uint32_t speaker(const struct hf_typing *y, const struct alike *at, size_t n)
{
	uint32_t candidate = 0;
	size_t votes = 0, typed = 0, agree = 0;
	for (size_t i = 0; i < n; i++) {
		uint32_t type = is_told(y, at[i].object) ? hf_typing_type(y, at[i].object) : 0;
		if (!type)
			continue;
		typed++;
		if (!votes)
			candidate = type;
		votes += candidate == type ? 1 : (size_t)-1;
	}
	for (size_t i = 0; i < n; i++)
		agree += is_told(y, at[i].object) && hf_typing_type(y, at[i].object) == candidate;
	return typed >= SITE_MIN && agree * 100 >= typed * SITE_PERCENT ? candidate : 0;
}

static const struct hf_names_site *find_site(const struct hf_names *names, uint32_t id)
{
	size_t lo = 0, hi = names ? names->n_sites : 0;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (names->sites[mid].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return names && lo < names->n_sites && names->sites[lo].id == id ? &names->sites[lo] : NULL;
}

static uint64_t where_of(const struct hf_names_site *site, uint32_t id)
{
	uint64_t hash = HF_HASH_START;
	if (!site || !site->function)
		return id;
	for (const char *c = site->function; *c; c++)
		hash = hf_hash_byte(hash, (unsigned char)*c);
	for (const char *c = site->file ? site->file : ""; *c; c++)
		hash = hf_hash_byte(hash, (unsigned char)*c);
	return (hash ^ site->line) * 0x100000001b3u;
}

/* «struct dict *dictCreate(void)» allocates what it returns, if the size is right. */
static uint32_t returned(struct hf_typing *y, const struct hf_names_site *site)
{
	if (!site->function || !site->module)
		return 0;
	uint32_t type = hf_type_of_function(y->types, site->module - 1, site->function);
	const struct hf_type *t = &y->types->at[type];
	return t->kind == HF_TYPE_POINTER ? t->target : 0;
}

/* A function allocates more than what it returns: what a typed pointer leads to is what that says,
 * and what a char * leads to and points nowhere is text. */
static bool may_be_returned(const struct hf_typing *y, uint32_t object)
{
	enum hf_typed known = hf_typing_how(y, object);
	return known < HF_TYPED_ARRAY &&
	       (known != HF_TYPED_BYTES || !hf_object_is(y->object[object], HF_OBJECT_BLANK));
}

/* last: also what only starts with it, where nothing else tells. */
static void type_returned(struct hf_typing *y, uint32_t object, uint32_t type, bool last)
{
	enum hf_typed how;
	const struct hf_type *t = &y->types->at[type];
	const struct hf_heap *heap = y->heap;
	if (t->flags & HF_TYPE_CHAR) {
		/* a string, but not what char *xmalloc() hands out: that points elsewhere, now and
		 * then */
		size_t first;
		if (heap->edge_offset[object] == heap->edge_offset[object + 1] &&
			!hf_heap_modrefs_of(heap, object, &first))
			hf_typing_set(y, object, hf_types_array(y->types, type, 0), HF_TYPED_BYTES);
		return;
	}
	if (!hf_type_is_record(t) || !may_be_returned(y, object))
		return;
	uint32_t fits = hf_typing_fit(y, object, type, &how);
	if (fits && (how == HF_TYPED_EXACT || how == HF_TYPED_FLEXIBLE))
		hf_typing_set(y, object, fits, HF_TYPED_SITE);
	else if (fits && how == HF_TYPED_PREFIX && last && !hf_typing_how(y, object))
		hf_typing_set(y, object, fits, HF_TYPED_PREFIX); /* and what it keeps behind it */
}

/* A T ** that leads to it is no accident of its size. */
static bool is_array_of_pointers(const struct hf_typing *y, uint32_t object)
{
	const struct hf_type *t = &y->types->at[hf_typing_type(y, object)];
	return hf_typing_how(y, object) == HF_TYPED_ARRAY && t->kind == HF_TYPE_ARRAY &&
	       y->types->at[t->target].kind == HF_TYPE_POINTER;
}

static void type_alike(struct hf_typing *y, const struct hf_names *names, const struct alike *at,
	size_t n, bool last)
{
	uint32_t type = speaker(y, at, n);
	for (size_t i = 0; type && i < n; i++) {
		if (!is_array_of_pointers(y, at[i].object))
			hf_typing_set(y, at[i].object, type, HF_TYPED_SITE);
	}
	type = at->site ? returned(y, &names->sites[at->site - 1]) : 0;
	for (size_t i = 0; type && i < n; i++)
		type_returned(y, at[i].object, type, last);
}

/* The objects whose site is known, those of one site and size next to each other. */
struct sited {
	struct alike *at; /* owned */
	size_t n;
};

static void sited_deinit(struct sited *sited)
{
	free(sited->at);
}

static enum hf_status sited_init(struct sited *ret, const struct hf_typing *y,
	const struct hf_names *names, struct hf_err *err)
{
	const struct hf_heap *heap = y->heap;
	*ret = (struct sited){0};
	if (!heap->site || !heap->n_objects)
		return HF_OK;
	ret->at = malloc(heap->n_objects * sizeof(*ret->at));
	if (!ret->at)
		return hf_err_set(err, HF_E_NOMEM, "no memory to sort objects by site");
	for (uint32_t i = 0; i < heap->n_objects; i++) {
		if (!heap->site[i])
			continue;
		const struct hf_names_site *site = find_site(names, heap->site[i]);
		ret->at[ret->n++] =
			(struct alike){heap->requested[i], where_of(site, heap->site[i]), i,
				site ? (uint32_t)(site - names->sites) + 1 : 0};
	}
	if (ret->n)
		qsort(ret->at, ret->n, sizeof(*ret->at), compare_alike);
	return HF_OK;
}

static void spread_sites(
	struct hf_typing *y, const struct hf_names *names, const struct sited *sited, bool last)
{
	const struct alike *at = sited->at;
	for (size_t from = 0, to; from < sited->n; from = to) {
		for (to = from + 1; to < sited->n && at[to].where == at[from].where &&
				    at[to].size == at[from].size;
			to++)
			;
		type_alike(y, names, at + from, to - from, last);
	}
}

static void spread_all(struct hf_typing *y)
{
	for (int round = 0; round < SITE_ROUNDS; round++) {
		while (!hf_todo_is_empty(&y->next) || y->parts->n_stack) {
			spread_queue(y);
			spread_parts(y);
		}
		hf_parts_settle(y);
		if (hf_todo_is_empty(&y->next))
			return;
	}
}

enum hf_status hf_typing_spread(
	struct hf_typing *y, const struct hf_names *names, struct hf_err *err)
{
	_cleanup_(sited_deinit) struct sited sited = {0};
	spread_roots(y);
	spread_all(y);
	/* What the sites say leads to more, which says more of the sites. What says least comes
	 * when the rest is known. */
	enum hf_status status = sited_init(&sited, y, names, err);
	for (int last = 0; last < 2 && !status; last++) {
		for (int round = 0; round < SITE_ROUNDS && !status; round++) {
			spread_sites(y, names, &sited, last);
			status = hf_typing_spread_tags(y, err);
			if (hf_todo_is_empty(&y->next))
				break;
			spread_all(y);
		}
	}
	if (!status && y->types->no_memory)
		status = hf_err_set(err, HF_E_NOMEM, "no memory for types");
	return status;
}
