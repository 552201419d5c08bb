#include "types/typing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "types/parts.h"

enum { NAME_SIZE = 1024 };

enum hf_status hf_typing_create(
	struct hf_typing **ret, struct hf_types *types, struct hf_heap *heap, struct hf_err *err)
{
	size_t n = heap->n_objects;
	struct hf_typing *y = calloc(1, sizeof(*y));
	if (y) {
		y->types = types;
		y->heap = heap;
		y->object_type = calloc(n + 1, sizeof(*y->object_type));
		y->object_typed = calloc(n + 1, sizeof(*y->object_typed));
		y->queue = calloc(n + 1, sizeof(*y->queue));
		y->queued = calloc(n / 64 + 1, sizeof(*y->queued));
		y->parts = calloc(1, sizeof(*y->parts));
	}
	if (!y || !y->parts || !y->object_type || !y->object_typed || !y->queue || !y->queued ||
		hf_typing_grow(y, err)) {
		hf_typing_destroy(y);
		return hf_err_set(err, HF_E_NOMEM, "no memory for the types of %zu objects", n);
	}
	*ret = y;
	return HF_OK;
}

void hf_typing_destroy(struct hf_typing *y)
{
	if (!y)
		return;
	hf_cpython_destroy(y->cpython);
	if (y->parts)
		hf_parts_deinit(y->parts);
	free(y->parts);
	free(y->object_type);
	free(y->object_typed);
	free(y->variable_type);
	free(y->variable_name);
	free(y->root_name);
	free(y->queue);
	free(y->queued);
	free(y->names_types);
	free(y->names_fields);
	hf_map_deinit(&y->type_rows);
	hf_map_deinit(&y->field_rows);
	hf_map_deinit(&y->part_rows);
	free(y->object_row);
	free(y->variable_row);
	free(y->edge_field);
	free(y->doubtful);
	free(y);
}

static bool regrow(void *array, size_t from, size_t to, size_t elem)
{
	void **at = array;
	void *p = reallocarray(*at, to, elem);
	if (!p)
		return false;
	memset((char *)p + from * elem, 0, (to - from) * elem);
	*at = p;
	return true;
}

enum hf_status hf_typing_grow(struct hf_typing *y, struct hf_err *err)
{
	size_t n_variables = y->heap->variables.n + 1, n_roots = y->heap->roots.n + 1;
	bool ok = true;
	if (n_variables > y->n_variables) {
		n_variables += n_variables / 2;
		ok = regrow(&y->variable_type, y->n_variables, n_variables,
			     sizeof(*y->variable_type)) &&
		     regrow(&y->variable_name, y->n_variables, n_variables,
			     sizeof(*y->variable_name));
		y->n_variables = ok ? n_variables : y->n_variables;
	}
	if (ok && n_roots > y->n_roots) {
		ok = regrow(&y->root_name, y->n_roots, n_roots, sizeof(*y->root_name));
		y->n_roots = ok ? n_roots : y->n_roots;
	}
	return ok ? HF_OK : hf_err_set(err, HF_E_NOMEM, "no memory for variables");
}

void hf_typing_set_variable(struct hf_typing *y, uint32_t variable, uint32_t type)
{
	y->variable_type[variable] = type;
}

/* Results */

static const char *origin_of(const struct hf_types *types, uint32_t type)
{
	const struct hf_type *t = &types->at[type];
	for (int i = 0; i < HF_TYPES_DEPTH && t->target; i++)
		t = &types->at[t->target];
	if (t->flags & HF_TYPE_TAGGED)
		return "tag";
	return t->die.addr || !(t->flags & HF_TYPE_INCOMPLETE) ? "dwarf" : "vtable";
}

/* The row of a type, + 1; 0: no type, or no memory. */
static uint32_t type_row(struct hf_typing *y, uint32_t type)
{
	if (!type)
		return 0;
	uint32_t *row = hf_map_put(&y->type_rows, type);
	if (!row || *row)
		return row ? *row : 0;
	if (y->types->at[type].flags & HF_TYPE_VARIANT) {
		uint32_t of = type_row(y, y->types->at[type].target); /* no variant itself */
		row = hf_map_put(&y->type_rows, type);
		return row ? *row = of : 0;
	}
	if (!hf_grow((void **)&y->names_types, y->n_names_types, &y->cap_names_types,
		    sizeof(*y->names_types))) {
		y->types->no_memory = true;
		return 0;
	}
	const struct hf_type *t = &y->types->at[type];
	uint64_t size = t->size;
	if (t->kind == HF_TYPE_ARRAY && !size)
		size = y->types->at[t->target].size; /* of one element */
	struct hf_names_type named = {.size_bytes = size,
		.kind = hf_types_kind_name(t->kind),
		.origin = origin_of(y->types, type)};
	named.name = hf_types_short_name(y->types, type);
	y->names_types[y->n_names_types++] = named;
	return *row = (uint32_t)y->n_names_types;
}

