#include <stdio.h>
#include <string.h>

#include "report/verify_scan.h"

/* A check is worked out by a scan of the big tables, or is a query that gives the number of rows
 * that break an invariant, and one of them. */
struct check {
	const char *name, *what;
	const char *sql; /* count, example; NULL: of the scan */
	enum hf_scan_check scan;
};

static const struct check checks[] = {
	{"object_order", "objects are in the order of their addresses and do not overlap", NULL,
		HF_SCAN_OBJECT_ORDER},
	{"object_ids", "object ids count from 1 without gaps", NULL, HF_SCAN_OBJECT_IDS},
	{"object_size", "no object is larger than what it can use", NULL, HF_SCAN_OBJECT_SIZE},
	{"object_arena", "every object belongs to an arena", NULL, HF_SCAN_OBJECT_ARENA},
	{"arena_live", "arenas count the objects they have", NULL, HF_SCAN_ARENA_LIVE},
	{"object_index", "the indexes of object have what they should", NULL, HF_SCAN_OBJECT_INDEX},
	{"edge_source", "every edge starts inside an object", NULL, HF_SCAN_EDGE_SOURCE},
	{"edge_target", "every edge ends inside an object", NULL, HF_SCAN_EDGE_TARGET},
	{"edge_index", "the index of edges by target has every edge", NULL, HF_SCAN_EDGE_INDEX},
	{"root_object", "every root points to an object",
		"SELECT count(*), min(r.id) FROM root r LEFT JOIN object o ON o.id = r.object_id "
		"WHERE o.id IS NULL",
		0},
	{"reachable", "what a reachable object points to is reachable", NULL, HF_SCAN_REACHABLE},
	{"root_reaches", "what a root points to is reachable",
		"SELECT count(*), min(r.id) FROM root r JOIN object o ON o.id = r.object_id "
		"WHERE NOT o.reachable",
		0},
	{"holder_edge", "every holder has a word that points to what it holds", NULL,
		HF_SCAN_HOLDER_EDGE},
	{"holder_sum", "held sizes add up: an object holds itself and what its children hold", NULL,
		HF_SCAN_HOLDER_SUM},
	{"dominator_sum", "retained sizes add up: an object retains itself and what it dominates",
		NULL, HF_SCAN_DOMINATOR_SUM},
	{"held_total", "what the roots hold and what is leaked is the whole heap", NULL,
		HF_SCAN_HELD_TOTAL},
	{"variable_held", "a variable holds what its objects hold", NULL, HF_SCAN_VARIABLE_HELD},
	{"totals", "the totals are those of the objects", NULL, HF_SCAN_TOTALS},
};

static const struct hf_column columns[] = {
	{"check", "CHECK", HF_VALUE_TEXT, 0},
	{"result", "RESULT", HF_VALUE_TEXT, 0},
	{"violations", "", HF_VALUE_COUNT, HF_COLUMN_JSON},
	{"example", "", HF_VALUE_TEXT, HF_COLUMN_JSON},
	{"what", "WHAT", HF_VALUE_TEXT, HF_COLUMN_WRAP},
};

static void emit_check(struct hf_report *report, const char *name, const char *what,
	int64_t violations, const char *example)
{
	_cleanup_(hf_text_deinit) struct hf_text result = HF_TEXT_INIT;
	char number[HF_NUMBER_SIZE];
	if (!violations)
		hf_text_addf(&result, "ok");
	else
		hf_text_addf(&result, "FAILED %s", hf_human_count(number, (uint64_t)violations));
	if (violations && example)
		hf_text_addf(&result, " (%s)", example);
	hf_emit_row(report->emit, HF_NO_ROW,
		(struct hf_cell[]){
			hf_cell_text(name),
			hf_cell_text(hf_text_get(&result)),
			hf_cell_int(violations),
			hf_cell_text(example),
			hf_cell_text(what),
		});
}

/* Every page and row. What quick_check leaves out, that indexes have what their tables have, is in
 * the checks of the big tables, and here for the others. */
static enum hf_status integrity(struct hf_report *report, int64_t *failed, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	if (report->progress)
		report->progress(report->progress_ctx, "checking pages", 0, 0);
	enum hf_status status = hf_query(report->heap.db, &q, err,
		"SELECT * FROM pragma_quick_check(5) UNION ALL SELECT * FROM "
		"pragma_integrity_check('root')",
		"");
	char first[HF_NAME_SIZE] = "";
	int64_t n = 0;
	while (hf_row(q, &status, err)) {
		if (!strcmp(hf_column_text(q, 0), "ok"))
			continue;
		if (!n++)
			snprintf(first, sizeof(first), "%s", hf_column_text(q, 0));
	}
	/* A file too damaged to be checked fails the check. */
	if (status == HF_E_CORRUPT) {
		snprintf(first, sizeof(first), "%s", err ? err->msg : "");
		n++;
		status = HF_OK;
	}
	emit_check(report, "integrity", "the file is a sound SQLite database", n, n ? first : NULL);
	*failed += n != 0;
	return status;
}

static enum hf_status by_query(
	struct hf_report *report, const struct check *check, int64_t *failed, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(report->heap.db, &q, err, check->sql, "");
	if (!hf_row(q, &status, err))
		return status;
	int64_t n = hf_column_int(q, 0);
	emit_check(report, check->name, check->what, n,
		n && !hf_column_null(q, 1) ? hf_column_text(q, 1) : NULL);
	*failed += n != 0;
	return HF_OK;
}

enum hf_status hf_report_verify(struct hf_report *report, struct hf_err *err)
{
	int64_t failed = 0;
	struct hf_scan_result scan[HF_SCAN_CHECKS];
	hf_emit_table_begin(report->emit, "checks", columns, sizeof(columns) / sizeof(columns[0]));
	enum hf_status status = integrity(report, &failed, err);
	if (status == HF_OK)
		status = hf_verify_scan(report, scan, err);
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]) && status == HF_OK; i++) {
		const struct hf_scan_result *r = &scan[checks[i].scan];
		if (checks[i].sql) {
			status = by_query(report, &checks[i], &failed, err);
			continue;
		}
		emit_check(report, checks[i].name, checks[i].what, r->n,
			r->n && *r->example ? r->example : NULL);
		failed += r->n != 0;
	}
	hf_emit_table_end(report->emit);
	if (status != HF_OK)
		return status;
	hf_emit_fact(report->emit, "failed", NULL, HF_VALUE_COUNT, hf_cell_int(failed));
	if (failed)
		return hf_err_set(err, HF_E_CORRUPT,
			"%lld of the checks failed: load the dump again", (long long)failed);
	hf_emit_line(report->emit, "every check passed");
	return HF_OK;
}
