#include "stop/namespaces.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.h"

enum { STATUS_MAX = 8192 };

static unsigned long long number_of(int pid, const char *kind)
{
	char path[64];
	struct stat st;
	if (pid)
		snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, kind);
	else
		snprintf(path, sizeof(path), "/proc/self/ns/%s", kind);
	return stat(path, &st) ? 0 : st.st_ino;
}

bool hf_namespace_differs(int pid, const char *kind)
{
	unsigned long long theirs = number_of(pid, kind), ours = number_of(0, kind);
	return theirs && ours && theirs != ours;
}

/* The value of a line of a status file, up to its end, or NULL. */
static char *status_line(char text[STATUS_MAX], const char *path, const char *key)
{
	size_t length = strlen(key);
	if (hf_sys_read_file(path, text, STATUS_MAX) <= 0)
		return NULL;
	for (char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, length))
			continue;
		line[strcspn(line, "\n")] = 0;
		return line + length;
	}
	return NULL;
}

/* NSpid: the pid in the reader's namespace, then in each one below it, to the process's own. */
static int innermost(const char *path)
{
	char text[STATUS_MAX];
	const char *line = status_line(text, path, "NSpid:"),
		   *last = line ? strrchr(line, '\t') : NULL;
	return last ? atoi(last + 1) : 0;
}

int hf_namespace_tid(int pid, int tid)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/task/%d/status", pid, tid);
	int inside = innermost(path);
	return inside > 0 ? inside : tid;
}

int hf_namespace_parent(int pid)
{
	char path[64], text[STATUS_MAX];
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	const char *line = status_line(text, path, "PPid:");
	int parent = line ? atoi(line) : 0;
	if (parent <= 0 || !hf_namespace_differs(pid, "pid"))
		return parent > 0 ? parent : 0;
	if (number_of(parent, "pid") != number_of(pid, "pid"))
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/status", parent);
	return innermost(path);
}

bool hf_namespace_uid(int pid, unsigned *ret)
{
	char path[64], text[STATUS_MAX];
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	const char *line = status_line(text, path, "Uid:");
	if (!line)
		return false;
	unsigned uid = (unsigned)strtoul(line, NULL, 10);
	if (!hf_namespace_differs(pid, "user")) {
		*ret = uid;
		return true;
	}
	/* A line: first id inside, first id as we see it, how many. */
	snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
	if (hf_sys_read_file(path, text, sizeof(text)) <= 0)
		return false;
	for (char *at = text; *at;) {
		unsigned long inside = strtoul(at, &at, 10), outside = strtoul(at, &at, 10),
			      n = strtoul(at, &at, 10);
		if (uid >= outside && uid - outside < n) {
			*ret = (unsigned)(inside + (uid - outside));
			return true;
		}
		at += strspn(at, " \n");
		if (*at && !strchr("0123456789", *at))
			break;
	}
	return false;
}

void hf_namespace_root(int pid, char *ret, size_t size)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/root", pid);
	ssize_t n = readlink(path, ret, size - 1);
	ret[n > 0 ? n : 0] = 0;
	if (strcmp(ret, "/") == 0)
		ret[0] = 0;
}

bool hf_namespace_hostname(int pid, char *ret, size_t size)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/ns/uts", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool ok = fd >= 0 && setns(fd, CLONE_NEWUTS) == 0 && gethostname(ret, size) == 0;
	if (fd >= 0)
		close(fd);
	if (ok)
		ret[size - 1] = 0;
	return ok;
}