/* The row of a field, + 1; 0: it has no name. */
static uint32_t field_row(struct hf_typing *y, uint32_t type, uint32_t slot_id)
{
	const struct hf_type_slot *s = &y->types->slots[slot_id];
	if (s->field || !s->name[0])
		return s->field;
	/* all elements of an array are one field */
	uint64_t key = HF_HASH_START ^ type ^ s->offset << 32;
	for (const char *c = s->name; *c; c++)
		key = hf_hash_byte(key, (unsigned char)*c);
	uint32_t *row = hf_map_put(&y->field_rows, key ? key : 1);
	if (!row || (!*row && !hf_grow((void **)&y->names_fields, y->n_names_fields,
				      &y->cap_names_fields, sizeof(*y->names_fields)))) {
		y->types->no_memory = true;
		return 0;
	}
	if (!*row) {
		y->names_fields[y->n_names_fields++] =
			(struct hf_names_field){.type = type_row(y, type) - 1,
				.pointer = s->what >= HF_SLOT_WORD,
				.offset = s->offset,
				.stride = s->stride,
				.name = s->name};
		*row = (uint32_t)y->n_names_fields;
	}
	return y->types->slots[slot_id].field = *row;
}

/* A word where its type has certainly no pointer. */
static bool is_doubtful(const struct hf_typing *y, uint32_t object, const struct hf_type_slot *s)
{
	enum hf_typed how = y->object_typed[object];
	if (how == HF_TYPED_BYTES)
		return s->what == HF_SLOT_DATA;
	if (how <= HF_TYPED_GUESS || !s->certain)
		return false;
	/* behind an object that is larger than its type may lie anything */
	return s->what == HF_SLOT_DATA ||
	       (s->what == HF_SLOT_PADDING && how >= HF_TYPED_FLEXIBLE && how != HF_TYPED_VTABLE);
}

static uint32_t slot_of(struct hf_typing *y, uint32_t type, uint64_t offset, uint32_t dst)
{
	uint32_t id = hf_type_slot_id(y->types, type, offset);
	const struct hf_type_slot *s = &y->types->slots[id];
	return hf_typing_is_text(y, dst, s) ? s->bytes : id;
}

/* The row of a field of what lies somewhere in an object, + 1. */
static uint32_t part_row(struct hf_typing *y, uint32_t type, uint32_t slot_id)
{
	uint64_t key = ((uint64_t)slot_id + 1) << 32 | type;
	uint32_t *row = hf_map_put(&y->part_rows, key), made;
	if (!row || *row)
		return row ? *row : 0;
	const struct hf_type_slot *s = &y->types->slots[slot_id];
	char text[NAME_SIZE];
	const char *index = s->stride ? strstr(s->name, "[]") : NULL;
	int n = snprintf(text, sizeof(text), "{%s}", hf_types_short_name(y->types, type));
	if (s->name[0] && n < NAME_SIZE / 2)
		snprintf(text + n, sizeof(text) - (size_t)n, ".%.*s%s%s",
			(int)(index ? index - s->name : (ptrdiff_t)strlen(s->name)), s->name,
			index ? "[*]" : "", index ? index + 2 : "");
	const char *name = hf_bump_text(&y->types->pool, text, strlen(text));
	if (!name || !hf_grow((void **)&y->names_fields, y->n_names_fields, &y->cap_names_fields,
			     sizeof(*y->names_fields))) {
		y->types->no_memory = true;
		return 0;
	}
	made = type_row(y, type);
	y->names_fields[y->n_names_fields++] = (struct hf_names_field){
		.type = made - 1, .pointer = true, .offset = s->offset, .name = name};
	return *row = (uint32_t)y->n_names_fields;
}

static void name_edges(struct hf_typing *y)
{
	const struct hf_heap *heap = y->heap;
	const struct hf_part *part;
	size_t at = 0;
	for (uint32_t src = 0; src < heap->n_objects; src++) {
		uint32_t type = y->object_type[src];
		bool parts = hf_parts_at(y, &at, src, 0) ||
			     (at < y->parts->n && y->parts->at[at].object == src);
		if (!type && !parts)
			continue;
		for (uint64_t e = heap->edge_offset[src]; e < heap->edge_offset[src + 1]; e++) {
			uint64_t offset = hf_heap_src_off(heap, e);
			uint32_t dst = heap->edge_dst[e];
			if (parts && (part = hf_parts_at(y, &at, src, offset))) {
				uint32_t id = slot_of(y, part->type, offset - part->offset, dst);
				y->edge_field[e] = part_row(y, part->type, id);
				continue;
			}
			if (!type)
				continue;
			uint32_t id = slot_of(y, type, offset, dst);
			y->edge_field[e] = field_row(y, type, id);
			if (is_doubtful(y, src, &y->types->slots[id]))
				y->doubtful[e / 64] |= 1ull << (e % 64);
		}
	}
}

