/*
 * The variables and parameters of a frame that are in scope where it stands, those of inlined
 * functions too, and where they are.
 *
 * Thread rule: as symbolize/debug_files.h. Debug information is a stranger's: bounded.
 */
#pragma once
#include "frames/expression.h"

enum { HF_LOCALS_MAX = 1024 /* variables of a frame */ };

struct hf_local {
	Dwarf_Die die;
	const char *name; /* libdw's; NULL: it has none */
	uint32_t inlined; /* how many inlined functions deep it is declared; 0: in the function
			     itself */
	size_t n_places;
	struct hf_place places[HF_PLACE_MAX];
};

/* At most max of them, the innermost scope first, so that what is shadowed comes after what shadows
 * it. function: the DIE around frame->lookup. */
size_t hf_locals(Dwarf_Die *function, uint64_t bias, const struct hf_unwind_frame *frame,
	const struct hf_unwind_stack *stack, struct hf_local *ret, size_t max);
