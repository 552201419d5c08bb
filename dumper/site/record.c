#include "site/record.h"

#include <errno.h>
#include <string.h>
#include <sys/auxv.h>
#include <time.h>

#include "base/page_alloc.h"
#include "base/sys.h"
#include "site/control.h"
#include "site/live.h"
#include "site/memo.h"
#include "site/modules.h"
#include "site/sampler.h"
#include "site/stacks.h"

enum { MEMO_PERIOD = 64 << 10 /* up to this period a thread keeps memos of its stacks */ };

__thread struct hf_site_thread hf_site_thread;
uint8_t hf_site_filter[HF_FILTER_SIZE];
bool hf_site_all_recorded;
void (*hf_site_on_all)(void);

/* Found by its magic, from outside. */
__attribute__((used)) static struct hf_site_control control = {.magic = HF_SITE_CONTROL_MAGIC};
static int applying; /* a thread is applying a request */

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

static void record_all(void)
{
	__atomic_store_n(&hf_site_all_recorded, true, __ATOMIC_RELEASE);
	if (hf_site_on_all)
		hf_site_on_all();
}

static enum hf_status start(const struct hf_site_config *config, struct hf_err *err)
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
	if (config->period_bytes == HF_SAMPLER_EXACT)
		record_all();
	__atomic_store_n(&store, s, __ATOMIC_RELEASE);
	__atomic_store_n(&control.store, (uint64_t)s, __ATOMIC_RELEASE);
	return HF_OK;
}

enum hf_status hf_site_start(const struct hf_site_config *config, struct hf_err *err)
{
	enum hf_status status = start(config, err);
	if (status)
		return status;
	control.applied = hf_site_request((uint32_t)config->period_bytes);
	__atomic_store_n(&control.request, control.applied, __ATOMIC_RELEASE);
	hf_site_thread.countdown = 0;
	return HF_OK;
}

int hf_site_request_period_bytes(uint64_t period)
{
	if (period > HF_SITE_MAX_PERIOD)
		return -EINVAL;
	__atomic_store_n(&control.request, hf_site_request((uint32_t)period), __ATOMIC_RELEASE);
	hf_site_thread.countdown = 0;
	return 0;
}

/* Put a request into force. What was recorded exactly is not in the filter, so once everything was
 * recorded every free asks the table. */
static int apply(uint32_t period)
{
	struct hf_err err;
	if (period > HF_SITE_MAX_PERIOD)
		return -EINVAL;
	struct hf_site_config config = {period, NULL};
	if (!store && period && start(&config, &err))
		return err.sys_errno              ? -err.sys_errno
		       : err.status == HF_E_NOMEM ? -ENOMEM
						  : -ENOSYS;
	if (period == HF_SAMPLER_EXACT)
		record_all();
	if (store)
		__atomic_store_n(&store->period_bytes, period, __ATOMIC_RELEASE);
	return 0;
}

/* One thread applies; the others go on as they did until it is done. */
static void look(uint64_t request)
{
	if (request == __atomic_load_n(&control.applied, __ATOMIC_ACQUIRE) ||
		!hf_site_request_is_whole(request) ||
		__atomic_exchange_n(&applying, 1, __ATOMIC_ACQUIRE))
		return;
	control.result = apply(hf_site_request_period(request));
	__atomic_store_n(&control.applied, request, __ATOMIC_RELEASE);
	__atomic_store_n(&applying, 0, __ATOMIC_RELEASE);
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
	t->started = true;
}

/* The thread follows the request that is in force; its memos are of sites of another period. */
static __attribute__((noinline, cold)) void follow(struct hf_site_thread *t)
{
	look(__atomic_load_n(&control.request, __ATOMIC_ACQUIRE));
	uint64_t applied = __atomic_load_n(&control.applied, __ATOMIC_ACQUIRE);
	if (t->request == applied || !store)
		return;
	if (!t->started)
		start_thread(t);
	t->period = (uint32_t)__atomic_load_n(&store->period_bytes, __ATOMIC_ACQUIRE);
	bool remembers = t->period && t->period <= MEMO_PERIOD;
	t->memos = hf_memo_of(store, t->worker, remembers);
	if (t->memos)
		hf_memo_reset(store, t->memos);
	if (!remembers)
		t->memos = NULL;
	t->countdown = 0;
	t->at_point = false;
	t->request = applied;
}

/* A gap has no memory: when it is long, the thread looks up halfway and draws another. */
static void count_down(struct hf_site_thread *t, uint64_t gap)
{
	t->at_point = gap <= HF_SITE_LOOK;
	t->countdown = t->at_point ? gap : HF_SITE_LOOK;
}

