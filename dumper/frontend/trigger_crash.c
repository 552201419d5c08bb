/*
 * crash=1: a dump when a signal is about to end the program because of what it did; then the signal
 * takes its course, with the siginfo and the registers that it came with.
 *
 * The handler of a program is called from ours, on the stack that it would have run on and with the
 * mask that it asked for (ours is installed with the program's mask and flags). Where the program
 * has none, the default action is restored and the signal queued again: it is delivered when we
 * return, at the instruction that failed, so exit status and core file are what they would have
 * been.
 *
 * Our handler runs on a signal stack of its own (signal_stack.h). All signals are blocked in it:
 * the kernel ends a process that faults while the fault is blocked, so a crash of ours cannot loop.
 */
#include <errno.h>
#include <signal.h>

#include "base/fmt.h"
#include "base/stack_call.h"
#include "base/sys.h"
#include "frontend/crash_text.h"
#include "frontend/sigactions.h"
#include "frontend/signal_stack.h"
#include "frontend/trigger.h"

enum {
	WAIT_STEP_NS = 5000000,
	WAIT_STEPS = 2000, /* 10 s for a dump that another thread is making */
	SIGSET_SIZE = 8,
	RED_ZONE = 128,
};

static const int signals[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};

static uint64_t set_mask(uint64_t mask)
{
	uint64_t old = 0;
	hf_syscall4(SYS_rt_sigprocmask, SIG_SETMASK, &mask, &old, SIGSET_SIZE);
	return old;
}

/* Another thread may be making a dump: ours comes after it. Threads that crash meanwhile end here,
 * since the first one takes the process with it. */
static int dump_when_free(const struct hf_capture_request *request)
{
	int result = hf_trigger_dump(request);
	for (int i = 0; result == -EAGAIN && i < WAIT_STEPS; i++) {
		hf_sys_sleep_ns(WAIT_STEP_NS);
		result = hf_trigger_dump(request);
	}
	return result;
}

/* The same instruction of the same thread may fail again when a handler has returned or jumped, and
 * a handler may raise its signal again when it has done what it had to: one dump is enough for
 * that.
 */
static bool is_new(int number, const siginfo_t *info, const ucontext_t *context)
{
	static struct place {
		int number, tid;
		uint64_t pc, address;
	} last;
	struct place now = {number, (int)hf_syscall0(SYS_gettid),
		(uint64_t)context->uc_mcontext.gregs[REG_RIP],
		info->si_code > 0 ? (uint64_t)info->si_addr : 0};
	bool same_signal = now.number == last.number && now.tid == last.tid;
	bool raised = info->si_code <= 0 && info->si_pid == (int)hf_syscall0(SYS_getpid);
	bool same = same_signal && (raised || (now.pc == last.pc && now.address == last.address));
	last = now;
	return !same;
}

static void make_dump(int number, const siginfo_t *info, const ucontext_t *context)
{
	struct hf_crash_text text;
	struct hf_thread caller;
	hf_crash_text(&text, number, info);
	hf_caller_of_context(&caller, context);
	caller.flags |= HF_THREAD_CRASHED;
	char tid[16];
	hf_fmt(tid, sizeof(tid), "%d", caller.tid);
	const struct hf_fact facts[] = {{"signal", text.name}, {"crashed_tid", tid},
		{"signal_code", text.code}, {text.detail_key, text.detail}};
	struct hf_capture_request request = {.trigger = text.summary,
		.caller = &caller,
		.wait = true,
		.hold = true, /* without us they would have ended by now */
		.facts = facts,
		.n_facts = text.detail_key ? 4 : 3};
	hf_trigger_announce(dump_when_free(&request), text.summary);
}

/* The default action, with this siginfo, at the instruction that was interrupted. */
static void die(int number, const siginfo_t *info, ucontext_t *context)
{
	int pid = (int)hf_syscall0(SYS_getpid), tid = (int)hf_syscall0(SYS_gettid);
	hf_signal_release(number);
	if (hf_syscall4(SYS_rt_tgsigqueueinfo, pid, tid, number, info) < 0)
		hf_syscall3(SYS_tgkill, pid, tid, number);
	/* blocked only if it came while sigsuspend(2) or the like had unblocked it */
	__asm__ volatile("btrq %1, %0"
			 : "+m"(*(uint64_t *)&context->uc_sigmask)
			 : "r"((uint64_t)number - 1)
			 : "cc");
}

struct program_call {
	struct sigaction action;
	int number;
	siginfo_t *info;
	void *context;
	uint64_t mask;
	bool on_ours;
	stack_t other; /* if so */
};

static void call_program(void *arg)
{
	struct program_call *call = arg;
	if (call->on_ours)
		hf_syscall2(SYS_sigaltstack, &call->other, 0);
	set_mask(call->mask);
	if (call->action.sa_flags & SA_SIGINFO)
		call->action.sa_sigaction(call->number, call->info, call->context);
	else
		call->action.sa_handler(call->number);
}

static void on_crash(int number, siginfo_t *info, void *context)
{
	int saved = errno;
	ucontext_t *uc = context;
	struct program_call call = {.number = number, .info = info, .context = context};
	call.mask = set_mask(~0ull);
	if (is_new(number, info, uc))
		make_dump(number, info, uc);
	hf_signal_program_action(number, &call.action);
	errno = saved;
	if (call.action.sa_handler == SIG_DFL)
		return die(number, info, uc);
	if (call.action.sa_handler == SIG_IGN) /* it arrived before the program said so */
		return;
	if (call.action.sa_flags & SA_RESETHAND)
		hf_signal_program_default(number);
	call.on_ours = hf_signal_stack_other(&call.other);
	if (call.on_ours) /* on the interrupted stack, as the kernel would have without us */
		hf_call_on_stack(
			(uint64_t)uc->uc_mcontext.gregs[REG_RSP] - RED_ZONE, call_program, &call);
	else
		call_program(&call);
}

static void start(const struct hf_config *config)
{
	if (!config->on_crash)
		return;
	hf_signal_stack_start();
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		hf_signal_claim(signals[i], HF_SIGNAL_KEEP, on_crash, NULL);
}

const struct hf_trigger hf_trigger_crash = {start};
