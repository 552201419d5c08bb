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
#include "site/store.h"
#include "site/unwind.h"

/* The worker's memos; NULL: it has none. */
struct hf_site_memos *hf_memo_of(struct hf_site_store *s, const struct hf_site_worker *worker);
/* Forget what is remembered; what is pending is added to the totals. */
void hf_memo_reset(struct hf_site_store *s, struct hf_site_memos *memos);
/* The site of the stack, 0: no room for it. *ret_memo: the memo that has it now, or NULL. */
uint32_t hf_memo_site(struct hf_site_store *s, struct hf_site_memos *memos,
	const struct hf_context *from, struct hf_stack_bounds *bounds,
	struct hf_site_memo **ret_memo);
/* Count an allocation of the memo's site; exact mode alone. */
void hf_memo_count(struct hf_site_store *s, struct hf_site_memo *memo, uint64_t size_bytes);
/* Add what is not yet in the totals to totals[id], up to and including the id `last`. */
void hf_memo_pending(const struct hf_site_store *s, struct hf_site_total *totals, uint32_t last);
