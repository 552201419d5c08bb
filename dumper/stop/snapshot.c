#include "stop/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/fmt.h"
#include "base/stack_call.h"
#include "base/sys.h"
#include "stop/limit.h"
#include "stop/park.h"
#include "stop/room.h"
#include "stop/tracees.h"
#include "stop/unforked.h"

enum {
	RETRY_PAUSE_NS = 20000,    /* how long threads run on when an allocator lock was held */
	RETRY_BUDGET_NS = 3000000, /* after which the moment is taken as it is */
	SNAPSHOT_NICE = 5,
	SYNC_PAUSE_NS = 20000,
};

static const uint64_t SYNC_TIMEOUT_NS = 3000000000;

/* How threads are stopped. */
enum how {
	TRACED,
	TRACED_OR_PARKED,
	PARKED, /* who traces is killed for it */
	NOT_AT_ALL,
	DONE,
};

struct collector {
	struct hf_snapshot *snapshot;
	struct hf_tracees tracees;
	int pid;    /* of the collector, once the caller knows it and has let it trace */
	int done;   /* the threads run again; written last */
	bool stays; /* until the snapshot is done, as its parent */
	uint64_t stopped_at_ns;
	int nice; /* of the target */
	enum how how;
	bool refused; /* threads may not be traced: parked, all could be stopped */
};

/* A thread of ours that reaps a collector which stays; only one at a time (one snapshot is). */
static struct reaper {
	uint64_t stack[1024];
	int pid; /* 0: none */
} reaper;

