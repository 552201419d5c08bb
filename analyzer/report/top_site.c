#include "report/top_site.h"

#include <stdlib.h>
#include <string.h>

#include "report/site.h"

enum column {
	SIZE,
	SHARE,
	COUNT,
	RETAINED,
	LEAKED,
	LIVE_BYTES,
	LIVE_SHARE,
	LIVE_COUNT,
	EST_BYTES,
	EST_SHARE,
	EST_COUNT,
	SAMPLES,
	TOTAL_BYTES,
	TOTAL_COUNT,
	OLDEST,
	NAME,
	SITE_ID,
	FUNCTION,
	FILE_NAME,
	LINE,
	MODULE,
	N_COLUMNS,
};

static const struct hf_column all_columns[N_COLUMNS] = {
	[SIZE] = {"size", "SIZE", HF_VALUE_SIZE, HF_COLUMN_JSON},
	[SHARE] = {"share", "SHARE", HF_VALUE_SHARE, HF_COLUMN_JSON},
	[COUNT] = {"count", "COUNT", HF_VALUE_COUNT, HF_COLUMN_JSON},
	[RETAINED] = {"retained_size", "RETAINED", HF_VALUE_SIZE, HF_COLUMN_JSON},
	[LEAKED] = {"leak_size", "LEAKED", HF_VALUE_SIZE, HF_COLUMN_JSON},
	[LIVE_BYTES] = {"live_bytes", "LIVE", HF_VALUE_SIZE, HF_COLUMN_JSON},
	[LIVE_SHARE] = {"live_share", "SHARE", HF_VALUE_SHARE, HF_COLUMN_JSON},
	[LIVE_COUNT] = {"live_count", "COUNT", HF_VALUE_COUNT, HF_COLUMN_JSON},
	[EST_BYTES] = {"est_size", "LIVE", HF_VALUE_SIZE_ESTIMATE, HF_COLUMN_JSON},
	[EST_SHARE] = {"est_share", "SHARE", HF_VALUE_SHARE, HF_COLUMN_JSON},
	[EST_COUNT] = {"est_count", "COUNT", HF_VALUE_COUNT_ESTIMATE, HF_COLUMN_JSON},
	[SAMPLES] = {"samples", "SAMPLES", HF_VALUE_SAMPLES, HF_COLUMN_JSON},
	[TOTAL_BYTES] = {"total_bytes", "ALLOCATED", HF_VALUE_SIZE, HF_COLUMN_JSON},
	[TOTAL_COUNT] = {"total_count", "TIMES", HF_VALUE_COUNT, HF_COLUMN_JSON},
	[OLDEST] = {"oldest", "OLDEST", HF_VALUE_AGE, HF_COLUMN_JSON},
	[NAME] = {"name", "ALLOCATED AT", HF_VALUE_TEXT, HF_COLUMN_WRAP},
	[SITE_ID] = {"site_id", "", HF_VALUE_PLAIN, HF_COLUMN_JSON},
	[FUNCTION] = {"function", "", HF_VALUE_TEXT, HF_COLUMN_JSON},
	[FILE_NAME] = {"file", "", HF_VALUE_TEXT, HF_COLUMN_JSON},
	[LINE] = {"line", "", HF_VALUE_PLAIN, HF_COLUMN_JSON},
	[MODULE] = {"module", "", HF_VALUE_TEXT, HF_COLUMN_JSON},
};

/* What a site has, bounded by what there can be where that is known; see stat_estimate. */
#define ESTIMATES                                                                                  \
	"coalesce(e.size, s.live_bytes) AS est_size, coalesce(e.count, s.live_count) AS est_count"
#define SUMS_OF_ESTIMATES                                                                          \
	"sum(coalesce(e.size, s.live_bytes)) AS est_size, "                                        \
	"sum(coalesce(e.count, s.live_count)) AS est_count FROM site_summary s "                   \
	"LEFT JOIN stat_estimate e ON e.site_id = s.site_id "

