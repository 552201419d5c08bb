/*
 * The frames of a thread of the dump, by the call frame information of its modules (.eh_frame,
 * else .debug_frame; System V psABI for x86-64, section 3.7, and DWARF 5, section 6.4).
 *
 * A dump has registers and those stack words that point into an object, a stack or a module. That
 * is enough: return addresses and saved frame pointers are among them. A value that the dump does
 * not have is not known, and where it is needed the unwinding ends.
 *
 * Thread rule: as symbolize/debug_files.h.
 */
#pragma once
#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "source/heap.h"
#include "symbolize/debug_files.h"

enum { HF_UNWIND_REGISTERS = 17, HF_UNWIND_MAX_FRAMES = 4096 };

/* A register as a frame sees it, and where the process had it at the time of the dump. */
struct hf_unwind_register {
	bool known;     /* value is */
	bool in_memory; /* at is an address of the stack, else the number of a register */
	bool somewhere; /* at is known */
	uint64_t value, at;
};

struct hf_unwind_frame {
	uint64_t pc;     /* of the innermost frame, or where the call returns to */
	uint64_t lookup; /* inside the instruction that runs: pc, or less one */
	uint64_t cfa;    /* 0: not known */
	uint32_t module; /* HF_NONE: in none */
	bool signal;     /* a signal interrupted what follows */
	struct hf_unwind_register registers[HF_UNWIND_REGISTERS]; /* by DWARF number */
};

/* The words of one thread's stack, ascending; the owner's. */
struct hf_unwind_stack {
	const struct hf_heap_stack_word *words;
	size_t n;
};

struct hf_unwind; /* opaque */

enum hf_status hf_unwind_create(struct hf_unwind **ret, const struct hf_heap *heap,
	struct hf_debug_files *files, struct hf_err *err);
void hf_unwind_destroy(struct hf_unwind *unwind);

/* The stack of a thread; lives as long as unwind. */
struct hf_unwind_stack hf_unwind_stack(const struct hf_unwind *unwind, uint32_t thread);
/* A word of it; false: the dump does not have it. */
bool hf_unwind_read(const struct hf_unwind_stack *stack, uint64_t addr, uint64_t *ret);

/* The innermost frame, from the thread's registers; false: they are not in the dump. */
bool hf_unwind_first(struct hf_unwind *unwind, uint32_t thread, struct hf_unwind_frame *ret);
/* The caller's frame; false: there is none, or it cannot be told. Sets frame->cfa. The CFA
 * ascends from call to call, so that a damaged stack ends. */
bool hf_unwind_next(struct hf_unwind *unwind, const struct hf_unwind_stack *stack,
	struct hf_unwind_frame *frame, struct hf_unwind_frame *ret);