/* What the type of a variable says of a root word in it. */
static enum hf_root_doubt doubt_of(
	struct hf_typing *y, const struct hf_heap_root *r, const struct hf_type_slot *s)
{
	struct hf_type_slot slot = *s; /* the next question may move it */
	if ((slot.what == HF_SLOT_DATA || slot.what == HF_SLOT_PADDING) && slot.certain)
		return HF_ROOT_DATA;
	if (y->cpython && (strstr(slot.name, "free_list") || strstr(slot.name, "type_cache.")))
		return HF_ROOT_BORROWS; /* what is free; references that are not counted */
	if (slot.what != HF_SLOT_BYTES || !slot.pointee || !r->offset ||
		!y->object_type[r->object] || y->object_typed[r->object] == HF_TYPED_BYTES)
		return HF_ROOT_SURE;
	/* characters in something that is more than these */
	return hf_type_slot(y->types, y->object_type[r->object], r->offset)->what == HF_SLOT_DATA
		       ? HF_ROOT_SURE
		       : HF_ROOT_BORROWS;
}

static void name_roots(struct hf_typing *y)
{
	struct hf_heap *heap = y->heap;
	for (size_t i = 0; i < heap->roots.n; i++) {
		struct hf_heap_root *r = &heap->roots.at[i];
		char field[NAME_SIZE / 2], text[NAME_SIZE];
		if (r->variable == HF_NONE || !y->variable_type[r->variable])
			continue;
		const struct hf_heap_variable *v = &heap->variables.at[r->variable];
		const char *name = y->variable_name[r->variable];
		uint64_t offset = r->addr - v->addr;
		const struct hf_type_slot *s =
			hf_type_slot(y->types, y->variable_type[r->variable], offset);
		if (hf_typing_is_text(y, r->object, s))
			s = &y->types->slots[s->bytes];
		hf_type_slot_text(s, offset, field, sizeof(field));
		r->doubt = (uint8_t)doubt_of(y, r, s);
		if (!field[0] && offset)
			continue;    /* [+0x18] says more */
		if (field[0] == '(') /* the inside of a container */
			field[0] = 0;
		int n = snprintf(text, sizeof(text), "%s%s%s", name ? name : v->name,
			field[0] && field[0] != '[' ? "." : "", field);
		y->root_name[i] = hf_bump_text(&y->types->pool, text,
			n < (int)sizeof(text) ? (size_t)n : sizeof(text) - 1);
	}
}

static bool any_typed(const struct hf_typing *y)
{
	for (size_t i = 0; i < y->heap->n_objects; i++) {
		if (y->object_typed[i])
			return true;
	}
	return false;
}

/* Columns of objects and edges; without a type they would be memory for nothing. */
static bool result_columns(struct hf_typing *y, struct hf_names *names)
{
	const struct hf_heap *heap = y->heap;
	if (!any_typed(y))
		return true;
	y->object_row = calloc(heap->n_objects + 1, sizeof(*y->object_row));
	y->edge_field = calloc(heap->n_edges + 1, sizeof(*y->edge_field));
	y->doubtful = calloc(heap->n_edges / 64 + 1, sizeof(*y->doubtful));
	if (!y->object_row || !y->edge_field || !y->doubtful)
		return false;
	for (uint32_t i = 0; i < heap->n_objects; i++)
		y->object_row[i] = type_row(y, y->object_type[i]);
	name_edges(y);
	names->object_type = y->object_row;
	names->object_typed = y->object_typed;
	names->edge_field = y->edge_field;
	return true;
}

enum hf_status hf_typing_result(struct hf_typing *y, struct hf_names *names,
	const uint64_t **ret_doubtful, struct hf_err *err)
{
	const struct hf_heap *heap = y->heap;
	hf_parts_sort(y);
	hf_parts_name(y);
	y->variable_row = calloc(heap->variables.n + 1, sizeof(*y->variable_row));
	if (!y->variable_row || !result_columns(y, names))
		return hf_err_set(err, HF_E_NOMEM, "no memory for the fields of %llu edges",
			(unsigned long long)heap->n_edges);
	for (uint32_t i = 0; i < heap->variables.n; i++)
		y->variable_row[i] = type_row(y, y->variable_type[i]);
	/* a name that symbols gave is better than none */
	for (uint32_t i = 0; names->variable_name && i < heap->variables.n; i++) {
		if (!y->variable_name[i])
			y->variable_name[i] = names->variable_name[i];
	}
	name_roots(y);
	if (y->types->no_memory)
		return hf_err_set(err, HF_E_NOMEM, "no memory for types");
	names->types = y->names_types;
	names->n_types = y->n_names_types;
	names->fields = y->names_fields;
	names->n_fields = y->n_names_fields;
	names->variable_type = y->variable_row;
	names->variable_name = y->variable_name;
	names->root_name = y->root_name;
	*ret_doubtful = y->doubtful;
	return HF_OK;
}
