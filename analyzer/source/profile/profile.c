#include "profile/profile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "profile/inflate.h"
#include "profile/raw.h"
#include "profile/readers.h"

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static enum hf_status parse_plain(struct profile_build *b, const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	if (!size)
		return hf_err_set(b->err, HF_E_CORRUPT, "%s: empty", b->name);
	if (!profile_is_gperftools(text, size) && !profile_is_jemalloc(text, size))
		return profile_read_pprof(b, data, size);
	_cleanup_(hf_freep) uint8_t *copy = malloc(size + 1);
	if (!copy)
		return profile_no_memory(b);
	memcpy(copy, data, size);
	copy[size] = 0;
	text = (const char *)copy;
	return profile_is_gperftools(text, size) ? profile_read_gperftools(b, text, size)
						 : profile_read_jemalloc(b, text, size);
}

static enum hf_status parse(const void *data, size_t size, const char *name, struct hf_profile *ret,
	struct hf_profile_raw *raw, struct hf_err *err)
{
	struct hf_err mine;
	_cleanup_(profile_build_deinit) struct profile_build b;
	_cleanup_(hf_freep) uint8_t *plain = NULL;
	profile_build_init(&b, name, err ? err : &mine);
	b.raw = raw;
	size_t plain_size = size;
	enum hf_status status = HF_OK;
	if (size > HF_PROFILE_MAX_BYTES)
		return hf_err_set(err, HF_E_UNSUPPORTED, "%s: the profile is too large", name);
	if (profile_is_gzip(data, size))
		status = profile_gunzip(
			data, size, HF_PROFILE_MAX_BYTES, name, &plain, &plain_size, b.err);
	if (!status)
		status = parse_plain(&b, plain ? plain : data, plain_size);
	return status ? status : profile_finish(&b, ret);
}

enum hf_status hf_profile_read_raw(
	const char *path, struct hf_profile *ret, struct hf_profile_raw *raw, struct hf_err *err)
{
	struct stat st;
	_cleanup_(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return hf_err_sys(err,
			errno == ENOENT                     ? HF_E_NOTFOUND
			: errno == EACCES || errno == EPERM ? HF_E_PERM
							    : HF_E_IO,
			errno, "%s", path);
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return hf_err_set(err, HF_E_UNSUPPORTED, "%s: not a heap profile", path);
	if ((uint64_t)st.st_size > HF_PROFILE_MAX_BYTES)
		return hf_err_set(err, HF_E_UNSUPPORTED, "%s: the profile is too large", path);
	size_t n = 0, size = (size_t)st.st_size;
	_cleanup_(hf_freep) uint8_t *data = malloc(size + 1);
	if (!data)
		return hf_err_set(err, HF_E_NOMEM, "%s: no memory for the profile", path);
	for (ssize_t part = 1; part > 0 && n<size; n += part> 0 ? (size_t)part : 0) {
		part = read(fd, data + n, size - n);
		if (part < 0)
			return hf_err_sys(err, HF_E_IO, errno, "%s", path);
	}
	return parse(data, n, path, ret, raw, err);
}

enum hf_status hf_profile_parse(
	const void *data, size_t size, const char *name, struct hf_profile *ret, struct hf_err *err)
{
	return parse(data, size, name, ret, NULL, err);
}

enum hf_status hf_profile_read(const char *path, struct hf_profile *ret, struct hf_err *err)
{
	return hf_profile_read_raw(path, ret, NULL, err);
}

char *hf_profile_path_of(const char *dump_path)
{
	static const char ending[] = ".hfp.pb.gz";
	size_t n = strlen(dump_path);
	if (n > 4 && !strcmp(dump_path + n - 4, ".hfd"))
		n -= 4;
	char *path = malloc(n + sizeof(ending));
	if (path) {
		memcpy(path, dump_path, n);
		memcpy(path + n, ending, sizeof(ending));
	}
	return path;
}
