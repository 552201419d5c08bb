#include "frontend/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "base/fmt.h"
#include "base/stack_call.h"
#include "base/sys.h"
#include "dump.h"
#include "frontend/reports.h"
#include "frontend/told.h"
#include "memory/mem_remote.h"
#include "site/live.h"
#include "site/profile.h"
#include "site/record.h"
#include "stop/limit.h"
#include "stop/room.h"
#include "stop/snapshot.h"
#include "stop/tracees.h"
#include "stop/unforked.h"
#include "walk/glibc_locks.h"

enum {
	STACK_SIZE = 512 << 10,        /* of collector and snapshot */
	CALLER_STACK_SIZE = 128 << 10, /* of the calling thread: a signal stack may be 2 KiB */
	POOL_SIZE = 3 << 19,
	RESERVE_SIZE = 3584 << 10, /* for pages that the kernel refuses */
	MAX_RETRIES = 10,
	/* Of dumps that nobody waits for: more would but fight for the processors. */
	MAX_UNFINISHED = 2,
};

static struct {
	bool ready;
	/* pid << 32 | tid of who is making a dump, or 0: a forked child must not inherit it */
	uint64_t busy;
	void *stack, *caller_stack, *pool_memory;
	uint64_t number;  /* the last %n */
	uint64_t n_dumps; /* by the pattern, for max=: not those that rotate */
	dev_t stderr_dev;
	ino_t stderr_ino;
	struct hf_sink_file file;
	char path[HF_PATH_MAX];
	struct hf_glibc_locks locks;
} state;

static bool stderr_is_ours(void)
{
	struct stat st;
	return hf_syscall2(SYS_fstat, 2, &st) == 0 && st.st_dev == state.stderr_dev &&
	       st.st_ino == state.stderr_ino;
}

void hf_capture_say(const char *text)
{
	char line[HF_ERR_MSG_SIZE + 32];
	if (stderr_is_ours())
		hf_sys_write_full(2, line, hf_fmt(line, sizeof(line), "holdfast: %s\n", text));
}

enum hf_status hf_capture_reserve(struct hf_err *err)
{
	struct stat st;
	if (hf_syscall2(SYS_fstat, 2, &st) == 0) {
		state.stderr_dev = st.st_dev;
		state.stderr_ino = st.st_ino;
	}
	state.stack = hf_page_alloc(STACK_SIZE);
	state.caller_stack = hf_page_alloc(CALLER_STACK_SIZE);
	state.pool_memory = hf_page_alloc(POOL_SIZE);
	if (!hf_page_reserve(RESERVE_SIZE) || !state.stack || !state.caller_stack ||
		!state.pool_memory || !hf_reports_reserve())
		return hf_err_set(err, HF_E_NOMEM, "no memory to reserve for dumps");
	state.ready = true;
	return HF_OK;
}

static int errno_of(const struct hf_err *err)
{
	if (err->sys_errno)
		return -err->sys_errno;
	switch (err->status) {
	case HF_OK:
		return 0;
	case HF_E_PARTIAL:
		return -ENODATA;
	case HF_E_EXISTS:
		return -EEXIST;
	case HF_E_NOMEM:
		return -ENOMEM;
	case HF_E_PERM:
		return -EPERM;
	case HF_E_USAGE:
		return -EINVAL;
	default:
		return -EIO;
	}
}

/* In the snapshot. */

struct work {
	const struct hf_capture_request *request;
	struct hf_report *report;
	int ppid;
	struct hf_pool *pool;
	struct hf_vec own, findings;
	char text[HF_FINDING_TEXT]; /* of one finding */
	uint32_t limit_s;
	bool contents;
	bool written; /* the dump has its name */
	int frozen;   /* the process that is read, where this one gave up the memory; or 0 */
	uint8_t token[HF_FORMAT_TOKEN_SIZE];
};

static void add_own(void *ctx, uint64_t start, uint64_t end)
{
	struct hf_walk_range *range = hf_vec_push(ctx);
	if (range)
		*range = (struct hf_walk_range){start, end};
}

static int by_start(const void *a, const void *b)
{
	const struct hf_walk_range *x = a, *y = b;
	return (x->start > y->start) - (x->start < y->start);
}

static void add_finding(
	struct work *w, enum hf_severity severity, const char *format, const char *what, uint64_t n)
{
	struct hf_walk_finding *f = hf_vec_push(&w->findings);
	if (!f)
		return;
	f->severity = severity;
	hf_fmt(f->text, sizeof(f->text), format, what, n);
}