/* The columns of each view in the order of `enum column`, but for shares, samples and the name. */
static const char *const sources[] = {
	[HF_BY_SITE] =
		"SELECT s.size, s.count, s.retained_size, s.leak_size, s.live_bytes, "
		"s.live_count, s.total_bytes, s.total_count, s.oldest, s.site_id, s.function, "
		"s.file, s.line, m.path AS module, " ESTIMATES " FROM site_summary s "
		"LEFT JOIN stat_estimate e ON e.site_id = s.site_id "
		"LEFT JOIN module m ON m.id = s.module_id",
	[HF_BY_FUNCTION] =
		"SELECT size, count, NULL AS retained_size, leak_size, live_bytes, "
		"live_count, total_bytes, total_count, oldest, NULL AS site_id, function, "
		"NULL AS file, NULL AS line, NULL AS module, est_size, est_count "
		"FROM function_summary JOIN (SELECT function, " SUMS_OF_ESTIMATES
		"GROUP BY 1) USING (function)",
	[HF_BY_MODULE] = "SELECT size, count, NULL AS retained_size, leak_size, live_bytes, "
			 "live_count, NULL AS total_bytes, NULL AS total_count, NULL AS oldest, "
			 "NULL AS site_id, NULL AS function, "
			 "NULL AS file, NULL AS line, module, est_size, est_count "
			 "FROM module_summary JOIN (SELECT m.id AS m, s.site_id IS NULL AS "
			 "none, " SUMS_OF_ESTIMATES
			 "LEFT JOIN module m ON m.id = s.module_id GROUP BY 1, 2) "
			 "ON m IS module_id AND none = (module = '(no site)')",
};

static bool shows_estimates(const struct hf_heapdb *heap)
{
	return heap->has_profile && (!heap->profile_tied || heap->profile_sampled);
}

/* Sites of what was freed are left out; where figures are the profile's, what has none of them,
 * too.
 */
static const char *where(const struct hf_heapdb *heap)
{
	return shows_estimates(heap) ? "WHERE live_bytes > 0" : "WHERE count > 0 OR live_bytes > 0";
}

/* The column that is sorted by is the first one mostly; else people are told. */
static void note_order(
	struct hf_report *report, const struct hf_column columns[N_COLUMNS], const char *order)
{
	const struct hf_column *first = NULL, *by = NULL;
	for (int i = 0; i < N_COLUMNS; i++) {
		if (columns[i].flags & HF_COLUMN_JSON)
			continue;
		first = first ? first : &columns[i];
		by = by || strcmp(columns[i].key, order) != 0 ? by : &columns[i];
	}
	if (by && by != first)
		hf_emit_line(report->emit, "Sorted by %s.", by->title);
}

/* Which figures people see: those of the objects where all are known, else the profile's. */
static void choose_columns(
	const struct hf_heapdb *heap, enum hf_site_by by, struct hf_column columns[N_COLUMNS])
{
	static const enum column exact[] = {SIZE, SHARE, COUNT, RETAINED, LEAKED, OLDEST},
				 sampled[] = {EST_BYTES, EST_SHARE, EST_COUNT, SAMPLES, OLDEST},
				 untied[] = {LIVE_BYTES, LIVE_SHARE, LIVE_COUNT, TOTAL_BYTES};
	bool alone = heap->has_profile && !heap->profile_tied;
	const enum column *shown = alone ? untied : heap->profile_sampled ? sampled : exact;
	size_t n = alone ? 4 : heap->profile_sampled ? 5 : 6;
	memcpy(columns, all_columns, sizeof(all_columns));
	for (size_t i = 0; i < n; i++)
		columns[shown[i]].flags &= ~(unsigned)HF_COLUMN_JSON;
	if (by != HF_BY_SITE)
		columns[RETAINED].flags |= HF_COLUMN_JSON;
	if (by == HF_BY_MODULE || !heap->profile_tied)
		columns[OLDEST].flags |= HF_COLUMN_JSON;
	if (heap->profile_sampled) {
		columns[LIVE_BYTES].kind = columns[TOTAL_BYTES].kind = HF_VALUE_SIZE_ESTIMATE;
		columns[LIVE_COUNT].kind = columns[TOTAL_COUNT].kind = HF_VALUE_COUNT_ESTIMATE;
	}
	if (by == HF_BY_MODULE)
		columns[NAME].title = "MODULE";
}

