#include "stop/tracees.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "base/fmt.h"
#include "base/sys.h"
#include "stop/turn.h"

enum {
	STOP_TIMEOUT_MS = 2000, /* for threads in uninterruptible system calls */
	DIRENT_BUF = 16 << 10,
	MAX_ASKED = 64,   /* threads that are asked whether they have children */
	MAX_SWEEPS = 64,  /* looks at the list of threads until no new one shows */
	EARLY_SWEEPS = 4, /* of these, before the first thread is stopped */
	MAX_RUNS = 16,    /* pauses while threads are led from one system call to the next */
	SYSCALL_STOP = SIGTRAP | 0x80, /* PTRACE_O_TRACESYSGOOD */
};

long hf_ptrace(long request, int tid, long addr, long data)
{
	return hf_syscall4(SYS_ptrace, request, tid, addr, data);
}

long hf_wait(int tid, int *ret_status, int options)
{
	return hf_syscall4(SYS_wait4, tid, ret_status, __WALL | options, 0);
}

void hf_tracees_init(struct hf_tracees *t, int pid, int skip_tid, struct hf_pool *pool)
{
	*t = (struct hf_tracees){.pid = pid, .skip_tid = skip_tid, .pool = pool, .turn = -1};
	hf_vec_init(&t->list, sizeof(struct hf_tracee));
}

void hf_tracees_deinit(struct hf_tracees *t)
{
	hf_turn_give(&t->turn);
	hf_vec_deinit(&t->list);
}

void hf_tracees_wait_turn(struct hf_tracees *t)
{
	if (t->turn < 0 && !t->no_trace)
		t->turn = hf_turn_take(t->pid);
}

static struct hf_tracee *find(struct hf_tracees *t, int tid)
{
	for (size_t i = 0; i < t->list.n; i++) {
		struct hf_tracee *tracee = hf_tracees_at(t, i);
		if (tracee->thread.tid == tid)
			return tracee;
	}
	return NULL;
}

/* Stop reports: an event stop is what we asked for; any other is a signal on its way, which must be
 * handed on when the thread goes on. */
static void note_stop(struct hf_tracee *t, int status)
{
	if (!WIFSTOPPED(status)) {
		t->gone = true;
		return;
	}
	t->stopped = true;
	t->at_call = WSTOPSIG(status) == SYSCALL_STOP;
	t->signal = (status >> 16) == PTRACE_EVENT_STOP || WSTOPSIG(status) == SIGTRAP || t->at_call
			    ? 0
			    : WSTOPSIG(status);
}

/* A thread that is to stop and stands at the door of a system call: what the stop does to the call
 * shows behind it, where the thread stops at once. Asked again, since any stop takes back what the
 * thread was asked before. */
static void pass_door(struct hf_tracee *t)
{
	if (!t->at_call)
		return;
	t->stopped = t->at_call = false;
	hf_ptrace(PTRACE_INTERRUPT, t->thread.tid, 0, 0);
	t->gone = hf_ptrace(PTRACE_CONT, t->thread.tid, 0, 0) < 0;
}

static void wait_stopped(struct hf_tracee *t, uint64_t deadline)
{
	for (uint64_t pause = 2000; !t->stopped && !t->gone;) {
		int status;
		long rc = hf_wait(t->thread.tid, &status, WNOHANG);
		if (rc == t->thread.tid) {
			note_stop(t, status);
			pass_door(t);
		} else if (rc < 0 && rc != -EINTR) {
			t->gone = true;
		} else {
			if (hf_sys_monotonic_ns() > deadline)
				return;
			hf_sys_sleep_ns(pause);
			pause = pause < 500000 ? pause * 2 : pause;
		}
	}
}

/* What stat says of a thread from its state on, behind the name; empty if it says nothing. */
static const char *read_stat(int pid, int tid, char *buf, size_t size)
{
	char path[64];
	hf_fmt(path, sizeof(path), "/proc/%d/task/%d/stat", pid, tid);
	int64_t n = hf_sys_read_file(path, buf, size - 2);
	while (n > 0 && buf[n - 1] != ')')
		n--;
	return n > 0 ? buf + n + 1 : "";
}

char hf_thread_state(int pid, int tid)
{
	char text[512];
	return *read_stat(pid, tid, text, sizeof(text));
}

