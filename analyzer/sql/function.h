/*
 * A table-valued function: what every one of them has in common with virtual tables, so that a
 * function's own file holds nothing but its rows. Inside sql/ only.
 */
#pragma once
#include <stddef.h>

#include "sql/api.h"

/* A function's own cursor starts with this; zeroed when it is opened. */
struct hf_sql_cursor {
	sqlite3_vtab_cursor base;
	sqlite3 *db;
	void *aux;         /* as registered */
	sqlite3_int64 row; /* from 0 */
	int eof;
};

struct hf_sql_function {
	const char *name;
	/* Columns of the result, comma-separated, then n_args HIDDEN ones: the arguments, of which
	 * the first must be given. */
	const char *columns;
	int n_columns, n_args;
	size_t cursor_size;

	/* Each gives an SQLite code, hf_sql_fail() with a message. filter: start again with these
	 * arguments, and stand on the first row or at the end; bit k of which is set if argument k
	 * is in argv. next: the same for the row after. */
	int (*filter)(struct hf_sql_cursor *c, int which, int argc, sqlite3_value **argv);
	int (*next)(struct hf_sql_cursor *c);
	int (*column)(struct hf_sql_cursor *c, sqlite3_context *ctx, int column);
	void (*close)(struct hf_sql_cursor *c); /* or NULL; the cursor itself is not its to free */
};

/* function is copied, what it points to must stay. unref (or NULL) is called with aux when the
 * module goes, also if this fails. */
int hf_sql_function_register(
	sqlite3 *db, const struct hf_sql_function *function, void *aux, void (*unref)(void *aux));

/* SQLITE_ERROR, and the message "NAME: WHY". */
int hf_sql_fail(struct hf_sql_cursor *c, const char *why);