/* What most likely refuses ptrace here (ptrace(2)). */
static const char *why_refused(const struct hf_snapshot *s)
{
	char scope[8], path[64], status[4096];
	/* a thread that is left, or else the main one */
	hf_fmt(path, sizeof(path), "/proc/%d/task/%d/status", s->target_pid,
		s->missed[0] ? s->missed[0] : s->target_pid);
	if (hf_sys_read_file(path, status, sizeof(status)) > 0 && strstr(status, "\nTracerPid:") &&
		!strstr(status, "\nTracerPid:\t0\n"))
		return "; another process traces it, a debugger";
	if (hf_syscall1(SYS_prctl, PR_GET_DUMPABLE) != 1)
		return "; the process is not dumpable, since it changed its user or asked for it";
	if (hf_syscall1(SYS_prctl, PR_GET_SECCOMP) != 0)
		return "; a seccomp filter is on the process";
	if (hf_sys_read_file("/proc/sys/kernel/yama/ptrace_scope", scope, sizeof(scope)) > 0 &&
		scope[0] > '1')
		return "; kernel.yama.ptrace_scope forbids it";
	return "";
}

/* The threads that ran on, or stood still by other means than ptrace. */
static void note_threads(struct work *w, const struct hf_snapshot *s)
{
	char why[160] = "", tids[96] = "";
	size_t n = 0;
	if (s->in_caller)
		hf_fmt(why, sizeof(why), "no process could be made");
	else if (s->trace_errno)
		hf_fmt(why, sizeof(why), "ptrace: %s%s", hf_strerror(s->trace_errno),
			why_refused(s));
	for (size_t i = 0; i < sizeof(s->missed) / sizeof(s->missed[0]) && s->missed[i]; i++)
		n += hf_fmt(tids + n, sizeof(tids) - n, "%s%d", i ? ", " : "", s->missed[i]);
	if (s->parked) {
		hf_fmt(w->text, sizeof(w->text),
			"%u threads were stopped by a signal (%s): their system calls may have "
			"returned EINTR",
			s->parked, why);
		add_finding(w, HF_INFO, "%s", w->text, 0);
	}
	if (!s->not_stopped)
		return;
	hf_fmt(w->text, sizeof(w->text),
		"%u threads (%s%s) could not be stopped (%s): their registers are not known",
		s->not_stopped, tids,
		s->not_stopped > sizeof(s->missed) / sizeof(s->missed[0]) ? ", …" : "",
		why[0] ? why : "not in time");
	add_finding(w, HF_PARTIAL, "%s", w->text, 0);
}

static void note_problems(struct work *w, const struct hf_snapshot *s)
{
	note_threads(w, s);
	if (s->in_caller)
		add_finding(w, HF_WARNING,
			"no process could be made for the dump (%s): the thread that asked for it "
			"wrote it, and the process stood still during the whole dump",
			hf_strerror(s->fork_errno), 0);
	else if (s->in_place)
		add_finding(w, HF_WARNING,
			"no snapshot could be forked (%s): the process stood still during the "
			"whole dump",
			hf_strerror(s->fork_errno), 0);
	if (s->unforked_bytes)
		add_finding(w, HF_INFO, HF_TEXT_UNFORKED, "", s->unforked_bytes);
	if (s->missing_bytes)
		add_finding(w, HF_PARTIAL, HF_TEXT_DONTFORK, "", s->missing_bytes);
}

static bool site_of(void *ctx, uint64_t addr, struct hf_site_facts *ret)
{
	struct hf_site_object object;
	if (!hf_site_find(addr, &object))
		return false;
	*ret = (struct hf_site_facts){
		object.site, object.size_bytes, object.age_seconds, (uint32_t)object.tid};
	return true;
}

static bool next_sites(void *ctx, uint64_t addr, uint64_t *ret_start, uint64_t *ret_end)
{
	(void)ctx;
	return hf_live_next(hf_site_store(), addr, ret_start, ret_end);
}

