#include "types/parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PARTS = 1 << 22, MAX_NESTED = 8 /* parts over one place that are looked at */ };

void hf_parts_deinit(struct hf_parts *parts)
{
	free(parts->at);
	free(parts->stack);
	hf_map_deinit(&parts->by_place);
	*parts = (struct hf_parts){0};
}

static void push(struct hf_typing *y, size_t part)
{
	struct hf_parts *p = y->parts;
	if (p->at[part].waits)
		return;
	if (!hf_grow((void **)&p->stack, p->n_stack, &p->cap_stack, sizeof(*p->stack))) {
		y->types->no_memory = true;
		return;
	}
	p->at[part].waits = true;
	p->stack[p->n_stack++] = (uint32_t)part;
}

static void replace(struct hf_typing *y, size_t part, uint32_t type, enum hf_typed how)
{
	struct hf_part *p = &y->parts->at[part];
	bool better = how > (enum hf_typed)p->how && p->how <= HF_TYPED_GUESS;
	if (p->type != type && !better && !hf_type_has_at(y->types, type, 0, p->type))
		return;
	if (p->type == type && !better)
		return;
	p->type = type;
	p->how = (uint8_t)how;
	push(y, part);
}

void hf_parts_add(
	struct hf_typing *y, uint32_t object, uint64_t offset, uint32_t type, enum hf_typed how)
{
	struct hf_parts *p = y->parts;
	const struct hf_type *t = &y->types->at[type];
	uint64_t has = y->heap->usable[object];
	y->alone = true;
	if (!t->size || offset > INT32_MAX || offset > has || t->size > has - offset ||
		(!hf_type_is_record(t) && t->kind != HF_TYPE_POINTER))
		return;
	uint32_t *known = hf_map_put(&p->by_place, (uint64_t)object << 32 | (offset + 1));
	if (known && *known) {
		replace(y, *known - 1, type, how);
		return;
	}
	if (p->n >= MAX_PARTS) {
		p->n_skipped++;
		return;
	}
	if (!known || !hf_grow((void **)&p->at, p->n, &p->cap, sizeof(*p->at))) {
		y->types->no_memory = true;
		return;
	}
	p->at[p->n] = (struct hf_part){object, (uint32_t)offset, type, (uint8_t)how, false};
	*known = (uint32_t)++p->n;
	push(y, p->n - 1);
}

bool hf_parts_next(struct hf_typing *y, struct hf_part *ret)
{
	struct hf_parts *p = y->parts;
	if (!p->n_stack)
		return false;
	struct hf_part *part = &p->at[p->stack[--p->n_stack]];
	part->waits = false;
	*ret = *part;
	return true;
}

static int by_place(const void *pa, const void *pb)
{
	const struct hf_part *a = pa, *b = pb;
	if (a->object != b->object)
		return a->object < b->object ? -1 : 1;
	return a->offset < b->offset ? -1 : a->offset > b->offset;
}

/* Where their places change, they cannot be found by them any more: known anew. */
static void order(struct hf_typing *y)
{
	struct hf_parts *p = y->parts;
	if (p->n)
		qsort(p->at, p->n, sizeof(*p->at), by_place);
	for (size_t i = 0; i < p->n; i++) {
		uint32_t *known = hf_map_put(
			&p->by_place, (uint64_t)p->at[i].object << 32 | (p->at[i].offset + 1ull));
		if (known)
			*known = (uint32_t)i + 1;
	}
}

/* Parts [from, to) of one object, all of one type, in steps of its size: an array. */
static void settle(struct hf_typing *y, size_t from, size_t to)
{
	const struct hf_part *at = y->parts->at;
	uint32_t object = at[from].object, type = at[from].type;
	uint64_t size = y->types->at[type].size;
	enum hf_typed how;
	if (hf_typing_how(y, object) >= HF_TYPED_GUESS ||
		(hf_typing_how(y, object) == HF_TYPED_PREFIX && hf_typing_type(y, object) != type))
		return;
	for (size_t i = from; i < to; i++) {
		if (at[i].type != type || at[i].offset % size)
			return;
	}
	uint32_t fits = hf_typing_fit(y, object, type, &how);
	/* of few small ones there is no telling: most sizes are multiples of theirs */
	if (how == HF_TYPED_ARRAY &&
		(size >= 32 || (to - from) * 4 * size >= y->heap->usable[object]))
		hf_typing_set(y, object, fits, HF_TYPED_GUESS);
}

void hf_parts_settle(struct hf_typing *y)
{
	struct hf_parts *p = y->parts;
	order(y);
	for (size_t from = 0, to; from < p->n; from = to) {
		for (to = from + 1; to < p->n && p->at[to].object == p->at[from].object; to++)
			;
		settle(y, from, to);
	}
}

/* Is the part inside of what is known anyway? */
static bool is_known(struct hf_typing *y, const struct hf_part *part, size_t n_kept)
{
	const struct hf_part *at = y->parts->at;
	uint32_t whole = hf_typing_type(y, part->object);
	if (whole &&
		(hf_typing_how(y, part->object) > HF_TYPED_GUESS ||
			hf_type_has_at(y->types, whole, part->offset, part->type)) &&
		hf_typing_how(y, part->object) != HF_TYPED_BYTES)
		return true;
	for (size_t i = 0; i < MAX_NESTED && i < n_kept; i++) {
		const struct hf_part *outer = &at[n_kept - 1 - i];
		if (outer->object != part->object)
			return false;
		if (part->offset - outer->offset < y->types->at[outer->type].size &&
			hf_type_has_at(
				y->types, outer->type, part->offset - outer->offset, part->type))
			return true;
	}
	return false;
}

void hf_parts_sort(struct hf_typing *y)
{
	struct hf_parts *p = y->parts;
	size_t n = 0;
	if (p->n)
		qsort(p->at, p->n, sizeof(*p->at), by_place);
	for (size_t i = 0; i < p->n; i++) {
		if (!is_known(y, &p->at[i], n))
			p->at[n++] = p->at[i];
	}
	p->n = n;
}

/* "{struct request}": no fields, since they are those of its parts. */
static uint32_t block_of(struct hf_typing *y, uint32_t type)
{
	char name[600];
	snprintf(name, sizeof(name), "{%.590s}", hf_types_short_name(y->types, type));
	return hf_types_named(y->types, name, HF_TYPE_STRUCT);
}

void hf_parts_name(struct hf_typing *y)
{
	const struct hf_parts *p = y->parts;
	for (size_t from = 0, to; from < p->n; from = to) {
		uint32_t object = p->at[from].object, best = p->at[from].type;
		for (to = from; to < p->n && p->at[to].object == object; to++) {
			if (y->types->at[p->at[to].type].size > y->types->at[best].size)
				best = p->at[to].type;
		}
		if (hf_typing_type(y, object))
			continue;
		hf_typing_replace(y, object, block_of(y, best), HF_TYPED_PREFIX);
	}
}

const struct hf_part *hf_parts_at(
	const struct hf_typing *y, size_t *at, uint32_t object, uint64_t offset)
{
	const struct hf_parts *p = y->parts;
	while (*at < p->n && (p->at[*at].object < object ||
				     (p->at[*at].object == object && p->at[*at].offset <= offset)))
		++*at;
	for (size_t i = 0; i < MAX_NESTED && i < *at; i++) {
		const struct hf_part *part = &p->at[*at - 1 - i];
		if (part->object != object)
			return NULL;
		if (offset - part->offset < y->types->at[part->type].size)
			return part;
	}
	return NULL;
}
