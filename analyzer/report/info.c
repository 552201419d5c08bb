#include <string.h>

#include "report/report.h"

static enum hf_status properties(struct hf_report *report, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status =
		hf_query(report->heap.db, &q, err, "SELECT key, value FROM meta ORDER BY key", "");
	hf_emit_object_begin(report->emit, "meta");
	while (hf_row(q, &status, err)) {
		struct hf_cell value = hf_column_cell(q, 1);
		const char *key = hf_column_text(q, 0);
		size_t n = strlen(key);
		bool size = (n > 5 && !strcmp(key + n - 5, "_size")) ||
			    (n > 6 && !strcmp(key + n - 6, "_bytes")) ||
			    !strcmp(key, "live_usable");
		bool count = n > 6 && !strcmp(key + n - 6, "_count");
		/* A number that was written as text is one. */
		hf_emit_fact(report->emit, key, key,
			value.type != HF_CELL_INT ? HF_VALUE_TEXT
			: size                    ? HF_VALUE_SIZE
			: count                   ? HF_VALUE_COUNT
						  : HF_VALUE_PLAIN,
			value);
	}
	hf_emit_object_end(report->emit);
	return status;
}

static enum hf_status arenas(struct hf_report *report, struct hf_err *err)
{
	static const struct hf_column columns[] = {
		{"allocator", "ALLOCATOR", HF_VALUE_TEXT, 0},
		{"kind", "KIND", HF_VALUE_TEXT, 0},
		{"addr", "", HF_VALUE_ADDRESS, HF_COLUMN_JSON},
		{"system_size", "SYSTEM", HF_VALUE_SIZE, 0},
		{"size", "LIVE", HF_VALUE_SIZE, 0},
		{"count", "OBJECTS", HF_VALUE_COUNT, 0},
		{"free_bytes", "FREE", HF_VALUE_SIZE, 0},
		{"metadata_bytes", "METADATA", HF_VALUE_SIZE, 0},
	};
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(report->heap.db, &q, err,
		"SELECT allocator, kind, addr, size, live_bytes, live_count, free_bytes, "
		"metadata_bytes FROM arena ORDER BY live_bytes DESC, id",
		"");
	hf_emit_title(report->emit, "Allocators");
	hf_emit_table_begin(report->emit, "arenas", columns, sizeof(columns) / sizeof(columns[0]));
	while (hf_row(q, &status, err)) {
		struct hf_cell cells[8];
		for (int c = 0; c < 8; c++)
			cells[c] = hf_column_cell(q, c);
		hf_emit_row(report->emit, HF_NO_ROW, cells);
	}
	hf_emit_table_end(report->emit);
	return status;
}

static enum hf_status findings(struct hf_report *report, struct hf_err *err)
{
	static const struct hf_column columns[] = {
		{"severity", "SEVERITY", HF_VALUE_TEXT, 0},
		{"addr", "", HF_VALUE_ADDRESS, HF_COLUMN_JSON},
		{"text", "FINDING", HF_VALUE_TEXT, HF_COLUMN_WRAP},
	};
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(report->heap.db, &q, err,
		"SELECT severity, addr, text FROM finding "
		"ORDER BY severity = 'partial' DESC, severity = 'warning' DESC, id",
		"");
	hf_emit_title(report->emit, "Findings of the dump");
	hf_emit_table_begin(
		report->emit, "findings", columns, sizeof(columns) / sizeof(columns[0]));
	int n = 0;
	while (hf_row(q, &status, err)) {
		hf_emit_row(report->emit, HF_NO_ROW,
			(struct hf_cell[]){
				hf_column_cell(q, 0), hf_column_cell(q, 1), hf_column_cell(q, 2)});
		n++;
	}
	hf_emit_table_end(report->emit);
	if (status == HF_OK && !n)
		hf_emit_line(report->emit, "none");
	return status;
}

static enum hf_status counters(struct hf_report *report, struct hf_err *err)
{
	static const struct hf_column columns[] = {
		{"name", "CHECK", HF_VALUE_TEXT, 0},
		{"expected", "ALLOCATOR SAYS", HF_VALUE_COUNT, 0},
		{"found", "WALK FOUND", HF_VALUE_COUNT, 0},
		{"result", "", HF_VALUE_TEXT, 0},
		{"must_match", "", HF_VALUE_BOOL, HF_COLUMN_JSON},
	};
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(report->heap.db, &q, err,
		"SELECT name, expected, found, CASE WHEN expected = found THEN 'ok' "
		"WHEN must_match THEN 'FAILED' ELSE 'differs' END, must_match FROM counter "
		"ORDER BY id",
		"");
	hf_emit_title(report->emit, "Cross-checks with the allocators' own counters");
	hf_emit_table_begin(
		report->emit, "counters", columns, sizeof(columns) / sizeof(columns[0]));
	int n = 0;
	while (hf_row(q, &status, err)) {
		struct hf_cell cells[5];
		for (int c = 0; c < 5; c++)
			cells[c] = hf_column_cell(q, c);
		hf_emit_row(report->emit, HF_NO_ROW, cells);
		n++;
	}
	hf_emit_table_end(report->emit);
	if (status == HF_OK && !n)
		hf_emit_line(report->emit, "none were recorded");
	return status;
}

enum hf_status hf_report_info(struct hf_report *report, struct hf_err *err)
{
	hf_emit_title(report->emit, "%s", report->input);
	enum hf_status status = properties(report, err);
	if (status == HF_OK)
		status = arenas(report, err);
	if (status == HF_OK)
		status = counters(report, err);
	if (status == HF_OK)
		status = findings(report, err);
	return status;
}
