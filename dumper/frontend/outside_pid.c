#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "base/fmt.h"
#include "base/sys.h"
#include "frontend/outside.h"
#include "memory/mem_remote.h"
#include "stop/remote.h"
#include "stop/tracees.h"
#include "walk/glibc_locks.h"

struct capture {
	const struct hf_outside_options *options;
	struct hf_outside_result *result;
	struct hf_pool pool;
	struct hf_remote remote;
	struct hf_maps maps;
	struct hf_mem *mem;
	struct hf_glibc_locks locks;
	struct hf_outside_library library;
	struct hf_vec findings;
	char comm[32], proc_dir[32], snapshot_dir[32], root_dir[32];
};

static void add_finding(struct capture *c, enum hf_severity severity, const char *text)
{
	struct hf_walk_finding *f = hf_vec_push(&c->findings);
	if (!f)
		return;
	f->severity = severity;
	hf_fmt(f->text, sizeof(f->text), "%s", text);
}

static void note_problems(struct capture *c)
{
	const struct hf_remote *r = &c->remote;
	char text[HF_FINDING_TEXT];
	if (r->in_place) {
		hf_fmt(text, sizeof(text),
			"read in place (%s): the process stood still during the whole dump",
			r->why_in_place);
		add_finding(c, HF_WARNING, text);
		hf_fmt(c->result->note, sizeof(c->result->note), "read in place (%s)",
			r->why_in_place);
	}
	if (r->trace_errno) {
		hf_fmt(text, sizeof(text),
			"a thread could not be traced (%s): its registers and the live part of its "
			"stack are not known",
			hf_strerror(r->trace_errno));
		add_finding(c, HF_PARTIAL, text);
	}
	if (r->not_stopped) {
		hf_fmt(text, sizeof(text),
			"%u threads did not stop in time: their registers are not known",
			r->not_stopped);
		add_finding(c, HF_PARTIAL, text);
	}
	uint64_t copied = 0, rss = 0;
	if (!r->in_place)
		hf_process_sizes(r->read_pid, &copied, &rss);
	if (copied && copied < r->vm_bytes) {
		hf_fmt(text, sizeof(text), HF_TEXT_DONTFORK, "", r->vm_bytes - copied);
		add_finding(c, HF_PARTIAL, text);
	}
}

/* Field 4 of /proc/PID/stat. */
static int parent_of(int pid)
{
	char path[64], text[512];
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (hf_sys_read_file(path, text, sizeof(text)) <= 0)
		return 0;
	const char *at = strrchr(text, ')');
	return at && strlen(at) > 4 ? atoi(at + 4) : 0;
}

static enum hf_status write_dump(struct capture *c, struct hf_err *err)
{
	struct hf_remote *r = &c->remote;
	snprintf(c->snapshot_dir, sizeof(c->snapshot_dir), "/proc/%d", r->read_pid);
	enum hf_status status = hf_maps_read(&c->maps, c->snapshot_dir, &c->pool, err);
	if (!status)
		status = hf_mem_remote(&c->maps, r->read_pid, r->pid, &c->pool, &c->mem, err);
	if (status)
		return status;
	struct hf_dump_input input = {
		.mem = c->mem,
		.maps = &c->maps,
		.threads = &r->threads,
		.about = {.pid = r->pid,
			.ppid = parent_of(r->pid),
			.trigger = "holdfast-dump",
			.snapshot = r->in_place ? "in-place" : "ptrace",
			.time_ns = r->time_ns,
			.stop_ns = r->stop_ns,
			.rss_bytes = r->rss_bytes,
			.vm_bytes = r->vm_bytes,
			.retries = r->retries},
		.proc_dir = c->proc_dir,
		.snapshot_dir = r->in_place ? NULL : c->snapshot_dir,
		.root_dir = c->root_dir,
		.sink = &c->result->file.sink,
		.pool = &c->pool,
		.totals = &c->result->totals,
	};
	note_problems(c);
	hf_outside_library_find(&c->library, c->mem);
	hf_outside_library_use(&c->library, &input);
	input.findings = c->findings.data;
	input.n_findings = c->findings.n;
	return hf_dump_write(&input, err);
}

/* Where the arenas' locks are: looked for while the target still runs. */
static void find_locks(struct capture *c)
{
	struct hf_maps maps;
	struct hf_mem *mem = NULL;
	if (hf_maps_read(&maps, c->proc_dir, &c->pool, NULL))
		return;
	if (!hf_mem_remote(&maps, c->options->pid, c->options->pid, &c->pool, &mem, NULL))
		hf_glibc_locks_find(mem, &c->pool, &c->locks);
	hf_mem_destroy(mem);
	hf_maps_deinit(&maps);
}

static bool copy_word(void *ctx, uint64_t addr, void *buf, size_t size)
{
	struct capture *c = ctx;
	struct iovec local = {buf, size}, remote = {(void *)addr, size};
	return process_vm_readv(c->options->pid, &local, 1, &remote, 1, 0) == (ssize_t)size;
}

static bool locks_held(void *ctx)
{
	struct capture *c = ctx;
	return hf_glibc_locks_held(&c->locks, copy_word, c);
}

static enum hf_status capture(struct capture *c, struct hf_err *err)
{
	int pid = c->options->pid;
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	int64_t n = hf_sys_read_file(path, c->comm, sizeof(c->comm));
	if (n <= 0)
		return hf_err_set(err, HF_E_NOTFOUND, "there is no process %d", pid);
	c->comm[n - 1] = c->comm[n - 1] == '\n' ? 0 : c->comm[n - 1];
	/* The output is made first: a name that exists is known before the target is touched. */
	enum hf_status status =
		hf_outside_open(&c->result->file, c->options->output, c->comm, pid, err);
	if (status)
		return status;
	snprintf(c->proc_dir, sizeof(c->proc_dir), "/proc/%d", pid);
	snprintf(c->root_dir, sizeof(c->root_dir), "/proc/%d/root", pid);
	find_locks(c);
	c->remote = (struct hf_remote){.pid = pid,
		.pool = &c->pool,
		.litter = c->result->file.temp,
		.busy = c->locks.main_arena ? locks_held : NULL,
		.ctx = c,
		.busy_start = c->locks.text_start,
		.busy_end = c->locks.text_end};
	status = hf_remote_open(&c->remote, err);
	if (status)
		return status;
	status = write_dump(c, err);
	struct hf_err end = {0};
	if (hf_remote_close(&c->remote, &end)) {
		*err = end;
		status = end.status;
	}
	c->result->stop_ns = c->remote.stop_ns;
	return status;
}

enum hf_status hf_outside_pid(const struct hf_outside_options *options,
	struct hf_outside_result *result, struct hf_err *err)
{
	struct capture c = {.options = options, .result = result};
	hf_pool_init(&c.pool, NULL, 0);
	hf_outside_library_init(&c.library);
	hf_vec_init(&c.findings, sizeof(struct hf_walk_finding));
	hf_vec_init(&c.maps.maps, sizeof(struct hf_map));
	enum hf_status status = capture(&c, err);
	hf_mem_destroy(c.mem);
	hf_maps_deinit(&c.maps);
	hf_vec_deinit(&c.findings);
	hf_outside_library_deinit(&c.library);
	hf_pool_deinit(&c.pool);
	return status;
}
