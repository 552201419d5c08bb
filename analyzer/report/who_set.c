#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "report/report.h"
#include "report/set_paths.h"

/* Who holds a set of objects: the ids that a query gives, and their paths. */

struct set {
	int64_t *ids; /* owned, ascending, each once */
	size_t n, cap;
};

static void set_deinit(struct set *set)
{
	free(set->ids);
}

static int by_id(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

static enum hf_status collect(struct set *set, sqlite3_stmt *q, struct hf_err *err)
{
	enum hf_status status = HF_OK;
	while (hf_row(q, &status, err)) {
		if (sqlite3_column_type(q, 0) != SQLITE_INTEGER)
			return hf_err_set(err, HF_E_USAGE,
				"the first column of the query is to be object ids, and there is "
				"'%.40s'",
				hf_column_text(q, 0));
		if (set->n == set->cap) {
			size_t cap = set->cap ? set->cap * 2 : 4096;
			int64_t *ids = reallocarray(set->ids, cap, sizeof(*ids));
			if (!ids)
				return hf_err_set(
					err, HF_E_NOMEM, "no memory for the set of objects");
			set->ids = ids;
			set->cap = cap;
		}
		set->ids[set->n++] = hf_column_int(q, 0);
	}
	if (set->n)
		qsort(set->ids, set->n, sizeof(*set->ids), by_id);
	size_t n = 0;
	for (size_t i = 0; i < set->n; i++) {
		if (!n || set->ids[n - 1] != set->ids[i])
			set->ids[n++] = set->ids[i];
	}
	set->n = n;
	return status;
}

static enum hf_status query_set(
	sqlite3 *db, const struct hf_who_set *of, struct set *set, struct hf_err *err)
{
	/* A tag is enough: "session" is "struct session", too. */
	static const char type_sql[] =
		"SELECT o.id FROM object o WHERE o.type_id IN (SELECT id FROM type WHERE "
		"name = ?1 OR name GLOB ?1 OR name IN ('struct ' || ?1, 'union ' || ?1))";
	static const char site_sql[] =
		"SELECT o.id FROM object o WHERE o.site_id IN (SELECT id FROM site WHERE "
		"function = ?1 OR function GLOB ?1 OR CAST(id AS TEXT) = ?1 OR "
		"file || ':' || line = ?1 OR (?1 GLOB '*:*' AND file || ':' || line GLOB '*/' || "
		"?1))";
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status;
	if (of->sql) {
		status = hf_query(db, &q, err, of->sql, "");
		if (status == HF_E_FAILED)
			return hf_err_set(err, HF_E_USAGE, "--sql: %s", sqlite3_errmsg(db));
		if (status == HF_OK && (!q || sqlite3_column_count(q) == 0))
			return hf_err_set(err, HF_E_USAGE, "--sql: it selects nothing");
	} else {
		status = hf_query(db, &q, err, of->type ? type_sql : site_sql, "s",
			of->type ? of->type : of->site);
	}
	return status == HF_OK ? collect(set, q, err) : status;
}

static void totals(struct hf_set_paths *set)
{
	struct hf_emit *emit = set->report->emit;
	char count[HF_NUMBER_SIZE], size[HF_NUMBER_SIZE], held[HF_NUMBER_SIZE],
		share[HF_NUMBER_SIZE];
	double percent = hf_percent(set->held_bytes, set->report->heap.live_size);
	hf_emit_fact(emit, "count", NULL, HF_VALUE_COUNT, hf_cell_int((int64_t)set->n_ids));
	hf_emit_fact(emit, "size", NULL, HF_VALUE_SIZE, hf_cell_int((int64_t)set->size_bytes));
	hf_emit_fact(emit, "held_size", NULL, HF_VALUE_SIZE, hf_cell_int((int64_t)set->held_bytes));
	hf_emit_fact(emit, "held_share", NULL, HF_VALUE_SHARE, hf_cell_real(percent));
	hf_emit_fact(emit, "nested_count", NULL, HF_VALUE_COUNT, hf_cell_int((int64_t)set->nested));
	hf_emit_line(emit, "%s object%s of %s, which hold %s (%s of the heap)",
		hf_human_count(count, set->n_ids), set->n_ids == 1 ? "" : "s",
		hf_human_size(size, set->size_bytes), hf_human_size(held, set->held_bytes),
		hf_human_share(share, percent));
	if (set->nested)
		hf_emit_line(emit,
			"%s of them are held by others of them: their bytes count there.",
			hf_human_count(count, set->nested));
}

enum hf_status hf_report_who_set(
	struct hf_report *report, const struct hf_who_set *of, struct hf_err *err)
{
	_cleanup_(set_deinit) struct set set = {0};
	_cleanup_(hf_set_paths_deinit) struct hf_set_paths paths = {0};
	enum hf_status status = query_set(report->heap.db, of, &set, err);
	if (status == HF_OK && !set.n)
		return hf_err_set(err, HF_E_NOTFOUND, "no object %s%s: %s",
			of->sql    ? "is selected by "
			: of->type ? "has the type "
				   : "was allocated at ",
			of->sql    ? of->sql
			: of->type ? of->type
				   : of->site,
			of->sql    ? "look at it with 'holdfast sql'"
			: of->type ? "'holdfast top --by type' lists the types"
				   : "'holdfast top --by site' lists the sites");
	if (status == HF_OK)
		status = hf_set_paths_init(&paths, report, set.ids, set.n, err);
	if (status != HF_OK)
		return status;
	totals(&paths);
	hf_emit_title(report->emit, "Held by (best paths, merged where they read the same)");
	uint64_t example = 0;
	status = hf_set_paths_emit(&paths, "paths", of->n, &example, err);
	if (status != HF_OK)
		return status;
	char addr[HF_NUMBER_SIZE];
	snprintf(addr, sizeof(addr), "0x%llx", (unsigned long long)example);
	hf_emit_title(report->emit, "Next");
	hf_report_hint(report, "who", addr, "the largest of them");
	return HF_OK;
}
