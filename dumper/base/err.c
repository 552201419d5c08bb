#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/fmt.h"

enum hf_status hf_err_set(struct hf_err *err, enum hf_status status, const char *format, ...)
{
	if (!err)
		return status;
	err->status = status;
	err->sys_errno = 0;
	va_list ap;
	va_start(ap, format);
	hf_vfmt(err->msg, sizeof(err->msg), format, ap);
	va_end(ap);
	return status;
}

enum hf_status hf_err_sys(
	struct hf_err *err, enum hf_status status, int sys_errno, const char *format, ...)
{
	if (!err)
		return status;
	err->status = status;
	err->sys_errno = sys_errno;
	va_list ap;
	va_start(ap, format);
	size_t n = hf_vfmt(err->msg, sizeof(err->msg), format, ap);
	va_end(ap);
	if (n + 1 < sizeof(err->msg))
		hf_fmt(err->msg + n, sizeof(err->msg) - n, ": %s", hf_strerror(sys_errno));
	return status;
}

const char *hf_strerror(int sys_errno)
{
	/* strerror() may allocate and takes a lock; strerrordesc_np() is a table look-up but only
	 * there since glibc 2.32. */
	switch (sys_errno) {
	case EPERM:
		return "operation not permitted";
	case ENOENT:
		return "no such file or directory";
	case ESRCH:
		return "no such process";
	case EINTR:
		return "interrupted";
	case EIO:
		return "input/output error";
	case E2BIG:
		return "argument list too long";
	case ENOEXEC:
		return "exec format error";
	case EBADF:
		return "bad file descriptor";
	case ECHILD:
		return "no child process";
	case EAGAIN:
		return "resource temporarily unavailable";
	case ENOMEM:
		return "out of memory";
	case EACCES:
		return "permission denied";
	case EFAULT:
		return "bad address";
	case EBUSY:
		return "device or resource busy";
	case EEXIST:
		return "file exists";
	case EXDEV:
		return "cross-device link";
	case ENODEV:
		return "no such device";
	case ENOTDIR:
		return "not a directory";
	case EISDIR:
		return "is a directory";
	case EINVAL:
		return "invalid argument";
	case ENFILE:
		return "too many open files in the system";
	case EMFILE:
		return "too many open files";
	case EFBIG:
		return "file too large (RLIMIT_FSIZE?)";
	case ENOSPC:
		return "no space left on device";
	case ESPIPE:
		return "illegal seek";
	case EROFS:
		return "read-only file system";
	case EPIPE:
		return "broken pipe";
	case ENAMETOOLONG:
		return "file name too long";
	case ENOSYS:
		return "function not implemented";
	case ELOOP:
		return "is a symbolic link, or too many of them";
	case EOVERFLOW:
		return "value too large";
	case EDQUOT:
		return "disk quota exceeded";
	case ETIMEDOUT:
		return "timed out";
	case EOPNOTSUPP:
		return "operation not supported";
	default:
		return "unknown error";
	}
}
