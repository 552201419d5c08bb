/*
 * The stack of the calling thread as return addresses, without frame pointers, malloc, locks or the
 * loader's lists: by .eh_frame, whose rules are cached by return address.
 *
 * A walk also yields the words that it went by (return addresses and saved frame pointers, each at
 * its distance from sp). If they are the same again at the same (pc, sp, bp), so is the stack:
 * hf_unwind_same() checks that in one pass without following anything.
 *
 * Reads stay in the thread's stack, whose bounds are found and probed once; on any other stack
 * (coroutines, alternate signal stacks) each page is probed before it is read.
 *
 * Thread and signal safety: async-signal-safe after hf_unwind_init(); from any thread. A module
 * that is unloaded while its code is on the stack is a fault of the program.
 */
#pragma once
#include "site/store.h"

/* Where a walk begins: a return address (pc), and sp and bp of the frame that it returns to. */
struct hf_context {
	uint64_t pc, sp, bp;
};

/* What a thread knows of its stack; zeroed at first. */
struct hf_stack_bounds {
	uint64_t low, high; /* [low, high) has been found readable; 0, 0: not looked at */
};

struct hf_stack {
	uint32_t n;
	uint64_t pcs[HF_SITE_MAX_FRAMES]; /* return addresses, innermost first; the first is pc */
	uint32_t n_words;                 /* > HF_SITE_MEMO_WORDS: too many to be remembered */
	uint32_t offset[HF_SITE_MEMO_WORDS]; /* from sp, bytes */
	uint64_t word[HF_SITE_MEMO_WORDS];
	bool bp_used; /* the result depends on bp */
	bool on_thread_stack;
};

/* Reserve the cache. Once, at start-up. */
enum hf_status hf_unwind_init(struct hf_err *err);
/* Walk. modules that are met are remembered in store (may be NULL). ret->n is at least 1. */
void hf_unwind(struct hf_site_store *store, const struct hf_context *from,
	struct hf_stack_bounds *bounds, struct hf_stack *ret);
/* A hash of the innermost few frames, to look for a memo by: a program has many stacks with the
 * same (pc, sp), since allocations go through wrappers. Only rules in the cache are used. */
uint64_t hf_unwind_key(const struct hf_context *from, const struct hf_stack_bounds *bounds);
/* Is the stack the one of the memo? */
bool hf_unwind_same(const struct hf_site_memo *memo, const struct hf_context *from,
	const struct hf_stack_bounds *bounds);
/* Forget all rules, because code was unmapped. */
void hf_unwind_forget(void);
/* Changes with each hf_unwind_forget(). */
uint32_t hf_unwind_generation(void);
