#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fmt.h"
#include "base/sys.h"
#include "frontend/outside.h"
#include "memory/mem_remote.h"
#include "stop/namespaces.h"
#include "stop/permission.h"
#include "stop/remote.h"
#include "stop/unforked.h"
#include "walk/glibc_locks.h"

enum { MAX_FACTS = 8 };

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
	struct hf_served served;
	char comm[32], proc_dir[32], snapshot_dir[32], root_dir[32];
	char root[PATH_MAX]; /* hf_namespace_root() */
	int pid_inside;      /* as the process knows itself */
	int proc_pid;        /* of struct hf_remote */
	struct hf_fact facts[MAX_FACTS];
	size_t n_facts;
	char exe[PATH_MAX], uid[16], outside_pid[16];
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
	for (size_t i = 0; i < c->served.devs.n; i++) {
		const struct hf_served_dev *dev = hf_vec_at(&c->served.devs, i);
		if (!dev->silent)
			continue;
		hf_fmt(text, sizeof(text),
			"%s: its file system (%s) does not answer; what is not in memory of its "
			"files "
			"was not read",
			dev->path, dev->type);
		add_finding(c, HF_WARNING, text);
	}
	if (r->unforked_bytes) {
		hf_fmt(text, sizeof(text), HF_TEXT_UNFORKED, "", r->unforked_bytes);
		add_finding(c, HF_INFO, text);
	}
	if (r->missing_bytes) {
		hf_fmt(text, sizeof(text), HF_TEXT_DONTFORK, "", r->missing_bytes);
		add_finding(c, HF_PARTIAL, text);
	}
}

static void add_fact(struct capture *c, const char *key, const char *value)
{
	if (*value && c->n_facts < MAX_FACTS)
		c->facts[c->n_facts++] = (struct hf_fact){key, value};
}

/* A path as the process knows it. */
static const char *own_path(const struct capture *c, const char *path)
{
	size_t n = strlen(c->root);
	return n && strncmp(path, c->root, n) == 0 && path[n] == '/' ? path + n : path;
}

static void use_own_paths(struct capture *c)
{
	for (size_t i = 0; c->root[0] && i < hf_maps_count(&c->maps); i++) {
		struct hf_map *map = hf_maps_at(&c->maps, i);
		map->path = own_path(c, map->path);
	}
}

/* Where the process is in namespaces of its own: what it sees of itself. */
static void collect_facts(struct capture *c)
{
	char path[64];
	unsigned uid;
	snprintf(path, sizeof(path), "%s/exe", c->proc_dir);
	ssize_t n = readlink(path, c->exe, sizeof(c->exe) - 1);
	c->exe[n > 0 ? n : 0] = 0;
	add_fact(c, "program", c->comm); /* the main thread's, even if it has ended */
	add_fact(c, "exe", own_path(c, c->exe));
	if (hf_namespace_uid(c->remote.pid, &uid)) {
		snprintf(c->uid, sizeof(c->uid), "%u", uid);
		add_fact(c, "uid", c->uid);
	}
	add_fact(c, "hostname", c->remote.hostname);
	if (c->pid_inside == c->remote.pid)
		return;
	snprintf(c->outside_pid, sizeof(c->outside_pid), "%d", c->remote.pid);
	add_fact(c, "outside_pid", c->outside_pid);
}

static enum hf_status write_profile(struct capture *c, struct hf_err *err)
{
	struct hf_remote *r = &c->remote;
	snprintf(c->snapshot_dir, sizeof(c->snapshot_dir), "/proc/%d", r->read_pid);
	enum hf_status status = hf_maps_read(&c->maps, c->snapshot_dir, &c->pool, err);
	if (!status)
		status = hf_mem_remote(&c->maps, r->read_pid, r->pid, &c->pool, &c->mem, err);
	if (status)
		return status;
	hf_outside_library_find(&c->library, c->mem);
	return hf_outside_sites_profile(&c->library, r->time_ns, c->result, err);
}

