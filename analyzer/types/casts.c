/* Handles whose struct is nowhere defined, and that every function that gets one casts to the same
 * struct: struct PCache1 *cache = (struct PCache1 *)handle. */
#include <dwarf.h>
#include <string.h>

#include "types/build.h"
#include "types/typing.h"

enum {
	MAX_DIES = 4 << 20, /* looked at in a module */
	MAX_LEVELS = 4,     /* of blocks in a function */
	MAX_VARIABLES = 32, /* of one, that may be the cast handle */
	MAX_TYPES = 64,
	PEEL = 8,
	MIN_FUNCTIONS = 2,
};

struct votes {
	uint32_t type[MAX_TYPES], n[MAX_TYPES], n_types, n_functions, n_dies;
};

static bool target(Dwarf_Die *die, Dwarf_Die *ret)
{
	Dwarf_Attribute attr;
	return dwarf_attr_integrate(die, DW_AT_type, &attr) && dwarf_formref_die(&attr, ret);
}

/* The struct that a variable points to. */
static bool pointed_struct(Dwarf_Die *variable, Dwarf_Die *ret)
{
	Dwarf_Die at;
	bool pointer = false;
	if (!target(variable, &at))
		return false;
	for (int i = 0; i < PEEL; i++) {
		int tag = dwarf_tag(&at);
		*ret = at;
		if (tag == DW_TAG_structure_type || tag == DW_TAG_class_type)
			return pointer;
		if (tag == DW_TAG_pointer_type && pointer)
			return false;
		pointer |= tag == DW_TAG_pointer_type;
		if ((tag != DW_TAG_pointer_type && tag != DW_TAG_typedef &&
			    tag != DW_TAG_const_type) ||
			!target(&at, &at))
			return false;
	}
	return false;
}

static bool takes(Dwarf_Die *function, const char *handle)
{
	Dwarf_Die child, of;
	for (bool more = !dwarf_child(function, &child); more; more = hf_types_next(&child)) {
		const char *name;
		if (dwarf_tag(&child) == DW_TAG_formal_parameter && pointed_struct(&child, &of) &&
			(name = dwarf_diename(&of)) && !strcmp(name, handle))
			return true;
	}
	return false;
}

static void vote(struct votes *v, uint32_t type)
{
	uint32_t i = 0;
	while (i < v->n_types && v->type[i] != type)
		i++;
	if (i == MAX_TYPES)
		return;
	v->type[i] = type;
	v->n[i]++;
	v->n_types += i == v->n_types;
}

/* Each type counts once in a function. */
static void count_variables(
	struct hf_types *types, uint32_t module, Dwarf_Die *function, struct votes *v)
{
	Dwarf_Die level[MAX_LEVELS], of;
	uint32_t seen[MAX_VARIABLES], n = 0;
	int depth = dwarf_child(function, &level[0]) ? -1 : 0;
	while (depth >= 0 && v->n_dies++ < MAX_DIES) {
		Dwarf_Die *die = &level[depth];
		int tag = dwarf_tag(die);
		if (tag == DW_TAG_variable && n < MAX_VARIABLES && pointed_struct(die, &of)) {
			uint32_t type = hf_types_of_die(types, module, &of), i = 0;
			while (i < n && seen[i] != type)
				i++;
			if (i == n && type && !(types->at[type].flags & HF_TYPE_INCOMPLETE)) {
				seen[n++] = type;
				vote(v, type);
			}
		}
		if (tag == DW_TAG_lexical_block && depth + 1 < MAX_LEVELS &&
			!dwarf_child(die, &level[depth + 1])) {
			depth++;
			continue;
		}
		while (depth >= 0 && !hf_types_next(&level[depth]))
			depth--;
	}
}

static uint32_t winner(const struct votes *v)
{
	uint32_t best = 0, second = 0, type = 0;
	for (uint32_t i = 0; i < v->n_types; i++) {
		if (v->n[i] > best) {
			second = best;
			best = v->n[i];
			type = v->type[i];
		} else if (v->n[i] > second) {
			second = v->n[i];
		}
	}
	return best >= MIN_FUNCTIONS && best > second && best * 2 >= v->n_functions ? type : 0;
}

static uint32_t find_cast(struct hf_types *types, uint32_t handle)
{
	struct votes v = {0};
	uint32_t module = types->at[handle].module;
	const char *name = types->at[handle].name, *space = name ? strchr(name, ' ') : NULL;
	Dwarf_Die unit, child;
	if (!name || !types->at[handle].die.addr)
		return 0;
	name = space ? space + 1 : name;
	for (Dwarf_CU *cu = NULL; hf_debug_next_unit(types->files, module, &cu, &unit);) {
		for (bool more = !dwarf_child(&unit, &child); more && v.n_dies++ < MAX_DIES;
			more = hf_types_next(&child)) {
			if (dwarf_tag(&child) != DW_TAG_subprogram || !takes(&child, name))
				continue;
			v.n_functions++;
			count_variables(types, module, &child, &v);
		}
	}
	return winner(&v);
}

uint32_t hf_types_cast_of(struct hf_types *types, uint32_t handle)
{
	uint32_t *known = hf_map_put(&types->casts, handle);
	if (!known)
		return 0;
	if (!*known) {
		*known = 1; /* while it is looked for */
		uint32_t type = find_cast(types, handle);
		known = hf_map_put(&types->casts, handle);
		if (known)
			*known = type + 1;
	}
	return known ? *known - 1 : 0;
}
