#include "frontend/sigactions.h"

#include <errno.h>
#include <string.h>

#include "base/sys.h"
#include "frontend/next.h"

#define HF_API __attribute__((visibility("default")))

enum { N_SIGNALS = 65 };

static struct claim {
	hf_signal_handler handler; /* NULL: not claimed */
	enum hf_signal_policy policy;
	void (*yielded)(int number);
	struct sigaction program; /* kept: what the program has set */
} claims[N_SIGNALS];
static int lock; /* of claims[].program; held with all signals blocked */

static const uint64_t ALL = ~0ull;

static uint64_t lock_programs(void)
{
	uint64_t old = 0;
	int none = 0;
	hf_syscall4(SYS_rt_sigprocmask, SIG_SETMASK, &ALL, &old, sizeof(old));
	while (!__atomic_compare_exchange_n(
		&lock, &none, 1, true, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
		none = 0;
		hf_sys_sleep_ns(1000);
	}
	return old;
}

static void unlock_programs(uint64_t old)
{
	__atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
	hf_syscall4(SYS_rt_sigprocmask, SIG_SETMASK, &old, 0, sizeof(old));
}

static int next_sigaction(int number, const struct sigaction *action, struct sigaction *old)
{
	__typeof__(&sigaction) next = HF_NEXT(sigaction);
	if (next)
		return next(number, action, old);
	errno = ENOSYS;
	return -1;
}

static struct claim *claim_of(int number)
{
	struct claim *c = number > 0 && number < N_SIGNALS ? &claims[number] : NULL;
	return c && __atomic_load_n(&c->handler, __ATOMIC_ACQUIRE) ? c : NULL;
}

/* Our handler in the kernel, with the program's mask and flags. A signal that the program ignores
 * is ignored: programs that it executes inherit that. */
static int install_kept(int number, const struct claim *c)
{
	struct sigaction action = c->program;
	if (action.sa_handler != SIG_IGN) {
		action.sa_sigaction = c->handler;
		action.sa_flags &= ~(int)SA_RESETHAND;
		action.sa_flags |= SA_SIGINFO | SA_ONSTACK;
	}
	return next_sigaction(number, &action, NULL);
}

static int set_kept(
	int number, struct claim *c, const struct sigaction *action, struct sigaction *old)
{
	struct sigaction new, was;
	int rc = 0;
	/* the program's memory is read and written without the lock: it may fault */
	if (action)
		new = *action;
	uint64_t mask = lock_programs();
	was = c->program;
	if (action) {
		c->program = new;
		rc = install_kept(number, c);
		if (rc)
			c->program = was;
	}
	unlock_programs(mask);
	if (!rc && old)
		*old = was;
	return rc;
}

static int set_yielding(
	int number, struct claim *c, const struct sigaction *action, struct sigaction *old)
{
	struct sigaction was;
	int rc = next_sigaction(number, action, &was);
	if (rc)
		return rc;
	bool ours = (was.sa_flags & SA_SIGINFO) && was.sa_sigaction == c->handler;
	if (old) {
		*old = was;
		if (ours)
			*old = (struct sigaction){.sa_handler = SIG_DFL};
	}
	if (ours && action && c->yielded)
		c->yielded(number);
	return rc;
}

HF_API int sigaction(int number, const struct sigaction *action, struct sigaction *old)
{
	struct claim *c = claim_of(number);
	if (!c)
		return next_sigaction(number, action, old);
	return c->policy == HF_SIGNAL_KEEP ? set_kept(number, c, action, old)
					   : set_yielding(number, c, action, old);
}

/* The older functions, for signals that are claimed. */

typedef void (*handler_fn)(int);

static handler_fn set_simple(int number, handler_fn handler, int flags)
{
	struct sigaction action = {.sa_flags = flags}, old;
	action.sa_handler = handler;
	if (handler == SIG_ERR) {
		errno = EINVAL;
		return SIG_ERR;
	}
	sigemptyset(&action.sa_mask);
	if (!(flags & SA_NODEFER))
		sigaddset(&action.sa_mask, number);
	return sigaction(number, &action, &old) ? SIG_ERR : old.sa_handler;
}

extern handler_fn bsd_signal(int number, handler_fn handler);
extern handler_fn ssignal(int number, handler_fn handler);
extern handler_fn sysv_signal(int number, handler_fn handler);
extern handler_fn __sysv_signal(int number, handler_fn handler);

#define INTERPOSE_SIGNAL(name, flags)                                                              \
	HF_API handler_fn name(int number, handler_fn handler)                                     \
	{                                                                                          \
		if (claim_of(number))                                                              \
			return set_simple(number, handler, flags);                                 \
		__typeof__(&name) next = HF_NEXT(name);                                            \
		return next ? next(number, handler) : SIG_ERR;                                     \
	}
INTERPOSE_SIGNAL(signal, SA_RESTART)
INTERPOSE_SIGNAL(bsd_signal, SA_RESTART)
INTERPOSE_SIGNAL(ssignal, SA_RESTART)
INTERPOSE_SIGNAL(sysv_signal, (int)(SA_RESETHAND | SA_NODEFER))
INTERPOSE_SIGNAL(__sysv_signal, (int)(SA_RESETHAND | SA_NODEFER))

/* Claims. */

bool hf_signal_claim(int number, enum hf_signal_policy policy, hf_signal_handler handler,
	void (*yielded)(int number))
{
	static const int ignored[] = {SIGCHLD, SIGURG, SIGWINCH, SIGCONT}; /* by default */
	struct sigaction old, action = {0};
	struct claim *c = &claims[number];
	if (next_sigaction(number, NULL, &old))
		return false;
	if (policy == HF_SIGNAL_YIELD && old.sa_handler != SIG_DFL && old.sa_handler != SIG_IGN)
		return false;
	c->policy = policy;
	c->yielded = yielded;
	c->program = old;
	if (policy == HF_SIGNAL_YIELD) {
		action.sa_sigaction = handler;
		action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
		/* Blocked, these would not be ignored any more, but wake other threads. */
		uint64_t mask = ~0ull;
		for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
			mask &= ~(1ull << (ignored[i] - 1));
		memcpy(&action.sa_mask, &mask, sizeof(mask));
		if (next_sigaction(number, &action, NULL))
			return false;
		__atomic_store_n(&c->handler, handler, __ATOMIC_RELEASE);
		return true;
	}
	__atomic_store_n(&c->handler, handler, __ATOMIC_RELEASE);
	return install_kept(number, c) == 0;
}

void hf_signal_program_action(int number, struct sigaction *ret)
{
	uint64_t mask = lock_programs();
	*ret = claims[number].program;
	unlock_programs(mask);
}

void hf_signal_release(int number)
{
	/* struct kernel_sigaction of the kernel, all zero: SIG_DFL */
	uint64_t none[4] = {0};
	hf_syscall4(SYS_rt_sigaction, number, none, 0, sizeof(uint64_t));
}

void hf_signal_program_default(int number)
{
	uint64_t mask = lock_programs();
	claims[number].program = (struct sigaction){.sa_handler = SIG_DFL};
	unlock_programs(mask);
}

/* The handler in the kernel; without libc, since a thread of ours has no TLS. */
static void *handler_of(int number)
{
	struct {
		void *handler;
		uint64_t flags, restorer, mask;
	} action = {0};
	hf_syscall4(SYS_rt_sigaction, number, 0, &action, sizeof(action.mask));
	return action.handler;
}

uint64_t hf_signals_ours(void)
{
	uint64_t set = 0;
	for (int number = 1; number < N_SIGNALS; number++) {
		const struct claim *c = claim_of(number);
		if (!c)
			continue;
		bool ours = c->policy == HF_SIGNAL_KEEP ? c->program.sa_handler == SIG_DFL ||
								  c->program.sa_handler == SIG_IGN
							: handler_of(number) == (void *)c->handler;
		set |= (uint64_t)ours << (number - 1);
	}
	return set;
}
