#include "frontend/signal_stack.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/auxv.h>
#include <threads.h>

#include "base/page_alloc.h"
#include "base/sys.h"
#include "frontend/next.h"

#define HF_API __attribute__((visibility("default")))

enum {
	HANDLER_SIZE = 16 << 10, /* what our handlers need; the kernel's frame comes on top */
	CHUNK_THREADS = 64,
	MAX_CHUNKS = 128,
};

/* A thread's: first what it is to run, then the stack. */
struct slot {
	int state; /* 0: free, FILLED, else the thread's id */
	union {
		void *(*posix)(void *);
		int (*c11)(void *);
	} fn;
	void *arg;
};
enum { FILLED = -1 };

static struct {
	bool on;
	size_t half_size;
	int n_chunks, lock;
	struct chunk {
		struct slot slots[CHUNK_THREADS];
		_Alignas(64) char stacks[]; /* CHUNK_THREADS of 2 * half_size */
	} * chunks[MAX_CHUNKS];
} all;

static char *stack_of(int chunk, int i)
{
	return all.chunks[chunk]->stacks + (size_t)i * 2 * all.half_size;
}

static void use(char *stack)
{
	stack_t ours = {.ss_sp = stack, .ss_size = all.half_size};
	hf_syscall2(SYS_sigaltstack, &ours, 0);
}

static bool claim(struct slot *s, int from)
{
	return __atomic_compare_exchange_n(
		&s->state, &from, FILLED, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static bool has_ended(int tid)
{
	return tid > 0 && hf_syscall3(SYS_tgkill, hf_syscall0(SYS_getpid), tid, 0) == -ESRCH;
}

static bool add_chunk(void)
{
	int n = __atomic_load_n(&all.n_chunks, __ATOMIC_ACQUIRE);
	if (n == MAX_CHUNKS || __atomic_exchange_n(&all.lock, 1, __ATOMIC_ACQUIRE))
		return false;
	n = all.n_chunks;
	struct chunk *chunk =
		n < MAX_CHUNKS ? hf_page_alloc(sizeof(*chunk) + CHUNK_THREADS * 2 * all.half_size)
			       : NULL;
	if (chunk) {
		all.chunks[n] = chunk;
		__atomic_store_n(&all.n_chunks, n + 1, __ATOMIC_RELEASE);
	}
	__atomic_store_n(&all.lock, 0, __ATOMIC_RELEASE);
	return chunk;
}

static struct slot *find(bool ended, int first)
{
	int n = __atomic_load_n(&all.n_chunks, __ATOMIC_ACQUIRE);
	for (int c = first; c < n; c++) {
		for (int i = 0; i < CHUNK_THREADS; i++) {
			struct slot *s = &all.chunks[c]->slots[i];
			int state = __atomic_load_n(&s->state, __ATOMIC_RELAXED);
			if ((ended ? has_ended(state) : state == 0) && claim(s, state))
				return s;
		}
	}
	return NULL;
}

/* A free one, else that of a thread that has ended, else a new one. NULL: the thread goes without.
 */
static struct slot *take_slot(void)
{
	struct slot *s = find(false, 0);
	if (!s)
		s = find(true, 0);
	if (!s && add_chunk())
		s = find(false, all.n_chunks - 1);
	return s;
}

/* In the new thread. */
static struct slot enter(struct slot *s)
{
	struct slot copy = *s;
	for (int c = 0; c < all.n_chunks; c++) {
		struct slot *first = all.chunks[c]->slots;
		if (s >= first && s < first + CHUNK_THREADS)
			use(stack_of(c, (int)(s - first)));
	}
	__atomic_store_n(&s->state, (int)hf_syscall0(SYS_gettid), __ATOMIC_RELEASE);
	return copy;
}

static void *posix_main(void *arg)
{
	struct slot s = enter(arg);
	return s.fn.posix(s.arg);
}

static int c11_main(void *arg)
{
	struct slot s = enter(arg);
	return s.fn.c11(s.arg);
}

HF_API int pthread_create(
	pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
	__typeof__(&pthread_create) next = HF_NEXT(pthread_create);
	struct slot *s = all.on ? take_slot() : NULL;
	if (!next)
		return ENOSYS;
	if (!s)
		return next(thread, attr, fn, arg);
	s->fn.posix = fn;
	s->arg = arg;
	int rc = next(thread, attr, posix_main, s);
	if (rc)
		__atomic_store_n(&s->state, 0, __ATOMIC_RELEASE);
	return rc;
}

HF_API int thrd_create(thrd_t *thread, thrd_start_t fn, void *arg)
{
	__typeof__(&thrd_create) next = HF_NEXT(thrd_create);
	struct slot *s = all.on ? take_slot() : NULL;
	if (!next)
		return thrd_error;
	if (!s)
		return next(thread, fn, arg);
	s->fn.c11 = fn;
	s->arg = arg;
	int rc = next(thread, c11_main, s);
	if (rc != thrd_success)
		__atomic_store_n(&s->state, 0, __ATOMIC_RELEASE);
	return rc;
}

void hf_signal_stack_start(void)
{
	stack_t old = {0};
	unsigned long least = getauxval(AT_MINSIGSTKSZ);
	all.half_size = (HANDLER_SIZE + least + HF_PAGE - 1) & ~(size_t)(HF_PAGE - 1);
	all.on = true;
	if (hf_syscall2(SYS_sigaltstack, 0, &old) == 0 && !(old.ss_flags & SS_DISABLE))
		return;
	struct slot *s = take_slot();
	if (s)
		enter(s);
}

bool hf_signal_stack_other(stack_t *ret)
{
	stack_t now = {0};
	const size_t size = 2 * all.half_size;
	if (hf_syscall2(SYS_sigaltstack, 0, &now) < 0 || !(now.ss_flags & SS_ONSTACK))
		return false;
	char *at = now.ss_sp;
	for (int c = 0; c < all.n_chunks; c++) {
		char *first = all.chunks[c]->stacks;
		if (at < first || at >= first + CHUNK_THREADS * size)
			continue;
		char *stack = first + (size_t)(at - first) / size * size;
		*ret = (stack_t){.ss_sp = at == stack ? stack + all.half_size : stack,
			.ss_size = all.half_size};
		return true;
	}
	return false;
}
