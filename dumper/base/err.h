/*
 * Status codes and the caller-owned error record.
 *
 * Every function of this project that can fail returns enum hf_status and takes a struct hf_err as
 * its last parameter. The record is storage of the caller: nothing is allocated and nothing is to
 * be freed, so it works inside a stopped process. Libraries fill it; only cli/ and frontend/ print
 * it.
 *
 * Thread and signal safety: all functions here are async-signal-safe; a record belongs to one
 * thread.
 */
#pragma once
#include <stdint.h>

enum hf_status {
	HF_OK = 0,
	HF_E_FAILED,      /* anything else; exit code 1 */
	HF_E_NOMEM,       /* no memory; exit code 1 */
	HF_E_IO,          /* a system call on a file failed; exit code 1 */
	HF_E_EXISTS,      /* the output exists; exit code 1 */
	HF_E_USAGE,       /* wrong arguments; exit code 2 */
	HF_E_CORRUPT,     /* bad bytes in a file or in memory; exit code 3 */
	HF_E_UNSUPPORTED, /* well formed, but not something this version can read; exit code 3 */
	HF_E_NOTFOUND,    /* the file or thing asked for is not there; exit code 3 */
	HF_E_PARTIAL,     /* a result was written, but not all of it could be had; exit code 4 */
	HF_E_PERM,        /* not permitted; exit code 5 */
};

enum { HF_ERR_MSG_SIZE = 400 };

struct hf_err {
	enum hf_status status;
	int sys_errno;             /* errno of the failing call, 0 if none */
	uint64_t at;               /* address or file offset it happened at, 0 if none */
	char msg[HF_ERR_MSG_SIZE]; /* one line, no newline, NUL-terminated */
};

/* Fill err (which may be NULL) and return status, so that a caller can `return hf_err_set(...)`.
 * The format is that of hf_fmt() (base/fmt.h). */
enum hf_status hf_err_set(struct hf_err *err, enum hf_status status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The same, and appends ": " and the text of the errno value sys_errno (a positive number). */
enum hf_status hf_err_sys(struct hf_err *err, enum hf_status status, int sys_errno,
	const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Text of an errno value; a static string, never NULL ("error 133" style is not produced: unknown
 * values give "unknown error"). */
const char *hf_strerror(int sys_errno);
