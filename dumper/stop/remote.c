#include "stop/remote.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.h"
#include "stop/guard.h"
#include "stop/permission.h"

/* Where the tool is one of the target's own kin it is easily killed with it; a session of its own
 * and another name keep the guard out of that. */
static void become_guard(int socket)
{
	struct rlimit no_core = {0, 0};
	setsid();
	setrlimit(RLIMIT_CORE, &no_core);
	for (int signal = 1; signal < NSIG; signal++)
		sigaction(signal, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
	/* A reader of the tool's output waits for the end of all who have it open. */
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; fd < 3 && null >= 0; fd++)
		dup2(null, fd);
	dup2(socket, 3);
	hf_syscall3(SYS_close_range, 4, ~0u, 0);
}

static bool receive_threads(struct hf_remote *r, uint32_t n)
{
	hf_vec_init(&r->threads.threads, sizeof(struct hf_thread));
	for (uint32_t i = 0; i < n; i++) {
		struct hf_thread *t = hf_vec_push(&r->threads.threads);
		if (!t || !hf_guard_receive(r->socket, t, sizeof(*t)))
			return false;
		t->xsave = NULL;
		if (!t->xsave_size)
			continue;
		t->xsave = hf_pool_alloc(r->pool, HF_XSAVE_MAX);
		if (!t->xsave || t->xsave_size > HF_XSAVE_MAX ||
			!hf_guard_receive(r->socket, t->xsave, t->xsave_size))
			return false;
	}
	return true;
}

static enum hf_status receive(struct hf_remote *r, struct hf_err *err)
{
	struct hf_guard_report report;
	if (!hf_guard_receive(r->socket, &report, sizeof(report)))
		return hf_err_set(err, HF_E_FAILED, "the process that traces %d ended", r->pid);
	if (report.err.status) {
		*err = report.err;
		return err->status;
	}
	r->read_pid = report.read_pid;
	r->in_place = report.in_place;
	memcpy(r->why_in_place, report.why_in_place, sizeof(r->why_in_place));
	memcpy(r->hostname, report.hostname, sizeof(r->hostname));
	r->trace_errno = report.trace_errno;
	r->not_stopped = report.not_stopped;
	r->retries = report.retries;
	r->vm_bytes = report.vm_bytes;
	r->rss_bytes = report.rss_bytes;
	r->unforked_bytes = report.unforked_bytes;
	r->missing_bytes = report.missing_bytes;
	r->time_ns = report.time_ns;
	r->stop_ns = report.stop_ns;
	if (!receive_threads(r, report.n_threads))
		return hf_err_set(
			err, HF_E_FAILED, "the list of threads of %d did not come", r->pid);
	return HF_OK;
}

static void leave(struct hf_remote *r)
{
	close(r->socket);
	r->socket = -1;
	while (waitpid(r->guard, NULL, 0) < 0 && errno == EINTR)
		;
}

enum hf_status hf_remote_open(struct hf_remote *r, struct hf_err *err)
{
	int ends[2];
	hf_vec_init(&r->threads.threads, sizeof(struct hf_thread));
	enum hf_status status = hf_permission_check(r->pid, err);
	if (status)
		return status;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return hf_err_sys(err, HF_E_FAILED, errno, "cannot make a socket pair");
	fflush(NULL);
	r->guard = fork();
	if (r->guard == 0) {
		become_guard(ends[1]);
		hf_guard_main(r, 3);
		_exit(0);
	}
	int fork_errno = errno;
	close(ends[1]);
	r->socket = ends[0];
	if (r->guard < 0) {
		close(ends[0]);
		return hf_err_sys(
			err, HF_E_FAILED, fork_errno, "cannot make a process for tracing");
	}
	status = receive(r, err);
	if (status) {
		leave(r);
		hf_vec_deinit(&r->threads.threads);
	}
	return status;
}

enum hf_status hf_remote_close(struct hf_remote *r, struct hf_err *err)
{
	struct hf_guard_end end = {0};
	char done = HF_GUARD_DONE;
	bool told = send(r->socket, &done, 1, MSG_NOSIGNAL) == 1 &&
		    hf_guard_receive(r->socket, &end, sizeof(end));
	leave(r);
	hf_vec_deinit(&r->threads.threads);
	if (r->in_place)
		r->stop_ns = end.stop_ns;
	if (!told)
		return hf_err_set(err, HF_E_FAILED,
			"the process that traces %d was killed; what was read since is not to be "
			"trusted",
			r->pid);
	if (end.lost)
		return hf_err_set(err, HF_E_FAILED, "%s %d ended while it was read",
			r->in_place ? "process" : "the snapshot of process", r->pid);
	return HF_OK;
}
