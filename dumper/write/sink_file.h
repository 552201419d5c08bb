/*
 * A dump file on disk: created with mode 0600 under a temporary name in the directory of its final
 * name, never through a symbolic link, and given its final name only when whole, only if nothing
 * has that name. Async-signal-safe. Used by one thread.
 */
#pragma once
#include "write/writer.h"

enum { HF_PATH_MAX = 4096 };

struct hf_sink_file {
	struct hf_sink sink;
	int fd;                 /* -1: closed */
	char path[HF_PATH_MAX]; /* final name */
	char temp[HF_PATH_MAX]; /* temporary name, "" once it is gone */
};

/* Create the temporary file. HF_E_EXISTS if path exists already (a dangling symbolic link, too). */
enum hf_status hf_sink_file_open(struct hf_sink_file *file, const char *path, struct hf_err *err);
/* Flush to disk and give it the final name without ever replacing a file: renameat2 with
 * RENAME_NOREPLACE, link and unlink where the file system has no such rename. On failure the
 * temporary file is removed too. */
enum hf_status hf_sink_file_commit(struct hf_sink_file *file, struct hf_err *err);
/* Close, and remove the temporary file if it is still there. Fine after a commit. */
void hf_sink_file_abort(struct hf_sink_file *file);
