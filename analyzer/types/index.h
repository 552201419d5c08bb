/*
 * One pass over a module's DWARF: which structs it defines, where its static variables are, and in
 * which scope a DIE stands. Nothing else of it is read until it is asked for. What took long is
 * kept for the next time (index_cache.h).
 *
 * Thread rule: as types/table.h.
 */
#pragma once
#include "types/table.h"

/* Where a DIE is: the section in the two highest bits, its offset there in the others. Of split
 * DWARF, which lies in other files: its address, or of what is looked up its number in `foreign`.
 */
enum hf_die_section { HF_DIE_INFO, HF_DIE_TYPES, HF_DIE_SHARED, HF_DIE_FOREIGN };
enum { HF_DIE_SECTION_SHIFT = 62 };

/* A namespace, a class, or a function; DIEs from begin up to end are in it. */
struct hf_type_scope {
	uint64_t begin, end;
	const char *name;
	uint64_t hash; /* of the qualified name */
	uint32_t parent;
	bool function;
};

struct hf_type_definition {
	uint64_t hash; /* of the qualified name, without spaces */
	uint64_t place;
};

/* A variable with a place of its own: a global, a static member, a static of a function. */
struct hf_type_variable {
	uint64_t addr; /* in the file; of a thread-local one the offset in the TLS block */
	uint64_t place;
	bool tls;
};

struct hf_type_index {
	Dwarf *dwarf;                 /* the module's */
	struct hf_type_scope *scopes; /* by begin; [0] is none */
	size_t n_scopes, cap_scopes;
	struct hf_type_definition *definitions;
	size_t n_definitions, cap_definitions;
	struct hf_map by_hash; /* → definition + 1 */
	/* functions that return something, by the hash of their name without its scope */
	struct hf_type_definition *functions;
	size_t n_functions, cap_functions;
	struct hf_map function_by_hash; /* → function + 1 */
	bool is_c; /* what dwz shares says nothing of its language: that of the others */
	struct hf_type_variable *variables; /* thread-local ones last; by addr */
	size_t n_variables, cap_variables;
	Dwarf_Die *foreign;
	size_t n_foreign, cap_foreign;
	char *text; /* names of scopes that came from the cache */
};

/* Of a module; made on the first call. NULL: it has no DWARF, or no memory. */
const struct hf_type_index *hf_type_index(struct hf_types *types, uint32_t module);
void hf_type_index_destroy(struct hf_type_index *index);

/* The DIE at a place of a definition, function or variable; false: there is none. */
bool hf_type_index_die(const struct hf_type_index *index, uint64_t place, Dwarf_Die *ret);
/* The definition of that name, as hf_type_name_hash() has it; NULL: none here. */
const struct hf_type_definition *hf_type_index_find(
	const struct hf_type_index *index, uint64_t hash);
/* The last variable that begins at an address of the file or before it, which does not mean that
 * it reaches there; NULL: none. */
const struct hf_type_variable *hf_type_index_variable(
	const struct hf_type_index *index, uint64_t addr);
/* What a function of that name returns (its last component, without parameters); 0: not known. */
uint32_t hf_type_of_function(struct hf_types *types, uint32_t module, const char *name);
/* The hash of a name, to go on from that of its scope or from HF_HASH_START. */
uint64_t hf_type_name_hash(uint64_t hash, const char *name);

/* The scope of a DIE; 0: none. */
uint32_t hf_type_scope_of(const struct hf_type_index *index, Dwarf_Die *die);
/* Write "zoo::(anonymous namespace)::" (functions: "load()::") to ret; returns the length, 0 if it
 * does not fit. */
size_t hf_type_scope_text(
	const struct hf_type_index *index, uint32_t scope, char *ret, size_t size);
