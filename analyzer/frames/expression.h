/*
 * DWARF expressions (DWARF 5, section 2.5), as far as call frame information and the locations of
 * variables on x86-64 use them: where a variable is, or what a register was.
 *
 * An expression is a stranger's: operations, stack and steps are bounded. What needs a value that
 * the dump does not have has no result.
 * Thread rule: none; but libdw's operations belong to the thread of symbolize/debug_files.h.
 */
#pragma once
#include "frames/unwind.h"

enum hf_place_kind {
	HF_PLACE_NONE,  /* optimized away, or not known */
	HF_PLACE_STACK, /* at is an address */
	HF_PLACE_VALUE, /* at is the value itself: it is nowhere */
};

/* A part of a variable. */
struct hf_place {
	enum hf_place_kind kind;
	bool is_register; /* at is the number of one of the frame's registers */
	uint64_t at;
	uint64_t offset, size; /* in the variable; size 0: to its end */
};

enum { HF_PLACE_MAX = 8 };

struct hf_expression_context {
	const struct hf_unwind_frame *frame;
	const struct hf_unwind_stack *stack;
	uint64_t bias;       /* of the module: of DW_OP_addr */
	uint64_t frame_base; /* of DW_OP_fbreg */
	bool has_frame_base;
};

/* The places of a variable, at most HF_PLACE_MAX; 0: none. Without pieces there is one. */
size_t hf_expression_places(const struct hf_expression_context *context, const Dwarf_Op *ops,
	size_t n, struct hf_place ret[HF_PLACE_MAX]);
