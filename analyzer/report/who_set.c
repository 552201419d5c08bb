#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "report/report.h"
#include "report/set_paths.h"
#include "report/site.h"

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

static bool is_word(char c)
{
	return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z');
}

/* Is an object of type `name` one of `of` in disguise: in a namespace, an array of it, what a
 * container or make_shared() keeps it in? Not where the name only says that it points to one. */
static bool is_kind_of(const char *name, const char *of)
{
	size_t length = strlen(of);
	for (const char *at = name; (at = strstr(at, of)); at++) {
		const char *end = at + length;
		if (is_word(*end) || !strncmp(end, "::", 2) || (at > name && is_word(at[-1])))
			continue;
		end += strspn(end, " ");
		if (*end != '*' && *end != '&')
			return true;
	}
	return false;
}

static void kind_of(sqlite3_context *context, int n, sqlite3_value **args)
{
	const char *name = (const char *)sqlite3_value_text(args[0]),
		   *of = (const char *)sqlite3_value_text(args[1]);
	sqlite3_result_int(context, n == 2 && name && of && *of && is_kind_of(name, of));
}

#define IS_TYPE "(name = ?1 OR name GLOB ?1 OR name IN ('struct ' || ?1, 'union ' || ?1))"
static const char kinds_sql[] =
	"FROM type JOIN stat_type s USING (id) WHERE kind_of(name, ?1) AND NOT " IS_TYPE;

/* Types that have the one asked for inside: said, and taken if there is no other. */
static enum hf_status say_kinds(
	struct hf_report *report, const char *type, bool taken, struct hf_err *err)
{
	enum { SHOWN = 6 };
	char sql[512], count[HF_NUMBER_SIZE];
	int64_t n = 0, shown = 0;
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	snprintf(sql, sizeof(sql), "SELECT count(*) %s", kinds_sql);
	enum hf_status status = hf_query_int(report->heap.db, &n, err, sql, "s", type);
	snprintf(sql, sizeof(sql), "SELECT name, s.count %s ORDER BY s.size DESC, id LIMIT %d",
		kinds_sql, SHOWN);
	if (status == HF_OK && n)
		status = hf_query(report->heap.db, &q, err, sql, "s", type);
	if (status == HF_OK && n)
		hf_emit_line(report->emit,
			taken ? "No object's type is %s itself; these have it in their type's name:"
			      : "Besides, these have %s in their type's name (--type '*%s*' takes "
				"them, too):",
			type, type);
	while (n && hf_row(q, &status, err)) {
		hf_emit_line(report->emit, "  %s %s %s",
			hf_human_count(count, (uint64_t)hf_column_int(q, 1)),
			hf_emit_times(report->emit), hf_column_text(q, 0));
		shown++;
	}
	if (n > shown)
		hf_emit_line(report->emit, "  and %s more types",
			hf_human_count(count, (uint64_t)(n - shown)));
	return status;
}

#define IS_SITE                                                                                    \
	"(function = ?1 OR function GLOB ?1 OR CAST(id AS TEXT) = ?1 OR file || ':' || line = ?1 " \
	"OR (?1 GLOB '*:*' AND file || ':' || line GLOB '*/' || ?1))"