/* The list that work() gets: the caller first. */
static bool hand_out_threads(struct collector *c)
{
	struct hf_snapshot *s = c->snapshot;
	hf_vec_init(&s->threads.threads, sizeof(struct hf_thread));
	if (!hf_vec_reserve(&s->threads.threads, c->tracees.list.n + 1))
		return false;
	*(struct hf_thread *)hf_vec_push(&s->threads.threads) = *s->caller;
	for (size_t i = 0; i < c->tracees.list.n; i++) {
		struct hf_tracee *t = hf_tracees_at(&c->tracees, i);
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

static void prepare_snapshot_process(void)
{
	hf_syscall2(SYS_prctl, PR_SET_NAME, "holdfast-dump");
	hf_page_reserve_forked();
	hf_room_raise_limits(0);
	int fd = (int)hf_syscall4(
		SYS_openat, AT_FDCWD, "/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC, 0);
	if (fd >= 0) {
		hf_sys_write_full(fd, "1000", 4);
		hf_sys_close(fd);
	}
}

/* Behind the target, which no longer waits for us. Threads of real-time priority would not let
 * others of that priority run, nor the target's. */
static void step_back(int nice)
{
	const int param = 0; /* struct sched_param */
	hf_syscall3(SYS_sched_setscheduler, 0, SCHED_OTHER, &param);
	set_nice(nice);
}

static int run_work(struct hf_snapshot *s)
{
	for (size_t i = 0; i < hf_threads_count(&s->threads); i++)
		thread_name(s, hf_threads_at(&s->threads, i));
	return s->work(s);
}

/* What fork leaves out is read while the threads stand still. The collector sees whether there is
 * any and tells the snapshot, which tells when it is done. Both wait for a bounded time. */
enum sync { SYNC_WAIT, SYNC_NONE, SYNC_COPY, SYNC_DONE };

static int wait_while(const int *sync, int value)
{
	const uint64_t until = hf_sys_monotonic_ns() + SYNC_TIMEOUT_NS;
	int now;
	while ((now = __atomic_load_n(sync, __ATOMIC_ACQUIRE)) == value &&
		hf_sys_monotonic_ns() < until)
		hf_sys_sleep_ns(SYNC_PAUSE_NS);
	return now;
}

static void tell(int *sync, int value)
{
	__atomic_store_n(sync, value, __ATOMIC_RELEASE);
}

static void copy_unforked(struct hf_snapshot *s)
{
	struct hf_unforked result;
	if (wait_while(s->sync, SYNC_WAIT) != SYNC_COPY)
		return;
	hf_unforked_fill_self(s->target_pid, s->pool, &result);
	s->missing_bytes = result.missing_bytes;
	s->unforked_bytes = result.copied_bytes;
	tell(s->sync, SYNC_DONE);
}

static void fork_snapshot(struct collector *c)
{
	struct hf_snapshot *s = c->snapshot;
	struct hf_unforked_sizes sizes;
	hf_process_sizes(s->target_pid, &s->vm_bytes, &s->rss_bytes);
	hf_unforked_sizes(s->target_pid, &sizes);
	tell(s->sync, SYNC_WAIT);
	long pid = hf_syscall5(SYS_clone, 0, 0, 0, 0, 0);
	if (pid == 0) {
		prepare_snapshot_process();
		copy_unforked(s);
		s->stop_ns = hf_sys_monotonic_ns() - c->stopped_at_ns;
		step_back(c->nice + (s->background ? SNAPSHOT_NICE : 0));
		hf_syscall1(SYS_exit_group, run_work(s) & 0xff);
	}
	if (pid < 0) {
		s->in_place = true;
		s->fork_errno = (int)-pid;
		set_nice(c->nice);
		s->result = run_work(s);
		pid = 0;
	} else if (hf_unforked_differ(&sizes, (int)pid)) {
		tell(s->sync, SYNC_COPY);
		wait_while(s->sync, SYNC_COPY);
	} else {
		tell(s->sync, SYNC_NONE);
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

/* Those that a park has stopped may make no more, so that it comes to an end. */
static int stop_threads(struct collector *c)
{
	size_t n_before;
	int rc;
	c->tracees.no_trace = c->how >= PARKED;
	do {
		n_before = c->tracees.list.n;
		rc = hf_tracees_stop(&c->tracees);
		if (c->how == TRACED_OR_PARKED || c->how == PARKED)
			hf_park(&c->tracees);
	} while (rc >= 0 && c->tracees.list.n != n_before);
	for (size_t i = 0; i < c->tracees.list.n; i++)
		c->refused = c->refused || hf_tracees_at(&c->tracees, i)->refused;
	return rc;
}

static void count_threads(struct collector *c)
{
	struct hf_snapshot *s = c->snapshot;
	s->not_stopped = c->tracees.not_stopped;
	s->parked = 0;
	for (size_t i = 0, n = 0; i < c->tracees.list.n; i++) {
		const struct hf_tracee *t = hf_tracees_at(&c->tracees, i);
		s->parked += t->parked;
		if (!t->gone && (t->thread.flags & HF_THREAD_NO_REGISTERS) &&
			n < sizeof(s->missed) / sizeof(s->missed[0]))
			s->missed[n++] = t->thread.tid;
	}
}

static int collector_main(void *arg)
{
	struct collector *c = arg;
	struct hf_snapshot *s = c->snapshot;
	const uint64_t all = ~0ull;
	hf_syscall4(SYS_rt_sigprocmask, SIG_SETMASK, &all, 0, sizeof(all));
	close_everything(s->keep_fd);
	hf_limit_start(s->limit_s, NULL, NULL);
	c->nice = get_nice();
	set_nice(-20);
	while (!__atomic_load_n(&c->pid, __ATOMIC_ACQUIRE))
		hf_sys_sleep_ns(1000);
	int rc = stop_threads(c);
	if (c->refused && c->how == TRACED) {
		for (size_t i = 0; i < c->tracees.list.n; i++)
			hf_tracees_at(&c->tracees, i)->thread.flags |= HF_THREAD_NO_REGISTERS;
		hf_tracees_release(&c->tracees);
		hf_tracees_deinit(&c->tracees);
		announce(c);
		return 0;
	}
	c->stopped_at_ns = hf_sys_monotonic_ns();
	s->time_ns = hf_sys_realtime_ns();
	while (rc >= 0 && s->busy && s->retries < s->max_retries &&
		hf_sys_monotonic_ns() - c->stopped_at_ns < RETRY_BUDGET_NS && s->busy(s->ctx)) {
		s->retries++;
		hf_tracees_run(&c->tracees, s->busy_start, s->busy_end, RETRY_PAUSE_NS);
		hf_park_run(&c->tracees, s->busy_start, s->busy_end, RETRY_PAUSE_NS);
		rc = stop_threads(c);
		s->time_ns = hf_sys_realtime_ns();
	}
	hf_tracees_registers(&c->tracees);
	count_threads(c);
	s->trace_errno = c->tracees.trace_errno ? c->tracees.trace_errno : rc < 0 ? -rc : 0;
	if (hand_out_threads(c))
		fork_snapshot(c);
	else
		s->result = -ENOMEM;
	if (s->hold && s->pid)
		hf_wait(s->pid, NULL, 0);
	hf_park_release();
	hf_tracees_release(&c->tracees);
	s->stop_ns = hf_sys_monotonic_ns() - c->stopped_at_ns;
	hf_tracees_deinit(&c->tracees);
	hf_vec_deinit(&s->threads.threads);
	int pid = s->pid;
	bool stays = c->stays && pid;
	announce(c); /* c and s are on the caller's stack, which it leaves now */
	if (stays)
		hf_syscall4(SYS_wait4, pid, 0, __WALL, 0);
	return 0;
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
	long rc = hf_sys_clone(
		CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM,
		reaper.stack, sizeof(reaper.stack), NULL, reaper_main, &reaper);
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

static void work_in_caller(void *arg)
{
	struct collector *c = arg;
	struct hf_snapshot *s = c->snapshot;
	s->time_ns = hf_sys_realtime_ns();
	hf_process_sizes(s->target_pid, &s->vm_bytes, &s->rss_bytes);
	/* One of them may not trace the others. */
	c->how = PARKED;
	hf_park_prepare(s->our_signals);
	if (stop_threads(c) >= 0)
		hf_tracees_registers(&c->tracees);
	count_threads(c);
	s->result = hand_out_threads(c) ? run_work(s) : -ENOMEM;
	hf_park_release();
	hf_tracees_deinit(&c->tracees);
	hf_vec_deinit(&s->threads.threads);
}

/* *ret_next: how to try again, or DONE. */
static enum hf_status take(
	struct hf_snapshot *s, enum how how, enum how *ret_next, struct hf_err *err)
{
	int end = 0;
	struct collector c = {.snapshot = s, .stays = reaps_orphans(), .how = how};
	*ret_next = DONE;
	if (how == TRACED_OR_PARKED || how == PARKED)
		hf_park_prepare(s->our_signals);
	hf_tracees_init(&c.tracees, s->target_pid, s->caller->tid, s->pool);
	bool yama = yama_restricts();
	long pid = hf_sys_clone(CLONE_VM, s->stack, s->stack_size, NULL, collector_main, &c);
	if (pid < 0) {
		s->in_place = s->in_caller = true;
		s->fork_errno = (int)-pid;
		hf_call_on_stack((uint64_t)s->stack + s->stack_size, work_in_caller, &c);
		return HF_OK;
	}
	if (yama)
		hf_syscall2(SYS_prctl, PR_SET_PTRACER, pid);
	__atomic_store_n(&c.pid, (int)pid, __ATOMIC_RELEASE);
	bool reaped = false;
	for (uint64_t pause = 20000;
		!reaped && !(c.stays && __atomic_load_n(&c.done, __ATOMIC_ACQUIRE));) {
		long rc = hf_syscall4(SYS_wait4, pid, &end, __WALL | (c.stays ? WNOHANG : 0), 0);
		reaped = rc == pid || rc == -ECHILD;
		if (!reaped && c.stays)
			hf_sys_sleep_ns(pause);
	}
	if (yama)
		hf_syscall2(SYS_prctl, PR_SET_PTRACER, 0);
	bool done = __atomic_load_n(&c.done, __ATOMIC_ACQUIRE);
	bool parks = done && c.refused && how == TRACED; /* this one has ended */
	if (!reaped && parks)
		hf_syscall4(SYS_wait4, pid, &end, __WALL, 0);
	else if (!reaped)
		reap_later((int)pid);
	if (!done) /* it cannot let them go any more */
		hf_park_release();
	if (!done && WIFSIGNALED(end) && WTERMSIG(end) == SIGSYS && how != NOT_AT_ALL) {
		*ret_next = how == PARKED ? NOT_AT_ALL : PARKED;
		return HF_OK;
	}
	if (parks) {
		*ret_next = TRACED_OR_PARKED;
		return HF_OK;
	}
	if (!done)
		return hf_err_set(err, HF_E_FAILED,
			"the process that makes the dump was killed, or took too long");
	if (s->in_place || s->pid)
		return HF_OK;
	return hf_err_sys(err, HF_E_FAILED, -s->result, "cannot list the threads of this process");
}

enum hf_status hf_snapshot_take(struct hf_snapshot *s, struct hf_err *err)
{
	/* A signal that is blocked is not ignored: it would be queued, and wake other threads. */
	uint64_t blocked = ~hf_sys_ignored_signals(), old = 0;
	hf_syscall4(SYS_rt_sigprocmask, SIG_BLOCK, &blocked, &old, sizeof(blocked));
	s->target_pid = (int)hf_syscall0(SYS_getpid);
	enum how how = TRACED;
	enum hf_status status = HF_OK;
	if (__atomic_load_n(&reaper.pid, __ATOMIC_ACQUIRE))
		status = hf_err_sys(
			err, HF_E_FAILED, EAGAIN, "the dump before is still being written");
	while (!status && how != DONE)
		status = take(s, how, &how, err);
	hf_syscall4(SYS_rt_sigprocmask, SIG_SETMASK, &old, 0, sizeof(old));
	return status;
}
