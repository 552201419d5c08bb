#include "write/sink_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>

#include "base/fmt.h"
#include "base/sys.h"

enum {
	TEMP_TRIES = 64,
	NAME_KEPT = 200, /* of the final name in the temporary one, so that it is not too long */
	FIRST_FREE_FD = 100, /* a program with closed stdio must not print into its dump */
	SIGSET_SIZE = 8,
};

/* Past RLIMIT_FSIZE the kernel sends SIGXFSZ, which would end a process that only wanted to be
 * dumped. It is held back meanwhile and taken off again, so EFBIG is all that comes. */
static int write_full(int fd, const void *data, size_t size)
{
	uint64_t set = 1ull << (SIGXFSZ - 1), old = 0;
	hf_syscall4(SYS_rt_sigprocmask, SIG_BLOCK, &set, &old, SIGSET_SIZE);
	int status = hf_sys_write_full(fd, data, size);
	if (status == -EFBIG && !(old & set)) {
		struct timespec none = {0};
		hf_syscall4(SYS_rt_sigtimedwait, &set, 0, &none, SIGSET_SIZE);
	}
	hf_syscall4(SYS_rt_sigprocmask, SIG_SETMASK, &old, 0, SIGSET_SIZE);
	return status;
}

static enum hf_status sink_write(
	struct hf_sink *sink, const void *data, size_t size, struct hf_err *err)
{
	struct hf_sink_file *file = (struct hf_sink_file *)sink;
	int status = write_full(file->fd, data, size);
	return status == 0 ? HF_OK
			   : hf_err_sys(err, HF_E_IO, -status, "cannot write %s", file->path);
}

static enum hf_status path_error(int status, const char *path, struct hf_err *err)
{
	if (status == -EEXIST)
		return hf_err_set(err, HF_E_EXISTS,
			"%s exists already; a dump or profile never replaces a file", path);
	return hf_err_sys(err, HF_E_IO, -status, "cannot create %s", path);
}

/* path up to NAME_KEPT bytes of its last part, and a suffix that tells writers apart. */
static void temp_name(char *temp, const char *path, int try)
{
	const char *slash = strrchr(path, '/');
	size_t folder = slash ? (size_t)(slash + 1 - path) : 0;
	size_t name = strlen(path + folder);
	int kept = (int)(folder + (name < NAME_KEPT ? name : NAME_KEPT));
	hf_fmt(temp, HF_PATH_MAX, "%.*s.%ld.%d.tmp", kept, path, hf_syscall0(SYS_getpid), try);
}

/* The name of an open file, for linkat(2). */
static void proc_name(char ret[40], int fd)
{
	hf_fmt(ret, 40, "/proc/self/fd/%d", fd);
}

/* Without a name until it is whole, so that nothing stays of a dump whose writer is killed. Not
 * every file system can do it; and to give it a name takes /proc. A descriptor, or negative. */
static int create_unnamed(const char *path)
{
	char folder[HF_PATH_MAX], name[40], target[8];
	const char *slash = strrchr(path, '/');
	if (slash == path)
		hf_fmt(folder, sizeof(folder), "/");
	else
		hf_fmt(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path) : 1,
			slash ? path : ".");
	int fd = (int)hf_syscall4(
		SYS_openat, AT_FDCWD, folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		return fd;
	proc_name(name, fd);
	if (hf_syscall4(SYS_readlinkat, AT_FDCWD, name, target, sizeof(target)) > 0)
		return fd;
	hf_sys_close(fd);
	return -ENOENT;
}

static int create_named(const char *path, char *temp)
{
	int fd = -EEXIST;
	for (int try = 0; try < TEMP_TRIES && fd == -EEXIST; try++) {
		temp_name(temp, path, try);
		fd = (int)hf_syscall4(SYS_openat, AT_FDCWD, temp,
			O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0600);
	}
	if (fd < 0)
		temp[0] = 0;
	return fd;
}