/* A thread that the kernel runs on the program's behalf (of io_uring, of vhost): it has no
 * registers of the program's, and does no system call that it is led into. Its flags are those of
 * the kernel, include/linux/sched.h: PF_IO_WORKER, PF_USER_WORKER. */
static bool is_kernels(int pid, int tid)
{
	enum {
		IO_WORKER = 0x10,
		USER_WORKER = 0x4000,
		BETWEEN = 6 /* fields from state to flags */
	};
	char text[512];
	const char *at = read_stat(pid, tid, text, sizeof(text));
	uint64_t flags = 0;
	for (int spaces = 0; *at && spaces < BETWEEN; at++)
		spaces += *at == ' ';
	return hf_parse_u64(&at, &flags) && flags & (IO_WORKER | USER_WORKER);
}

/* A thread that has ended but is not reaped (a main thread after pthread_exit) cannot be seized. */
static bool is_zombie(const struct hf_tracees *t, int tid)
{
	char state = hf_thread_state(t->pid, tid);
	return !state || state == 'Z' || state == 'X';
}

static void seize(struct hf_tracees *t, struct hf_tracee *tracee)
{
	int tid = tracee->thread.tid;
	long rc = t->no_trace ? -EPERM : hf_ptrace(PTRACE_SEIZE, tid, 0, PTRACE_O_TRACESYSGOOD);
	if (rc < 0) {
		tracee->gone = rc == -ESRCH || is_zombie(t, tid);
		tracee->refused = !tracee->gone;
		t->trace_errno = tracee->gone ? t->trace_errno : (int)-rc;
		return;
	}
	tracee->seized = true;
}

static void interrupt(struct hf_tracees *t)
{
	for (size_t i = 0; i < t->list.n; i++) {
		struct hf_tracee *tracee = hf_tracees_at(t, i);
		if (!tracee->seized || tracee->gone || (tracee->stopped && !tracee->at_call))
			continue;
		if (tracee->at_call)
			pass_door(tracee);
		else
			hf_ptrace(PTRACE_INTERRUPT, tracee->thread.tid, 0, 0);
	}
}

bool hf_tracees_gets_signals(const struct hf_tracees *t, int tid)
{
	char path[64], text[16];
	if (tid == t->pid || t->list.n > MAX_ASKED)
		return tid == t->pid;
	hf_fmt(path, sizeof(path), "/proc/%d/task/%d/children", t->pid, tid);
	return hf_sys_read_file(path, text, sizeof(text)) > 0;
}

