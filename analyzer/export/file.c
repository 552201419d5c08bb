#include "export/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "output/output.h"

static enum hf_status write_all(
	int fd, const char *path, const char *bytes, size_t n, struct hf_err *err)
{
	while (n) {
		ssize_t part = write(fd, bytes, n);
		if (part < 0 && errno == EINTR)
			continue;
		if (part <= 0)
			return hf_err_sys(err, HF_E_IO, errno, "writing %s", path);
		bytes += part;
		n -= (size_t)part;
	}
	return HF_OK;
}

static void close_fd(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static bool is_link(const char *path)
{
	struct stat st;
	return lstat(path, &st) == 0 && S_ISLNK(st.st_mode);
}

bool hf_export_is_stdout(const char *path)
{
	struct stat there, ours;
	if (!strcmp(path, "-"))
		return true;
	return is_link(path) && stat(path, &there) == 0 && fstat(STDOUT_FILENO, &ours) == 0 &&
	       there.st_dev == ours.st_dev && there.st_ino == ours.st_ino;
}

/* What is there is written into instead of being replaced. */
static bool is_stream(mode_t mode)
{
	return S_ISFIFO(mode) || S_ISCHR(mode) || S_ISSOCK(mode);
}

enum hf_status hf_export_check(const char *path, struct hf_err *err)
{
	struct stat st;
	bool there = stat(path, &st) == 0;
	if (hf_export_is_stdout(path) || (there && is_stream(st.st_mode)))
		return HF_OK;
	if (is_link(path))
		return hf_err_set(err, HF_E_EXISTS,
			"%s is a symbolic link and is not replaced: name the file itself", path);
	if (there && !S_ISREG(st.st_mode))
		return hf_err_set(err, HF_E_EXISTS, "%s is a %s, no file to write", path,
			S_ISDIR(st.st_mode) ? "directory" : "block device");
	return HF_OK;
}

/* HF_E_NOTFOUND: there is none of that name. */
static enum hf_status open_stream(const char *path, int *ret_fd, struct hf_err *err)
{
	struct stat st;
	if (stat(path, &st) != 0 || !is_stream(st.st_mode))
		return HF_E_NOTFOUND;
	_cleanup_(close_fd) int fd = open(path, O_WRONLY | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return hf_err_sys(err, HF_E_IO, errno, "opening %s", path);
	if (fstat(fd, &st) != 0 || !is_stream(st.st_mode))
		return hf_err_set(err, HF_E_IO, "%s became something else", path);
	*ret_fd = fd;
	fd = -1;
	return HF_OK;
}

enum hf_status hf_export_file(const char *path, const void *bytes, size_t n, struct hf_err *err)
{
	if (hf_export_is_stdout(path))
		return write_all(STDOUT_FILENO, "standard output", bytes, n, err);
	enum hf_status status = hf_export_check(path, err);
	if (status)
		return status;
	_cleanup_(close_fd) int stream = -1;
	status = open_stream(path, &stream, err);
	if (status != HF_E_NOTFOUND)
		return status ? status : write_all(stream, path, bytes, n, err);
	_cleanup_(hf_output_deinit) struct hf_output output;
	status = hf_output_init(&output, path, err);
	if (!status)
		status = write_all(output.fd, path, bytes, n, err);
	return status ? status : hf_output_commit(&output, err);
}
