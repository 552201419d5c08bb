#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fmt.h"
#include "frontend/outside.h"
#include "memory/mem_core.h"

enum { MAX_FACTS = 12 };

struct capture {
	const struct hf_outside_options *options;
	struct hf_outside_result *result;
	struct hf_pool pool;
	struct hf_core core;
	struct hf_threads threads;
	struct hf_maps maps;
	struct hf_mem *mem;
	struct hf_outside_library library;
	struct hf_vec findings;
	struct hf_fact facts[MAX_FACTS];
	size_t n_facts;
	char exe[PATH_MAX], uid[24], signal[32], fault[24], sender[24], crashed[24];
	uint64_t vm_bytes;
};

static void add_finding(struct capture *c, enum hf_severity severity, const char *format,
	const char *what, uint64_t n, uint64_t of)
{
	struct hf_walk_finding *f = hf_vec_push(&c->findings);
	if (!f)
		return;
	f->severity = severity;
	hf_fmt(f->text, sizeof(f->text), format, what, n, of);
}

static void note_file(void *ctx, const char *path, enum hf_mem_core_file state)
{
	switch (state) {
	case HF_CORE_FILE_SAME:
		break;
	case HF_CORE_FILE_UNVERIFIED:
		add_finding(ctx, HF_INFO,
			"%s: nothing in the core tells whether this file is the one it had", path,
			0, 0);
		break;
	case HF_CORE_FILE_NEWER:
		add_finding(ctx, HF_WARNING,
			"%s: changed since the core was written, and nothing in the core tells "
			"whether it is still the file that the process had",
			path, 0, 0);
		break;
	case HF_CORE_FILE_MISSING:
		add_finding(ctx, HF_WARNING,
			"%s: not here; what the core leaves out of it is not known", path, 0, 0);
		break;
	case HF_CORE_FILE_OTHER:
		add_finding(ctx, HF_WARNING,
			"%s: another file than the one the process had (build id); not used", path,
			0, 0);
		break;
	}
}

static void note_problems(struct capture *c)
{
	if (c->core.missing) {
		add_finding(c, HF_PARTIAL, "%sthe core is cut: %lu of its %lu bytes are missing",
			"", c->core.missing, c->core.size + c->core.missing);
		hf_fmt(c->result->note, sizeof(c->result->note),
			"the core is cut: %lu bytes are missing", c->core.missing);
	}
	if (!c->core.threads.n)
		add_finding(c, HF_PARTIAL,
			"%sthe core has no notes of threads: registers and the live part of stacks "
			"are not known, and all of every stack counts as live",
			"", 0, 0);
	if (c->core.dropped)
		add_finding(c, HF_WARNING,
			"%s%lu segments or notes of the core make no sense and were left out", "",
			c->core.dropped, 0);
	hf_mem_core_each_file(c->mem, note_file, c);
}

/* Signals that end a process because of what it did. */
static bool is_crash(int signal)
{
	static const int crashes[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGSYS};
	for (size_t i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++) {
		if (signal == crashes[i])
			return true;
	}
	return false;
}

static bool copy_threads(struct capture *c)
{
	_Static_assert(sizeof(struct user_regs_struct) == 27 * 8, "as in struct elf_prstatus");
	_Static_assert((int)HF_CORE_XSAVE_MAX <= (int)HF_XSAVE_MAX, "what fits");
	for (size_t i = 0; i < c->core.threads.n; i++) {
		const struct hf_core_thread *from = hf_vec_at(&c->core.threads, i);
		struct hf_thread *t = hf_vec_push(&c->threads.threads);
		if (!t)
			return false;
		t->tid = from->tid;
		memcpy(&t->regs, from->regs, sizeof(t->regs));
		if (from->xsave) {
			t->xsave = (uint8_t *)from->xsave;
			t->xsave_size = from->xsave_size;
		}
		if (i == 0 && is_crash(c->core.signal))
			t->flags |= HF_THREAD_CRASHED;
		if (t->tid == c->core.pid)
			hf_fmt(t->name, sizeof(t->name), "%s", c->core.program);
	}
	return true;
}

static void add_fact(struct capture *c, const char *key, const char *value)
{
	if (value && *value && c->n_facts < MAX_FACTS)
		c->facts[c->n_facts++] = (struct hf_fact){key, value};
}

static void collect_facts(struct capture *c)
{
	for (size_t i = 0; i < c->core.segments.n; i++)
		c->vm_bytes += hf_core_segment_at(&c->core, i)->end -
			       hf_core_segment_at(&c->core, i)->start;
	const char *exe = hf_core_exe(&c->core);
	add_fact(c, "exe", c->exe[0] ? c->exe : exe && exe[0] == '/' ? exe : NULL);
	add_fact(c, "program", c->core.program);
	if (c->core.program[0]) { /* of the same note */
		snprintf(c->uid, sizeof(c->uid), "%u", c->core.uid);
		add_fact(c, "uid", c->uid);
	}
	/* A core has the bytes of pages, but does not tell which of them were in memory. */
	add_fact(c, "resident", "unknown");
	/* gcore shows the stop of its own making. */
	if (!c->core.signal || c->core.signal == SIGSTOP || c->core.signal == SIGTRAP)
		return;
	const char *name = sigabbrev_np(c->core.signal);
	if (name)
		snprintf(c->signal, sizeof(c->signal), "SIG%s", name);
	else
		snprintf(c->signal, sizeof(c->signal), "%d", c->core.signal);
	add_fact(c, "signal", c->signal);
	if (c->core.has_fault_addr)
		snprintf(c->fault, sizeof(c->fault), "0x%lx", (unsigned long)c->core.fault_addr);
	add_fact(c, "fault_addr", c->fault);
	if (c->core.sender_pid)
		snprintf(c->sender, sizeof(c->sender), "%d", c->core.sender_pid);
	add_fact(c, "signal_sender", c->sender);
	if (is_crash(c->core.signal) && c->core.threads.n)
		snprintf(c->crashed, sizeof(c->crashed), "%d",
			((struct hf_core_thread *)hf_vec_at(&c->core.threads, 0))->tid);
	add_fact(c, "crashed_tid", c->crashed);
}

