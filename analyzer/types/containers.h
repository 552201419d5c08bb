/*
 * What the containers of libstdc++, libc++ and Rust's standard library keep from the types that
 * DWARF has for them: which of their members are nobody's business, what lies in raw storage, and
 * what the links of their nodes really point to.
 *
 * Sources: libstdc++ of GCC 12, bits/stl_tree.h, bits/hashtable_policy.h, bits/stl_list.h,
 * ext/aligned_buffer.h; Rust 1.63, library/alloc, and hashbrown 0.12, src/raw/mod.rs.
 * Thread rule: as types/table.h. Inside types/ only.
 */
#pragma once
#include "types/table.h"

/* HF_TYPE_HIDDEN, HF_TYPE_STORAGE, by the qualified name of a type. */
uint8_t hf_container_flags(const char *name);
/* Put the members of a container's type right; they may only become fewer or change. */
void hf_container_members(
	struct hf_types *types, uint32_t type, size_t *n, struct hf_type_member *members);
/* Write the short form of a type's name to ret. */
void hf_container_short_name(const char *name, char *ret, size_t size);
/* A node of a list, a tree, or a hash table. */
bool hf_container_is_node(const char *name);
/* A node whose value is a pair of key and value. */
/* What the elements of an array in a library's type are called: a map's values, its keys, links;
 * NULL: as those of any array. */
const char *hf_container_elements(const char *type, const char *member);
/* A type that only wraps another one. */
bool hf_container_is_wrapper(const char *name);
bool hf_container_is_map_node(const char *name);