static enum hf_status query_set(
	sqlite3 *db, const struct hf_who_set *of, bool named, struct set *set, struct hf_err *err)
{
	/* A tag is enough: "session" is "struct session", too. */
	static const char type_sql[] =
		"SELECT o.id FROM object o WHERE o.type_id IN (SELECT id FROM type WHERE " IS_TYPE
		")";
	static const char site_sql[] =
		"SELECT o.id FROM object o WHERE o.site_id IN (SELECT id FROM site WHERE " IS_SITE
		")";
	static const char number_sql[] =
		"SELECT o.id FROM object o WHERE CAST(o.site_id AS TEXT) = ?1";
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status;
	if (of->sql) {
		status = hf_query(db, &q, err, of->sql, "");
		if (status == HF_E_FAILED)
			return hf_err_set(err, HF_E_USAGE, "--sql: %s", sqlite3_errmsg(db));
		if (status == HF_OK && (!q || sqlite3_column_count(q) == 0))
			return hf_err_set(err, HF_E_USAGE, "--sql: it selects nothing");
	} else {
		const char *sql = of->type ? type_sql : named ? site_sql : number_sql;
		status = hf_query(db, &q, err, sql, "s", of->type ? of->type : of->site);
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

/* Where sites are sampled: what the objects stand for. */
static enum hf_status by_samples(
	struct hf_report *report, const char *site, size_t samples, struct hf_err *err)
{
	const struct hf_heapdb *heap = &report->heap;
	struct hf_emit *emit = report->emit;
	char n[HF_NUMBER_SIZE], count[HF_NUMBER_SIZE], size[HF_NUMBER_SIZE], share[HF_NUMBER_SIZE];
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	if (*heap->profile_missing)
		hf_site_note(report);
	if (!heap->profile_tied || !heap->profile_sampled)
		return HF_OK;
	enum hf_status status = hf_query(heap->db, &q, err,
		"SELECT sum(coalesce(e.count, live_count)), sum(coalesce(e.size, live_bytes)) "
		"FROM site LEFT JOIN stat_estimate e ON e.site_id = site.id WHERE " IS_SITE,
		"s", site);
	if (!hf_row(q, &status, err))
		return status;
	double percent = hf_percent((uint64_t)hf_column_int(q, 1), heap->live_size);
	hf_emit_fact(emit, "samples", NULL, HF_VALUE_COUNT, hf_cell_int((int64_t)samples));
	hf_emit_fact(emit, "est_count", NULL, HF_VALUE_COUNT, hf_column_cell(q, 0));
	hf_emit_fact(emit, "est_size", NULL, HF_VALUE_SIZE, hf_column_cell(q, 1));
	hf_emit_fact(emit, "est_share", NULL, HF_VALUE_SHARE, hf_cell_real(percent));
	hf_emit_line(emit, "Sites are sampled: %s sample%s for ~%s object%s of ~%s (~%s)%s.",
		hf_human_count(n, samples), samples == 1 ? " stands" : "s stand",
		hf_human_count(count, (uint64_t)hf_column_int(q, 0)),
		hf_column_int(q, 0) == 1 ? "" : "s",
		hf_human_size(size, (uint64_t)hf_column_int(q, 1)), hf_human_share(share, percent),
		samples <= HF_ROUGH_SAMPLES ? ", roughly" : "");
	hf_emit_line(emit, "All else here is of the samples alone.");
	return status;
}

static enum hf_status nothing(
	const struct hf_report *report, const struct hf_who_set *of, struct hf_err *err)
{
	if (of->sql)
		return hf_err_set(err, HF_E_NOTFOUND,
			"no object is selected by %s: look at it with 'holdfast sql %s'", of->sql,
			report->input);
	if (of->site && *report->heap.profile_missing)
		return hf_err_set(err, HF_E_NOTFOUND,
			"where objects were allocated is not known: the heap profile %s is not "
			"beside the dump",
			report->heap.profile_missing);
	if (of->site && report->heap.profile_sampled)
		return hf_err_set(err, HF_E_NOTFOUND,
			"no sample of what is live was allocated at %s, and only samples have "
			"sites: 'holdfast top %s --by site' lists them",
			of->site, report->input);
	return hf_err_set(err, HF_E_NOTFOUND,
		"no object %s %s: 'holdfast top %s --by %s' lists the %ss",
		of->type ? "has the type" : "was allocated at", of->type ? of->type : of->site,
		report->input, of->type ? "type" : "site", of->type ? "type" : "site");
}

/* The objects of that type, or of what has it inside. */
static enum hf_status set_of_type(
	struct hf_report *report, const struct hf_who_set *of, struct set *set, struct hf_err *err)
{
	sqlite3 *db = report->heap.db;
	if (sqlite3_create_function_v2(db, "kind_of", 2, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL,
		    kind_of, NULL, NULL, NULL) != SQLITE_OK)
		return hf_db_error(db, err, "preparing names of types");
	enum hf_status status = query_set(db, of, true, set, err);
	bool taken = !set->n;
	if (status == HF_OK && taken) {
		char sql[512];
		_cleanup_stmt_ sqlite3_stmt *q = NULL;
		snprintf(sql, sizeof(sql), "SELECT id FROM object WHERE type_id IN (SELECT id %s)",
			kinds_sql);
		status = hf_query(db, &q, err, sql, "s", of->type);
		if (status == HF_OK)
			status = collect(set, q, err);
	}
	if (status == HF_OK && set->n)
		status = say_kinds(report, of->type, taken, err);
	return status;
}

enum hf_status hf_report_who_set(
	struct hf_report *report, const struct hf_who_set *of, struct hf_err *err)
{
	_cleanup_(set_deinit) struct set set = {0};
	_cleanup_(hf_set_paths_deinit) struct hf_set_paths paths = {0};
	enum hf_status status = of->type ? set_of_type(report, of, &set, err)
					 : query_set(report->heap.db, of,
						   !*report->heap.profile_missing, &set, err);
	if (status == HF_OK && !set.n)
		return nothing(report, of, err);
	if (status == HF_OK)
		status = hf_set_paths_init(&paths, report, set.ids, set.n, err);
	if (status != HF_OK)
		return status;
	totals(&paths);
	if (of->site)
		status = by_samples(report, of->site, set.n, err);
	if (status != HF_OK)
		return status;
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
