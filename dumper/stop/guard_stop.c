#include "stop/guard_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/sys.h"
#include "stop/namespaces.h"
#include "stop/permission.h"

enum {
	MAX_RETRIES = 10,
	RETRY_PAUSE_NS = 20000,    /* how long threads run on when an allocator lock was held */
	RETRY_BUDGET_NS = 3000000, /* after which the moment is taken as it is */
};

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

enum hf_status hf_guard_stop(struct guard *g, struct hf_err *err)
{
	hf_tracees_wait_turn(&g->tracees);
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
