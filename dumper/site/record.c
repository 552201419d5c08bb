#include "site/record.h"

#include <string.h>
#include <sys/auxv.h>
#include <time.h>

#include "base/page_alloc.h"
#include "base/sys.h"
#include "site/live.h"
#include "site/modules.h"
#include "site/sampler.h"
#include "site/stacks.h"

enum {
	OFF_COUNTDOWN = 16 << 20, /* how often a thread looks whether recording was started */
	MEMO_PERIOD = 64 << 10,   /* up to this period a thread keeps memos of its stacks */
	PENDING_FLUSH = 1u << 20, /* allocations of a memo before they are added to the totals */
};

__thread struct hf_site_thread hf_site_thread;
uint16_t hf_site_filter[HF_FILTER_SIZE];
bool hf_site_all;

static struct hf_site_store *store;
static struct hf_site_store *fork_copy; /* of a store in a file, for the child */
static bool store_in_file;

static void filter_add(const void *p, int n)
{
	__atomic_add_fetch(&hf_site_filter[hf_site_filter_index(p)], (uint16_t)n, __ATOMIC_RELAXED);
}

static bool is_exact(const struct hf_site_store *s)
{
	return s->period_bytes == HF_SAMPLER_EXACT;
}

enum hf_status hf_site_start(const struct hf_site_config *config, struct hf_err *err)
{
	struct hf_site_store *s;
	enum hf_status status = hf_unwind_init(err);
	if (!status)
		status = hf_store_create(config->path, config->period_bytes, &s, err);
	if (status)
		return status;
	store_in_file = config->path != NULL;
	/* pprof takes the first module for the program */
	struct hf_cfi_table table;
	hf_modules_table(s, getauxval(AT_ENTRY), &table);
	hf_site_all = is_exact(s);
	__atomic_store_n(&store, s, __ATOMIC_RELEASE);
	hf_site_thread.countdown = 0;
	hf_site_thread.started = false;
	return HF_OK;
}

const struct hf_site_store *hf_site_store(void)
{
	return __atomic_load_n(&store, __ATOMIC_ACQUIRE);
}

bool hf_site_busy(void)
{
	const struct hf_site_store *s = hf_site_store();
	return s && hf_live_busy(s);
}

static uint64_t coarse_seconds(void)
{
	struct timespec now = {0};
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec;
}

bool hf_site_find(uint64_t addr, struct hf_site_object *ret)
{
	const struct hf_site_store *s = hf_site_store();
	struct hf_live_object o;
	if (!s || !hf_live_find(s, addr, &o))
		return false;
	uint64_t now = coarse_seconds() - s->start_seconds;
	*ret = (struct hf_site_object){
		o.site, o.size, now > o.seconds ? now - o.seconds : 0, (int)o.tid};
	return true;
}

/* Memos: a block of them a thread. One whose thread has ended goes to the next that asks. */

static void flush(struct hf_site_memo *m, uint32_t stripe)
{
	if (m->pending_count)
		hf_stacks_add(store, m->site, stripe,
			(uint64_t)m->pending_count << HF_SITE_FRACTION, m->pending_bytes);
	m->pending_count = 0;
	m->pending_bytes = 0;
}

static bool is_alive(int tid)
{
	return hf_syscall3(SYS_tgkill, hf_syscall0(SYS_getpid), tid, 0) == 0;
}

