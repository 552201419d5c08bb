#include "stop/park.h"

#include <errno.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "base/fmt.h"
#include "base/sys.h"

enum {
	PARK_SIGNAL = 32,   /* SIGCANCEL of libc (nptl(7)) */
	MAX_PARKED = 4096,  /* threads */
	LIMIT_MS = 2000,    /* for threads in uninterruptible system calls */
	BLOCKED_MS = 30,    /* for those that block the signal: libc does so for moments */
	PAUSE_NS = 50000,   /* between looks */
	PROBE_STACK = 8192, /* 8-byte words */
	STATUS_MAX = 4096,
	SA_RESTORER_ = 0x04000000,
};

/* What the kernel calls sigaction. */
struct action {
	union {
		void (*handler)(int, siginfo_t *, void *);
		uintptr_t known; /* 0: SIG_DFL, 1: SIG_IGN */
	};
	unsigned long flags;
	void (*restorer)(void);
	uint64_t mask;
};

/* The handler waits while hold is the ticket that its signal brought. */
struct slot {
	int tid;
	uint32_t hold;   /* the ticket of who is to stand still; 0: nobody */
	uint32_t parked; /* the ticket of who stands still */
	uint64_t fs_base;
	ucontext_t *context;
};

/* Shared with the collector. Slots keep their threads from dump to dump: a handler that is late
 * writes into that of its own thread. */
static struct {
	struct action before; /* the handler that was there */
	struct slot slots[MAX_PARKED];
	uint32_t n, ticket;
	bool restarts;
	bool filtered, refused; /* by seccomp; so that nobody may be parked */
} park;

/* Known to debuggers and unwinders by its bytes. */
__asm__(".text\n"
	".balign 16\n"
	"nop\n"
	".type hf_park_restore, @function\n"
	"hf_park_restore:\n"
	"mov $15, %rax\n" /* rt_sigreturn */
	"syscall\n"
	".size hf_park_restore, .-hf_park_restore\n");
extern void hf_park_restore(void) __asm__("hf_park_restore") __attribute__((visibility("hidden")));

static long futex(uint32_t *word, int op, uint32_t value)
{
	return hf_syscall4(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, value, 0);
}

/* System calls made again. */

static bool handles_signals(uint64_t but)
{
	if (hf_syscall1(SYS_prctl, PR_GET_SECCOMP) != 0)
		return true; /* a filter may kill for the question */
	for (int number = 1; number <= 64; number++) {
		struct action action = {0};
		if (number == 32 || number == 33 || but >> (number - 1) & 1)
			continue;
		if (hf_syscall4(SYS_rt_sigaction, number, 0, &action, sizeof(action.mask)) == 0 &&
			action.known > 1)
			return true;
	}
	return false;
}

/* Those that a handler with SA_RESTART cuts short all the same, and that lose nothing when they are
 * made again: without a time limit, or with one that the kernel counts down or that is a moment. A
 * relative time would begin anew, and never end if signals keep coming. */
static bool restarts(uint32_t call, const greg_t *regs)
{
	enum { EPOLL_PWAIT2 = 441 };
	switch (call) {
	case SYS_semop:
	case SYS_pause:
	case SYS_rt_sigsuspend:
	case SYS_msgrcv:
	case SYS_msgsnd:
	case SYS_ppoll:
	case SYS_select:
	case SYS_pselect6:
		return true;
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
		return (int)regs[REG_R10] < 0;
	case EPOLL_PWAIT2:
	case SYS_semtimedop:
		return regs[REG_R10] == 0;
	case SYS_rt_sigtimedwait:
		return regs[REG_RDX] == 0;
	case SYS_poll:
		return (int)regs[REG_RDX] < 0;
	case SYS_nanosleep:
		return regs[REG_RDI] == regs[REG_RSI];
	case SYS_clock_nanosleep:
		return regs[REG_RSI] == TIMER_ABSTIME || regs[REG_RDX] == regs[REG_R10];
	default:
		return false;
	}
}

/* What the call was is not in the frame, but in the instruction before it: mov $number, %eax. */
static void restart_call(ucontext_t *context)
{
	enum { MOV_EAX = 0xb8, LENGTH = 7 /* with the syscall instruction */ };
	greg_t *regs = context->uc_mcontext.gregs;
	const uint8_t *code = (const uint8_t *)regs[REG_RIP] - LENGTH;
	uint32_t call;
	if (regs[REG_RAX] != -EINTR || (uint64_t)regs[REG_RIP] % HF_PAGE < LENGTH ||
		code[0] != MOV_EAX || code[5] != 0x0f || code[6] != 0x05)
		return;
	memcpy(&call, code + 1, sizeof(call));
	if (!restarts(call, regs))
		return;
	regs[REG_RAX] = call;
	regs[REG_RIP] -= 2;
}

void hf_restart_call(ucontext_t *context, uint64_t but)
{
	if (!handles_signals(but))
		restart_call(context);
}

