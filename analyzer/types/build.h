/* From DIEs to types. Inside types/ only. */
#pragma once
#include "types/table.h"

/* A new type; 0: too many, or no memory. */
uint32_t hf_types_new(struct hf_types *types, const struct hf_type *type);
/* Of a variable's DIE, qualified: "zoo::g_all", "load()::cache". An empty text if it has none. */
void hf_types_variable_name(
	struct hf_types *types, uint32_t module, Dwarf_Die *die, char *ret, size_t size);