static enum hf_status write_dump(struct work *w, struct hf_snapshot *s, struct hf_err *err)
{
	struct hf_maps maps;
	struct hf_mem *mem = NULL;
	char proc_dir[32], memory_dir[32] = "/proc/self";
	size_t n_registered, n_labels;
	const struct hf_registered_root *registered = hf_told_registered(w->pool, &n_registered);
	const struct hf_label *labels = hf_told_labels(&n_labels);
	if (w->frozen)
		hf_fmt(memory_dir, sizeof(memory_dir), "/proc/%d", w->frozen);
	enum hf_status status = hf_maps_read(&maps, memory_dir, w->pool, err);
	if (status)
		return status;
	note_problems(w, s);
	hf_fmt(proc_dir, sizeof(proc_dir), "/proc/%d", s->target_pid);
	status = w->frozen ? hf_mem_remote(&maps, w->frozen, s->target_pid, w->pool, &mem, err)
			   : hf_mem_self(&maps, w->pool, &mem, err);
	if (!status) {
		struct hf_dump_input input = {
			.mem = mem,
			.maps = &maps,
			.threads = &s->threads,
			.about = {.pid = s->target_pid,
				.ppid = w->ppid,
				.trigger = w->request->trigger,
				.snapshot = s->in_place ? "in-place" : "fork",
				.time_ns = s->time_ns,
				.stop_ns = s->stop_ns,
				.rss_bytes = s->rss_bytes,
				.vm_bytes = s->vm_bytes,
				.retries = s->retries},
			.proc_dir = proc_dir,
			.facts = w->request->facts,
			.n_facts = w->request->n_facts,
			.snapshot_dir = s->in_place ? NULL : memory_dir,
			.root_dir = "",
			.own_code = (uint64_t)(uintptr_t)hf_capture,
			.own = w->own.data,
			.n_own = w->own.n,
			.registered = registered,
			.n_registered = n_registered,
			.labels = labels,
			.n_labels = n_labels,
			.findings = w->findings.data,
			.n_findings = w->findings.n,
			.site_of = hf_site_store() ? site_of : NULL,
			.next_sites = next_sites,
			.contents = w->contents,
			.token = w->token,
			.sink = &state.file.sink,
			.pool = w->pool,
		};
		status = hf_dump_write(&input, err);
	}
	hf_mem_destroy(mem);
	hf_maps_deinit(&maps);
	return status;
}

/* .hfp.pb.gz for .hfd. */
void hf_capture_profile_path(const char *path, char ret[HF_PATH_MAX])
{
	size_t n = strlen(path);
	if (n > 4 && strcmp(path + n - 4, ".hfd") == 0)
		n -= 4;
	hf_fmt(ret, HF_PATH_MAX, "%.*s.hfp.pb.gz", (int)n, path);
}

/* The heap profile beside the dump, which is whole without it: what goes wrong is said and no more.
 */
static void make_profile(struct work *w, struct hf_snapshot *s)
{
	static char path[HF_PATH_MAX];
	struct hf_err err = {0};
	struct hf_profile_options options = {s->time_ns, w->token, NULL};
	if (!hf_site_store())
		return;
	hf_capture_profile_path(state.path, path);
	enum hf_status status = hf_sink_file_open(&state.file, path, &err);
	if (status)
		return hf_capture_say(err.msg);
	status = hf_profile_write(hf_site_store(), &options, &state.file.sink, &err);
	if (!status)
		status = hf_sink_file_commit(&state.file, &err);
	hf_sink_file_abort(&state.file);
	if (status)
		hf_capture_say(err.msg);
}

static enum hf_status make_file(struct work *w, struct hf_snapshot *s, struct hf_err *err)
{
	enum hf_status status = hf_sink_file_open(&state.file, state.path, err);
	if (status)
		return status;
	status = write_dump(w, s, err);
	if (!status || status == HF_E_PARTIAL) {
		struct hf_err commit;
		enum hf_status committed = hf_sink_file_commit(&state.file, &commit);
		if (committed) {
			status = committed;
			*err = commit;
		}
	}
	hf_sink_file_abort(&state.file);
	return status;
}

static void note_own(struct work *w)
{
	uint64_t start, end;
	hf_page_each(add_own, &w->own);
	hf_reports_range(&start, &end);
	add_own(&w->own, start, end);
	hf_sort(w->own.data, w->own.n, w->own.elem, by_start);
}

/* Where the target has used up what it may map, so has its snapshot. */
static void make_room(struct work *w, const struct hf_snapshot *s)
{
	const struct hf_thread *caller = s->caller;
	const uint64_t kept[] = {
		(uint64_t)__builtin_frame_address(0),
		(uint64_t)w->request,
		(uint64_t)w->request->trigger,
		(uint64_t)w->request->facts,
		(uint64_t)caller,
		(uint64_t)caller->xsave,
		caller->regs.rsp,
		caller->regs.fs_base,
		(uint64_t)&state,
		(uint64_t)hf_site_filter,
	};
	if (s->in_place || !hf_room_is_scarce(s->vm_bytes, s->rss_bytes))
		return;
	int pid = hf_room_freeze();
	if (pid <= 0)
		return;
	w->frozen = pid;
	note_own(w);
	hf_room_give_up(kept, sizeof(kept) / sizeof(kept[0]), w->pool);
}

