#include <string.h>

#include "report/report.h"

/* Each check is a query that gives the number of rows that break an invariant, and one of them. */
struct check {
	const char *name, *what;
	const char *sql; /* count, example */
};

static const struct check checks[] = {
	{"object_order", "objects are in the order of their addresses and do not overlap",
		"SELECT count(*), min(printf('0x%x', b.addr)) FROM object a "
		"JOIN object b ON b.id = a.id + 1 WHERE b.addr < a.addr + max(a.usable, 1)"},
	{"object_ids", "object ids count from 1 without gaps",
		"SELECT abs(coalesce(max(id), 0) - count(*)) + (coalesce(min(id), 1) <> 1), "
		"min(id) FROM object"},
	{"object_size", "no object is larger than what it can use",
		"SELECT count(*), min(printf('0x%x', addr)) FROM object WHERE size > usable"},
	{"object_arena", "every object belongs to an arena",
		"SELECT count(*), min(printf('0x%x', o.addr)) FROM object o "
		"LEFT JOIN arena a ON a.id = o.arena_id WHERE a.id IS NULL"},
	{"arena_live", "arenas count the objects they have",
		"SELECT count(*), min(a.id) FROM arena a LEFT JOIN (SELECT arena_id, count(*) n, "
		"sum(usable) s FROM object GROUP BY 1) o ON o.arena_id = a.id "
		"WHERE coalesce(o.n, 0) <> a.live_count OR coalesce(o.s, 0) <> a.live_bytes"},
	{"edge_source", "every edge starts inside an object",
		"SELECT count(*), min(e.src_id) FROM edge e LEFT JOIN object o ON o.id = e.src_id "
		"WHERE o.id IS NULL OR e.src_offset < 0 OR e.src_offset >= o.usable"},
	{"edge_target", "every edge ends inside an object",
		"SELECT count(*), min(e.src_id) FROM edge e LEFT JOIN object o ON o.id = e.dst_id "
		"WHERE o.id IS NULL OR e.dst_offset < 0 OR e.dst_offset > o.usable"},
	{"root_object", "every root points to an object",
		"SELECT count(*), min(r.id) FROM root r LEFT JOIN object o ON o.id = r.object_id "
		"WHERE o.id IS NULL"},
	{"reachable", "what a reachable object points to is reachable",
		"SELECT count(*), min(e.src_id) FROM edge e JOIN object a ON a.id = e.src_id "
		"JOIN object b ON b.id = e.dst_id WHERE a.reachable AND NOT b.reachable"},
	{"root_reaches", "what a root points to is reachable",
		"SELECT count(*), min(r.id) FROM root r JOIN object o ON o.id = r.object_id "
		"WHERE NOT o.reachable"},
	{"holder_edge", "every holder has a word that points to what it holds",
		"SELECT count(*), min(printf('0x%x', o.addr)) FROM object o "
		"WHERE o.holder_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM edge e "
		"WHERE e.dst_id = o.id AND e.src_id = o.holder_id)"},
	{"holder_sum", "held sizes add up: an object holds itself and what its children hold",
		"SELECT count(*), min(printf('0x%x', o.addr)) FROM object o "
		"LEFT JOIN (SELECT holder_id, sum(held_size) s, sum(held_count) n FROM object "
		"WHERE holder_id IS NOT NULL GROUP BY 1) c ON c.holder_id = o.id "
		"WHERE o.held_size <> o.size + coalesce(c.s, 0) "
		"OR o.held_count <> 1 + coalesce(c.n, 0)"},
	{"dominator_sum", "retained sizes add up: an object retains itself and what it dominates",
		"SELECT count(*), min(printf('0x%x', o.addr)) FROM object o "
		"LEFT JOIN (SELECT idom_id, sum(retained_size) s, sum(retained_count) n "
		"FROM object WHERE idom_id IS NOT NULL GROUP BY 1) c ON c.idom_id = o.id "
		"WHERE o.retained_size <> o.size + coalesce(c.s, 0) "
		"OR o.retained_count <> 1 + coalesce(c.n, 0)"},
	{"held_total", "what the roots hold and what is leaked is the whole heap",
		"SELECT (SELECT coalesce(sum(size), 0) FROM object) <> "
		"(SELECT coalesce(sum(held_size), 0) FROM object WHERE holder_id IS NULL), NULL"},
	{"variable_held", "a variable holds what its objects hold",
		"SELECT count(*), min(v.name) FROM variable v LEFT JOIN (SELECT r.variable_id, "
		"sum(o.held_size) s FROM object o JOIN root r ON r.id = o.holder_root_id "
		"WHERE o.holder_id IS NULL GROUP BY 1) h ON h.variable_id = v.id "
		"WHERE v.held_size <> coalesce(h.s, 0)"},
	{"totals", "the totals are those of the objects",
		"SELECT (SELECT coalesce(sum(size), 0) FROM object) <> "
		"(SELECT value FROM meta WHERE key = 'live_size'), NULL"},
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

static enum hf_status integrity(struct hf_report *report, int64_t *failed, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(report->heap.db, &q, err, "PRAGMA integrity_check(5)", "");
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

enum hf_status hf_report_verify(struct hf_report *report, struct hf_err *err)
{
	int64_t failed = 0;
	hf_emit_table_begin(report->emit, "checks", columns, sizeof(columns) / sizeof(columns[0]));
	enum hf_status status = integrity(report, &failed, err);
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]) && status == HF_OK; i++) {
		_cleanup_stmt_ sqlite3_stmt *q = NULL;
		status = hf_query(report->heap.db, &q, err, checks[i].sql, "");
		if (!hf_row(q, &status, err))
			continue;
		int64_t n = hf_column_int(q, 0);
		emit_check(report, checks[i].name, checks[i].what, n,
			n && !hf_column_null(q, 1) ? hf_column_text(q, 1) : NULL);
		failed += n != 0;
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
