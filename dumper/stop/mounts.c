#include "stop/mounts.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"

enum { LINE = 8192 };

static bool depends_on_server(const char *type)
{
	static const char *const types[] = {"fuse", "fuseblk", "nfs", "nfs4", "cifs", "smb3", "9p",
		"virtiofs", "ceph", "afs", "coda", "lustre", "gfs2", "ocfs2", "orangefs", "beegfs"};
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (strcmp(type, types[i]) == 0)
			return true;
	}
	return strncmp(type, "fuse.", 5) == 0;
}

/* "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw" (proc_pid_mountinfo(5)) */
static bool parse(const char *line, struct hf_mount *ret)
{
	unsigned major, minor;
	const char *end = strstr(line, " - ");
	if (!end || sscanf(line, "%d %*d %u:%u", &ret->id, &major, &minor) != 3 ||
		sscanf(end + 3, "%31s", ret->type) != 1)
		return false;
	ret->dev = major << 20 | minor;
	return true;
}

void hf_mounts_served(int pid, struct hf_vec *ret)
{
	char path[64], line[LINE];
	snprintf(path, sizeof(path), "/proc/%d/mountinfo", pid);
	FILE *file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		struct hf_mount mount;
		if (!parse(line, &mount) || !depends_on_server(mount.type))
			continue;
		struct hf_mount *slot = hf_vec_push(ret);
		if (slot)
			*slot = mount;
	}
	if (file)
		fclose(file);
}

static int mount_of(int pid, const char *fd)
{
	char path[300], text[512];
	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%s", pid, fd);
	if (hf_sys_read_file(path, text, sizeof(text)) <= 0)
		return -1;
	const char *at = strstr(text, "mnt_id:");
	return at ? atoi(at + 7) : -1;
}

bool hf_mounts_open(int pid, const struct hf_vec *mounts)
{
	char path[64];
	bool found = false;
	if (!mounts->n)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/fdinfo", pid);
	DIR *dir = opendir(path);
	for (struct dirent *entry; dir && !found && (entry = readdir(dir));) {
		int id = mount_of(pid, entry->d_name);
		for (size_t i = 0; id >= 0 && !found && i < mounts->n; i++)
			found = ((struct hf_mount *)hf_vec_at(mounts, i))->id == id;
	}
	if (dir)
		closedir(dir);
	return found;
}