/* What to sort by, as a column of the sources. */
static const char *order_by(const struct hf_heapdb *heap, enum hf_site_by by, const char *order)
{
	bool estimates = shows_estimates(heap);
	if (order && !strcmp(order, "count"))
		return estimates ? "est_count" : "count";
	if (order && !strcmp(order, "retained") && by == HF_BY_SITE)
		return "retained_size";
	if (estimates)
		return "est_size";
	return !order && by == HF_BY_SITE ? "retained_size" : "size";
}

enum { SITE_ID_AT = 9, FUNCTION_AT = 10, MODULE_AT = 13 };

static enum hf_status name_of(struct hf_report *report, enum hf_site_by by, sqlite3_stmt *q,
	struct hf_text *text, struct hf_err *err)
{
	enum { CALLERS = 4 };
	if (by == HF_BY_SITE && !hf_column_null(q, SITE_ID_AT))
		return hf_site_text(report, hf_column_int(q, SITE_ID_AT), CALLERS, text, err);
	const char *name = hf_column_text(q, by == HF_BY_MODULE ? MODULE_AT : FUNCTION_AT);
	hf_text_addf(text, "%s", name);
	return HF_OK;
}

/* Names of the rows, in their order. */
struct names {
	char **at; /* owned, as the names are */
	size_t n, cap;
};

static void names_deinit(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->at[i]);
	free(names->at);
}

static enum hf_status names_push(struct names *names, const char *name, struct hf_err *err)
{
	if (names->n == names->cap) {
		size_t cap = names->cap ? 2 * names->cap : 64;
		char **at = reallocarray(names->at, cap, sizeof(*at));
		if (!at)
			return hf_err_set(err, HF_E_NOMEM, "no memory for names of sites");
		names->at = at;
		names->cap = cap;
	}
	names->at[names->n] = strdup(name);
	return names->at[names->n] ? (names->n++, HF_OK)
				   : hf_err_set(err, HF_E_NOMEM, "no memory for names of sites");
}

static void ids_deinit(int64_t **ids)
{
	free(*ids);
}

static bool is_twice(const struct names *names, size_t i)
{
	for (size_t k = 0; k < names->n; k++)
		if (k != i && !strcmp(names->at[k], names->at[i]))
			return true;
	return false;
}

/* Sites that would read alike get what tells them apart: the type or function behind the line, and
 * if that is the same, too, their numbers. */
static enum hf_status tell_apart(
	struct hf_report *report, struct names *names, const int64_t *sites, struct hf_err *err)
{
	enum { BY_DETAIL, BY_NUMBER, N_WAYS };
	for (int way = 0; way < N_WAYS; way++) {
		struct names told = {0};
		enum hf_status status = HF_OK;
		for (size_t i = 0; i < names->n && status == HF_OK; i++) {
			_cleanup_(hf_text_deinit) struct hf_text text = HF_TEXT_INIT;
			hf_text_addf(&text, "%s", names->at[i]);
			bool twice = is_twice(names, i);
			if (twice && way == BY_DETAIL)
				status = hf_site_detail(report, sites[i], &text, err);
			else if (twice)
				hf_text_addf(&text, ", site %lld", (long long)sites[i]);
			if (status == HF_OK)
				status = names_push(&told, hf_text_get(&text), err);
		}
		if (status != HF_OK) {
			names_deinit(&told);
			return status;
		}
		names_deinit(names);
		*names = told;
	}
	return HF_OK;
}

