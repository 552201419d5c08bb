#include "types/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "types/build.h"
#include "types/containers.h"
#include "types/index.h"
#include "types/resolve.h"

uint32_t hf_types_new(struct hf_types *types, const struct hf_type *type)
{
	if (types->n >= HF_TYPES_MAX) {
		types->n_skipped++;
		return 0;
	}
	if (!hf_grow((void **)&types->at, types->n, &types->cap, sizeof(*types->at))) {
		types->no_memory = true;
		return 0;
	}
	types->at[types->n] = *type;
	return (uint32_t)types->n++;
}

enum hf_status hf_types_create(struct hf_types **ret, const struct hf_heap *heap,
	struct hf_debug_files *files, struct hf_err *err)
{
	struct hf_types *types = calloc(1, sizeof(*types));
	if (types) {
		types->heap = heap;
		types->files = files;
		types->indexes = calloc(heap->modules.n + 1, sizeof(struct hf_type_index *));
		hf_types_new(types, &(struct hf_type){.name = "void"});
		types->char_type = hf_types_new(types, &(struct hf_type){.name = "char",
							       .size = 1,
							       .kind = HF_TYPE_BASE,
							       .flags = HF_TYPE_CHAR});
	}
	if (!types || !types->indexes || types->n != 2 || !hf_slots_init(types)) {
		hf_types_destroy(types);
		return hf_err_set(
			err, HF_E_NOMEM, "no memory for the types of %zu modules", heap->modules.n);
	}
	*ret = types;
	return HF_OK;
}

void hf_types_destroy(struct hf_types *types)
{
	if (!types)
		return;
	for (size_t i = 0; types->indexes && i < types->heap->modules.n; i++)
		hf_type_index_destroy(types->indexes[i]);
	free(types->indexes);
	hf_map_deinit(&types->by_die);
	hf_map_deinit(&types->by_key);
	hf_map_deinit(&types->pointers);
	hf_map_deinit(&types->arrays);
	hf_map_deinit(&types->by_offset);
	hf_map_deinit(&types->embedded);
	hf_map_deinit(&types->behind);
	hf_map_deinit(&types->casts);
	free(types->embedding);
	hf_bump_deinit(&types->pool);
	free(types->members);
	free(types->slots);
	free(types->at);
	free(types);
}

/* Pointers and arrays are made of others: one of each. */
static uint32_t derived(
	struct hf_types *types, struct hf_map *map, uint64_t key, const struct hf_type *type)
{
	uint32_t *slot = hf_map_put(map, key);
	if (!slot) {
		types->no_memory = true;
		return 0;
	}
	if (!*slot)
		*slot = hf_types_new(types, type);
	return *slot;
}

uint32_t hf_types_pointer(struct hf_types *types, uint32_t target)
{
	return derived(types, &types->pointers, target + 1ull,
		&(struct hf_type){.kind = HF_TYPE_POINTER,
			.size = 8,
			.target = target,
			.module = types->at[target].module});
}

uint32_t hf_types_array(struct hf_types *types, uint32_t target, uint64_t count)
{
	uint64_t size;
	if (__builtin_mul_overflow(types->at[target].size, count, &size))
		count = size = 0;
	/* Two counts that fall together would be one type: the high bits tell them apart enough
	 * only below 2^40 elements, and above that there is no array. */
	if (count >> 40)
		count = size = 0;
	return derived(types, &types->arrays, (uint64_t)target << 40 | (count + 1),
		&(struct hf_type){.kind = HF_TYPE_ARRAY,
			.size = size,
			.count = count,
			.target = target,
			.module = types->at[target].module});
}

uint32_t hf_types_named(struct hf_types *types, const char *name, enum hf_type_kind kind)
{
	uint64_t key = hf_type_name_hash(hf_hash_byte(HF_HASH_START, (unsigned char)kind), name);
	uint32_t *slot = hf_map_put(&types->by_key, key);
	if (!slot)
		return 0;
	if (!*slot) {
		const char *copy = hf_bump_text(&types->pool, name, strlen(name));
		uint32_t id = copy ? hf_types_new(types,
					     &(struct hf_type){.name = copy,
						     .kind = (uint8_t)kind,
						     .flags = HF_TYPE_INCOMPLETE | HF_TYPE_FILLED})
				   : 0;
		*slot = id;
		return id;
	}
	return *slot;
}

uint32_t hf_types_by_name(struct hf_types *types, const char *name)
{
	uint64_t hash = hf_type_name_hash(HF_HASH_START, name);
	for (uint32_t m = 0; m < types->heap->modules.n; m++) {
		const struct hf_type_definition *d =
			types->indexes[m] ? hf_type_index_find(types->indexes[m], hash) : NULL;
		Dwarf_Die die;
		if (d && hf_type_index_die(types->indexes[m], d->place, &die))
			return hf_types_of_die(types, m, &die);
	}
	return 0;
}

const char *hf_types_name(struct hf_types *types, uint32_t type)
{
	char text[1200], suffix[512] = "";
	size_t at = sizeof(suffix) - 1; /* written from its end */
	uint32_t base = type;
	if (types->at[type].name)
		return types->at[type].name;
	/* int (*)[4] would be right; int *[4] is nearly, and easier to read */
	for (int i = 0; i < 2 * HF_TYPES_DEPTH && !types->at[base].name && at > 24; i++) {
		const struct hf_type *t = &types->at[base];
		char part[24] = "*";
		if (t->kind == HF_TYPE_ARRAY && t->count)
			snprintf(part, sizeof(part), "[%llu]", (unsigned long long)t->count);
		else if (t->kind == HF_TYPE_ARRAY)
			snprintf(part, sizeof(part), "[]");
		at -= strlen(part);
		memcpy(suffix + at, part, strlen(part));
		base = t->target;
	}
	const char *name = types->at[base].name ? types->at[base].name : "…";
	int n = snprintf(text, sizeof(text), "%.900s%s%.250s", name, suffix[at] == '*' ? " " : "",
		suffix + at);
	name = hf_bump_text(&types->pool, text, (size_t)n);
	if (name)
		types->at[type].name = name;
	return name ? name : "?";
}

const char *hf_types_short_name(struct hf_types *types, uint32_t type)
{
	char text[1200];
	hf_container_short_name(hf_types_name(types, type), text, sizeof(text));
	const char *name = hf_bump_text(&types->pool, text, strlen(text));
	return name ? name : "?";
}

const char *hf_types_kind_name(enum hf_type_kind kind)
{
	static const char *const names[] = {
		[HF_TYPE_NONE] = "void",
		[HF_TYPE_BASE] = "base",
		[HF_TYPE_ENUM] = "enum",
		[HF_TYPE_POINTER] = "pointer",
		[HF_TYPE_FUNCTION] = "function",
		[HF_TYPE_STRUCT] = "struct",
		[HF_TYPE_CLASS] = "class",
		[HF_TYPE_UNION] = "union",
		[HF_TYPE_ARRAY] = "array",
	};
	return names[kind];
}
