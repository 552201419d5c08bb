/*
 * Results in formats of others.
 *
 * Thread rule: as the connection.
 */
#pragma once
#include <sqlite3.h>
#include <stdbool.h>

#include "base/err.h"
#include "symbolize/debug_files.h"

enum hf_export_what { HF_EXPORT_LIVE, HF_EXPORT_RETAINED };

struct hf_export_options {
	const char *format; /* "pprof" … */
	enum hf_export_what what;
	const char *path;  /* "-": standard output */
	const char *input; /* as the user wrote it */
};

/* HF_E_USAGE: a format that is not known. */
enum hf_status hf_export(sqlite3 *db, const struct hf_export_options *options, struct hf_err *err);
bool hf_export_has(const char *format);
/* "pprof, svg" */
const char *hf_export_formats(void);

struct hf_export_symbolized {
	size_t n_locations, n_named;
};
/* A heap profile of any kind that is read, as a pprof profile with functions and lines. */
enum hf_status hf_export_symbolize(const char *profile_path, const char *path,
	const struct hf_debug_options *debug, struct hf_export_symbolized *ret, struct hf_err *err);