static void hand_on(int number, siginfo_t *info, void *context)
{
	struct action before = park.before;
	if (before.known > 1)
		before.handler(number, info, context);
}

static void on_park(int number, siginfo_t *info, void *context)
{
	uint64_t value = (uint64_t)info->si_value.sival_ptr;
	uint32_t ticket = (uint32_t)(value >> 32), i = (uint32_t)value;
	struct slot *s = &park.slots[i % MAX_PARKED];
	if (info->si_code != SI_QUEUE || i >= MAX_PARKED ||
		s->tid != (int)hf_syscall0(SYS_gettid)) {
		hand_on(number, info, context);
		return;
	}
	if (__atomic_load_n(&s->hold, __ATOMIC_ACQUIRE) != ticket)
		return; /* too late */
	if (park.restarts)
		restart_call(context);
	s->context = context;
	__asm__("mov %%fs:0, %0" : "=r"(s->fs_base));
	__atomic_store_n(&s->parked, ticket, __ATOMIC_RELEASE);
	while (__atomic_load_n(&s->hold, __ATOMIC_ACQUIRE) == ticket)
		futex(&s->hold, FUTEX_WAIT, ticket);
}

static long set_action(const struct action *action, struct action *ret_old)
{
	return hf_syscall4(SYS_rt_sigaction, PARK_SIGNAL, action, ret_old, sizeof(action->mask));
}

static struct action ours(void)
{
	return (struct action){.handler = on_park,
		.flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK | SA_RESTORER_,
		.restorer = hf_park_restore,
		.mask = ~hf_sys_ignored_signals()};
}

/* Filters. */

static bool read_status(int pid, int tid, char text[STATUS_MAX])
{
	char path[64];
	hf_fmt(path, sizeof(path), "/proc/%d/task/%d/status", pid, tid);
	return hf_sys_read_file(path, text, STATUS_MAX) > 0;
}

static uint64_t field(const char *status, const char *key)
{
	const char *at = strstr(status, key);
	uint64_t value = 0;
	if (!at)
		return 0;
	for (at += strlen(key); *at == ' ' || *at == '\t'; at++)
		;
	hf_parse_u64(&at, &value);
	return value;
}

static void on_probe(int number, siginfo_t *info, void *context)
{
	static uint32_t word = 1;
	(void)number;
	(void)info;
	(void)context;
	hf_syscall0(SYS_gettid);
	futex(&word, FUTEX_WAIT, 0);
}

/* In a process of its own: does whoever is parked by this signal come out of it alive? */
static int probe(void *arg)
{
	const struct rlimit no_core = {1, 1}; /* 1: not by a program either (core(5)) */
	const uint64_t mask = ~(1ull << (PARK_SIGNAL - 1));
	struct action action = ours();
	siginfo_t info = {.si_code = SI_QUEUE};
	int pid = (int)hf_syscall0(SYS_getpid);
	(void)arg;
	hf_syscall4(SYS_prlimit64, 0, RLIMIT_CORE, &no_core, 0);
	action.handler = on_probe;
	action.mask = ~0ull;
	hf_syscall4(SYS_rt_sigprocmask, SIG_SETMASK, &mask, 0, sizeof(mask));
	if (set_action(&action, NULL) < 0 ||
		hf_syscall4(SYS_rt_tgsigqueueinfo, pid, pid, PARK_SIGNAL, &info) < 0)
		return 1;
	return 0;
}

static bool probe_lives(void)
{
	static uint64_t stack[PROBE_STACK];
	int status = 0;
	long pid = hf_sys_clone(CLONE_VM, stack, sizeof(stack), NULL, probe, NULL);
	return pid > 0 && hf_wait((int)pid, &status, 0) == pid && WIFEXITED(status) &&
	       WEXITSTATUS(status) == 0;
}

/* Parking. */

static bool refuses(const struct hf_tracees *t, const char *own_status, int tid)
{
	char status[STATUS_MAX];
	if (!read_status(t->pid, tid, status))
		return true;
	if (field(status, "\nSeccomp:") == SECCOMP_MODE_DISABLED)
		return false;
	return !park.filtered || field(status, "\nSeccomp:") == SECCOMP_MODE_STRICT ||
	       field(status, "\nSeccomp_filters:") != field(own_status, "\nSeccomp_filters:");
}

static bool signal_blocked(const struct hf_tracees *t, int tid)
{
	char status[STATUS_MAX];
	return read_status(t->pid, tid, status) &&
	       hf_signal_set(status, "SigBlk:") >> (PARK_SIGNAL - 1) & 1;
}

static void let_go(struct slot *s)
{
	__atomic_store_n(&s->hold, 0, __ATOMIC_RELEASE);
	futex(&s->hold, FUTEX_WAKE, 1);
}

static bool is_parked(const struct slot *s)
{
	return s->hold && __atomic_load_n(&s->parked, __ATOMIC_ACQUIRE) == s->hold;
}