struct linux_dirent64 {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

/* Add every thread that is not listed yet; *ret_new counts. */
static int list_threads(struct hf_tracees *t, int dir, char *buf, uint32_t *ret_new)
{
	*ret_new = 0;
	hf_syscall3(SYS_lseek, dir, 0, 0);
	for (;;) {
		long n = hf_syscall3(SYS_getdents64, dir, buf, DIRENT_BUF);
		if (n <= 0)
			return (int)n;
		for (long at = 0; at < n;) {
			struct linux_dirent64 *entry = (struct linux_dirent64 *)(buf + at);
			at += entry->reclen;
			const char *name = entry->name;
			uint64_t tid;
			if (!hf_parse_u64(&name, &tid) || (int)tid == t->skip_tid ||
				find(t, (int)tid) || is_kernels(t->pid, (int)tid))
				continue;
			struct hf_tracee *tracee = hf_vec_push(&t->list);
			if (!tracee)
				return -ENOMEM;
			tracee->thread.tid = (int)tid;
			tracee->late = hf_tracees_gets_signals(t, (int)tid);
			(*ret_new)++;
		}
	}
}

/* Those that get signals last. */
static int sweep(struct hf_tracees *t, int dir, char *buf, uint32_t *ret_new)
{
	size_t first = t->list.n;
	int rc = list_threads(t, dir, buf, ret_new);
	for (int late = 0; late < 2; late++) {
		for (size_t i = first; i < t->list.n; i++) {
			struct hf_tracee *tracee = hf_tracees_at(t, i);
			if (tracee->late == late)
				seize(t, tracee);
		}
	}
	return rc;
}

static void wait_all(struct hf_tracees *t)
{
	uint64_t deadline = hf_sys_monotonic_ns() + STOP_TIMEOUT_MS * 1000000ull;
	for (size_t i = 0; i < t->list.n; i++) {
		struct hf_tracee *tracee = hf_tracees_at(t, i);
		if (tracee->seized && !tracee->stopped)
			wait_stopped(tracee, deadline);
	}
}

int hf_tracees_stop(struct hf_tracees *t)
{
	char path[64], *buf = hf_pool_alloc(t->pool, DIRENT_BUF);
	hf_fmt(path, sizeof(path), "/proc/%d/task", t->pid);
	int dir = buf ? (int)hf_syscall4(
				SYS_openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
		      : -ENOMEM;
	if (dir < 0)
		return dir;
	hf_tracees_wait_turn(t);
	int rc = 0;
	uint32_t i = 0, n_new = 1;
	/* All are traced before the first is stopped: a signal that is sent because a thread is
	 * traced then goes to that thread first, and any other that it wakes is traced, too, and
	 * so tells of it. */
	for (; i < EARLY_SWEEPS && n_new && rc >= 0; i++)
		rc = sweep(t, dir, buf, &n_new);
	do {
		interrupt(t);
		wait_all(t);
		rc = rc < 0 ? rc : sweep(t, dir, buf, &n_new);
	} while (n_new && rc >= 0 && ++i < MAX_SWEEPS);
	hf_sys_close(dir);
	return rc;
}

void hf_tracees_stop_one(struct hf_tracees *t, int tid)
{
	struct hf_tracee *tracee = find(t, tid) ? NULL : hf_vec_push(&t->list);
	if (!tracee)
		return;
	tracee->thread.tid = tid;
	hf_tracees_wait_turn(t);
	seize(t, tracee);
	interrupt(t);
	wait_all(t);
	tracee->late = hf_tracees_gets_signals(t, tid);
}

/* A stop of ours makes some system calls return EINTR where a program that handles no signal would
 * never see it (signal(7), "Interruption of system calls and library functions by stop signals":
 * those on sockets where a timeout is set). Have the kernel restart them: it does so when it finds
 * ERESTARTNOHAND in rax after the stop. */
static bool tells_of_stops(long call)
{
	enum { EPOLL_PWAIT2 = 441, IO_URING_ENTER = 426 };
	static const short calls[] = {SYS_epoll_wait, SYS_epoll_pwait, EPOLL_PWAIT2, SYS_semop,
		SYS_semtimedop, SYS_rt_sigtimedwait, SYS_io_getevents, IO_URING_ENTER, SYS_read,
		SYS_accept, SYS_accept4, SYS_connect, SYS_recvfrom, SYS_recvmsg, SYS_recvmmsg,
		SYS_sendto, SYS_sendmsg, SYS_sendmmsg};
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		if (call == calls[i])
			return true;
	}
	return false;
}

static bool undo_eintr(struct user_regs_struct *regs)
{
	enum { ERESTARTNOHAND = 514 };
	if ((long)regs->rax != -EINTR || !tells_of_stops((long)regs->orig_rax))
		return false;
	regs->rax = (unsigned long long)-ERESTARTNOHAND;
	return true;
}

uint64_t hf_signal_set(const char *status, const char *key)
{
	const char *at = strstr(status, key);
	uint64_t set = 0;
	for (at = at ? at + strlen(key) : ""; *at; at++) {
		if (*at >= '0' && *at <= '9')
			set = set << 4 | (uint64_t)(*at - '0');
		else if (*at >= 'a' && *at <= 'f')
			set = set << 4 | (uint64_t)(*at - 'a' + 10);
		else if (*at == '\n')
			break;
	}
	return set;
}

/* Would the program not have noticed this signal but for being traced? A tracee stops for ignored
 * ones too, which ends its system call. */
static bool is_ignored(const struct hf_tracees *t, int signal)
{
	enum { STATUS_MAX = 4096, BY_DEFAULT = 4 };
	static const int by_default[BY_DEFAULT] = {SIGCHLD, SIGURG, SIGWINCH, SIGCONT};
	char path[64], text[STATUS_MAX];
	hf_fmt(path, sizeof(path), "/proc/%d/status", t->pid);
	if (signal < 1 || signal > 64 || hf_sys_read_file(path, text, sizeof(text)) <= 0)
		return false;
	uint64_t bit = 1ull << (signal - 1);
	if (hf_signal_set(text, "SigCgt:") & bit)
		return false;
	bool ignored = hf_signal_set(text, "SigIgn:") & bit;
	for (int i = 0; i < BY_DEFAULT; i++)
		ignored = ignored || signal == by_default[i];
	return ignored;
}

/* Before a stopped thread runs on: nothing in it may tell of the stop. */
static void cover_traces(const struct hf_tracees *t, struct hf_tracee *tracee)
{
	struct user_regs_struct regs;
	struct iovec iov = {&regs, sizeof(regs)};
	if (tracee->signal && is_ignored(t, tracee->signal))
		tracee->signal = 0;
	if (!tracee->signal &&
		hf_ptrace(PTRACE_GETREGSET, tracee->thread.tid, NT_PRSTATUS, (long)&iov) >= 0 &&
		undo_eintr(&regs))
		hf_ptrace(PTRACE_SETREGSET, tracee->thread.tid, NT_PRSTATUS, (long)&iov);
}

static bool get_registers(const struct hf_tracee *t, struct user_regs_struct *ret)
{
	struct iovec iov = {ret, sizeof(*ret)};
	return hf_ptrace(PTRACE_GETREGSET, t->thread.tid, NT_PRSTATUS, (long)&iov) >= 0;
}

/* Has it entered a system call that it is not to be in while others are traced? */
static bool held_back(const struct hf_tracee *t, const struct user_regs_struct *regs)
{
	return t->at_call && (long)regs->rax == -ENOSYS && tells_of_stops((long)regs->orig_rax);
}

/* Is the thread in [start, end), and not asleep in a system call? No allocator sleeps with a lock
 * held. */
static bool is_busy(const struct hf_tracee *t, uint64_t start, uint64_t end)
{
	enum { ERESTARTSYS = 512, ERESTARTNOHAND = 514, ERESTART_RESTARTBLOCK = 516 };
	struct user_regs_struct regs;
	if (!get_registers(t, &regs) || regs.rip < start || regs.rip >= end || held_back(t, &regs))
		return false;
	if ((long)regs.orig_rax < 0)
		return true;
	switch (-(long)regs.rax) {
	case EINTR:
	case ERESTARTSYS:
	case ERESTARTNOHAND:
	case ERESTART_RESTARTBLOCK:
		return false;
	default:
		return true;
	}
}

/* To the next system call, of its own or of the stop that we ask for. */
static void run_on(struct hf_tracee *tracee)
{
	tracee->stopped = tracee->at_call = false;
	if (hf_ptrace(PTRACE_SYSCALL, tracee->thread.tid, 0, tracee->signal) < 0)
		tracee->gone = true;
	tracee->signal = 0;
}

/* A thread that runs while others are traced may be woken by a signal that another one takes;
 * asleep in one of certain system calls it would see EINTR without any stop that tells us. So it
 * goes no further than to the next of these. */
static bool lead_on(struct hf_tracees *t)
{
	bool any = false;
	for (size_t i = 0; i < t->list.n; i++) {
		struct hf_tracee *tracee = hf_tracees_at(t, i);
		struct user_regs_struct regs;
		int status;
		if (!tracee->seized || tracee->gone || tracee->stopped ||
			hf_wait(tracee->thread.tid, &status, WNOHANG) != tracee->thread.tid)
			continue;
		note_stop(tracee, status);
		if (!tracee->at_call || !get_registers(tracee, &regs) || held_back(tracee, &regs))
			continue;
		run_on(tracee);
		any = true;
	}
	return any;
}

void hf_tracees_run(struct hf_tracees *t, uint64_t busy_start, uint64_t busy_end, uint64_t ns)
{
	for (size_t i = 0; i < t->list.n; i++) {
		struct hf_tracee *tracee = hf_tracees_at(t, i);
		if (!tracee->stopped || !is_busy(tracee, busy_start, busy_end))
			continue;
		cover_traces(t, tracee);
		run_on(tracee);
	}
	int runs = 0;
	do {
		hf_sys_sleep_ns(ns);
	} while (lead_on(t) && ++runs < MAX_RUNS);
	interrupt(t);
}

void hf_tracees_settle(struct hf_tracees *t)
{
	enum { MAX_SIGNALS = 16 };
	for (size_t i = 0; i < t->list.n; i++) {
		struct hf_tracee *tracee = hf_tracees_at(t, i);
		for (int k = 0; tracee->stopped && tracee->signal && k < MAX_SIGNALS; k++) {
			cover_traces(t, tracee);
			int signal = tracee->signal;
			if (!signal)
				break;
			tracee->signal = 0;
			tracee->stopped = tracee->at_call = false;
			hf_ptrace(PTRACE_INTERRUPT, tracee->thread.tid, 0, 0);
			if (hf_ptrace(PTRACE_CONT, tracee->thread.tid, 0, signal) < 0)
				tracee->gone = true;
			wait_stopped(tracee, hf_sys_monotonic_ns() + STOP_TIMEOUT_MS * 1000000ull);
		}
	}
}

static void read_registers(struct hf_tracees *t, struct hf_tracee *tracee)
{
	struct hf_thread *thread = &tracee->thread;
	struct iovec regs = {&thread->regs, sizeof(thread->regs)};
	if (tracee->parked)
		return;
	if (!tracee->stopped ||
		hf_ptrace(PTRACE_GETREGSET, thread->tid, NT_PRSTATUS, (long)&regs) < 0) {
		thread->flags |= HF_THREAD_NO_REGISTERS;
		t->not_stopped += !tracee->gone;
		return;
	}
	thread->xsave = hf_pool_alloc(t->pool, HF_XSAVE_MAX);
	struct iovec xsave = {thread->xsave, HF_XSAVE_MAX};
	if (thread->xsave &&
		hf_ptrace(PTRACE_GETREGSET, thread->tid, NT_X86_XSTATE, (long)&xsave) >= 0)
		thread->xsave_size = (uint32_t)xsave.iov_len;
	cover_traces(t, tracee);
}

void hf_tracees_registers(struct hf_tracees *t)
{
	for (size_t i = 0; i < t->list.n; i++)
		read_registers(t, hf_tracees_at(t, i));
}

/* In pages, from statm (proc_pid_statm(5)). */
void hf_process_sizes(int pid, uint64_t *ret_vm_bytes, uint64_t *ret_rss_bytes)
{
	char path[64], text[128];
	hf_fmt(path, sizeof(path), "/proc/%d/statm", pid);
	const char *at = text;
	uint64_t vm, rss;
	if (hf_sys_read_file(path, text, sizeof(text)) > 0 && hf_parse_u64(&at, &vm) &&
		*at++ == ' ' && hf_parse_u64(&at, &rss)) {
		*ret_vm_bytes = vm * HF_PAGE;
		*ret_rss_bytes = rss * HF_PAGE;
	}
}

static void release(struct hf_tracees *t, struct hf_tracee *tracee)
{
	int status;
	if (!tracee->seized || tracee->gone)
		return;
	if (!tracee->stopped && hf_wait(tracee->thread.tid, &status, WNOHANG) > 0)
		note_stop(tracee, status);
	if (!tracee->stopped)
		return;
	if (tracee->thread.flags & HF_THREAD_NO_REGISTERS)
		cover_traces(t, tracee); /* it stopped only now */
	hf_ptrace(PTRACE_DETACH, tracee->thread.tid, 0, tracee->signal);
	tracee->seized = tracee->stopped = false;
}

void hf_tracees_release(struct hf_tracees *t)
{
	/* Those that are stopped neither make children nor reap them: now it is certain. */
	for (size_t i = 0; i < t->list.n; i++)
		hf_tracees_at(t, i)->late =
			hf_tracees_gets_signals(t, hf_tracees_at(t, i)->thread.tid);
	for (int late = 1; late >= 0; late--) {
		for (size_t i = 0; i < t->list.n; i++) {
			if (hf_tracees_at(t, i)->late == late)
				release(t, hf_tracees_at(t, i));
		}
	}
	hf_turn_give(&t->turn);
}

bool hf_tracees_unreleased(const struct hf_tracees *t)
{
	for (size_t i = 0; i < t->list.n; i++) {
		if (hf_tracees_at(t, i)->seized && !hf_tracees_at(t, i)->gone)
			return true;
	}
	return false;
}