static enum hf_status find_exe(struct capture *c, struct hf_err *err)
{
	const char *exe = c->options->exe;
	if (!exe)
		return HF_OK;
	if (!hf_core_exe(&c->core))
		return hf_err_set(err, HF_E_UNSUPPORTED,
			"--exe %s: the core does not say which of its files is the program: its "
			"notes are cut off or missing; without --exe it is read as far as it goes",
			exe);
	if (!realpath(exe, c->exe))
		return hf_err_set(err, HF_E_NOTFOUND, "--exe %s: there is no such file", exe);
	return HF_OK;
}

static enum hf_status check_sysroot(const char *dir, struct hf_err *err)
{
	struct stat st;
	if (!dir || (stat(dir, &st) == 0 && S_ISDIR(st.st_mode)))
		return HF_OK;
	return hf_err_set(err, HF_E_NOTFOUND, "--sysroot %s: there is no such folder", dir);
}

struct exe_check {
	const char *exe;
	enum hf_mem_core_file state;
};

static void check_exe(void *ctx, const char *path, enum hf_mem_core_file state)
{
	struct exe_check *check = ctx;
	if (strcmp(path, check->exe) == 0)
		check->state = state;
}

/* A program that was named must be the right one. */
static enum hf_status verify_exe(struct capture *c, struct hf_err *err)
{
	struct exe_check check = {c->exe, HF_CORE_FILE_MISSING};
	if (!c->exe[0])
		return HF_OK;
	hf_mem_core_each_file(c->mem, check_exe, &check);
	if (check.state == HF_CORE_FILE_SAME || check.state == HF_CORE_FILE_UNVERIFIED ||
		check.state == HF_CORE_FILE_NEWER)
		return HF_OK;
	return hf_err_set(err, HF_E_UNSUPPORTED,
		"--exe %s is not the program of this core (%s); build ids differ", c->exe,
		hf_core_exe(&c->core));
}

static enum hf_status capture(struct capture *c, struct hf_err *err)
{
	const struct hf_outside_options *o = c->options;
	const char *sysroot = o->sysroot ? o->sysroot : "";
	enum hf_status status = check_sysroot(o->sysroot, err);
	if (status)
		return status;
	status = hf_core_open(&c->core, o->core, &c->pool, err);
	if (!status)
		status = find_exe(c, err);
	if (!status)
		status = hf_core_maps(&c->core, c->exe[0] ? c->exe : NULL, &c->pool, &c->maps, err);
	if (!status)
		status = hf_mem_core(&c->core, &c->maps, sysroot, &c->pool, &c->mem, err);
	if (!status)
		status = verify_exe(c, err);
	if (!status && !copy_threads(c))
		status = hf_err_set(err, HF_E_NOMEM, "no memory for the list of threads");
	if (!status)
		status = hf_outside_open(
			&c->result->file, o->output, c->core.program, c->core.pid, ".hfd", err);
	if (status)
		return status;
	collect_facts(c);
	note_problems(c);
	struct hf_dump_input input = {
		.mem = c->mem,
		.maps = &c->maps,
		.threads = &c->threads,
		.about = {.pid = c->core.pid,
			.ppid = c->core.ppid,
			.trigger = "core file",
			.snapshot = "core",
			.time_ns = c->core.time_ns,
			.vm_bytes = c->vm_bytes},
		.facts = c->facts,
		.n_facts = c->n_facts,
		.root_dir = sysroot,
		.sink = &c->result->file.sink,
		.pool = &c->pool,
		.totals = &c->result->totals,
	};
	hf_outside_library_find(&c->library, c->mem);
	hf_outside_library_use(&c->library, &input);
	input.findings = c->findings.data;
	input.n_findings = c->findings.n;
	hf_outside_sites_beside(&c->library, c->result);
	return hf_dump_write(&input, err);
}

enum hf_status hf_outside_core(const struct hf_outside_options *options,
	struct hf_outside_result *result, struct hf_err *err)
{
	struct capture c = {.options = options, .result = result, .core = {.fd = -1}};
	hf_pool_init(&c.pool, NULL, 0);
	hf_outside_library_init(&c.library);
	hf_vec_init(&c.findings, sizeof(struct hf_walk_finding));
	hf_vec_init(&c.maps.maps, sizeof(struct hf_map));
	hf_vec_init(&c.threads.threads, sizeof(struct hf_thread));
	enum hf_status status = capture(&c, err);
	hf_mem_destroy(c.mem);
	hf_core_deinit(&c.core);
	hf_maps_deinit(&c.maps);
	hf_vec_deinit(&c.threads.threads);
	hf_vec_deinit(&c.findings);
	hf_outside_library_deinit(&c.library);
	hf_pool_deinit(&c.pool);
	return status;
}
