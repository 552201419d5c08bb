#include "stop/guard_state.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.h"
#include "stop/mounts.h"
#include "stop/namespaces.h"

enum { POLL_MS = 20 };

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
	bool fit = t && hf_guard_usable(t) &&
		   (!strict || (!t->late && (long)t->thread.regs.orig_rax >= 0));
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
	uint64_t deadline = hf_sys_monotonic_ns() + HF_GUARD_FINISH_MS * 1000000ull;
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
	g->report.err.status = hf_guard_stop(g, &g->report.err);
	if (g->report.err.status) {
		hf_tracees_release(&g->tracees);
		tell(g, &g->report, sizeof(g->report));
		return;
	}
	hf_guard_fork(g);
	if (!g->report.in_place)
		hf_guard_unforked(g);
	if (g->report.in_place)
		g->report.stop_ns = hf_sys_monotonic_ns() - g->stopped_at_ns;
	else
		release(g);
	setpriority(PRIO_PROCESS, 0, g->nice);
	if (!g->report.in_place)
		hf_guard_keep(g);
	name_threads(g);
	if (hf_namespace_differs(g->pid, "uts"))
		hf_namespace_hostname(g->pid, g->report.hostname, sizeof(g->report.hostname));
	bool wanted = tell_report(g) && wait_for_tool(g);
	end.lost = g->report.in_place ? target_lost(g) : hf_guard_end_child(g);
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
