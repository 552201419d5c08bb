/* What tests of databases have in common. */
#pragma once
#include <sqlite3.h>
#include <stdint.h>

#include "analyzer/analysis.h"
#include "source/names.h"
#include "store/store.h"

/* A heap with its analysis, written to databases. */
struct built {
	struct hf_heap heap;
	struct hf_analysis analysis;
	struct hf_names names;
};

/* Fail the test with err's message unless status is HF_OK. */
void check_ok(enum hf_status status, const struct hf_err *err);
/* A temporary directory, removed with what is in it by temp_done(). Returns a static path. */
const char *temp_dir(void);
void temp_done(void);
/* DIR/name in one of 64 static buffers. */
const char *temp_path(const char *name);

void built_write(
	const struct built *built, const char *path, const struct hf_store_options *options);
void built_deinit(struct built *built);

sqlite3 *db_open(const char *path);
void db_exec(sqlite3 *db, const char *sql);
/* The first column of the first row. */
int64_t db_int(sqlite3 *db, const char *sql);
/* The same as text; the caller frees it. */
char *db_text(sqlite3 *db, const char *sql);
