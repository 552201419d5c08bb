/*
 * What a thread remembers of its stacks: the words that led the unwinder through each. If they are
 * all as they were, so is the stack, and it is known without a walk.
 *
 * A memo is looked for by (pc, sp) first, among the stacks that were met last; a program that
 * allocates through wrappers has many with the same (pc, sp), so a hash of the innermost frames is
 * the second way.
 *
 * Thread and signal safety: a worker's memos belong to its thread; hf_memo_pending() is for a
 * snapshot.
 */
#pragma once
#include <stddef.h>

#include "site/store.h"
#include "site/unwind.h"

/* A memo's count, with its fractional bits, that is added to the totals. */
static const uint64_t HF_MEMO_FLUSH = 1ull << (20 + HF_SITE_FRACTION);

/* The worker's memos; NULL: it has none. more: map them if they are not yet. */
struct hf_site_memos *hf_memo_of(
	struct hf_site_store *s, const struct hf_site_worker *worker, bool more);
/* Forget what is remembered; what is pending is added to the totals. */
void hf_memo_reset(struct hf_site_store *s, struct hf_site_memos *memos);
/* Inside this module: which memo was the latest with that (pc, sp), and the second way. */
static inline uint16_t *hf_memo_latest(struct hf_site_memos *memos, const struct hf_context *from)
{
	uint64_t h = (from->pc ^ from->sp << 20) * 0x9e3779b97f4a7c15ull;
	return &memos->latest[h >> (64 - HF_SITE_MEMO_BITS)];
}
/* Have the memo that is looked at first in the cache by then. */
static inline void hf_memo_prefetch(
	const struct hf_site_memos *memos, const struct hf_context *from)
{
	if (!memos)
		return;
	uint64_t h = (from->pc ^ from->sp << 20) * 0x9e3779b97f4a7c15ull;
	const char *m = (const char *)&memos->memos[memos->latest[h >> (64 - HF_SITE_MEMO_BITS)]];
	for (size_t i = 0; i < 2 * 64; i += 64)
		__builtin_prefetch(m + i);
	for (size_t i = 0; i < 3 * 64; i += 64)
		__builtin_prefetch(m + offsetof(struct hf_site_memo, word) + i);
}
uint32_t hf_memo_search(struct hf_site_store *s, struct hf_site_memos *memos,
	const struct hf_context *from, struct hf_stack_bounds *bounds, uint32_t period,
	struct hf_site_memo **ret_memo);
void hf_memo_flush(struct hf_site_store *s, struct hf_site_memo *memo);

/* The site of the stack among those of a period, 0: no room for it. memos, all of that period, may
 * be NULL. *ret_memo: the memo that has it now, or NULL. */
static inline uint32_t hf_memo_site(struct hf_site_store *s, struct hf_site_memos *memos,
	const struct hf_context *from, struct hf_stack_bounds *bounds, uint32_t period,
	struct hf_site_memo **ret_memo)
{
	if (__builtin_expect(memos != NULL, 1)) {
		struct hf_site_memo *m = &memos->memos[*hf_memo_latest(memos, from)];
		if (__builtin_expect(m->site && hf_unwind_same(m, from, bounds), 1)) {
			*ret_memo = m;
			return m->site;
		}
	}
	return hf_memo_search(s, memos, from, bounds, period, ret_memo);
}

/* Count what an allocation of the memo's site stands for; count has HF_SITE_FRACTION fractional
 * bits. No other thread writes here, so it costs little. */
static inline void hf_memo_count(
	struct hf_site_store *s, struct hf_site_memo *memo, uint64_t count, uint64_t bytes)
{
	memo->pending_bytes += bytes;
	memo->pending_count += count;
	if (__builtin_expect(memo->pending_count >= HF_MEMO_FLUSH, 0))
		hf_memo_flush(s, memo);
}

/* Add what is not yet in the totals to totals[id], up to and including the id `last`. */
void hf_memo_pending(const struct hf_site_store *s, struct hf_site_total *totals, uint32_t last);