static bool claim(struct hf_site_memos *block, int tid)
{
	int32_t owner = __atomic_load_n(&block->owner, __ATOMIC_ACQUIRE);
	if (owner && is_alive(owner))
		return false;
	if (!__atomic_compare_exchange_n(
		    &block->owner, &owner, tid, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return false;
	for (int i = 0; owner && i < HF_SITE_MEMOS; i++) {
		flush(&block->memos[i], (uint32_t)tid);
		block->memos[i].site = 0;
	}
	return true;
}

static struct hf_site_memos *claim_memos(int tid)
{
	if (store->period_bytes > MEMO_PERIOD)
		return NULL;
	for (int i = 0; i < HF_SITE_MEMO_THREADS; i++) {
		struct hf_site_memos *block = &store->memos[i];
		if (claim(block, tid))
			return block;
	}
	return NULL;
}

static void start_thread(struct hf_site_thread *t)
{
	t->tid = (int32_t)hf_syscall0(SYS_gettid);
	t->random = hf_sys_monotonic_ns() ^ (uint64_t)t->tid << 32 ^ (uint64_t)t;
	t->random = t->random ? t->random : 1;
	for (int i = 0; i < 8; i++)
		hf_sampler_random(&t->random);
	t->memos = claim_memos(t->tid);
	t->started = true;
}

/* Is an allocation of that size, which is no less than the countdown, recorded? */
static bool decide(struct hf_site_thread *t, uint64_t size)
{
	if (!t->started) {
		start_thread(t);
		t->countdown =
			is_exact(store) ? 0 : hf_sampler_gap(&t->random, store->period_bytes);
		if (size < t->countdown) {
			t->countdown -= size;
			return false;
		}
	}
	if (!is_exact(store))
		t->countdown = hf_sampler_gap(&t->random, store->period_bytes);
	return true;
}

/* Two places for a key: that of the memo which fits, else the one to replace. */
static struct hf_site_memo *memo_of(
	struct hf_site_thread *t, const struct hf_context *c, bool *ret_same)
{
	uint64_t key = hf_unwind_key(c, &t->bounds);
	struct hf_site_memo *pair = &t->memos->memos[(key >> 40) % HF_SITE_MEMOS & ~1u];
	for (int i = 0; i < 2; i++) {
		if (pair[i].site && hf_unwind_same(&pair[i], c, &t->bounds)) {
			*ret_same = true;
			return &pair[i];
		}
	}
	*ret_same = false;
	return &pair[key >> 63];
}

static uint32_t walk(struct hf_site_thread *t, const struct hf_context *c, struct hf_site_memo *m)
{
	struct hf_stack stack;
	uint32_t before = hf_unwind_generation();
	hf_unwind(store, c, &t->bounds, &stack);
	uint32_t site = hf_stacks_intern(store, stack.pcs, stack.n);
	if (m && site && stack.on_thread_stack && stack.n_words <= HF_SITE_MEMO_WORDS) {
		flush(m, (uint32_t)t->tid);
		m->site = 0;
		m->pc = c->pc;
		m->sp = c->sp;
		m->bp = c->bp;
		m->bp_used = stack.bp_used;
		m->generation = before;
		m->n_words = (uint16_t)stack.n_words;
		memcpy(m->offset, stack.offset, stack.n_words * sizeof(m->offset[0]));
		memcpy(m->word, stack.word, stack.n_words * sizeof(m->word[0]));
		m->site = site;
	}
	return site;
}

static void add(struct hf_site_thread *t, struct hf_site_memo *m, uint32_t site, uint64_t size)
{
	if (m && m->site == site && is_exact(store)) {
		m->pending_bytes += size;
		if (++m->pending_count == PENDING_FLUSH)
			flush(m, (uint32_t)t->tid);
		return;
	}
	double weight = hf_sampler_weight(size, store->period_bytes);
	hf_stacks_add(store, site, (uint32_t)t->tid,
		(uint64_t)(weight * (1 << HF_SITE_FRACTION) + 0.5),
		(uint64_t)(weight * (double)size + 0.5));
	if (!is_exact(store))
		__atomic_add_fetch(&store->n_samples, 1, __ATOMIC_RELAXED);
}

static void record(struct hf_site_thread *t, void *p, uint64_t size, const struct hf_context *c)
{
	bool same = false;
	struct hf_site_memo *m = t->memos ? memo_of(t, c, &same) : NULL;
	uint32_t site = same ? m->site : walk(t, c, m);
	if (!site)
		return;
	add(t, m, site, size);
	struct hf_live_object object = {(uint64_t)p, size, site, (uint32_t)t->tid,
		(uint32_t)(coarse_seconds() - store->start_seconds)};
	if (hf_live_insert(store, &object) && !is_exact(store))
		filter_add(p, 1);
}

void hf_site_allocated(void *p, uint64_t size, const struct hf_context *caller)
{
	struct hf_site_thread *t = &hf_site_thread;
	if (!hf_site_store()) {
		t->countdown = OFF_COUNTDOWN;
		return;
	}
	if (t->inside) {
		__atomic_add_fetch(&store->lost_nested, 1, __ATOMIC_RELAXED);
		return;
	}
	t->inside = true;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (decide(t, size))
		record(t, p, size, caller);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	t->inside = false;
}

bool hf_site_freed(void *p, struct hf_live_object *ret)
{
	struct hf_site_thread *t = &hf_site_thread;
	if (!p || !hf_site_store())
		return false;
	if (t->inside) {
		__atomic_add_fetch(&store->lost_nested, 1, __ATOMIC_RELAXED);
		return false;
	}
	t->inside = true;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	bool found = hf_live_remove(store, (uint64_t)p, ret);
	if (found && !is_exact(store))
		filter_add(p, -1);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	t->inside = false;
	return found;
}

void hf_site_undo_freed(const struct hf_live_object *object)
{
	hf_site_thread.inside = true;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (hf_live_insert(store, object) && !is_exact(store))
		filter_add((void *)object->addr, 1);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	hf_site_thread.inside = false;
}

void hf_site_unloaded(void)
{
	if (hf_site_store())
		hf_unwind_forget();
}

void hf_site_before_fork(void)
{
	if (!hf_site_store())
		return;
	hf_site_thread.inside = true;
	hf_live_lock_all(store);
	fork_copy = store_in_file ? hf_store_copy(store) : NULL;
}

static void after_fork(void)
{
	hf_live_unlock_all(store);
	hf_site_thread.inside = false;
}

void hf_site_after_fork_in_parent(void)
{
	if (!hf_site_store())
		return;
	hf_store_destroy(fork_copy);
	fork_copy = NULL;
	after_fork();
}

/* The file is the parent's; the child goes on with its own copy, or not at all. */
void hf_site_after_fork_in_child(void)
{
	if (!hf_site_store())
		return;
	if (store_in_file && (!fork_copy || !hf_store_replace(store, fork_copy))) {
		store = NULL;
		hf_site_thread.inside = false;
		return;
	}
	store_in_file = false;
	fork_copy = NULL;
	after_fork();
	hf_site_thread.started = false; /* another tid */
	hf_site_thread.countdown = 0;
	hf_site_thread.memos = NULL;
	store->pid = (int32_t)hf_syscall0(SYS_getpid);
}