static void on_limit(void *ctx)
{
	struct work *w = ctx;
	char line[160];
	hf_sink_file_abort(&state.file);
	if (w->frozen)
		hf_room_thaw(w->frozen);
	hf_fmt(line, sizeof(line),
		"no %s was written: it took longer than %u s (--timeout, timeout=)",
		w->written ? "heap profile" : "dump", w->limit_s);
	hf_capture_say(line);
	hf_report_tell(w->report, w->written ? 0 : -ETIMEDOUT);
}

static void announce(const char *trigger, bool partial)
{
	char line[HF_ERR_MSG_SIZE];
	hf_fmt(line, sizeof(line), "%s: heap dump in %s%s", trigger, state.path,
		partial ? " (partial: holdfast info says why)" : "");
	hf_capture_say(line);
}

static int work(struct hf_snapshot *s)
{
	struct work w = *(struct work *)s->ctx;
	struct hf_err err = {0};
	if (!s->in_caller) /* whose timers are the program's */
		hf_limit_start(w.limit_s, on_limit, &w);
	hf_vec_init(&w.own, sizeof(struct hf_walk_range));
	hf_vec_init(&w.findings, sizeof(struct hf_walk_finding));
	hf_syscall3(SYS_getrandom, w.token, sizeof(w.token), GRND_NONBLOCK);
	make_room(&w, s);
	if (!w.frozen)
		note_own(&w);
	err.status = make_file(&w, s, &err);
	w.written = !err.status || err.status == HF_E_PARTIAL;
	if (w.written)
		make_profile(&w, s);
	if (!w.written) {
		char line[HF_ERR_MSG_SIZE + 64];
		hf_fmt(line, sizeof(line), "no dump was written: %s", err.msg);
		hf_capture_say(line);
	}
	if (w.written && w.request->announce)
		announce(w.request->trigger, err.status == HF_E_PARTIAL);
	if (w.frozen)
		hf_room_thaw(w.frozen);
	hf_vec_deinit(&w.own);
	hf_vec_deinit(&w.findings);
	hf_report_tell(w.report, errno_of(&err));
	return 0;
}

/* In the target. */

/* Where the arenas' locks are. Looked for before the first dump, while all threads run; a program
 * that has not used malloc by then is looked at again by the next. */
static void find_locks(struct hf_pool *pool)
{
	struct hf_maps maps;
	struct hf_mem *mem = NULL;
	if (state.locks.main_arena || hf_maps_read(&maps, "/proc/self", pool, NULL))
		return;
	if (!hf_mem_self(&maps, pool, &mem, NULL))
		hf_glibc_locks_find(mem, pool, &state.locks);
	hf_mem_destroy(mem);
	hf_maps_deinit(&maps);
}

static bool copy_own(void *ctx, uint64_t addr, void *buf, size_t size)
{
	(void)ctx;
	struct iovec local = {buf, size}, remote = {(void *)addr, size};
	return hf_syscall6(SYS_process_vm_readv, hf_syscall0(SYS_getpid), (long)&local, 1,
		       (long)&remote, 1, 0) == (long)size;
}

/* Asked by the collector, which shares this memory. */
static bool locks_held(void *ctx)
{
	(void)ctx;
	return hf_glibc_locks_held(&state.locks, copy_own, NULL);
}

