/*
 * Rows into tables by prepared INSERT: values are given one after the other, then the row is done.
 * The first failure is remembered and reported by hf_insert_row() or hf_insert_finish().
 *
 * Thread rule: an insert belongs to the thread of its connection.
 */
#pragma once
#include <sqlite3.h>
#include <stdint.h>

#include "base/err.h"

struct hf_insert {
	sqlite3 *db;
	sqlite3_stmt *stmt;
	const char *table; /* of the caller, for messages */
	int at;            /* values given of the current row */
};

/* INSERT INTO table VALUES (?, …) with n_columns values. */
enum hf_status hf_insert_init(struct hf_insert *ret, sqlite3 *db, const char *table,
	unsigned n_columns, struct hf_err *err);
/* INSERT OR REPLACE: takes the place of a row with the same key. */
enum hf_status hf_insert_init_or_replace(struct hf_insert *ret, sqlite3 *db, const char *table,
	unsigned n_columns, struct hf_err *err);
void hf_insert_deinit(struct hf_insert *insert);

/* A number; addresses past 2^63 come out negative, as SQLite has no unsigned integers. */
void hf_insert_u64(struct hf_insert *insert, uint64_t v);
void hf_insert_double(struct hf_insert *insert, double v);
void hf_insert_null(struct hf_insert *insert);
/* An id from an index: index + 1, or NULL for HF_NONE. */
void hf_insert_index(struct hf_insert *insert, uint32_t index);
/* An id from an index+1: NULL for 0. */
void hf_insert_id(struct hf_insert *insert, uint32_t id);
/* Text; bytes that are not UTF-8 are written as \xNN. NULL gives NULL. text must
 * stay until hf_insert_row(). */
void hf_insert_text(struct hf_insert *insert, const char *text);

/* The row is complete. */
enum hf_status hf_insert_row(struct hf_insert *insert, struct hf_err *err);

/* Execute sql without results. */
enum hf_status hf_insert_exec(sqlite3 *db, const char *sql, struct hf_err *err);
