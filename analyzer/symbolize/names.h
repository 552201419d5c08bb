/* Texts kept once each, and mangled names with what they mean. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct hf_symbol_text; /* opaque */

struct hf_symbol_names {
	struct hf_symbol_text **slots; /* hash table */
	size_t n_slots, n;
};

void hf_symbol_names_deinit(struct hf_symbol_names *names);
/* The copy of a text; NULL for NULL, "" and when there is no memory. */
const char *hf_symbol_names_text(struct hf_symbol_names *names, const char *text);
/* What a name was added with, or NULL; *ret_linkage: the name, or NULL where they are the same. */
const char *hf_symbol_names_find(
	struct hf_symbol_names *names, const char *name, const char **ret_linkage);
const char *hf_symbol_names_add(struct hf_symbol_names *names, const char *name,
	const char *demangled, const char **ret_linkage);