/* 0; -EAGAIN: another thread is making one; -EDEADLK: this one is, and came here again. */
static int lock_busy(void)
{
	uint64_t pid = (uint64_t)hf_syscall0(SYS_getpid), tid = (uint64_t)hf_syscall0(SYS_gettid);
	uint64_t owner = __atomic_load_n(&state.busy, __ATOMIC_ACQUIRE), mine = pid << 32 | tid;
	if (owner == mine)
		return -EDEADLK;
	if (owner >> 32 != pid && __atomic_compare_exchange_n(&state.busy, &owner, mine, false,
					  __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return 0;
	return -EAGAIN;
}

/* The name by the pattern. A number whose file is there already, of an earlier run, is passed over.
 */
static enum hf_status next_path(
	const struct hf_config *config, int pid, uint64_t unix_time, struct hf_err *err)
{
	enum { MAX_TRIES = 100000 };
	static char passed[HF_PATH_MAX];
	passed[0] = 0;
	for (int i = 0; i < MAX_TRIES; i++) {
		enum hf_status status = hf_config_path(config, pid, unix_time, ++state.number,
			state.path, sizeof(state.path), err);
		if (status)
			return status;
		if (strcmp(passed, state.path) == 0) { /* no %n in it: let it be refused */
			state.number--;
			break;
		}
		/* by a call that there is anyway: a seccomp filter may kill for others */
		int fd = (int)hf_syscall4(
			SYS_openat, AT_FDCWD, state.path, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
		if (fd < 0)
			break;
		hf_sys_close(fd);
		hf_fmt(passed, sizeof(passed), "%s", state.path);
	}
	return HF_OK;
}

/* Now or later. */
static bool is_awaited(const struct hf_capture_request *request)
{
	return request->wait || request->end;
}

static int take(const struct hf_config *config, const struct hf_capture_request *request)
{
	struct hf_err err = {0};
	struct hf_pool pool;
	int pid = (int)hf_syscall0(SYS_getpid);
	uint64_t unix_time = hf_sys_realtime_ns() / 1000000000u;
	if (request->path) {
		if (hf_fmt(state.path, sizeof(state.path), "%s", request->path) + 1 >=
			sizeof(state.path))
			return -ENAMETOOLONG;
	} else if (next_path(config, pid, unix_time, &err)) {
		hf_capture_say(err.msg);
		return errno_of(&err);
	}
	struct hf_report *report = hf_report_claim(config->limit_s, !is_awaited(request));
	if (!report)
		return -EAGAIN;
	hf_pool_init(&pool, state.pool_memory, POOL_SIZE);
	find_locks(&pool);
	struct work w = {.request = request,
		.report = report,
		.ppid = (int)hf_syscall0(SYS_getppid),
		.pool = &pool,
		.limit_s = config->limit_s,
		.contents = config->contents};
	struct hf_snapshot snapshot = {
		.caller = request->caller,
		.stack = state.stack,
		.stack_size = STACK_SIZE,
		.pool = &pool,
		.work = work,
		.busy = locks_held,
		.busy_start = state.locks.text_start,
		.busy_end = state.locks.text_end,
		.ctx = &w,
		.max_retries = MAX_RETRIES,
		.background = !request->wait,
		.hold = request->hold,
		.our_signals = request->our_signals,
		.sync = &report->sync,
		.limit_s = config->limit_s ? config->limit_s + 1 : 0,
		.keep_fd = stderr_is_ours() ? 2 : -1,
	};
	if (hf_snapshot_take(&snapshot, &err)) {
		hf_capture_say(err.msg);
		hf_report_tell(report, errno_of(&err));
		snapshot.pid = 0; /* what may be left of it is not waited for */
	}
	hf_report_begun(report, snapshot.pid);
	const bool ended = request->wait || !snapshot.pid;
	int result = ended ? hf_report_wait(report) : 0;
	if (request->end) {
		*request->end = (struct hf_capture_end){.unix_time = unix_time,
			.number = state.number,
			.result = result,
			.report = ended ? NULL : report};
		hf_fmt(request->end->path, HF_PATH_MAX, "%s", state.path);
	}
	state.n_dumps += !request->path && !request->rotates;
	hf_pool_deinit(&pool);
	return result;
}

struct call {
	const struct hf_config *config;
	const struct hf_capture_request *request;
	int result;
};

static void run_call(void *arg)
{
	struct call *call = arg;
	call->result = take(call->config, call->request);
}

int hf_capture_wait(const struct hf_capture_end *end)
{
	return end->report ? hf_report_wait(end->report) : end->result;
}

void hf_capture_last_path(char ret[HF_PATH_MAX])
{
	hf_fmt(ret, HF_PATH_MAX, "%s", state.path);
}

int hf_capture(const struct hf_config *config, const struct hf_capture_request *request)
{
	if (!state.ready)
		return -ENOSYS;
	int rc = lock_busy();
	if (rc)
		return rc;
	struct call call = {config, request, -EDQUOT};
	if (!is_awaited(request) && hf_reports_unfinished() >= MAX_UNFINISHED)
		call.result = -EBUSY;
	else if (request->path || request->rotates || state.n_dumps < config->max_dumps)
		hf_call_on_stack((uint64_t)state.caller_stack + CALLER_STACK_SIZE, run_call, &call);
	__atomic_store_n(&state.busy, 0, __ATOMIC_RELEASE);
	return call.result;
}
