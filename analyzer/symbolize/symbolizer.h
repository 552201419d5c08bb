/*
 * From an address in code to functions, files and lines, inlined frames included: by DWARF where
 * there is some, else by the ELF symbol table (a function without a line).
 *
 * A module's units are sorted by address when it is first asked for, a unit's functions when
 * an address in it is. Names are kept until the symbolizer is destroyed; they are bytes of a
 * stranger. Damaged debug information gives no frames, or fewer.
 * Thread rule: as hf_debug_files, one thread at a time.
 */
#pragma once
#include "symbolize/debug_files.h"

struct hf_symbol_frame {
	const char *function; /* demangled; NULL: not known */
	const char *linkage;  /* as the linker has it; NULL: the same */
	const char *file;     /* NULL: not known */
	uint32_t line;        /* 0: not known */
};

enum { HF_SYMBOL_MAX_FRAMES = 64 }; /* inlined into one another */

struct hf_symbolizer; /* opaque */

/* files must outlive it. HF_E_NOMEM. */
enum hf_status hf_symbolizer_create(
	struct hf_symbolizer **ret, struct hf_debug_files *files, struct hf_err *err);
void hf_symbolizer_destroy(struct hf_symbolizer *symbolizer);

/* The frames at pc, an address of the process inside an instruction (of a call: the return address
 * less one), innermost first; at most max are given. 0: nothing is known. */
size_t hf_symbolize(struct hf_symbolizer *symbolizer, uint32_t module, uint64_t pc,
	struct hf_symbol_frame *ret, size_t max);

/* The DIE of the function around pc; a function that was inlined there is inside of it. */
bool hf_symbolizer_function(
	struct hf_symbolizer *symbolizer, uint32_t module, uint64_t pc, Dwarf_Die *ret);
