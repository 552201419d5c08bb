/* What the rest of the analyzer gets: rows of types and fields, names of edges and roots. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "types/parts.h"
#include "types/typing.h"

enum { NAME_SIZE = 1024 };

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
	struct hf_type *t = &y->types->at[type];
	if (!type || t->row)
		return t->row;
	if (t->flags & HF_TYPE_VARIANT)
		return t->row = type_row(y, t->target); /* no variant itself */
	if (!hf_grow((void **)&y->names_types, y->n_names_types, &y->cap_names_types,
		    sizeof(*y->names_types))) {
		y->types->no_memory = true;
		return 0;
	}
	uint64_t size = t->size;
	if (t->kind == HF_TYPE_ARRAY && !size)
		size = y->types->at[t->target].size; /* of one element */
	struct hf_names_type named = {.size_bytes = size,
		.kind = hf_types_kind_name(t->kind),
		.origin = origin_of(y->types, type)};
	named.name = hf_types_short_name(y->types, type);
	y->names_types[y->n_names_types++] = named;
	return y->types->at[type].row = (uint32_t)y->n_names_types;
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
static bool is_doubtful(enum hf_typed how, const struct hf_type_slot *s)
{
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

/* An edge that leaves no part. */
static inline void name_edge(
	struct hf_typing *y, uint64_t edge, uint64_t offset, uint32_t type, enum hf_typed how)
{
	uint32_t id = slot_of(y, type, offset, y->heap->edge_dst[edge]);
	const struct hf_type_slot *s = &y->types->slots[id];
	y->edge_field[edge] = s->field ? s->field : field_row(y, type, id);
	if (s->what <= HF_SLOT_DATA && is_doubtful(how, &y->types->slots[id])) {
		y->doubtful[edge / 64] |= 1ull << (edge % 64);
		y->n_doubtful++;
	}
}

/* part: of hf_parts_at(), on its way. */
static void name_edges_of_parts(struct hf_typing *y, uint32_t src, size_t *part)
{
	const struct hf_heap *heap = y->heap;
	uint32_t type = hf_typing_type(y, src);
	for (uint64_t e = heap->edge_offset[src]; e < heap->edge_offset[src + 1]; e++) {
		uint64_t offset = hf_heap_src_off(heap, e);
		const struct hf_part *p = hf_parts_at(y, part, src, offset);
		y->edge_field[e] = 0;
		if (p)
			y->edge_field[e] = part_row(y, p->type,
				slot_of(y, p->type, offset - p->offset, heap->edge_dst[e]));
		else if (type)
			name_edge(y, e, offset, type, hf_typing_how(y, src));
	}
}

static void name_edges(struct hf_typing *y, uint32_t src, size_t *part)
{
	const struct hf_heap *heap = y->heap;
	const struct hf_parts *parts = y->parts;
	uint64_t object = y->object[src], end = heap->edge_offset[src + 1];
	uint32_t type = hf_object_type(object);
	while (*part < parts->n && parts->at[*part].object < src)
		++*part;
	if (*part < parts->n && parts->at[*part].object == src) {
		name_edges_of_parts(y, src, part);
		return;
	}
	for (uint64_t e = heap->edge_offset[src]; e < end; e++) {
		if (type)
			name_edge(y, e, hf_heap_src_off(heap, e), type, hf_object_how(object));
		else
			y->edge_field[e] = 0;
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
		!hf_typing_type(y, r->object) || hf_typing_how(y, r->object) == HF_TYPED_BYTES)
		return HF_ROOT_SURE;
	/* characters in something that is more than these */
	return hf_type_slot(y->types, hf_typing_type(y, r->object), r->offset)->what == HF_SLOT_DATA
		       ? HF_ROOT_SURE
		       : HF_ROOT_BORROWS;
}

static void name_roots(struct hf_typing *y, const struct hf_names *names)
{
	struct hf_heap *heap = y->heap;
	/* a name that symbols gave is better than none */
	for (uint32_t i = 0; names->variable_name && i < heap->variables.n; i++) {
		if (!y->variable_name[i])
			y->variable_name[i] = names->variable_name[i];
	}
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
	for (uint32_t i = 0; i < y->heap->n_objects; i++) {
		if (hf_typing_type(y, i))
			return true;
	}
	return false;
}

/* The rows of the types of objects take the place of what was known of these. */
static void name_objects(struct hf_typing *y)
{
	char *rows = (char *)y->object;
	uint32_t n = (uint32_t)y->heap->n_objects;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t object = y->object[i];
		uint32_t row = type_row(y, hf_object_type(object));
		y->object_how[i] = (uint8_t)hf_object_how(object);
		memcpy(rows + i * sizeof(row), &row, sizeof(row));
	}
	y->object = NULL;
	y->object_row = realloc(rows, (n + 1ull) * sizeof(*y->object_row));
	if (!y->object_row)
		y->object_row = (uint32_t *)rows;
}

/* Columns of objects and edges; without a type they would be memory for nothing. */
static bool result_columns(struct hf_typing *y, struct hf_names *names)
{
	const struct hf_heap *heap = y->heap;
	if (!any_typed(y)) {
		free(y->object);
		y->object = NULL;
		return true;
	}
	y->object_how = hf_heap_array(heap->n_objects + 1, sizeof(*y->object_how));
	y->edge_field = hf_heap_array(heap->n_edges + 1, sizeof(*y->edge_field));
	y->doubtful = calloc(heap->n_edges / 64 + 1, sizeof(*y->doubtful));
	if (!y->object_how || !y->edge_field || !y->doubtful)
		return false;
	size_t part = 0;
	for (uint32_t i = 0; i < heap->n_objects; i++)
		name_edges(y, i, &part);
	name_objects(y);
	names->object_type = y->object_row;
	names->object_typed = y->object_how;
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
	if (!y->variable_row)
		return hf_err_set(err, HF_E_NOMEM, "no memory for the types of variables");
	name_roots(y, names);
	if (!result_columns(y, names))
		return hf_err_set(err, HF_E_NOMEM, "no memory for the fields of %llu edges",
			(unsigned long long)heap->n_edges);
	for (uint32_t i = 0; i < heap->variables.n; i++)
		y->variable_row[i] = type_row(y, y->variable_type[i]);
	if (y->types->no_memory)
		return hf_err_set(err, HF_E_NOMEM, "no memory for types");
	names->types = y->names_types;
	names->n_types = y->n_names_types;
	names->fields = y->names_fields;
	names->n_fields = y->n_names_fields;
	names->variable_type = y->variable_row;
	names->variable_name = y->variable_name;
	names->root_name = y->root_name;
	*ret_doubtful = y->n_doubtful ? y->doubtful : NULL;
	return HF_OK;
}
