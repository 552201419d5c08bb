/* From DIEs to types. Inside types/ only. */
#pragma once
#include "types/table.h"

/* To the next sibling; false: there is none. One that lies before would never end. */
static inline bool hf_types_next(Dwarf_Die *die)
{
	const uint8_t *at = die->addr;
	return dwarf_siblingof(die, die) == 0 && (const uint8_t *)die->addr > at;
}

/* A new type; 0: too many, or no memory. */
uint32_t hf_types_new(struct hf_types *types, const struct hf_type *type);
/* Of a variable's DIE, qualified: "zoo::g_all", "load()::cache". An empty text if it has none. */
void hf_types_variable_name(
	struct hf_types *types, uint32_t module, Dwarf_Die *die, char *ret, size_t size);
/* Does a record end with an array without bounds, or an old-style [0] or [1]? Its members' own
 * members must have been read. */
bool hf_types_end_flexibly(
	const struct hf_types *types, const struct hf_type_member *members, size_t n);
/* What the functions that get a pointer to a struct without a definition cast it to; 0: nothing
 * that they agree on. */
uint32_t hf_types_cast_of(struct hf_types *types, uint32_t handle);
