/*
 * A dump file on disk: created with mode 0600 in the directory of its final name, without a name
 * (O_TMPFILE) or, where the file system cannot do that, under a temporary one; never through a
 * symbolic link; and given its final name only when whole, only if nothing has that name.
 * Async-signal-safe. Used by one thread.
 */
#pragma once
#include "write/writer.h"

enum { HF_PATH_MAX = 4096 };

struct hf_sink_file {
	struct hf_sink sink;
	int fd;                 /* -1: closed */
	char path[HF_PATH_MAX]; /* final name */
	char temp[HF_PATH_MAX]; /* temporary name; "": none, or it is gone */
};

/* Create the file. HF_E_EXISTS if path exists already (a dangling symbolic link, too). */
enum hf_status hf_sink_file_open(struct hf_sink_file *file, const char *path, struct hf_err *err);
/* The same, under a temporary name on every file system. */
enum hf_status hf_sink_file_open_named(
	struct hf_sink_file *file, const char *path, struct hf_err *err);
/* Give it the final name, without waiting for the disk and without ever replacing a file: linkat;
 * of a temporary name renameat2 with RENAME_NOREPLACE, or link and unlink where the file system has
 * no such rename. On failure the temporary file is removed too. */
enum hf_status hf_sink_file_commit(struct hf_sink_file *file, struct hf_err *err);
/* Close, and remove the temporary file if it is still there. Fine after a commit. */
void hf_sink_file_abort(struct hf_sink_file *file);
