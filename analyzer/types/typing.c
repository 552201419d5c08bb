#include "types/typing.h"

#include <stdlib.h>
#include <string.h>

#include "types/parts.h"

/* What is known of each object before anything points to it. */
static void describe(struct hf_typing *y)
{
	const struct hf_heap *heap = y->heap;
	size_t modref = 0;
	for (uint32_t i = 0; i < heap->n_objects; i++) {
		bool exact = heap->site && heap->site[i] && heap->requested;
		uint64_t size = exact ? heap->requested[i] : heap->usable[i];
		bool mapped = heap->arenas.at[heap->arena[i]].kind == HF_ARENA_MMAPPED;
		bool leaf = heap->edge_offset[i] == heap->edge_offset[i + 1];
		while (modref < heap->modrefs.n && heap->modrefs.at[modref].src < i)
			modref++;
		bool blank =
			leaf && (modref == heap->modrefs.n || heap->modrefs.at[modref].src != i);
		size = size < HF_OBJECT_HUGE ? size : HF_OBJECT_HUGE;
		y->object[i] = size << HF_OBJECT_SIZE | (uint64_t)exact << HF_OBJECT_EXACT |
			       (uint64_t)mapped << HF_OBJECT_MAPPED |
			       (uint64_t)leaf << HF_OBJECT_LEAF |
			       (uint64_t)blank << HF_OBJECT_BLANK;
	}
}

enum hf_status hf_typing_create(
	struct hf_typing **ret, struct hf_types *types, struct hf_heap *heap, struct hf_err *err)
{
	size_t n = heap->n_objects;
	struct hf_typing *y = calloc(1, sizeof(*y));
	bool ok = y;
	if (ok) {
		y->types = types;
		y->heap = heap;
		y->object = hf_heap_array(n + 1, sizeof(*y->object));
		y->parts = calloc(1, sizeof(*y->parts));
		ok = hf_todo_init(&y->now, n) && hf_todo_init(&y->next, n);
	}
	if (!ok || !y->parts || !y->object || hf_typing_grow(y, err)) {
		hf_typing_destroy(y);
		return hf_err_set(err, HF_E_NOMEM, "no memory for the types of %zu objects", n);
	}
	describe(y);
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
	free(y->object);
	free(y->variable_type);
	free(y->variable_name);
	free(y->root_name);
	hf_todo_deinit(&y->now);
	hf_todo_deinit(&y->next);
	free(y->names_types);
	free(y->names_fields);
	hf_map_deinit(&y->field_rows);
	hf_map_deinit(&y->part_rows);
	free(y->object_row);
	free(y->object_how);
	free(y->variable_row);
	free(y->edge_field);
	free(y->doubtful);
	free(y);
}

void hf_typing_replace(struct hf_typing *y, uint32_t object, uint32_t type, enum hf_typed how)
{
	enum { TYPE_AND_HOW = (1 << (HF_OBJECT_TYPE_BITS + HF_OBJECT_HOW_BITS)) - 1 };
	y->object[object] = (y->object[object] & ~(uint64_t)TYPE_AND_HOW) | type |
			    (uint64_t)how << HF_OBJECT_TYPE_BITS;
}

/* An array of numbers, by its type. */
static bool is_plain(const struct hf_types *types, uint32_t type)
{
	const struct hf_type *t = &types->at[type];
	return t->kind == HF_TYPE_ARRAY && types->at[t->target].kind == HF_TYPE_BASE;
}

/* Of two arrays the one of numbers is not what an object is that has pointers. */
static bool says_more(const struct hf_typing *y, uint64_t object, uint32_t type, enum hf_typed how)
{
	return how == HF_TYPED_ARRAY && hf_object_how(object) == how &&
	       !hf_object_is(object, HF_OBJECT_BLANK) &&
	       is_plain(y->types, hf_object_type(object)) && !is_plain(y->types, type);
}

void hf_typing_set(struct hf_typing *y, uint32_t object, uint32_t type, enum hf_typed how)
{
	uint64_t before = y->object[object];
	if (!type || (how <= hf_object_how(before) && !says_more(y, before, type, how)))
		return;
	hf_typing_replace(y, object, type, how);
	/* better evidence for the same type only spreads if it was a guess */
	bool same = hf_object_type(before) == type && how > HF_TYPED_GUESS + 1;
	if (!same && !hf_object_is(before, HF_OBJECT_LEAF) && !hf_todo_has(&y->now, object))
		hf_todo_add(&y->next, object);
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
