#include "cli/sql_run.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "emit/json.h"
#include "report/db.h"

enum { ROWS_AT_ONCE = 1000, STEPS_A_LOOK = 10000 };

static volatile sig_atomic_t interrupted;

void hf_sql_interrupt(void)
{
	interrupted = 1;
}

static double now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

struct deadline {
	double at; /* 0: none */
	bool passed;
};

static int look(void *ctx)
{
	struct deadline *deadline = ctx;
	deadline->passed = deadline->at > 0 && now() > deadline->at;
	return interrupted || deadline->passed;
}

/* Values are shown as SQLite has them, addresses too: ptr(addr) writes one in hexadecimal. */
static enum hf_status emit_rows(
	sqlite3_stmt *stmt, const struct hf_emit_options *options, struct hf_err *err)
{
	int n = sqlite3_column_count(stmt);
	if (n > HF_TABLE_MAX_COLUMNS)
		return hf_err_set(
			err, HF_E_UNSUPPORTED, "more than %d columns", HF_TABLE_MAX_COLUMNS);
	struct hf_column *columns = calloc((size_t)n, sizeof(*columns));
	struct hf_cell *cells = calloc((size_t)n, sizeof(*cells));
	struct hf_emit *emit = NULL;
	enum hf_status status = HF_OK;
	if (!columns || !cells)
		status = hf_err_set(err, HF_E_NOMEM, "no memory for the result");
	for (int c = 0; status == HF_OK && c < n; c++) {
		columns[c].key = columns[c].title = sqlite3_column_name(stmt, c);
		columns[c].kind = HF_VALUE_PLAIN;
	}
	if (status == HF_OK)
		status = hf_emit_create(options, NULL, &emit, err);
	if (status == HF_OK) {
		hf_emit_table_begin(emit, "rows", columns, (size_t)n);
		int row = 0;
		while (hf_row(stmt, &status, err)) {
			for (int c = 0; c < n; c++)
				cells[c] = hf_column_cell(stmt, c);
			row = hf_emit_row(emit, HF_NO_ROW, cells) + 1;
			if (row % ROWS_AT_ONCE == 0)
				hf_emit_table_flush(emit);
		}
		hf_emit_table_end(emit);
		enum hf_status finished = hf_emit_finish(emit, status == HF_OK ? err : NULL);
		status = status == HF_OK ? finished : status;
	}
	hf_emit_destroy(emit);
	free(columns);
	free(cells);
	return status;
}

enum hf_status hf_sql_run(
	sqlite3 *db, const char *text, const struct hf_sql_options *options, struct hf_err *err)
{
	enum hf_status status = HF_OK;
	while (*text && status == HF_OK) {
		_cleanup_stmt_ sqlite3_stmt *stmt = NULL;
		struct deadline deadline = {
			.at = options->time_limit > 0 ? now() + options->time_limit : 0,
		};
		interrupted = 0;
		if (sqlite3_prepare_v2(db, text, -1, &stmt, &text) != SQLITE_OK)
			return hf_err_set(err, HF_E_USAGE, "%s", sqlite3_errmsg(db));
		if (!stmt) /* a comment, white space */
			continue;
		if (!sqlite3_stmt_readonly(stmt))
			return hf_err_set(err, HF_E_USAGE,
				"this statement writes: the database is open for reading only");
		sqlite3_progress_handler(db, STEPS_A_LOOK, look, &deadline);
		if (sqlite3_column_count(stmt))
			status = emit_rows(stmt, &options->emit, err);
		else
			hf_row(stmt, &status, err);
		sqlite3_progress_handler(db, 0, NULL, NULL);
		if (deadline.passed)
			status = hf_err_set(err, HF_E_FAILED,
				"the query took longer than the time limit and was given up");
	}
	return status;
}