static void emit_row(
	struct hf_report *report, sqlite3_stmt *q, uint64_t profile_bytes, const char *name)
{
	struct hf_cell cells[N_COLUMNS];
	static const enum column read[] = {SIZE, COUNT, RETAINED, LEAKED, LIVE_BYTES, LIVE_COUNT,
		TOTAL_BYTES, TOTAL_COUNT, OLDEST, SITE_ID, FUNCTION, FILE_NAME, LINE, MODULE,
		EST_BYTES, EST_COUNT};
	for (int i = 0; i < (int)(sizeof(read) / sizeof(read[0])); i++)
		cells[read[i]] = hf_column_cell(q, i);
	cells[SHARE] =
		hf_cell_real(hf_percent((uint64_t)hf_column_int(q, 0), report->heap.live_size));
	cells[LIVE_SHARE] =
		hf_column_null(q, 4)
			? hf_cell_null()
			: hf_cell_real(hf_percent((uint64_t)hf_column_int(q, 4), profile_bytes));
	cells[EST_SHARE] = cells[EST_BYTES].type == HF_CELL_NULL
				   ? hf_cell_null()
				   : hf_cell_real(hf_percent(
					     (uint64_t)cells[EST_BYTES].i, report->heap.live_size));
	cells[SAMPLES] = cells[COUNT];
	cells[NAME] = hf_cell_text(name);
	hf_emit_row(report->emit, HF_NO_ROW, cells);
}

enum hf_status hf_top_sites(struct hf_report *report, enum hf_site_by by, const char *order,
	int64_t n, int64_t *ret_shown, int64_t *ret_all, struct hf_err *err)
{
	char sql[1536];
	struct hf_column columns[N_COLUMNS];
	sqlite3 *db = report->heap.db;
	int64_t profile_bytes = 0;
	snprintf(sql, sizeof(sql), "SELECT count(*) FROM (%s) %s", sources[by],
		where(&report->heap));
	enum hf_status status = hf_query_int(db, ret_all, err, sql, "");
	if (status == HF_OK)
		status = hf_query_int(db, &profile_bytes, err,
			"SELECT coalesce(sum(live_bytes), 0) FROM site", "");
	if (status != HF_OK)
		return status;
	const char *sorted = order_by(&report->heap, by, order);
	choose_columns(&report->heap, by, columns);
	if (*ret_all)
		note_order(report, columns, sorted);
	snprintf(sql, sizeof(sql),
		"SELECT * FROM (%s) %s ORDER BY %s DESC NULLS LAST, size DESC, site_id, "
		"function, module LIMIT ?",
		sources[by], where(&report->heap), sorted);
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	_cleanup_(names_deinit) struct names names = {0};
	_cleanup_(ids_deinit) int64_t *ids = calloc((size_t)*ret_all + 1, sizeof(*ids));
	if (!ids)
		return hf_err_set(err, HF_E_NOMEM, "no memory for sites");
	status = hf_query(db, &q, err, sql, "i", n);
	while (names.n < (size_t)*ret_all && hf_row(q, &status, err)) {
		_cleanup_(hf_text_deinit) struct hf_text name = HF_TEXT_INIT;
		ids[names.n] = hf_column_int(q, SITE_ID_AT);
		status = name_of(report, by, q, &name, err);
		if (status == HF_OK)
			status = names_push(&names, hf_text_get(&name), err);
	}
	if (status == HF_OK && by == HF_BY_SITE)
		status = tell_apart(report, &names, ids, err);
	if (status != HF_OK)
		return status;
	sqlite3_reset(q);
	size_t shown = 0;
	hf_emit_table_begin(report->emit, "rows", columns, N_COLUMNS);
	while (shown < names.n && hf_row(q, &status, err))
		emit_row(report, q, (uint64_t)profile_bytes, names.at[shown++]);
	hf_emit_table_end(report->emit);
	*ret_shown = (int64_t)shown;
	return status;
}