/* Is an allocation of that size, which is no less than the countdown, recorded? */
static bool decide(struct hf_site_thread *t, uint64_t size)
{
	if (t->period <= HF_SAMPLER_EXACT) {
		t->countdown = t->period ? 0 : HF_SITE_LOOK;
		return t->period;
	}
	if (!t->at_point) {
		size -= size < t->countdown ? size : t->countdown;
		uint64_t gap = hf_sampler_gap(&t->random, t->period);
		if (size < gap) {
			count_down(t, gap - size);
			return false;
		}
	}
	count_down(t, hf_sampler_gap(&t->random, t->period));
	return true;
}

static __attribute__((noinline)) void add_sample(struct hf_site_store *s,
	const struct hf_site_thread *t, uint32_t site, struct hf_site_memo *memo, uint64_t size)
{
	double weight = hf_sampler_weight(size, t->period);
	uint64_t count = (uint64_t)(weight * (1 << HF_SITE_FRACTION) + 0.5);
	uint64_t bytes = (uint64_t)(weight * (double)size + 0.5);
	if (memo)
		hf_memo_count(s, memo, count, bytes);
	else
		hf_stacks_add(s, site, (uint32_t)t->tid, count, bytes);
	if (t->period != HF_SAMPLER_EXACT)
		hf_live_count_sample(s, t->worker);
}

static inline void record(struct hf_site_store *s, struct hf_site_thread *t, void *p, uint64_t size,
	const struct hf_context *c)
{
	struct hf_site_memo *m;
	hf_live_prefetch(s, (uint64_t)p);
	uint32_t site = hf_memo_site(s, t->memos, c, &t->bounds, t->period, &m);
	if (!site)
		return;
	if (t->period == HF_SAMPLER_EXACT && m)
		hf_memo_count(s, m, 1 << HF_SITE_FRACTION, size);
	else
		add_sample(s, t, site, m, size);
	struct hf_live_object object = {(uint64_t)p, size, site, (uint32_t)t->tid,
		(uint32_t)(coarse_seconds() - s->start_seconds)};
	if (hf_live_insert(s, t->worker, &object) && !hf_site_all())
		hf_site_filter_add(p);
}

void hf_site_prepare(const struct hf_context *caller)
{
	hf_memo_prefetch(hf_site_thread.memos, caller);
}

void hf_site_allocated(void *p, uint64_t size, const struct hf_context *caller)
{
	struct hf_site_thread *t = &hf_site_thread;
	if (t->inside) {
		struct hf_site_store *s = __atomic_load_n(&store, __ATOMIC_ACQUIRE);
		if (s)
			__atomic_add_fetch(&s->lost_nested, 1, __ATOMIC_RELAXED);
		return;
	}
	t->inside = true;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (__builtin_expect(t->request != __atomic_load_n(&control.request, __ATOMIC_RELAXED), 0))
		follow(t);
	if (t->period == HF_SAMPLER_EXACT || decide(t, size))
		record(__atomic_load_n(&store, __ATOMIC_RELAXED), t, p, size, caller);
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
	if (found && !hf_site_all())
		filter_change(p, -1);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	t->inside = false;
	return found;
}

void hf_site_undo_freed(const struct hf_live_object *object)
{
	hf_site_thread.inside = true;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (hf_live_insert(store, hf_site_thread.worker, object) && !hf_site_all())
		hf_site_filter_add((void *)object->addr);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	hf_site_thread.inside = false;
}

void hf_site_unloaded(void)
{
	if (!hf_site_store())
		return;
	hf_modules_changed();
	hf_unwind_forget();
}

void hf_site_before_fork(void)
{
	if (!hf_site_store())
		return;
	hf_site_thread.was_inside = hf_site_thread.inside;
	hf_site_thread.inside = true;
	fork_copy = store_in_file ? hf_store_copy(store) : NULL;
}

void hf_site_after_fork_in_parent(void)
{
	if (!hf_site_store())
		return;
	hf_store_destroy(fork_copy);
	fork_copy = NULL;
	hf_site_thread.inside = hf_site_thread.was_inside;
}

/* The file is the parent's; the child goes on with its own copy, or not at all. */
void hf_site_after_fork_in_child(void)
{
	if (!hf_site_store())
		return;
	if (store_in_file && (!fork_copy || !hf_store_replace(store, fork_copy))) {
		store = NULL;
		control.store = 0;
		hf_site_thread.period = 0;
		hf_site_thread.inside = false;
		return;
	}
	store_in_file = false;
	fork_copy = NULL;
	hf_live_forked(store);
	applying = 0;
	hf_modules_forked();
	hf_site_thread.inside = hf_site_thread.was_inside;
	hf_site_thread.started = false; /* another tid */
	hf_site_thread.request = 0;
	hf_site_thread.period = 0;
	hf_site_thread.countdown = 0;
	hf_site_thread.worker = NULL;
	hf_site_thread.memos = NULL;
	store->pid = (int32_t)hf_syscall0(SYS_getpid);
}
