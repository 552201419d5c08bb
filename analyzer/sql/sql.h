/*
 * Functions and table-valued functions over a Holdfast database: who(addr), path(object_id),
 * referrers(object_id), dominated(object_id), held(object_id), also_holds(object_id),
 * retained_set(json), ptr(addr), object_at(addr). docs/schema.md says what they return.
 *
 * They work on the tables alone and may be used on any connection whose main database is one of
 * ours; the plain sqlite3 shell gets them with .load (extension.c).
 * Thread rule: as the connection.
 */
#pragma once
#include "sql/api.h"

/* Register all of them. Returns SQLite's result code; on failure *ret_message, if it is not NULL,
 * is text for sqlite3_free() or NULL. */
int hf_sql_register(sqlite3 *db, char **ret_message);