static enum hf_status write_dump(struct capture *c, struct hf_err *err)
{
	struct hf_remote *r = &c->remote;
	snprintf(c->snapshot_dir, sizeof(c->snapshot_dir), "/proc/%d", r->read_pid);
	enum hf_status status = hf_maps_read(&c->maps, c->snapshot_dir, &c->pool, err);
	if (!status)
		hf_served_mark(&c->served, &c->maps, c->proc_dir);
	if (!status)
		status = hf_mem_remote(&c->maps, r->read_pid, c->proc_pid, &c->pool, &c->mem, err);
	if (status)
		return status;
	use_own_paths(c);
	collect_facts(c);
	struct hf_dump_input input = {
		.mem = c->mem,
		.maps = &c->maps,
		.threads = &r->threads,
		.about = {.pid = c->pid_inside,
			.ppid = hf_namespace_parent(r->pid),
			.trigger = "holdfast-dump",
			.snapshot = r->in_place ? "in-place" : "ptrace",
			.time_ns = r->time_ns,
			.stop_ns = r->stop_ns,
			.rss_bytes = r->rss_bytes,
			.vm_bytes = r->vm_bytes,
			.retries = r->retries},
		.proc_dir = c->proc_dir,
		.facts = c->facts,
		.n_facts = c->n_facts,
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
	hf_outside_sites_beside(&c->library, c->result);
	return hf_dump_write(&input, err);
}

/* Where the arenas' locks are: looked for while the target still runs. */
static void find_locks(struct capture *c)
{
	struct hf_maps maps;
	struct hf_mem *mem = NULL;
	if (hf_maps_read(&maps, c->proc_dir, &c->pool, NULL))
		return;
	hf_served_mark(&c->served, &maps, c->proc_dir);
	if (!hf_mem_remote(&maps, c->proc_pid, c->proc_pid, &c->pool, &mem, NULL))
		hf_glibc_locks_find(mem, &c->pool, &c->locks);
	hf_mem_destroy(mem);
	hf_maps_deinit(&maps);
}

static bool copy_word(void *ctx, uint64_t addr, void *buf, size_t size)
{
	struct capture *c = ctx;
	struct iovec local = {buf, size}, remote = {(void *)addr, size};
	return process_vm_readv(c->proc_pid, &local, 1, &remote, 1, 0) == (ssize_t)size;
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
	enum hf_status status = hf_outside_open(&c->result->file, c->options->output, c->comm, pid,
		c->options->profile ? HF_OUTSIDE_PROFILE : ".hfd", err);
	if (status)
		return status;
	c->proc_pid = hf_permission_live_task(pid);
	c->proc_pid = c->proc_pid ? c->proc_pid : pid;
	snprintf(c->proc_dir, sizeof(c->proc_dir), "/proc/%d", c->proc_pid);
	snprintf(c->root_dir, sizeof(c->root_dir), "/proc/%d/root", c->proc_pid);
	hf_namespace_root(c->proc_pid, c->root, sizeof(c->root));
	c->pid_inside = hf_namespace_tid(pid, pid);
	hf_served_init(&c->served, c->proc_pid);
	find_locks(c);
	c->remote = (struct hf_remote){.pid = pid,
		.proc_pid = c->proc_pid,
		.pool = &c->pool,
		.litter = c->result->file.temp,
		.busy = c->locks.main_arena ? locks_held : NULL,
		.ctx = c,
		.busy_start = c->locks.text_start,
		.busy_end = c->locks.text_end};
	status = hf_remote_open(&c->remote, err);
	if (status)
		return status;
	status = c->options->profile ? write_profile(c, err) : write_dump(c, err);
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
	hf_vec_init(&c.served.devs, sizeof(struct hf_served_dev));
	hf_vec_init(&c.maps.maps, sizeof(struct hf_map));
	enum hf_status status = capture(&c, err);
	hf_mem_destroy(c.mem);
	hf_served_deinit(&c.served);
	hf_maps_deinit(&c.maps);
	hf_vec_deinit(&c.findings);
	hf_outside_library_deinit(&c.library);
	hf_pool_deinit(&c.pool);
	return status;
}
