/*
 * The pipeline from a dump to its database: read → graph → store. Here and nowhere else stands the
 * order of the steps.
 *
 * Thread rule: the functions may be called from any thread and use threads inside; the hooks are
 * called on the calling thread only.
 */
#pragma once
#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct hf_analyze_options {
	/* NULL: a heap profile is looked for beside the dump, debug information where the system
	 * has it. */
	const char *profile;
	const char *const *debug_dirs;
	size_t n_debug_dirs;
	const char *sysroot;  /* where the files of the process are; NULL: / */
	bool no_cache;        /* of indexes of debug information */
	bool precise;         /* words that are certainly no pointers retain nothing */
	bool tagged_pointers; /* the low three bits of a pointer to a struct are not its own */
	/* Functions that only hand memory on, besides those that are known (glob patterns). */
	const char *const *allocators;
	size_t n_allocators;
	uint32_t page_size; /* of the database; 0: the default */

	/* Each may be NULL. progress: work done so far of a stage, in units of its own; total 0:
	 * not known. Returning false cancels (HF_E_FAILED, nothing is left behind). */
	bool (*progress)(void *ctx, const char *stage, uint64_t done, uint64_t total);
	/* A line for the user: something that is not an error, but not as expected either. */
	void (*message)(void *ctx, const char *text);
	void *ctx;
};

/* What a load found. */
struct hf_analyze_result {
	bool partial; /* something is missing from the dump; meta.partial_reasons says what */
	uint64_t n_objects, n_edges;
};

/*
 * Load the dump at input_path into a new database at db_path, which may replace a database there.
 * options and ret may be NULL. A partial dump is loaded and HF_OK, with ret->partial set.
 * HF_E_UNSUPPORTED: not a dump; HF_E_EXISTS: db_path is a file that is not a Holdfast database.
 */
enum hf_status hf_analyze(const char *input_path, const char *db_path,
	const struct hf_analyze_options *options, struct hf_analyze_result *ret,
	struct hf_err *err);

/* Where the database of a dump is cached: NAME.hfd → NAME.hfdb, any other NAME → NAME.hfdb. An
 * allocated string, or NULL: no memory. */
char *hf_analyze_cache_path(const char *input_path);

/*
 * Open INPUT, a database or a dump of any readable kind, for reading. A dump is loaded first unless
 * its database is beside it, not older than the dump, made of it (size and token are compared)
 * and of this version. Where the directory may not be written the database is a temporary file
 * that vanishes with the connection; message says so. Close with sqlite3_close().
 * HF_E_UNSUPPORTED: neither; or a database of another version, both versions named.
 */
enum hf_status hf_open_input(const char *path, const struct hf_analyze_options *options,
	sqlite3 **ret, struct hf_err *err);
