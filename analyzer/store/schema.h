/*
 * The schema of the database: the scripts of schema/, embedded, and the numbers that mark a file as
 * ours. docs/schema.md says what the tables hold.
 *
 * Thread rule: a connection belongs to one thread.
 */
#pragma once
#include <sqlite3.h>
#include <stdbool.h>

#include "base/err.h"
#include "store/embedded.h"

enum {
	HF_SCHEMA_APPLICATION_ID = 0x48464442, /* "HFDB", PRAGMA application_id */
	HF_SCHEMA_VERSION = 1,                 /* PRAGMA user_version */
};

/* The scripts, in the order in which they are to be applied; a NULL name ends the array. */
extern const struct hf_embedded hf_schema_scripts[];

/* Create every table, index and view in an empty database. */
enum hf_status hf_schema_apply(sqlite3 *db, struct hf_err *err);

/* Does db have our application_id, whatever its version? */
bool hf_schema_is_ours(sqlite3 *db);

/* Is db a Holdfast database that this version can read? HF_E_UNSUPPORTED if not; path is for the
 * message. */
enum hf_status hf_schema_check(sqlite3 *db, const char *path, struct hf_err *err);
