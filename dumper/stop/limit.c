#include "stop/limit.h"

#include <signal.h>
#include <sys/time.h>

#include "base/sys.h"

/* struct kernel_sigaction of the kernel (asm/signal.h) */
struct kernel_sigaction {
	void (*handler)(int);
	unsigned long flags;
	void (*restorer)(void);
	uint64_t mask;
};

enum { RESTORER = 0x04000000 /* SA_RESTORER, without which the kernel makes no frame */ };

static struct {
	void (*fn)(void *ctx);
	void *ctx;
} limit;

static void never(void)
{
}

static void on_alarm(int number)
{
	(void)number;
	if (limit.fn)
		limit.fn(limit.ctx);
	for (;;)
		hf_syscall1(SYS_exit_group, 1);
}

void hf_limit_start(uint32_t seconds, void (*fn)(void *ctx), void *ctx)
{
	struct kernel_sigaction action = {on_alarm, RESTORER, never, ~0ull};
	struct itimerval timer = {.it_value = {.tv_sec = seconds}}, none = {0};
	uint64_t alarm = 1ull << (SIGALRM - 1);
	hf_syscall3(SYS_setitimer, ITIMER_REAL, &none, 0);
	if (!seconds)
		return;
	limit.fn = fn;
	limit.ctx = ctx;
	hf_syscall4(SYS_rt_sigaction, SIGALRM, &action, 0, sizeof(action.mask));
	hf_syscall3(SYS_setitimer, ITIMER_REAL, &timer, 0);
	hf_syscall4(SYS_rt_sigprocmask, SIG_UNBLOCK, &alarm, 0, sizeof(alarm));
}