static bool ask(const struct hf_tracees *t, uint32_t i)
{
	struct slot *s = &park.slots[i];
	uint32_t ticket = ++park.ticket ? park.ticket : ++park.ticket;
	siginfo_t info = {.si_code = SI_QUEUE};
	info.si_pid = (int)hf_syscall0(SYS_getpid);
	info.si_value.sival_ptr = (void *)((uint64_t)ticket << 32 | i);
	__atomic_store_n(&s->hold, ticket, __ATOMIC_RELEASE);
	if (hf_syscall4(SYS_rt_tgsigqueueinfo, t->pid, s->tid, PARK_SIGNAL, &info) >= 0)
		return true;
	let_go(s);
	return false;
}

static struct slot *slot_of(int tid)
{
	for (uint32_t i = 0; i < park.n; i++) {
		if (park.slots[i].tid == tid)
			return &park.slots[i];
	}
	for (uint32_t i = 0; park.n == MAX_PARKED && i < park.n; i++) {
		if (park.slots[i].hold)
			return NULL;
	}
	park.n = park.n < MAX_PARKED ? park.n : 0;
	struct slot *s = &park.slots[park.n++];
	*s = (struct slot){.tid = tid};
	return s;
}

/* Who is asked must stand still, or be let go: within limits. */
static void await(struct hf_tracees *t)
{
	const uint64_t start = hf_sys_monotonic_ns();
	for (bool waits = true; waits;) {
		uint64_t ms = (hf_sys_monotonic_ns() - start) / 1000000;
		waits = false;
		for (size_t i = 0; i < t->list.n; i++) {
			struct hf_tracee *tracee = hf_tracees_at(t, i);
			struct slot *s = tracee->slot;
			if (!s || !s->hold || is_parked(s))
				continue;
			if (hf_syscall3(SYS_tgkill, t->pid, s->tid, 0) == -ESRCH) {
				tracee->gone = true;
				let_go(s);
			} else if (ms >= LIMIT_MS ||
				   (ms >= BLOCKED_MS && signal_blocked(t, s->tid))) {
				let_go(s);
				tracee->deaf = true;
			} else {
				waits = true;
			}
		}
		if (waits)
			hf_sys_sleep_ns(PAUSE_NS);
	}
}

static void take_registers(struct hf_tracees *t, struct hf_tracee *tracee)
{
	const struct slot *s = tracee->slot;
	struct hf_thread *thread = &tracee->thread;
	hf_thread_of_context(thread, s->context);
	thread->regs.fs_base = s->fs_base;
	/* The frame is on the program's memory, which the snapshot may give up. */
	void *copy = hf_pool_alloc(t->pool, HF_XSAVE_MAX);
	if (copy && thread->xsave)
		memcpy(copy, thread->xsave, thread->xsave_size);
	else
		thread->xsave_size = 0;
	thread->xsave = copy;
}

void hf_park_prepare(uint64_t but)
{
	struct action action = ours(), before;
	park.restarts = !handles_signals(but);
	park.filtered = hf_syscall1(SYS_prctl, PR_GET_SECCOMP) != 0;
	park.refused = park.filtered && !probe_lives();
	if (!park.refused && set_action(&action, &before) >= 0 && before.handler != on_park)
		park.before = before;
}

void hf_park(struct hf_tracees *t)
{
	char own_status[STATUS_MAX];
	if (park.refused || !read_status((int)hf_syscall0(SYS_getpid), (int)hf_syscall0(SYS_gettid),
				    own_status))
		return;
	for (size_t i = 0; i < t->list.n; i++) {
		struct hf_tracee *tracee = hf_tracees_at(t, i);
		struct slot *s = tracee->slot;
		if (tracee->stopped || tracee->gone || tracee->deaf || !tracee->refused ||
			(s && is_parked(s)))
			continue;
		if (!s && refuses(t, own_status, tracee->thread.tid)) {
			tracee->deaf = true;
			continue;
		}
		s = tracee->slot = s ? s : slot_of(tracee->thread.tid);
		tracee->deaf = !s || !ask(t, (uint32_t)(s - park.slots));
	}
	await(t);
	for (size_t i = 0; i < t->list.n; i++) {
		struct hf_tracee *tracee = hf_tracees_at(t, i);
		bool parked = tracee->slot && is_parked(tracee->slot);
		if (parked && !tracee->parked)
			take_registers(t, tracee);
		tracee->parked = parked;
	}
}

void hf_park_run(struct hf_tracees *t, uint64_t busy_start, uint64_t busy_end, uint64_t ns)
{
	bool any = false;
	for (size_t i = 0; i < t->list.n; i++) {
		struct hf_tracee *tracee = hf_tracees_at(t, i);
		uint64_t rip = tracee->thread.regs.rip;
		if (!tracee->parked || rip < busy_start || rip >= busy_end)
			continue;
		tracee->parked = false;
		any = true;
		let_go(tracee->slot);
	}
	if (any)
		hf_sys_sleep_ns(ns);
}

void hf_park_release(void)
{
	for (uint32_t i = 0; i < park.n; i++) {
		if (park.slots[i].hold)
			let_go(&park.slots[i]);
	}
}
