#include "stop/tracees.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "base/fmt.h"
#include "base/sys.h"

enum {
	STOP_TIMEOUT_MS = 2000, /* for threads in uninterruptible system calls */
	DIRENT_BUF = 16 << 10,
	MAX_SWEEPS = 64, /* looks at the list of threads until no new one shows */
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
	*t = (struct hf_tracees){.pid = pid, .skip_tid = skip_tid, .pool = pool};
	hf_vec_init(&t->list, sizeof(struct hf_tracee));
}

void hf_tracees_deinit(struct hf_tracees *t)
{
	hf_vec_deinit(&t->list);
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
	t->signal = (status >> 16) == PTRACE_EVENT_STOP || WSTOPSIG(status) == SIGTRAP
			    ? 0
			    : WSTOPSIG(status);
}

static void wait_stopped(struct hf_tracee *t, uint64_t deadline)
{
	for (uint64_t pause = 2000; !t->stopped && !t->gone;) {
		int status;
		long rc = hf_wait(t->thread.tid, &status, WNOHANG);
		if (rc == t->thread.tid) {
			note_stop(t, status);
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

/* A thread that has ended but is not reaped (a main thread after pthread_exit) cannot be seized. */
static bool is_zombie(const struct hf_tracees *t, int tid)
{
	char path[64], text[512];
	hf_fmt(path, sizeof(path), "/proc/%d/task/%d/stat", t->pid, tid);
	int64_t n = hf_sys_read_file(path, text, sizeof(text));
	while (n > 0 && text[n - 1] != ')')
		n--;
	return n == 0 || (n > 0 && (text[n + 1] == 'Z' || text[n + 1] == 'X'));
}

static bool seize(struct hf_tracees *t, int tid)
{
	struct hf_tracee *tracee = hf_vec_push(&t->list);
	if (!tracee)
		return false;
	tracee->thread.tid = tid;
	long rc = hf_ptrace(PTRACE_SEIZE, tid, 0, 0);
	if (rc < 0) {
		tracee->gone = rc == -ESRCH || is_zombie(t, tid);
		t->trace_errno = tracee->gone ? t->trace_errno : (int)-rc;
		return true;
	}
	tracee->seized = true;
	hf_ptrace(PTRACE_INTERRUPT, tid, 0, 0);
	return true;
}

struct linux_dirent64 {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

/* Seize every thread that is not yet; *ret_new counts. */
static int sweep(struct hf_tracees *t, int dir, char *buf, uint32_t *ret_new)
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
				find(t, (int)tid))
				continue;
			if (!seize(t, (int)tid))
				return -ENOMEM;
			(*ret_new)++;
		}
	}
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
	int rc = 0;
	for (uint32_t i = 0, n_new = 1; i < MAX_SWEEPS && n_new && rc >= 0; i++) {
		rc = sweep(t, dir, buf, &n_new);
		wait_all(t);
	}
	hf_sys_close(dir);
	return rc;
}

void hf_tracees_stop_one(struct hf_tracees *t, int tid)
{
	if (!find(t, tid) && seize(t, tid))
		wait_all(t);
}

static bool is_busy(const struct hf_tracee *t, uint64_t start, uint64_t end)
{
	enum { RIP = offsetof(struct user, regs.rip) };
	uint64_t pc = 0;
	hf_ptrace(PTRACE_PEEKUSER, t->thread.tid, RIP, (long)&pc); /* the raw call stores at data */
	return pc >= start && pc < end;
}

void hf_tracees_run(struct hf_tracees *t, uint64_t busy_start, uint64_t busy_end, uint64_t ns)
{
	for (size_t i = 0; i < t->list.n; i++) {
		struct hf_tracee *tracee = hf_tracees_at(t, i);
		if (!tracee->stopped || !is_busy(tracee, busy_start, busy_end))
			continue;
		tracee->stopped = false;
		if (hf_ptrace(PTRACE_CONT, tracee->thread.tid, 0, tracee->signal) < 0)
			tracee->gone = true;
		tracee->signal = 0;
	}
	hf_sys_sleep_ns(ns);
	for (size_t i = 0; i < t->list.n; i++) {
		struct hf_tracee *tracee = hf_tracees_at(t, i);
		if (tracee->seized && !tracee->gone && !tracee->stopped)
			hf_ptrace(PTRACE_INTERRUPT, tracee->thread.tid, 0, 0);
	}
}

void hf_tracees_settle(struct hf_tracees *t)
{
	enum { MAX_SIGNALS = 16 };
	for (size_t i = 0; i < t->list.n; i++) {
		struct hf_tracee *tracee = hf_tracees_at(t, i);
		for (int k = 0; tracee->stopped && tracee->signal && k < MAX_SIGNALS; k++) {
			int signal = tracee->signal;
			tracee->signal = 0;
			tracee->stopped = false;
			hf_ptrace(PTRACE_INTERRUPT, tracee->thread.tid, 0, 0);
			if (hf_ptrace(PTRACE_CONT, tracee->thread.tid, 0, signal) < 0)
				tracee->gone = true;
			wait_stopped(tracee, hf_sys_monotonic_ns() + STOP_TIMEOUT_MS * 1000000ull);
		}
	}
}

/* A stop of ours makes some system calls return EINTR where a program that handles no signal would
 * never see it (signal(7), "Interruption of system calls and library functions by stop signals").
 * Have the kernel restart them: it does so when it finds ERESTARTNOHAND in rax after the stop. */
static bool undo_eintr(struct user_regs_struct *regs)
{
	enum { ERESTARTNOHAND = 514 };
	static const short calls[] = {SYS_epoll_wait, SYS_epoll_pwait, 441 /* epoll_pwait2 */,
		SYS_semop, SYS_semtimedop, SYS_rt_sigtimedwait, SYS_io_getevents, SYS_read};
	if ((long)regs->rax != -EINTR || (long)regs->orig_rax < 0)
		return false;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		if ((long)regs->orig_rax == calls[i]) {
			regs->rax = (unsigned long long)-ERESTARTNOHAND;
			return true;
		}
	}
	return false;
}

static void read_registers(struct hf_tracees *t, struct hf_tracee *tracee)
{
	struct hf_thread *thread = &tracee->thread;
	struct iovec regs = {&thread->regs, sizeof(thread->regs)};
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
	struct user_regs_struct changed = thread->regs;
	regs.iov_base = &changed;
	if (!tracee->signal && undo_eintr(&changed))
		hf_ptrace(PTRACE_SETREGSET, thread->tid, NT_PRSTATUS, (long)&regs);
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

void hf_tracees_release(struct hf_tracees *t)
{
	for (size_t i = 0; i < t->list.n; i++) {
		struct hf_tracee *tracee = hf_tracees_at(t, i);
		if (!tracee->seized || tracee->gone)
			continue;
		int status;
		if (!tracee->stopped && hf_wait(tracee->thread.tid, &status, WNOHANG) > 0)
			note_stop(tracee, status);
		if (!tracee->stopped)
			continue;
		hf_ptrace(PTRACE_DETACH, tracee->thread.tid, 0, tracee->signal);
		tracee->seized = tracee->stopped = false;
	}
}

bool hf_tracees_unreleased(const struct hf_tracees *t)
{
	for (size_t i = 0; i < t->list.n; i++) {
		if (hf_tracees_at(t, i)->seized && !hf_tracees_at(t, i)->gone)
			return true;
	}
	return false;
}
