/*
 * Queries without ceremony: one call to start, one to step, errors carried in a status.
 *
 *     enum hf_status status = hf_query(db, &q, err, "SELECT … WHERE id = ?", "i", id);
 *     while (hf_row(q, &status, err))
 *             …
 *     return status;
 *
 * Thread rule: a connection belongs to one thread.
 */
#pragma once
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "emit/emit.h"

/* Prepare sql and bind one parameter a letter of types: i int64_t, s const char * (copied). */
enum hf_status hf_query(sqlite3 *db, sqlite3_stmt **ret, struct hf_err *err, const char *sql,
	const char *types, ...);
/* Bind again and start over; for statements that run many times. */
void hf_rebind(sqlite3_stmt *stmt, const char *types, ...);
/* Is there another row? False at the end and on an error, which sets *status. False at once if
 * *status is not HF_OK. */
bool hf_row(sqlite3_stmt *stmt, enum hf_status *status, struct hf_err *err);
void hf_stmt_done(sqlite3_stmt **stmt);
#define _cleanup_stmt_ _cleanup_(hf_stmt_done)

/* Column c of the current row, as a cell (a blob is the null cell), a number, a text ("" for NULL);
 * texts live until the next step. */
struct hf_cell hf_column_cell(sqlite3_stmt *stmt, int c);
int64_t hf_column_int(sqlite3_stmt *stmt, int c);
const char *hf_column_text(sqlite3_stmt *stmt, int c);
bool hf_column_null(sqlite3_stmt *stmt, int c);

/* What sqlite says went wrong, as a status: corrupt files are HF_E_CORRUPT. */
enum hf_status hf_db_error(sqlite3 *db, struct hf_err *err, const char *doing);

/* The integer that a query of one value gives, 0 if it gives none. */
enum hf_status hf_query_int(
	sqlite3 *db, int64_t *ret, struct hf_err *err, const char *sql, const char *types, ...);
