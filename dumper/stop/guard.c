#include "stop/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.h"
#include "stop/inject.h"
#include "stop/mounts.h"
#include "stop/namespaces.h"
#include "stop/permission.h"
#include "stop/tracees.h"

enum {
	FINISH_TIMEOUT_MS = 2000, /* for the call that reaps the snapshot */
	POLL_MS = 20,
	MAX_RETRIES = 10,
	RETRY_PAUSE_NS = 20000,    /* how long threads run on when an allocator lock was held */
	RETRY_BUDGET_NS = 3000000, /* after which the moment is taken as it is */
	SLOW_TICK_MS = 100,        /* the clone is looked at that often */
	SLOW_TICKS = 10,           /* that often asleep in a row: it waits for another thread */
};

struct guard {
	int pid, socket;
	const struct hf_remote *request;
	struct hf_pool pool;
	struct hf_tracees tracees;
	struct hf_tracees borrower; /* the child that a process suspended by vfork() waits for */
	struct hf_guard_report report;
	uint64_t insn;           /* a syscall instruction */
	uint64_t stopped_at_ns;  /* when the first thread was asked to stop */
	struct hf_tracee child;  /* the snapshot; tid 0: none */
	int child_pid_in_target; /* as the target's own namespace calls it */
	long options;            /* PTRACE_O_SUSPEND_SECCOMP where we may */
	int pidfd;               /* of the target: tells whether the pid is still its own */
	int nice;
	struct hf_tracee *caller; /* of the clone */
	unsigned n_slow;          /* times that it was seen asleep */
	bool keep_files;          /* of the snapshot: closing them may wait for a server */
	bool nested;              /* the target is in a pid namespace of its own */
};

