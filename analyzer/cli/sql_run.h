/*
 * One SQL text on a database, its rows through an emitter.
 */
#pragma once
#include <sqlite3.h>

#include "emit/emit.h"

struct hf_sql_options {
	struct hf_emit_options emit;
	double time_limit; /* seconds a statement may take, 0: any time */
};

/* Run every statement of text; each that has columns makes a result. Rows are not kept: any number
 * of them can be printed. */
enum hf_status hf_sql_run(
	sqlite3 *db, const char *text, const struct hf_sql_options *options, struct hf_err *err);
/* Stop the running query at its next step; async-signal-safe. */
void hf_sql_interrupt(void);
