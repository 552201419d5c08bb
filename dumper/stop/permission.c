#include "stop/permission.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.h"
#include "stop/namespaces.h"
#include "stop/tracees.h"
#include "stop/turn.h"

enum { CAP_SYS_PTRACE = 19 };

/* A number of /proc/PID/status, or none. */
static bool status_number(int pid, const char *key, int base, unsigned long long *ret)
{
	char path[64], text[8192], line[64];
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (hf_sys_read_file(path, text, sizeof(text)) <= 0)
		return false;
	snprintf(line, sizeof(line), "\n%s:", key);
	const char *at = strstr(text, line);
	if (!at)
		return false;
	*ret = strtoull(at + strlen(line), NULL, base);
	return true;
}

static void name_of(int pid, char *ret, size_t size)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	int64_t n = hf_sys_read_file(path, ret, size);
	if (n <= 0)
		snprintf(ret, size, "?");
	else if (ret[n - 1] == '\n')
		ret[n - 1] = 0;
}

static bool has_memory(int tid)
{
	char path[64], target[8];
	snprintf(path, sizeof(path), "/proc/%d/exe", tid);
	return readlink(path, target, sizeof(target)) >= 0 || errno != ENOENT;
}

int hf_permission_live_task(int pid)
{
	char path[64];
	if (has_memory(pid))
		return pid;
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	DIR *dir = opendir(path);
	int found = 0;
	for (struct dirent *entry; dir && !found && (entry = readdir(dir));) {
		int tid = atoi(entry->d_name);
		if (tid > 0 && has_memory(tid))
			found = tid;
	}
	if (dir)
		closedir(dir);
	return found;
}

/* What a process without memory is: a kernel thread, or one that has ended. */
static enum hf_status explain_no_memory(int pid, struct hf_err *err)
{
	unsigned long long kernel = 0, parent = 0;
	char name[32];
	if (status_number(pid, "Kthread", 10, &kernel) && kernel)
		return hf_err_set(err, HF_E_UNSUPPORTED,
			"process %d is a thread of the kernel: it has no memory of its own", pid);
	if (hf_thread_state(pid, pid) != 'Z')
		return hf_err_set(
			err, HF_E_UNSUPPORTED, "process %d has no memory of its own", pid);
	status_number(pid, "PPid", 10, &parent);
	name_of((int)parent, name, sizeof(name));
	return hf_err_set(err, HF_E_UNSUPPORTED,
		"process %d is a zombie: it has ended, and its parent %d (%s) has not taken note",
		pid, (int)parent, name);
}

/* By the auxiliary vector, whose entries are as wide as the program's words: its first type, a
 * small number, has zeros above it in a 64-bit program alone. (The program's file may be on a file
 * system that does not answer.) */
static enum hf_status check_class(int pid, struct hf_err *err)
{
	enum { WORD = 4 };
	char path[64];
	uint32_t auxv[WORD] = {0};
	int live = hf_permission_live_task(pid);
	snprintf(path, sizeof(path), "/proc/%d/auxv", live ? live : pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, auxv, sizeof(auxv));
	int why = errno;
	if (fd >= 0)
		close(fd);
	if (!live || n == 0)
		return explain_no_memory(pid, err);
	if (n < 0)
		return hf_permission_explain(pid, why, err);
	if (n < (ssize_t)sizeof(auxv) || auxv[1] || auxv[0] == 0)
		return hf_err_set(err, HF_E_UNSUPPORTED,
			"process %d is a 32-bit program; only 64-bit ones can be dumped", pid);
	return HF_OK;
}

enum hf_status hf_permission_check(int pid, struct hf_err *err)
{
	unsigned long long tracer = 0, process = 0;
	if (pid == getpid())
		return hf_err_set(err, HF_E_USAGE, "%d is holdfast-dump itself", pid);
	if (!status_number(pid, "Tgid", 10, &process))
		return hf_err_set(err, HF_E_NOTFOUND, "there is no process %d", pid);
	if ((int)process != pid)
		return hf_err_set(err, HF_E_USAGE,
			"%d is a thread of process %d: give the number of the process", pid,
			(int)process);
	int turn = hf_turn_take(pid); /* another dump's tracing is over soon */
	bool traced = status_number(pid, "TracerPid", 10, &tracer) && tracer;
	hf_turn_give(&turn);
	if (traced)
		return hf_permission_explain(pid, EPERM, err);
	return check_class(pid, err);
}

/* The files of a process that is not dumpable belong to root, whoever runs it. */
static bool is_dumpable(int pid, unsigned uid)
{
	char path[64];
	struct stat st;
	snprintf(path, sizeof(path), "/proc/%d/environ", pid);
	return stat(path, &st) != 0 || st.st_uid == uid;
}