static enum hf_status open_file(
	struct hf_sink_file *file, const char *path, bool named, struct hf_err *err)
{
	file->sink.write = sink_write;
	file->fd = -1;
	file->temp[0] = 0;
	size_t length = strnlen(path, HF_PATH_MAX);
	if (!length || length > HF_PATH_MAX - 64)
		return hf_err_sys(err, HF_E_IO, length ? ENAMETOOLONG : ENOENT,
			"cannot create \"%.*s\"", 200, path);
	memcpy(file->path, path, length + 1);

	struct {
		char bytes[256];
	} stat_buffer; /* struct stat is 144 bytes; its contents do not matter */
	int status =
		(int)hf_syscall4(SYS_newfstatat, AT_FDCWD, path, &stat_buffer, AT_SYMLINK_NOFOLLOW);
	if (status != -ENOENT)
		return path_error(status == 0 ? -EEXIST : status, path, err);
	int fd = named ? -1 : create_unnamed(path);
	if (fd < 0)
		fd = create_named(path, file->temp);
	if (fd < 0)
		return path_error(fd, path, err);
	int high = (int)hf_syscall3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
	if (high >= 0)
		hf_sys_close(fd);
	file->fd = high >= 0 ? high : fd;
	return HF_OK;
}

enum hf_status hf_sink_file_open(struct hf_sink_file *file, const char *path, struct hf_err *err)
{
	return open_file(file, path, false, err);
}

enum hf_status hf_sink_file_open_named(
	struct hf_sink_file *file, const char *path, struct hf_err *err)
{
	return open_file(file, path, true, err);
}

/* Give temp its final name unless something has that name. */
static int rename_new(const char *temp, const char *path)
{
	int status =
		(int)hf_syscall5(SYS_renameat2, AT_FDCWD, temp, AT_FDCWD, path, RENAME_NOREPLACE);
	if (status != -EINVAL && status != -ENOSYS)
		return status;
	status = (int)hf_syscall5(SYS_linkat, AT_FDCWD, temp, AT_FDCWD, path, 0);
	if (status == 0)
		hf_syscall3(SYS_unlinkat, AT_FDCWD, temp, 0);
	return status;
}

static int close_whole(struct hf_sink_file *file)
{
	int status = hf_sys_close(file->fd);
	file->fd = -1;
	return status == -EINTR ? 0 : status; /* closed all the same */
}

static int link_unnamed(struct hf_sink_file *file)
{
	char name[40];
	proc_name(name, file->fd);
	int status = (int)hf_syscall5(
		SYS_linkat, AT_FDCWD, name, AT_FDCWD, file->path, AT_SYMLINK_FOLLOW);
	if (status == 0)
		close_whole(file);
	return status;
}

enum hf_status hf_sink_file_commit(struct hf_sink_file *file, struct hf_err *err)
{
	if (file->fd < 0)
		return hf_err_set(err, HF_E_FAILED, "%s is not open", file->path);
	/* Not flushed to the disk: that takes longer than all the writing, and only a power cut in
	 * the seconds after would miss it, of which a reader learns by the checksums. File systems
	 * that find out late that there is no room (NFS, which has no files without a name) say so
	 * when the file is closed. */
	bool named = file->temp[0];
	int status = named ? close_whole(file) : 0;
	if (status < 0) {
		hf_sink_file_abort(file);
		return hf_err_sys(err, HF_E_IO, -status, "cannot write %s", file->path);
	}
	status = named ? rename_new(file->temp, file->path) : link_unnamed(file);
	if (status < 0) {
		hf_sink_file_abort(file);
		return path_error(status, file->path, err);
	}
	file->temp[0] = 0;
	return HF_OK;
}

void hf_sink_file_abort(struct hf_sink_file *file)
{
	if (file->fd >= 0)
		hf_sys_close(file->fd);
	file->fd = -1;
	if (file->temp[0])
		hf_syscall3(SYS_unlinkat, AT_FDCWD, file->temp, 0);
	file->temp[0] = 0;
}
