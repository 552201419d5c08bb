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
#include <emmintrin.h>

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
/* Forget all rules, because code was unmapped. */
void hf_unwind_forget(void);
/* Changes with each hf_unwind_forget(). */
extern uint32_t hf_unwind_count;
static inline uint32_t hf_unwind_generation(void)
{
	return __atomic_load_n(&hf_unwind_count, __ATOMIC_ACQUIRE);
}

/* Eight words of a stack that lie at these distances from sp, against those of a memo. */
static inline bool hf_unwind_same_words(
	const char *sp, const uint32_t offset[8], const uint64_t word[8])
{
	const __m128i zero = _mm_setzero_si128();
	__m128i differ = zero;
#pragma GCC unroll 4
	for (int i = 0; i < 8; i += 2) {
		__m128i low = _mm_loadl_epi64((const __m128i *)(sp + offset[i]));
		__m128i high = _mm_loadl_epi64((const __m128i *)(sp + offset[i + 1]));
		__m128i have = _mm_unpacklo_epi64(low, high);
		__m128i wanted = _mm_load_si128((const __m128i *)&word[i]);
		differ = _mm_or_si128(differ, _mm_xor_si128(have, wanted));
	}
	return _mm_movemask_epi8(_mm_cmpeq_epi8(differ, zero)) == 0xffff;
}

/* Is the stack the one of the memo? The first words that differ are most often among the innermost.
 * What is behind the last of a memo's words, up to a multiple of eight, repeats it. */
static inline bool hf_unwind_same(const struct hf_site_memo *m, const struct hf_context *from,
	const struct hf_stack_bounds *bounds)
{
	if (m->sp != from->sp || m->pc != from->pc || (m->bp_used && m->bp != from->bp) ||
		m->generation != hf_unwind_generation() || from->sp < bounds->low ||
		from->sp >= bounds->high)
		return false;
	for (uint32_t i = 0; i < m->n_words; i += 8) {
		if (!hf_unwind_same_words((const char *)from->sp, &m->offset[i], &m->word[i]))
			return false;
	}
	return true;
}
