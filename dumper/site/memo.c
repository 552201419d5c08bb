#include "site/memo.h"

#include <string.h>

#include "site/stacks.h"

struct hf_site_memos *hf_memo_of(
	struct hf_site_store *s, const struct hf_site_worker *worker, bool more)
{
	uint64_t i = worker ? (uint64_t)(worker - s->workers) : HF_SITE_MEMO_THREADS;
	uint64_t size = (i + 1) * sizeof(s->memos[0]);
	if (i >= HF_SITE_MEMO_THREADS)
		return NULL;
	if (size > __atomic_load_n(&s->mapped[HF_SITE_PART_MEMOS], __ATOMIC_ACQUIRE) &&
		!(more && hf_store_room(s, HF_SITE_PART_MEMOS, size)))
		return NULL;
	return &s->memos[i];
}

static void flush(struct hf_site_store *s, struct hf_site_memo *m)
{
	if (m->pending_count)
		hf_stacks_add(s, m->site, (uint32_t)((uintptr_t)m >> 12), m->pending_count,
			m->pending_bytes);
	m->pending_count = 0;
	m->pending_bytes = 0;
}

/* The number of the next memo that was used, from `from` on; HF_SITE_MEMOS: there is none. */
static unsigned next_used(const struct hf_site_memos *memos, unsigned from)
{
	for (; from < HF_SITE_MEMOS; from = (from | 63) + 1) {
		uint64_t used =
			__atomic_load_n(&memos->used[from / 64], __ATOMIC_RELAXED) >> from % 64;
		if (used)
			return from + (unsigned)__builtin_ctzll(used);
	}
	return HF_SITE_MEMOS;
}

void hf_memo_reset(struct hf_site_store *s, struct hf_site_memos *memos)
{
	for (unsigned i = 0; (i = next_used(memos, i)) < HF_SITE_MEMOS; i++) {
		if (!memos->memos[i].site)
			continue;
		flush(s, &memos->memos[i]);
		memos->memos[i].site = 0;
	}
}

static void remember(struct hf_site_memo *m, const struct hf_context *c,
	const struct hf_stack *stack, uint32_t generation, uint32_t site)
{
	m->pc = c->pc;
	m->sp = c->sp;
	m->bp = c->bp;
	m->bp_used = stack->bp_used;
	m->generation = generation;
	m->n_words = (uint16_t)stack->n_words;
	memcpy(m->offset, stack->offset, stack->n_words * sizeof(m->offset[0]));
	memcpy(m->word, stack->word, stack->n_words * sizeof(m->word[0]));
	/* they are compared eight at a time */
	for (uint32_t i = stack->n_words; i % 8; i++) {
		m->offset[i] = m->offset[i - 1];
		m->word[i] = m->word[i - 1];
	}
	m->site = site;
}

static uint32_t walk(struct hf_site_store *s, const struct hf_context *c,
	struct hf_stack_bounds *bounds, uint32_t period, struct hf_site_memo **memo)
{
	struct hf_stack stack;
	uint32_t generation = hf_unwind_generation();
	hf_unwind(s, c, bounds, &stack);
	uint32_t site = hf_stacks_intern(s, period, stack.pcs, stack.n);
	bool fits = site && stack.on_thread_stack && stack.n_words <= HF_SITE_MEMO_WORDS;
	if (*memo && fits) {
		flush(s, *memo);
		(*memo)->site = 0;
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		remember(*memo, c, &stack, generation, site);
	} else {
		*memo = NULL;
	}
	return site;
}

uint32_t hf_memo_search(struct hf_site_store *s, struct hf_site_memos *memos,
	const struct hf_context *c, struct hf_stack_bounds *bounds, uint32_t period,
	struct hf_site_memo **ret_memo)
{
	*ret_memo = NULL;
	if (!memos)
		return walk(s, c, bounds, period, ret_memo);
	/* two places for a key: that of the memo which fits, else the one to replace */
	uint64_t key = hf_unwind_key(c, bounds);
	uint32_t at = (key >> 40) % HF_SITE_MEMOS & ~1u;
	uint16_t *latest = hf_memo_latest(memos, c);
	for (uint32_t i = at; i < at + 2; i++) {
		struct hf_site_memo *m = &memos->memos[i];
		if (m->site && hf_unwind_same(m, c, bounds)) {
			*latest = (uint16_t)i;
			*ret_memo = m;
			return m->site;
		}
	}
	at += key >> 63;
	*latest = (uint16_t)at;
	*ret_memo = &memos->memos[at];
	uint64_t *used = &memos->used[at / 64];
	__atomic_store_n(used, *used | 1ull << at % 64, __ATOMIC_RELAXED);
	return walk(s, c, bounds, period, ret_memo);
}

void hf_memo_flush(struct hf_site_store *s, struct hf_site_memo *m)
{
	flush(s, m);
}

void hf_memo_pending(const struct hf_site_store *s, struct hf_site_total *totals, uint32_t last)
{
	uint64_t n = s->mapped[HF_SITE_PART_MEMOS] / sizeof(s->memos[0]);
	for (uint32_t t = 0; t < HF_SITE_MEMO_THREADS && t < n; t++) {
		if (t >= s->n_workers || !s->workers[t].owner)
			continue;
		const struct hf_site_memos *memos = &s->memos[t];
		for (unsigned i = 0; (i = next_used(memos, i)) < HF_SITE_MEMOS; i++) {
			const struct hf_site_memo *m = &memos->memos[i];
			if (!m->site || m->site > last)
				continue;
			totals[m->site].count += m->pending_count;
			totals[m->site].bytes += m->pending_bytes;
		}
	}
}
