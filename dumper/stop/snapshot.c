#include "stop/snapshot.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "base/fmt.h"
#include "base/sys.h"

enum {
	STOP_TIMEOUT_MS = 2000,    /* for a thread in an uninterruptible system call */
	RETRY_PAUSE_NS = 20000,    /* how long threads run on when an allocator lock was held */
	RETRY_BUDGET_NS = 3000000, /* after which the moment is taken as it is */
	SNAPSHOT_NICE = 5,
	DIRENT_BUF = 16 << 10,
	MAX_SWEEPS = 64, /* looks at the list of threads until no new one shows */
};

struct tracee {
	struct hf_thread thread; /* first: the list is handed out as struct hf_thread */
	bool seized, stopped, gone;
	int signal; /* to deliver when it goes on */
};

struct collector {
	struct hf_snapshot *snapshot;
	struct hf_vec tracees; /* of struct tracee */
	int caller_tid;
	int pid;    /* of the collector, once the caller knows it and has let it trace */
	int done;   /* the threads run again; written last */
	bool stays; /* until the snapshot is done, as its parent */
	uint64_t stopped_at_ns;
	int nice; /* of the target */
};

/* A thread of ours that reaps a collector which stays; only one at a time (one snapshot is). */
static struct reaper {
	uint64_t stack[1024];
	int pid; /* 0: none */
} reaper;

static long ptrace_raw(long request, int tid, long addr, long data)
{
	return hf_syscall4(SYS_ptrace, request, tid, addr, data);
}

static struct tracee *find_tracee(struct collector *c, int tid)
{
	for (size_t i = 0; i < c->tracees.n; i++) {
		struct tracee *t = hf_vec_at(&c->tracees, i);
		if (t->thread.tid == tid)
			return t;
	}
	return NULL;
}

/* Stop reports: an event stop is what we asked for; any other is a signal on its way, which must be
 * handed on when the thread goes on. */
static void note_stop(struct tracee *t, int status)
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

static bool wait_stopped(struct tracee *t)
{
	uint64_t deadline = hf_sys_monotonic_ns() + STOP_TIMEOUT_MS * 1000000ull;
	for (uint64_t pause = 2000; !t->stopped && !t->gone;) {
		int status;
		long rc = hf_syscall4(SYS_wait4, t->thread.tid, &status, __WALL | WNOHANG, 0);
		if (rc == t->thread.tid) {
			note_stop(t, status);
		} else if (rc < 0 && rc != -EINTR) {
			t->gone = true;
		} else {
			if (hf_sys_monotonic_ns() > deadline)
				return false;
			hf_sys_sleep_ns(pause);
			pause = pause < 500000 ? pause * 2 : pause;
		}
	}
	return t->stopped;
}

struct linux_dirent64 {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

/* Seize every thread that is not yet; *ret_new counts. */
static int sweep(struct collector *c, int dir, char *buf, uint32_t *ret_new)
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
			if (!hf_parse_u64(&name, &tid) || (int)tid == c->caller_tid ||
				find_tracee(c, (int)tid))
				continue;
			struct tracee *t = hf_vec_push(&c->tracees);
			if (!t)
				return -ENOMEM;
			t->thread.tid = (int)tid;
			(*ret_new)++;
			long rc = ptrace_raw(PTRACE_SEIZE, t->thread.tid, 0, 0);
			if (rc < 0) {
				t->gone = rc == -ESRCH;
				c->snapshot->trace_errno =
					t->gone ? c->snapshot->trace_errno : (int)-rc;
				continue;
			}
			t->seized = true;
			ptrace_raw(PTRACE_INTERRUPT, t->thread.tid, 0, 0);
		}
	}
}

static void wait_all(struct collector *c)
{
	for (size_t i = 0; i < c->tracees.n; i++) {
		struct tracee *t = hf_vec_at(&c->tracees, i);
		if (t->seized && !t->stopped)
			wait_stopped(t);
	}
}

