/*
 * A file that appears under its name only when it is whole: it is made beside it as NAME.tmp (mode
 * 0600, never through a symbolic link), synced and renamed. What a killed process left behind is
 * recognised by its lock being free, and taken away; a load of the same name that is under way is
 * left alone.
 *
 * Thread rule: an output belongs to one thread.
 */
#pragma once
#include <limits.h>

#include "base/err.h"

struct hf_output {
	char path[PATH_MAX]; /* final name */
	char temp[PATH_MAX]; /* its name while it is made */
	int fd;              /* open for reading and writing and locked; -1: none */
	int dir_fd;          /* of the directory */
};

/* Create the temporary file. The directory part of path may have symbolic links; they are resolved.
 * HF_E_PERM: the directory may not be written. */
enum hf_status hf_output_init(struct hf_output *ret, const char *path, struct hf_err *err);
/* Sync and give it its name; replaces what has that name. */
enum hf_status hf_output_commit(struct hf_output *output, struct hf_err *err);
/* Take away the files of all outputs that are being made. Async-signal-safe: for the handler of a
 * signal that ends the process. */
void hf_output_abandon(void);
/* Take the file away unless it was committed. Accepts an output whose init failed. */
void hf_output_deinit(struct hf_output *output);
