/*
 * Symbols of a module by address: those that the caller wants.
 * Thread rule: as types/table.h. Inside types/ only.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "symbolize/debug_files.h"

struct hf_symbol {
	uint64_t addr, size; /* in the file */
	const char *name;    /* in the symbol table */
};

struct hf_symbols {
	struct hf_symbol *at; /* by addr */
	size_t n, cap;
};

/* Of the fullest table that has any of them; none is no error. false: no memory. ret: {0}. */
bool hf_symbols_read(struct hf_symbols *ret, const struct hf_debug_module *module,
	bool (*wanted)(const char *name));
void hf_symbols_deinit(struct hf_symbols *symbols);
/* The symbol that an address of the file lies in; SIZE_MAX: none. */
size_t hf_symbols_find(const struct hf_symbols *symbols, uint64_t addr);