static void collect(int pid, struct hf_permission_facts *f)
{
	unsigned long long value;
	char text[32];
	*f = (struct hf_permission_facts){.pid = pid, .dumpable = true, .own_uid = geteuid()};
	if (status_number(pid, "TracerPid", 10, &value) && value) {
		f->tracer = (int)value;
		name_of(f->tracer, f->tracer_name, sizeof(f->tracer_name));
	}
	if (status_number(pid, "Uid", 10, &value)) {
		f->uid = (unsigned)value;
		f->dumpable = is_dumpable(pid, f->uid);
	}
	status_number(pid, "CapPrm", 16, &f->capabilities);
	status_number(getpid(), "CapEff", 16, &f->own_capabilities);
	f->other_user_namespace = hf_namespace_differs(pid, "user");
	if (hf_sys_read_file("/proc/sys/kernel/yama/ptrace_scope", text, sizeof(text)) > 0)
		f->yama_scope = atoi(text);
}

enum hf_status hf_permission_reason(
	const struct hf_permission_facts *f, int sys_errno, struct hf_err *err)
{
	bool may_all = f->own_capabilities >> CAP_SYS_PTRACE & 1;
	if (f->tracer)
		return hf_err_set(err, HF_E_PERM,
			"not permitted: process %d is traced already, by %d (%s); end that first",
			f->pid, f->tracer, f->tracer_name);
	if (f->yama_scope >= 3)
		return hf_err_set(err, HF_E_PERM,
			"not permitted: kernel.yama.ptrace_scope is %d, which forbids it to all; "
			"the "
			"preloaded library needs no permission",
			f->yama_scope);
	if (may_all && f->other_user_namespace)
		return hf_err_set(err, HF_E_PERM,
			"not permitted: process %d is in another user namespace, over which the "
			"CAP_SYS_PTRACE here has no power; run outside of both",
			f->pid);
	if (!may_all && f->uid != f->own_uid && f->own_uid == 0)
		return hf_err_set(err, HF_E_PERM,
			"not permitted: process %d is user %u's, and this root has no "
			"CAP_SYS_PTRACE "
			"(a container's root: give it that capability, or run outside)",
			f->pid, f->uid);
	if (!may_all && f->uid != f->own_uid)
		return hf_err_set(err, HF_E_PERM,
			"not permitted: process %d is user %u's, this is user %u's; run as that "
			"user "
			"or as root",
			f->pid, f->uid, f->own_uid);
	if (!may_all && !f->dumpable)
		return hf_err_set(err, HF_E_PERM,
			"not permitted: process %d is not dumpable (set-user-ID, file "
			"capabilities, or "
			"PR_SET_DUMPABLE 0); run as root",
			f->pid);
	if (!may_all && f->capabilities & ~f->own_capabilities)
		return hf_err_set(err, HF_E_PERM,
			"not permitted: process %d has capabilities that this one has not; run as "
			"root",
			f->pid);
	if (!may_all && f->yama_scope)
		return hf_err_set(err, HF_E_PERM,
			"not permitted: kernel.yama.ptrace_scope is %d, which %s; run as root, or "
			"use "
			"the preloaded library",
			f->yama_scope,
			f->yama_scope == 1 ? "lets a process trace its children alone"
					   : "asks for CAP_SYS_PTRACE");
	return hf_err_set(err, HF_E_PERM,
		"not permitted to trace process %d: %s CAP_SYS_PTRACE, and the kernel says: %s "
		"(a security module, or a container's limits; the preloaded library needs no "
		"permission)",
		f->pid, may_all ? "there is" : "there is no", hf_strerror(sys_errno));
}

enum hf_status hf_permission_explain(int pid, int sys_errno, struct hf_err *err)
{
	struct hf_permission_facts facts;
	if (sys_errno == ESRCH || sys_errno == ENOENT)
		return hf_err_set(err, HF_E_NOTFOUND, "process %d has ended", pid);
	if (sys_errno != EPERM && sys_errno != EACCES)
		return hf_err_sys(err, HF_E_FAILED, sys_errno, "cannot stop process %d", pid);
	collect(pid, &facts);
	return hf_permission_reason(&facts, sys_errno, err);
}

static unsigned long long namespace_of(int pid)
{
	char path[64];
	struct stat st;
	snprintf(path, sizeof(path), "/proc/%d/ns/pid", pid);
	return stat(path, &st) ? 0 : st.st_ino;
}

bool hf_permission_same_filters(int pid)
{
	enum { FILTER = 2 };
	const unsigned long long host = 0xeffffffc; /* PROC_PID_INIT_INO */
	unsigned long long mode = 0, ours = 0, theirs = 0;
	if (!status_number(pid, "Seccomp", 10, &mode) || mode == 0)
		return true;
	unsigned long long here = namespace_of(getpid());
	return mode == FILTER && here && here != host && here == namespace_of(pid) &&
	       status_number(getpid(), "Seccomp_filters", 10, &ours) &&
	       status_number(pid, "Seccomp_filters", 10, &theirs) && ours == theirs;
}
