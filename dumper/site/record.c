#include "site/record.h"

#include <string.h>
#include <sys/auxv.h>
#include <time.h>

#include "base/page_alloc.h"
#include "base/sys.h"
#include "site/live.h"
#include "site/memo.h"
#include "site/modules.h"
#include "site/sampler.h"
#include "site/stacks.h"

enum {
	OFF_COUNTDOWN = 16 << 20, /* how often a thread looks whether recording was started */
	MEMO_PERIOD = 64 << 10,   /* up to this period a thread keeps memos of its stacks */
};

__thread struct hf_site_thread hf_site_thread;
uint8_t hf_site_filter[HF_FILTER_SIZE];
bool hf_site_all;

static struct hf_site_store *store;
static struct hf_site_store *fork_copy; /* of a store in a file, for the child */
static bool store_in_file;

static void filter_change(const void *p, int by)
{
	uint8_t *count = &hf_site_filter[hf_site_filter_index(p)];
	uint8_t was = __atomic_load_n(count, __ATOMIC_RELAXED);
	while (was != HF_FILTER_FULL &&
		!__atomic_compare_exchange_n(
			count, &was, (uint8_t)(was + by), true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

void hf_site_filter_add(const void *p)
{
	filter_change(p, 1);
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
	return HF_OK;
}

const struct hf_site_store *hf_site_store(void)
{
	return __atomic_load_n(&store, __ATOMIC_ACQUIRE);
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

static void start_thread(struct hf_site_thread *t)
{
	t->tid = (int32_t)hf_syscall0(SYS_gettid);
	t->random = hf_sys_monotonic_ns() ^ (uint64_t)t->tid << 32 ^ (uint64_t)t;
	t->random = t->random ? t->random : 1;
	for (int i = 0; i < 8; i++)
		hf_sampler_random(&t->random);
	t->worker = hf_live_join(store, t->tid);
	t->memos = hf_memo_of(store, t->worker);
	if (t->memos)
		hf_memo_reset(store, t->memos);
	if (store->period_bytes > MEMO_PERIOD)
		t->memos = NULL;
	t->started = true;
}

/* Is an allocation of that size, which is no less than the countdown, recorded? */
static bool decide(struct hf_site_thread *t, uint64_t size)
{
	if (!t->started)
		start_thread(t);
	if (!t->drawn) {
		t->drawn = true;
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

static __attribute__((noinline)) void add_sample(
	struct hf_site_store *s, const struct hf_site_thread *t, uint32_t site, uint64_t size)
{
	double weight = hf_sampler_weight(size, s->period_bytes);
	hf_stacks_add(s, site, (uint32_t)t->tid, (uint64_t)(weight * (1 << HF_SITE_FRACTION) + 0.5),
		(uint64_t)(weight * (double)size + 0.5));
	if (!is_exact(s))
		__atomic_add_fetch(&s->n_samples, 1, __ATOMIC_RELAXED);
}

static inline void record(struct hf_site_store *s, struct hf_site_thread *t, void *p, uint64_t size,
	const struct hf_context *c)
{
	struct hf_site_memo *m;
	hf_live_prefetch(s, (uint64_t)p);
	uint32_t site = hf_memo_site(s, t->memos, c, &t->bounds, &m);
	if (!site)
		return;
	if (is_exact(s) && m)
		hf_memo_count(s, m, size);
	else
		add_sample(s, t, site, size);
	struct hf_live_object object = {(uint64_t)p, size, site, (uint32_t)t->tid,
		(uint32_t)(coarse_seconds() - s->start_seconds)};
	if (hf_live_insert(s, t->worker, &object) && !hf_site_all)
		hf_site_filter_add(p);
}

void hf_site_allocated(void *p, uint64_t size, const struct hf_context *caller)
{
	struct hf_site_thread *t = &hf_site_thread;
	struct hf_site_store *s = __atomic_load_n(&store, __ATOMIC_ACQUIRE);
	if (!s) {
		t->countdown = OFF_COUNTDOWN;
		return;
	}
	if (t->inside) {
		__atomic_add_fetch(&s->lost_nested, 1, __ATOMIC_RELAXED);
		return;
	}
	t->inside = true;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if ((t->drawn && is_exact(s)) || decide(t, size))
		record(s, t, p, size, caller);
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
	if (!t->started)
		start_thread(t);
	bool found = hf_live_remove(store, t->worker, (uint64_t)p, ret);
	if (found && !hf_site_all)
		filter_change(p, -1);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	t->inside = false;
	return found;
}

void hf_site_undo_freed(const struct hf_live_object *object)
{
	hf_site_thread.inside = true;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (hf_live_insert(store, hf_site_thread.worker, object) && !hf_site_all)
		hf_site_filter_add((void *)object->addr);
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
	fork_copy = store_in_file ? hf_store_copy(store) : NULL;
}

static void after_fork(void)
{
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
	hf_live_forked(store);
	after_fork();
	hf_site_thread.started = false; /* another tid */
	hf_site_thread.drawn = false;
	hf_site_thread.countdown = 0;
	hf_site_thread.worker = NULL;
	hf_site_thread.memos = NULL;
	store->pid = (int32_t)hf_syscall0(SYS_getpid);
}
