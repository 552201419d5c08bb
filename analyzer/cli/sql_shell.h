/*
 * The interactive SQL shell: line editing, history, completion of the names in the database.
 */
#pragma once
#include "cli/sql_run.h"

/* Read statements from stdin until its end or .quit. On a terminal errors are printed and reading
 * goes on; from a pipe the first one ends it. */
enum hf_status hf_sql_shell(
	sqlite3 *db, const char *input, const struct hf_sql_options *options, struct hf_err *err);