static int stop_all(struct collector *c)
{
	char path[64], *buf = hf_pool_alloc(c->snapshot->pool, DIRENT_BUF);
	hf_fmt(path, sizeof(path), "/proc/%d/task", c->snapshot->target_pid);
	int dir = buf ? (int)hf_syscall4(
				SYS_openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
		      : -ENOMEM;
	if (dir < 0)
		return dir;
	int rc = 0;
	for (uint32_t i = 0, n_new = 1; i < MAX_SWEEPS && n_new && rc >= 0; i++) {
		rc = sweep(c, dir, buf, &n_new);
		wait_all(c);
	}
	hf_sys_close(dir);
	return rc;
}

static bool is_busy(const struct collector *c, const struct tracee *t)
{
	enum { RIP = offsetof(struct user, regs.rip) };
	uint64_t pc = 0;
	ptrace_raw(
		PTRACE_PEEKUSER, t->thread.tid, RIP, (long)&pc); /* the raw call stores at data */
	return pc >= c->snapshot->busy_start && pc < c->snapshot->busy_end;
}

static void run_for_a_moment(struct collector *c)
{
	for (size_t i = 0; i < c->tracees.n; i++) {
		struct tracee *t = hf_vec_at(&c->tracees, i);
		if (!t->stopped || !is_busy(c, t))
			continue;
		t->stopped = false;
		if (ptrace_raw(PTRACE_CONT, t->thread.tid, 0, t->signal) < 0)
			t->gone = true;
		t->signal = 0;
	}
	hf_sys_sleep_ns(RETRY_PAUSE_NS);
	for (size_t i = 0; i < c->tracees.n; i++) {
		struct tracee *t = hf_vec_at(&c->tracees, i);
		if (t->seized && !t->gone && !t->stopped)
			ptrace_raw(PTRACE_INTERRUPT, t->thread.tid, 0, 0);
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

/* Sizes at the moment of the stop, in pages, from statm (proc_pid_statm(5)). */
static void read_sizes(struct hf_snapshot *s)
{
	char path[64], text[128];
	hf_fmt(path, sizeof(path), "/proc/%d/statm", s->target_pid);
	const char *at = text;
	uint64_t vm, rss;
	if (hf_sys_read_file(path, text, sizeof(text)) > 0 && hf_parse_u64(&at, &vm) &&
		*at++ == ' ' && hf_parse_u64(&at, &rss)) {
		s->vm_bytes = vm * HF_PAGE;
		s->rss_bytes = rss * HF_PAGE;
	}
}

static void read_registers(struct collector *c)
{
	for (size_t i = 0; i < c->tracees.n; i++) {
		struct tracee *t = hf_vec_at(&c->tracees, i);
		struct iovec regs = {&t->thread.regs, sizeof(t->thread.regs)};
		if (!t->stopped ||
			ptrace_raw(PTRACE_GETREGSET, t->thread.tid, NT_PRSTATUS, (long)&regs) < 0) {
			t->thread.flags |= HF_THREAD_NO_REGISTERS;
			c->snapshot->not_stopped += !t->gone;
			continue;
		}
		t->thread.xsave = hf_pool_alloc(c->snapshot->pool, HF_XSAVE_MAX);
		struct iovec xsave = {t->thread.xsave, HF_XSAVE_MAX};
		if (t->thread.xsave && ptrace_raw(PTRACE_GETREGSET, t->thread.tid, NT_X86_XSTATE,
					       (long)&xsave) >= 0)
			t->thread.xsave_size = (uint32_t)xsave.iov_len;
		struct user_regs_struct changed = t->thread.regs;
		regs.iov_base = &changed;
		if (!t->signal && undo_eintr(&changed))
			ptrace_raw(PTRACE_SETREGSET, t->thread.tid, NT_PRSTATUS, (long)&regs);
	}
}

static void release_all(struct collector *c)
{
	for (size_t i = 0; i < c->tracees.n; i++) {
		struct tracee *t = hf_vec_at(&c->tracees, i);
		if (!t->seized || t->gone)
			continue;
		/* One that never stopped can only be let go by our own end; stop reports that come
		 * in between are taken here. */
		int status;
		if (!t->stopped &&
			hf_syscall4(SYS_wait4, t->thread.tid, &status, __WALL | WNOHANG, 0) > 0)
			note_stop(t, status);
		if (t->stopped)
			ptrace_raw(PTRACE_DETACH, t->thread.tid, 0, t->signal);
	}
}

/* The list that work() gets: the caller first. */
static bool hand_out_threads(struct collector *c)
{
	struct hf_snapshot *s = c->snapshot;
	hf_vec_init(&s->threads.threads, sizeof(struct hf_thread));
	if (!hf_vec_reserve(&s->threads.threads, c->tracees.n + 1))
		return false;
	*(struct hf_thread *)hf_vec_push(&s->threads.threads) = *s->caller;
	for (size_t i = 0; i < c->tracees.n; i++) {
		struct tracee *t = hf_vec_at(&c->tracees, i);
		if (!t->gone)
			*(struct hf_thread *)hf_vec_push(&s->threads.threads) = t->thread;
	}
	return true;
}

static void thread_name(const struct hf_snapshot *s, struct hf_thread *t)
{
	char path[64], text[32];
	hf_fmt(path, sizeof(path), "/proc/%d/task/%d/comm", s->target_pid, t->tid);
	int64_t n = hf_sys_read_file(path, text, sizeof(text));
	if (n > 0)
		hf_fmt(t->name, sizeof(t->name), "%.*s", (int)n - (text[n - 1] == '\n'), text);
}

/* The snapshot may need memory where the target has none left: its limits are not the target's. */
static void raise_limit(int resource)
{
	struct rlimit limit;
	if (hf_syscall4(SYS_prlimit64, 0, resource, 0, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		hf_syscall4(SYS_prlimit64, 0, resource, &limit, 0);
	}
}

/* The stop is short only if the collector gets the CPU while more threads want to run than there
 * are cores; it may ask for that where it is privileged. The snapshot steps back behind the target.
 */
static void set_nice(int nice)
{
	hf_syscall3(SYS_setpriority, PRIO_PROCESS, 0, nice);
}

static int get_nice(void)
{
	return 20 - (int)hf_syscall2(SYS_getpriority, PRIO_PROCESS, 0);
}

static void prepare_snapshot_process(int nice)
{
	hf_syscall2(SYS_prctl, PR_SET_NAME, "holdfast-dump");
	set_nice(nice);
	raise_limit(RLIMIT_AS);
	raise_limit(RLIMIT_DATA);
	int fd = (int)hf_syscall4(
		SYS_openat, AT_FDCWD, "/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC, 0);
	if (fd >= 0) {
		hf_sys_write_full(fd, "1000", 4);
		hf_sys_close(fd);
	}
}

static int run_work(struct hf_snapshot *s)
{
	for (size_t i = 0; i < hf_threads_count(&s->threads); i++)
		thread_name(s, hf_threads_at(&s->threads, i));
	return s->work(s);
}

static void fork_snapshot(struct collector *c)
{
	struct hf_snapshot *s = c->snapshot;
	long pid = hf_syscall5(SYS_clone, 0, 0, 0, 0, 0);
	if (pid == 0) {
		s->stop_ns = hf_sys_monotonic_ns() - c->stopped_at_ns;
		prepare_snapshot_process(c->nice + (s->background ? SNAPSHOT_NICE : 0));
		hf_syscall1(SYS_exit_group, run_work(s) & 0xff);
	}
	if (pid < 0) {
		s->in_place = true;
		s->fork_errno = (int)-pid;
		set_nice(c->nice);
		s->result = run_work(s);
		pid = 0;
	}
	s->pid = (int)pid;
}

static void close_everything(int keep_fd)
{
	enum { CLOSE_BY_HAND = 65536 }; /* on kernels before 5.9 */
	unsigned after = keep_fd < 0 ? 0 : (unsigned)keep_fd + 1;
	if ((after < 2 || hf_syscall3(SYS_close_range, 0, after - 2, 0) >= 0) &&
		hf_syscall3(SYS_close_range, after, ~0u, 0) >= 0)
		return;
	for (int fd = 0; fd < CLOSE_BY_HAND; fd++) {
		if (fd != keep_fd)
			hf_sys_close(fd);
	}
}

/* For other threads to read their words right, the last thing done to the shared memory. */
static void announce(struct collector *c)
{
	__atomic_store_n(&c->done, 1, __ATOMIC_RELEASE);
}

static int collector_main(void *arg)
{
	struct collector *c = arg;
	struct hf_snapshot *s = c->snapshot;
	close_everything(s->keep_fd);
	c->nice = get_nice();
	set_nice(-20);
	while (!__atomic_load_n(&c->pid, __ATOMIC_ACQUIRE))
		hf_sys_sleep_ns(1000);
	int rc = stop_all(c);
	c->stopped_at_ns = hf_sys_monotonic_ns();
	s->time_ns = hf_sys_realtime_ns();
	while (rc >= 0 && s->busy && s->retries < s->max_retries &&
		hf_sys_monotonic_ns() - c->stopped_at_ns < RETRY_BUDGET_NS && s->busy(s->ctx)) {
		s->retries++;
		run_for_a_moment(c);
		rc = stop_all(c);
		s->time_ns = hf_sys_realtime_ns();
	}
	if (rc < 0)
		s->trace_errno = s->trace_errno ? s->trace_errno : -rc;
	read_sizes(s);
	read_registers(c);
	if (hand_out_threads(c))
		fork_snapshot(c);
	else
		s->result = -ENOMEM;
	release_all(c);
	s->stop_ns = hf_sys_monotonic_ns() - c->stopped_at_ns;
	hf_vec_deinit(&c->tracees);
	hf_vec_deinit(&s->threads.threads);
	int pid = s->pid;
	bool stays = c->stays && pid;
	announce(c); /* c and s are on the caller's stack, which it leaves now */
	if (stays)
		hf_syscall4(SYS_wait4, pid, 0, __WALL, 0);
	return 0;
}

/* clone(2) onto another stack, without libc: the child runs fn(arg) and ends with its value. */
static long clone_call(
	unsigned long flags, void *stack, size_t stack_size, int (*fn)(void *), void *arg)
{
	uintptr_t top = ((uintptr_t)stack + stack_size) & ~(uintptr_t)15;
	long ret;
	register uintptr_t r8 __asm__("r8") = (uintptr_t)fn;
	register uintptr_t r9 __asm__("r9") = (uintptr_t)arg;
	register long r10 __asm__("r10") = 0;
	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "mov %%r9, %%rdi\n\t"
			 "call *%%r8\n\t"
			 "mov %%eax, %%edi\n\t"
			 "mov %[exit], %%eax\n\t"
			 "syscall\n\t"
			 "hlt\n\t"
			 "1:"
			 : "=a"(ret)
			 : "a"((long)SYS_clone), "D"(flags), "S"(top), "d"(0l), "r"(r10), "r"(r8),
			 "r"(r9), [exit] "i"(SYS_exit)
			 : "rcx", "r11", "memory");
	return ret;
}

static int reaper_main(void *arg)
{
	struct reaper *r = arg;
	hf_syscall4(SYS_wait4, r->pid, 0, __WALL, 0);
	__atomic_store_n(&r->pid, 0, __ATOMIC_RELEASE);
	return 0;
}

static void reap_later(int pid)
{
	reaper.pid = pid;
	long rc = clone_call(
		CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM,
		reaper.stack, sizeof(reaper.stack), reaper_main, &reaper);
	if (rc < 0)
		reaper_main(&reaper);
}

static bool reaps_orphans(void)
{
	int subreaper = 0;
	hf_syscall2(SYS_prctl, PR_GET_CHILD_SUBREAPER, &subreaper);
	return subreaper || hf_syscall0(SYS_getpid) == 1;
}

/* Yama's mode 1 lets a child trace only who named it as its tracer. */
static bool yama_restricts(void)
{
	char text[8];
	return hf_sys_read_file("/proc/sys/kernel/yama/ptrace_scope", text, sizeof(text)) > 0 &&
	       text[0] == '1';
}

static enum hf_status take(struct hf_snapshot *s, struct hf_err *err)
{
	struct collector c = {
		.snapshot = s, .caller_tid = s->caller->tid, .stays = reaps_orphans()};
	hf_vec_init(&c.tracees, sizeof(struct tracee));
	bool yama = yama_restricts();
	long pid = clone_call(CLONE_VM, s->stack, s->stack_size, collector_main, &c);
	if (pid < 0)
		return hf_err_sys(
			err, HF_E_FAILED, (int)-pid, "cannot make a process for the dump");
	if (yama)
		hf_syscall2(SYS_prctl, PR_SET_PTRACER, pid);
	__atomic_store_n(&c.pid, (int)pid, __ATOMIC_RELEASE);
	bool reaped = false;
	for (uint64_t pause = 20000;
		!reaped && !(c.stays && __atomic_load_n(&c.done, __ATOMIC_ACQUIRE));) {
		long rc = hf_syscall4(SYS_wait4, pid, 0, __WALL | (c.stays ? WNOHANG : 0), 0);
		reaped = rc == pid || rc == -ECHILD;
		if (!reaped && c.stays)
			hf_sys_sleep_ns(pause);
	}
	if (yama)
		hf_syscall2(SYS_prctl, PR_SET_PTRACER, 0);
	if (!reaped)
		reap_later((int)pid);
	if (!__atomic_load_n(&c.done, __ATOMIC_ACQUIRE))
		return hf_err_set(err, HF_E_FAILED, "the process that makes the dump was killed");
	if (s->in_place || s->pid)
		return HF_OK;
	return hf_err_sys(err, HF_E_FAILED, -s->result, "cannot list the threads of this process");
}

enum hf_status hf_snapshot_take(struct hf_snapshot *s, struct hf_err *err)
{
	uint64_t all = ~0ull, old = 0;
	hf_syscall4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, sizeof(all));
	s->target_pid = (int)hf_syscall0(SYS_getpid);
	enum hf_status status = __atomic_load_n(&reaper.pid, __ATOMIC_ACQUIRE)
					? hf_err_sys(err, HF_E_FAILED, EAGAIN,
						  "the dump before is still being written")
					: take(s, err);
	hf_syscall4(SYS_rt_sigprocmask, SIG_SETMASK, &old, 0, sizeof(old));
	return status;
}
