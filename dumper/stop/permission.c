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
		return hf_err_set(err, HF_E_UNSUPPORTED,
			"process %d has no memory of its own (a kernel thread or a zombie)", pid);
	if (n < 0)
		return hf_permission_explain(pid, why, err);
	if (n < (ssize_t)sizeof(auxv) || auxv[1] || auxv[0] == 0)
		return hf_err_set(err, HF_E_UNSUPPORTED,
			"process %d is a 32-bit program; only 64-bit ones can be dumped", pid);
	return HF_OK;
}

enum hf_status hf_permission_check(int pid, struct hf_err *err)
{
	unsigned long long tracer = 0, dummy;
	if (pid == getpid())
		return hf_err_set(err, HF_E_USAGE, "%d is holdfast-dump itself", pid);
	if (!status_number(pid, "Pid", 10, &dummy))
		return hf_err_set(err, HF_E_NOTFOUND, "there is no process %d", pid);
	if (status_number(pid, "TracerPid", 10, &tracer) && tracer)
		return hf_permission_explain(pid, EPERM, err);
	return check_class(pid, err);
}

static bool has_capability(void)
{
	unsigned long long caps = 0;
	return status_number(getpid(), "CapEff", 16, &caps) && (caps >> CAP_SYS_PTRACE & 1);
}

/* The files of a process that is not dumpable belong to root, whoever runs it. */
static bool is_dumpable(int pid, unsigned long long uid)
{
	char path[64];
	struct stat st;
	snprintf(path, sizeof(path), "/proc/%d/environ", pid);
	return stat(path, &st) != 0 || st.st_uid == uid;
}

enum hf_status hf_permission_explain(int pid, int sys_errno, struct hf_err *err)
{
	unsigned long long tracer = 0, uid = 0, scope = 0;
	char text[32];
	if (sys_errno == ESRCH || sys_errno == ENOENT)
		return hf_err_set(err, HF_E_NOTFOUND, "process %d has ended", pid);
	if (sys_errno != EPERM && sys_errno != EACCES)
		return hf_err_sys(err, HF_E_FAILED, sys_errno, "cannot stop process %d", pid);
	if (status_number(pid, "TracerPid", 10, &tracer) && tracer) {
		name_of((int)tracer, text, sizeof(text));
		return hf_err_set(err, HF_E_PERM,
			"not permitted: process %d is traced already, by %d (%s); end that first",
			pid, (int)tracer, text);
	}
	if (status_number(pid, "Uid", 10, &uid) && uid != geteuid() && !has_capability())
		return hf_err_set(err, HF_E_PERM,
			"not permitted: process %d is user %d's, this is user %d's; run as that "
			"user or "
			"as root",
			pid, (int)uid, (int)geteuid());
	if (!has_capability() && !is_dumpable(pid, uid))
		return hf_err_set(err, HF_E_PERM,
			"not permitted: process %d is not dumpable (set-user-ID, file "
			"capabilities, or "
			"PR_SET_DUMPABLE 0); run as root",
			pid);
	if (hf_sys_read_file("/proc/sys/kernel/yama/ptrace_scope", text, sizeof(text)) > 0)
		scope = strtoull(text, NULL, 10);
	if (scope == 3)
		return hf_err_set(err, HF_E_PERM,
			"not permitted: kernel.yama.ptrace_scope is 3, which forbids it to all; "
			"the "
			"preloaded library needs no permission");
	if (scope && !has_capability())
		return hf_err_set(err, HF_E_PERM,
			"not permitted: kernel.yama.ptrace_scope is %d; run as root, or use the "
			"preloaded library",
			(int)scope);
	return hf_err_set(err, HF_E_PERM,
		"not permitted to trace process %d: %s CAP_SYS_PTRACE, and the kernel says: %s "
		"(a security module, or a container's limits; the preloaded library needs no "
		"permission)",
		pid, has_capability() ? "there is" : "there is no", hf_strerror(sys_errno));
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
