#include "stop/guard_state.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.h"
#include "stop/permission.h"

enum {
	SLOW_TICK_MS = 100, /* the clone is looked at that often */
	SLOW_TICKS = 10,    /* that often asleep in a row: it waits for another thread */
};

/* Code selector of 64-bit user mode (arch/x86/include/asm/segment.h: __USER_CS). */
static bool is_64_bit(const struct hf_tracee *t)
{
	return t->thread.regs.cs == 0x33;
}

bool hf_guard_usable(const struct hf_tracee *t)
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
		if (hf_guard_usable(t) && score > best_score) {
			best = t;
			best_score = score;
		}
	}
	return best;
}

static void refuse(struct guard *g, const char *reason, int sys_errno)
{
	g->report.in_place = true;
	g->report.read_pid = g->request->proc_pid;
	if (reason)
		snprintf(g->report.why_in_place, sizeof(g->report.why_in_place), "%s%s%s", reason,
			sys_errno ? ": " : "", sys_errno ? hf_strerror(sys_errno) : "");
}

/* The child's first stop. It dies with us, and the kernel may kill it before others. */
bool hf_guard_adopt(struct guard *g)
{
	if (g->adopted)
		return true;
	int tid = g->child.thread.tid, status = 0;
	while (hf_wait(tid, &status, 0) == -EINTR)
		;
	g->child.stopped = WIFSTOPPED(status);
	g->adopted =
		g->child.stopped && hf_ptrace(PTRACE_SETOPTIONS, tid, 0, PTRACE_O_EXITKILL) == 0;
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", tid);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		hf_sys_write_full(fd, "1000", 4);
		close(fd);
	}
	return g->adopted;
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
bool hf_guard_end_child(struct guard *g)
{
	int tid = g->child.thread.tid, status = 0;
	if (tid <= 0)
		return false;
	long early = hf_wait(tid, &status, WNOHANG);
	bool lost = early == tid && !WIFSTOPPED(status);
	uint64_t deadline = hf_sys_monotonic_ns() + HF_GUARD_FINISH_MS * 1000000ull;
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
		hf_guard_end_child(g);
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
void hf_guard_fork(struct guard *g)
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

/* It stands behind the target and holds none of the target's descriptors. */
static void strip(struct guard *g)
{
	setpriority(PRIO_PROCESS, (id_t)g->child.thread.tid, g->nice);
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

void hf_guard_keep(struct guard *g)
{
	if (hf_guard_adopt(g))
		strip(g);
}
