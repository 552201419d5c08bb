/* Functions and lines of a module's DWARF units, by address. Inside symbolize/ only. */
#pragma once
#include "symbolize/debug_files.h"

struct hf_unit_range {
	uint64_t start, end;
	uint32_t unit;
};

struct hf_unit_function {
	uint64_t start, end;
	Dwarf_Die die;
};

struct hf_unit {
	Dwarf_Die die;
	bool looked;
	struct hf_unit_function *functions; /* sorted by start, then the largest first */
	size_t n_functions;
};

struct hf_units {
	struct hf_unit *at;
	struct hf_unit_range *ranges; /* sorted */
	size_t n, n_ranges;
};

struct hf_unit_frame {
	const char *name; /* mangled where it is; NULL: not known */
	const char *file; /* NULL: not known */
	uint32_t line;
};

/* Lists the units of a module. What cannot be read is not there. */
void hf_units_init(struct hf_units *ret, struct hf_debug_files *files, uint32_t module);
void hf_units_deinit(struct hf_units *units);
/* The frames at an address of the file, innermost first; 0: none. */
size_t hf_units_frames(
	struct hf_units *units, uint64_t address, struct hf_unit_frame *ret, size_t max);
/* The DIE of the function (not inlined) around an address of the file. */
bool hf_units_function(struct hf_units *units, uint64_t address, Dwarf_Die *ret);
