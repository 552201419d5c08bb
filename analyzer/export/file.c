#include "export/file.h"

#include <errno.h>
#include <string.h>
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

enum hf_status hf_export_file(const char *path, const void *bytes, size_t n, struct hf_err *err)
{
	if (!strcmp(path, "-"))
		return write_all(STDOUT_FILENO, "standard output", bytes, n, err);
	_cleanup_(hf_output_deinit) struct hf_output output;
	enum hf_status status = hf_output_init(&output, path, err);
	if (!status)
		status = write_all(output.fd, path, bytes, n, err);
	return status ? status : hf_output_commit(&output, err);
}
