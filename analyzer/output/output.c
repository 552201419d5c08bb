#include "output/output.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fmt.h"

enum { MAX_TRIES = 32, MAX_LOADS = 8 }; /* names that are tried; loads of one name at a time */

/* Names of files that are being made, for hf_output_abandon(). An output that finds no room here is
 * made all the same. */
static struct {
	atomic_int state; /* 0 free, 1 being changed, 2 a name */
	char temp[PATH_MAX];
} under_way[4];

/* A file that is made just when a signal ends the process would be left: whoever makes one is not
 * interrupted until its name is known, and hf_output_abandon() waits for others that do. */
static atomic_int n_making;
static atomic_bool is_over;

enum { ABANDON_WAITS = 2000, ABANDON_PAUSE_NS = 1000000 };

static bool start_making(sigset_t *ret_old)
{
	sigset_t all;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, ret_old);
	atomic_fetch_add(&n_making, 1);
	errno = EINTR;
	return !atomic_load(&is_over);
}

static void end_making(const sigset_t *old)
{
	int e = errno;
	atomic_fetch_sub(&n_making, 1);
	pthread_sigmask(SIG_SETMASK, old, NULL);
	errno = e;
}

static void remember(const struct hf_output *output)
{
	for (size_t i = 0; i < sizeof(under_way) / sizeof(*under_way); i++) {
		int unused = 0;
		if (!atomic_compare_exchange_strong(&under_way[i].state, &unused, 1))
			continue;
		strcpy(under_way[i].temp, output->temp);
		atomic_store(&under_way[i].state, 2);
		return;
	}
}

static void forget(const struct hf_output *output)
{
	for (size_t i = 0; i < sizeof(under_way) / sizeof(*under_way); i++)
		if (atomic_load(&under_way[i].state) == 2 &&
			!strcmp(under_way[i].temp, output->temp))
			atomic_store(&under_way[i].state, 0);
}

void hf_output_abandon(void)
{
	atomic_store(&is_over, true);
	for (int i = 0; i < ABANDON_WAITS && atomic_load(&n_making); i++)
		nanosleep(&(struct timespec){.tv_nsec = ABANDON_PAUSE_NS}, NULL);
	for (size_t i = 0; i < sizeof(under_way) / sizeof(*under_way); i++)
		if (atomic_load(&under_way[i].state) == 2)
			unlink(under_way[i].temp);
}

static enum hf_status fail(struct hf_err *err, const char *what, const char *path)
{
	int e = errno;
	enum hf_status status = e == EACCES || e == EPERM || e == EROFS ? HF_E_PERM : HF_E_IO;
	return hf_err_sys(err, status, e, "%s %s", what, path);
}

/* Fill path with its directory resolved. */
static enum hf_status resolve(struct hf_output *out, const char *path, struct hf_err *err)
{
	_cleanup_(hf_freep) char *a = strdup(path);
	_cleanup_(hf_freep) char *b = strdup(path);
	if (!a || !b)
		return hf_err_set(err, HF_E_NOMEM, "no memory");
	const char *name = basename(a);
	_cleanup_(hf_freep) char *dir = realpath(dirname(b), NULL);
	if (!dir)
		return fail(err, "directory of", path);
	if (!*name || !strcmp(name, "/") || !strcmp(name, ".") || !strcmp(name, ".."))
		return hf_err_set(err, HF_E_USAGE, "%s is not a file name", path);
	if (strlen(dir) + strlen(name) + 16 > sizeof(out->path) || strlen(name) > NAME_MAX - 8)
		return hf_err_sys(err, HF_E_IO, ENAMETOOLONG, "%s", path);
	hf_fmt(out->path, sizeof(out->path), "%s/%s", strcmp(dir, "/") ? dir : "", name);
	out->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (out->dir_fd < 0)
		return fail(err, "opening", dir);
	return HF_OK;
}

/* Is fd still the file of that name? */
static bool same_file(int fd, const char *path)
{
	struct stat a, b;
	return fstat(fd, &a) == 0 && lstat(path, &b) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

/* Create and lock the file out->temp. False with errno EEXIST: it is there. */
static bool create(struct hf_output *out)
{
	int fd = open(out->temp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fchmod(fd, 0600) == 0 &&
		same_file(fd, out->temp)) {
		out->fd = fd;
		return true;
	}
	close(fd);
	errno = EEXIST; /* somebody took it for litter before it was locked */
	return false;
}

/* Remove what a killed process left at out->temp; false if it is not that. */
static bool remove_litter(const struct hf_output *out)
{
	int fd = open(out->temp, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT;
	struct stat st;
	bool ours = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
		    flock(fd, LOCK_EX | LOCK_NB) == 0 && same_file(fd, out->temp) &&
		    unlink(out->temp) == 0;
	close(fd);
	return ours;
}

enum hf_status hf_output_init(struct hf_output *ret, const char *path, struct hf_err *err)
{
	*ret = (struct hf_output){.fd = -1, .dir_fd = -1};
	enum hf_status status = resolve(ret, path, err);
	unsigned number = 0;
	for (unsigned i = 0; !status && i < MAX_TRIES; i++) {
		if (number)
			hf_fmt(ret->temp, sizeof(ret->temp), "%s.tmp%u", ret->path, number);
		else
			hf_fmt(ret->temp, sizeof(ret->temp), "%s.tmp", ret->path);
		sigset_t old;
		bool made = start_making(&old) && create(ret);
		if (made)
			remember(ret);
		end_making(&old);
		if (made)
			return HF_OK;
		if (errno != EEXIST && errno != ELOOP)
			status = fail(err, "creating", ret->temp);
		else if (!remove_litter(ret) && ++number == MAX_LOADS)
			break;
	}
	if (!status)
		status = hf_err_set(err, HF_E_EXISTS,
			"%s cannot be made: %s and others like it are in use; remove them if no "
			"load is under way",
			ret->path, ret->temp);
	ret->temp[0] = 0;
	hf_output_deinit(ret);
	return status;
}

enum hf_status hf_output_commit(struct hf_output *output, struct hf_err *err)
{
	if (fsync(output->fd))
		return fail(err, "syncing", output->temp);
	if (rename(output->temp, output->path))
		return fail(err, "renaming to", output->path);
	forget(output);
	output->temp[0] = 0;
	fsync(output->dir_fd); /* some file systems refuse to sync directories: no harm done */
	return HF_OK;
}

void hf_output_deinit(struct hf_output *output)
{
	if (output->temp[0] && output->fd >= 0) {
		unlink(output->temp);
		forget(output);
	}
	output->temp[0] = 0;
	if (output->fd >= 0)
		close(output->fd);
	if (output->dir_fd >= 0)
		close(output->dir_fd);
	output->fd = output->dir_fd = -1;
}