bool hf_guard_receive(int socket, void *buf, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = read(socket, (char *)buf + done, size - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

static bool tell(struct guard *g, const void *buf, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = send(g->socket, (const char *)buf + done, size - done, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

/* Stop. */

/* Does another process use the very same memory (kcmp(2): KCMP_VM)? */
static bool same_memory(int pid, int other)
{
	return hf_syscall5(SYS_kcmp, pid, other, 1, 0, 0) == 0;
}

/* No thread stops, since all are in uninterruptible system calls. What we asked for stops them
 * before they are back in the program; but who is suspended by vfork(2) has lent the memory to a
 * child. */
static void hold_without_stop(struct guard *g)
{
	char path[64], text[4096];
	snprintf(g->report.why_in_place, sizeof(g->report.why_in_place),
		"all its threads are in uninterruptible system calls");
	for (size_t i = 0; i < g->tracees.list.n; i++) {
		snprintf(path, sizeof(path), "/proc/%d/task/%d/children", g->pid,
			hf_tracees_at(&g->tracees, i)->thread.tid);
		if (hf_sys_read_file(path, text, sizeof(text)) <= 0)
			continue;
		for (char *at = text; *at >= '0' && *at <= '9';) {
			int child = (int)strtol(at, &at, 10);
			at += *at == ' ';
			if (!same_memory(g->pid, child))
				continue;
			hf_tracees_deinit(&g->borrower);
			hf_tracees_init(&g->borrower, child, 0, &g->pool);
			hf_tracees_stop(&g->borrower);
			snprintf(g->report.why_in_place, sizeof(g->report.why_in_place),
				"it is suspended by vfork() until its child %d, which was stopped, "
				"too, runs another program",
				child);
		}
	}
}

/* In the stop, since a thread that has ended cannot be asked any more. */
static void number_threads(struct guard *g)
{
	for (size_t i = 0; i < g->tracees.list.n; i++) {
		struct hf_tracee *t = hf_tracees_at(&g->tracees, i);
		t->tid_inside = hf_namespace_tid(g->pid, t->thread.tid);
	}
}

static enum hf_status stop(struct guard *g, struct hf_err *err)
{
	g->stopped_at_ns = hf_sys_monotonic_ns();
	int rc = hf_tracees_stop(&g->tracees);
	const struct hf_remote *r = g->request;
	while (rc >= 0 && r->busy && g->report.retries < MAX_RETRIES &&
		hf_sys_monotonic_ns() - g->stopped_at_ns < RETRY_BUDGET_NS && r->busy(r->ctx)) {
		g->report.retries++;
		hf_tracees_run(&g->tracees, r->busy_start, r->busy_end, RETRY_PAUSE_NS);
		rc = hf_tracees_stop(&g->tracees);
	}
	size_t n_seized = 0, n_stopped = 0;
	for (size_t i = 0; i < g->tracees.list.n; i++) {
		const struct hf_tracee *t = hf_tracees_at(&g->tracees, i);
		n_seized += t->seized && !t->gone;
		n_stopped += t->stopped;
	}
	if (rc < 0 || !n_seized) {
		int why = rc < 0 ? -rc : g->tracees.trace_errno ? g->tracees.trace_errno : ESRCH;
		return hf_permission_explain(g->pid, why, err);
	}
	if (!n_stopped)
		hold_without_stop(g);
	g->report.time_ns = hf_sys_realtime_ns();
	hf_process_sizes(g->request->proc_pid, &g->report.vm_bytes, &g->report.rss_bytes);
	hf_tracees_settle(&g->tracees);
	hf_tracees_registers(&g->tracees);
	if (g->nested)
		number_threads(g);
	return HF_OK;
}

/* Code selector of 64-bit user mode (arch/x86/include/asm/segment.h: __USER_CS). */
static bool is_64_bit(const struct hf_tracee *t)
{
	return t->thread.regs.cs == 0x33;
}

static bool usable(const struct hf_tracee *t)
{
	return t->stopped && !t->signal && is_64_bit(t) &&
	       !(t->thread.flags & HF_THREAD_NO_REGISTERS) &&
	       t->thread.regs.rip < 1ull << 47 /* not in the vsyscall page */;
}

/* The thread to call in the name of: rather one that is in a system call, since a restartable
 * sequence (rseq(2)) that is left and entered again is broken; rather the main thread. */
static struct hf_tracee *choose(struct guard *g)
{
	struct hf_tracee *best = NULL;
	int best_score = 0;
	for (size_t i = 0; i < g->tracees.list.n; i++) {
		struct hf_tracee *t = hf_tracees_at(&g->tracees, i);
		int score =
			1 + 2 * ((long)t->thread.regs.orig_rax >= 0) + (t->thread.tid == g->pid);
		if (usable(t) && score > best_score) {
			best = t;
			best_score = score;
		}
	}
	return best;
}

/* Snapshot. */

static void refuse(struct guard *g, const char *reason, int sys_errno)
{
	g->report.in_place = true;
	g->report.read_pid = g->request->proc_pid;
	if (reason)
		snprintf(g->report.why_in_place, sizeof(g->report.why_in_place), "%s%s%s", reason,
			sys_errno ? ": " : "", sys_errno ? hf_strerror(sys_errno) : "");
}

/* The child's first stop; the target runs on already. */
static bool adopt(struct guard *g)
{
	int tid = g->child.thread.tid, status = 0;
	while (hf_wait(tid, &status, 0) == -EINTR)
		;
	g->child.stopped = WIFSTOPPED(status);
	return g->child.stopped && hf_ptrace(PTRACE_SETOPTIONS, tid, 0, PTRACE_O_EXITKILL) == 0;
}

static void on_alarm(int signal)
{
	(void)signal;
}

/* So that waiting is interrupted (inject.h, `slow`). */
static void set_timer(long ms)
{
	struct itimerval timer = {{0, ms * 1000}, {0, ms * 1000}};
	sigaction(SIGALRM, &(struct sigaction){.sa_handler = on_alarm}, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

/* Kill the snapshot and take its end as its tracer; the target's own wait is still to come. One
 * that waits for a server in the kernel ends some time later, without us. */
static bool end_child(struct guard *g)
{
	int tid = g->child.thread.tid, status = 0;
	if (tid <= 0)
		return false;
	long early = hf_wait(tid, &status, WNOHANG);
	bool lost = early == tid && !WIFSTOPPED(status);
	uint64_t deadline = hf_sys_monotonic_ns() + FINISH_TIMEOUT_MS * 1000000ull;
	for (bool ended = lost || early < 0; !ended && hf_sys_monotonic_ns() < deadline;) {
		kill(tid, SIGKILL);
		set_timer(SLOW_TICK_MS);
		long rc = hf_wait(tid, &status, 0);
		set_timer(0);
		ended = rc != -EINTR && !(rc == tid && WIFSTOPPED(status));
	}
	g->child.thread.tid = 0;
	return lost || early < 0;
}

/* A fork of large memory is busy. One that sleeps may wait for a thread that we hold: the monitor
 * of a userfaultfd that is told of forks (UFFD_FEATURE_EVENT_FORK). So the others are let go. */
static bool clone_is_slow(void *ctx)
{
	struct guard *g = ctx;
	char state = hf_thread_state(g->pid, g->caller->thread.tid);
	if (state != 'D' && state != 'S') {
		g->n_slow = g->n_slow < SLOW_TICKS ? 0 : g->n_slow;
		return false;
	}
	if (++g->n_slow != SLOW_TICKS)
		return false;
	for (size_t i = 0; i < g->tracees.list.n; i++) {
		struct hf_tracee *t = hf_tracees_at(&g->tracees, i);
		if (t == g->caller || !t->stopped)
			continue;
		t->stopped = hf_ptrace(PTRACE_CONT, t->thread.tid, 0, t->signal) < 0;
		t->signal = 0;
	}
	return false;
}

/* The threads have run meanwhile: the snapshot is of no moment. */
static void stop_again(struct guard *g, struct hf_inject *in)
{
	if (in->child) {
		g->child_pid_in_target = (int)in->result;
		g->child = (struct hf_tracee){.thread.tid = in->child, .seized = true};
		end_child(g);
	}
	for (size_t i = 0; i < g->tracees.list.n; i++) {
		struct hf_tracee *t = hf_tracees_at(&g->tracees, i);
		if (t->seized && !t->gone && !t->stopped)
			hf_ptrace(PTRACE_INTERRUPT, t->thread.tid, 0, 0);
	}
	hf_tracees_stop(&g->tracees);
	g->report.time_ns = hf_sys_realtime_ns();
	hf_tracees_settle(&g->tracees);
	hf_tracees_registers(&g->tracees);
	refuse(g, "a fork of the process waits for another of its threads", 0);
}

/* CLONE_FILES: until the snapshot has closed its descriptors they are the target's very own, so a
 * socket that the target closes is closed. */
static void make_snapshot(struct guard *g)
{
	struct hf_tracee *t = choose(g);
	if (g->report.why_in_place[0]) {
		refuse(g, NULL, 0);
		return;
	}
	if (!t) {
		refuse(g, "no thread is in a state to make a system call", 0);
		return;
	}
	g->options = hf_inject_may_suspend_seccomp(t) ? PTRACE_O_SUSPEND_SECCOMP : 0;
	if (!g->options && !hf_permission_same_filters(g->pid)) {
		refuse(g, "a seccomp filter, which might kill the process for a system call", 0);
		return;
	}
	if (!g->insn) {
		refuse(g, "no syscall instruction was found", 0);
		return;
	}
	enum { CLONE_FILES_ = 0x400 };
	struct hf_inject in = {.tracee = t,
		.insn = g->insn,
		.options = g->options,
		.slow = clone_is_slow,
		.ctx = g};
	uint64_t args[6] = {CLONE_FILES_};
	g->caller = t;
	/* On a busy machine the stop is as long as the thread waits for the CPU. */
	int nice = getpriority(PRIO_PROCESS, (id_t)t->thread.tid);
	setpriority(PRIO_PROCESS, (id_t)t->thread.tid, -20);
	set_timer(SLOW_TICK_MS);
	int rc = hf_inject_run(&in, SYS_clone, args);
	set_timer(0);
	setpriority(PRIO_PROCESS, (id_t)t->thread.tid, nice);
	if (g->n_slow >= SLOW_TICKS) {
		stop_again(g, &in);
		return;
	}
	if (rc < 0 || in.result < 0 || !in.child) {
		refuse(g, "no snapshot could be forked", rc < 0 ? -rc : (int)-in.result);
		return;
	}
	g->child_pid_in_target = (int)in.result;
	g->child = (struct hf_tracee){.thread.tid = in.child, .seized = true};
	g->report.read_pid = in.child;
}

/* Closing may wait for a server that does not answer (a flush of a file of FUSE or NFS): the
 * snapshot can be read all the same. */
static bool closing_is_slow(void *ctx)
{
	struct guard *g = ctx;
	return ++g->n_slow >= SLOW_TICKS;
}

/* It dies with us, the kernel may kill it before others, it stands behind the target, and it holds
 * none of the target's descriptors. */
static void strip(struct guard *g)
{
	char path[64];
	setpriority(PRIO_PROCESS, (id_t)g->child.thread.tid, g->nice);
	snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", g->child.thread.tid);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		hf_sys_write_full(fd, "1000", 4);
		close(fd);
	}
	enum { CLOSE_RANGE = 436, UNSHARE = 2 };
	struct hf_inject in = {.tracee = &g->child,
		.insn = g->insn,
		.options = PTRACE_O_EXITKILL | g->options,
		.slow = closing_is_slow,
		.ctx = g};
	uint64_t args[6] = {0, ~0u, UNSHARE};
	if (g->keep_files)
		return;
	g->n_slow = 0;
	set_timer(SLOW_TICK_MS);
	hf_inject_run(&in, CLOSE_RANGE, args);
	set_timer(0);
}

static void release(struct guard *g)
{
	hf_tracees_release(&g->borrower);
	hf_tracees_release(&g->tracees);
	g->report.stop_ns = hf_sys_monotonic_ns() - g->stopped_at_ns;
}

/* End. */

/* One thread is stopped for the time of one system call. With a strict choice it is one that is in
 * a system call already, and not late. */
static bool reap_by(struct guard *g, int tid, bool strict)
{
	struct hf_tracees one;
	hf_tracees_init(&one, g->pid, 0, &g->pool);
	hf_tracees_stop_one(&one, tid);
	hf_tracees_settle(&one);
	hf_tracees_registers(&one);
	struct hf_tracee *t = one.list.n ? hf_tracees_at(&one, 0) : NULL;
	bool done = false;
	bool fit = t && usable(t) && (!strict || (!t->late && (long)t->thread.regs.orig_rax >= 0));
	if (fit) {
		struct hf_inject in = {.tracee = t,
			.insn = hf_inject_find(g->request->proc_pid),
			.options = g->options};
		uint64_t args[6] = {(uint64_t)g->child_pid_in_target, 0, __WALL | WNOHANG};
		done = in.insn && hf_inject_run(&in, SYS_wait4, args) == 0;
	}
	hf_tracees_release(&one);
	hf_tracees_deinit(&one);
	return done;
}

static bool target_lives(const struct guard *g)
{
	struct pollfd poll_fd = {g->pidfd, POLLIN, 0};
	return g->pidfd < 0 ? kill(g->pid, 0) == 0 : poll(&poll_fd, 1, 0) == 0;
}

/* Let the target reap the snapshot, by a thread that gets no signals, if at all possible. Where it
 * has ended, that is somebody else's to do. */
static void reap_in_target(struct guard *g)
{
	enum { PATIENCE = 20 /* looks for the best thread */, PAUSE_NS = 1000000 };
	uint64_t deadline = hf_sys_monotonic_ns() + FINISH_TIMEOUT_MS * 1000000ull;
	if (g->child_pid_in_target <= 0)
		return;
	for (int pass = 0; hf_sys_monotonic_ns() < deadline; pass++) {
		for (size_t i = 0; i < g->tracees.list.n; i++) {
			struct hf_tracee *t = hf_tracees_at(&g->tracees, i);
			int tid = t->thread.tid;
			bool strict = g->tracees.list.n > 1 && pass < PATIENCE;
			if (!target_lives(g))
				return;
			if (t->gone || (strict && hf_tracees_gets_signals(&g->tracees, tid)))
				continue;
			if (reap_by(g, tid, strict))
				return;
		}
		hf_sys_sleep_ns(pass < PATIENCE ? PAUSE_NS : POLL_MS * 1000000ull);
	}
}

/* Until the tool is done (true) or gone (false). Threads that stop only now are let go. */
static bool wait_for_tool(struct guard *g)
{
	for (;;) {
		bool late = !g->report.in_place && hf_tracees_unreleased(&g->tracees);
		struct pollfd poll_fd = {g->socket, POLLIN, 0};
		int n = poll(&poll_fd, 1, late ? POLL_MS : -1);
		if (late)
			hf_tracees_release(&g->tracees);
		if (n <= 0)
			continue;
		char byte;
		return read(g->socket, &byte, 1) == 1 && byte == HF_GUARD_DONE;
	}
}

static bool target_lost(struct guard *g)
{
	for (size_t i = 0; i < g->tracees.list.n; i++) {
		struct hf_tracee *t = hf_tracees_at(&g->tracees, i);
		int status;
		if (t->stopped && hf_wait(t->thread.tid, &status, WNOHANG) == t->thread.tid &&
			!WIFSTOPPED(status))
			return true;
	}
	return false;
}

static bool tell_report(struct guard *g)
{
	size_t n = g->tracees.list.n;
	for (size_t i = 0; i < n; i++)
		g->report.n_threads += !hf_tracees_at(&g->tracees, i)->gone;
	g->report.trace_errno = g->tracees.trace_errno;
	g->report.not_stopped = g->tracees.not_stopped;
	bool ok = tell(g, &g->report, sizeof(g->report));
	for (size_t i = 0; ok && i < n; i++) {
		struct hf_tracee *t = hf_tracees_at(&g->tracees, i);
		if (t->gone)
			continue;
		struct hf_thread said = t->thread;
		said.tid = t->tid_inside ? t->tid_inside : said.tid;
		ok = tell(g, &said, sizeof(said)) && tell(g, t->thread.xsave, t->thread.xsave_size);
	}
	return ok;
}

static void name_threads(struct guard *g)
{
	for (size_t i = 0; i < g->tracees.list.n; i++) {
		struct hf_thread *t = &hf_tracees_at(&g->tracees, i)->thread;
		char path[64], text[32];
		snprintf(path, sizeof(path), "/proc/%d/task/%d/comm", g->pid, t->tid);
		int64_t n = hf_sys_read_file(path, text, sizeof(text));
		if (n > 0)
			snprintf(t->name, sizeof(t->name), "%.*s", (int)n - (text[n - 1] == '\n'),
				text);
	}
}

static bool has_served_files(struct guard *g)
{
	struct hf_vec mounts;
	hf_vec_init(&mounts, sizeof(struct hf_mount));
	hf_mounts_served(g->request->proc_pid, &mounts);
	bool found = hf_mounts_open(g->request->proc_pid, &mounts);
	hf_vec_deinit(&mounts);
	return found;
}

static void serve(struct guard *g)
{
	struct hf_guard_end end = {0};
	g->insn = hf_inject_find(g->request->proc_pid);
	g->keep_files = has_served_files(g);
	g->report.err.status = stop(g, &g->report.err);
	if (g->report.err.status) {
		hf_tracees_release(&g->tracees);
		tell(g, &g->report, sizeof(g->report));
		return;
	}
	make_snapshot(g);
	if (g->report.in_place)
		g->report.stop_ns = hf_sys_monotonic_ns() - g->stopped_at_ns;
	else
		release(g);
	setpriority(PRIO_PROCESS, 0, g->nice);
	if (!g->report.in_place && adopt(g))
		strip(g);
	name_threads(g);
	if (hf_namespace_differs(g->pid, "uts"))
		hf_namespace_hostname(g->pid, g->report.hostname, sizeof(g->report.hostname));
	bool wanted = tell_report(g) && wait_for_tool(g);
	end.lost = g->report.in_place ? target_lost(g) : end_child(g);
	if (g->report.in_place)
		release(g);
	end.stop_ns = g->report.stop_ns;
	reap_in_target(g);
	if (wanted)
		tell(g, &end, sizeof(end));
	else if (g->request->litter)
		unlink(g->request->litter);
}

void hf_guard_main(const struct hf_remote *request, int socket)
{
	int pid = request->pid;
	struct guard g = {.pid = pid,
		.socket = socket,
		.request = request,
		.nice = getpriority(PRIO_PROCESS, 0),
		.pidfd = (int)hf_syscall2(434 /* pidfd_open */, pid, 0)};
	prctl(PR_SET_NAME, "hf-guard");
	/* The target waits for us: others may wait meanwhile. Refused without privilege. */
	setpriority(PRIO_PROCESS, 0, -20);
	g.nested = hf_namespace_differs(pid, "pid");
	hf_pool_init(&g.pool, NULL, 0);
	hf_tracees_init(&g.tracees, pid, 0, &g.pool);
	hf_tracees_init(&g.borrower, 0, 0, &g.pool);
	serve(&g);
	hf_tracees_deinit(&g.borrower);
	hf_tracees_deinit(&g.tracees);
	hf_pool_deinit(&g.pool);
}
