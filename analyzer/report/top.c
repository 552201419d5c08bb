#include <string.h>

#include "report/report.h"
#include "report/site.h"
#include "report/top_object.h"
#include "report/top_site.h"

/* Each thing to rank by is a query that gives, in the order of `columns` below: what people see as
 * name, further JSON columns, then the figures. %s is the ORDER BY column. */

static const struct hf_column group_columns[] = {
	{"size", "SIZE", HF_VALUE_SIZE, 0},
	{"share", "SHARE", HF_VALUE_SHARE, 0},
	{"count", "COUNT", HF_VALUE_COUNT, 0},
	{"retained_size", "RETAINED", HF_VALUE_SIZE, 0},
	{"leak_size", "LEAKED", HF_VALUE_SIZE, 0},
	{"name", "NAME", HF_VALUE_TEXT, HF_COLUMN_ELIDE},
};

static const struct hf_column root_columns[] = {
	{"held_size", "HELD", HF_VALUE_SIZE, 0},
	{"held_share", "SHARE", HF_VALUE_SHARE, 0},
	{"held_count", "OBJECTS", HF_VALUE_COUNT, 0},
	{"retained_size", "RETAINED", HF_VALUE_SIZE, 0},
	{"size", "DIRECT", HF_VALUE_SIZE, 0},
	{"name", "ROOT", HF_VALUE_TEXT, HF_COLUMN_ELIDE},
	{"kind", "", HF_VALUE_TEXT, HF_COLUMN_JSON},
	{"module", "", HF_VALUE_TEXT, HF_COLUMN_JSON},
	{"tid", "", HF_VALUE_PLAIN, HF_COLUMN_JSON},
	{"addr", "", HF_VALUE_ADDRESS, HF_COLUMN_JSON},
	{"count", "", HF_VALUE_COUNT, HF_COLUMN_JSON},
};

#define N(columns) (sizeof(columns) / sizeof((columns)[0]))

/* Of a short list within another report: rows shown however small, but for what is next to
 * nothing. */
enum { SHORT_ROWS = 3 };
static const double NEGLIGIBLE_PERCENT = 0.1;

struct sort {
	const char *name, *column;
};

struct by {
	const char *name;
	struct sort sorts[5]; /* the first is the default */
	enum hf_status (*run)(struct hf_report *, const struct by *, const char *order,
		const struct hf_top_options *options, struct hf_err *);
	const char *sql;
	const struct hf_column *columns;
	size_t n_columns;
	const char *none; /* what to say when there is nothing to rank */
};

static const char no_sites[] = "This heap has no allocation sites.";

static const char *none_text(const struct hf_heapdb *heap, const struct by *by)
{
	if (heap->partial && !heap->live_count)
		return "Not known: the dump has no objects.";
	if (heap->partial && !heap->has_roots && !strcmp(by->name, "root"))
		return "Not known: the dump has no roots.";
	return by->none;
}

static void more(struct hf_report *report, const struct by *by,
	const struct hf_top_options *options, int64_t shown, int64_t all)
{
	char number[HF_NUMBER_SIZE];
	hf_emit_fact(report->emit, "total_rows", NULL, HF_VALUE_COUNT, hf_cell_int(all));
	if (all > shown && options->min_percent > 0)
		hf_emit_line(report->emit, "%s and %s smaller: holdfast top %s --by %s",
			hf_emit_dots(report->emit), hf_human_count(number, (uint64_t)(all - shown)),
			report->input, by->name);
	else if (all > shown)
		hf_emit_line(report->emit, "%s and %s more (-n)", hf_emit_dots(report->emit),
			hf_human_count(number, (uint64_t)(all - shown)));
	/* of a profile without samples a note has told */
	if (!all && !(by->none == no_sites && report->heap.has_profile))
		hf_emit_line(report->emit, "%s", none_text(&report->heap, by));
}

static enum hf_status count_more(struct hf_report *report, const struct by *by,
	const struct hf_top_options *options, int64_t shown, struct hf_err *err)
{
	char sql[1024];
	int64_t all = 0;
	snprintf(sql, sizeof(sql), "SELECT count(*) FROM (%s)", by->sql);
	enum hf_status status = hf_query_int(report->heap.db, &all, err, sql, "");
	if (status != HF_OK)
		return status;
	more(report, by, options, shown, all);
	return HF_OK;
}

/* Queries whose columns are the figures and then the texts of by->columns. */
static enum hf_status run_group(struct hf_report *report, const struct by *by, const char *order,
	const struct hf_top_options *options, struct hf_err *err)
{
	char sql[2048];
	snprintf(sql, sizeof(sql), "SELECT * FROM (%s) ORDER BY %s DESC, name LIMIT ?", by->sql,
		order);
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(report->heap.db, &q, err, sql, "i", options->n);
	int64_t shown = 0, whole = 0;
	/* Older databases have usable sizes there, which are more than what was asked for. */
	if (status == HF_OK && !strcmp(by->name, "arena"))
		status = hf_query_int(
			report->heap.db, &whole, err, "SELECT sum(size) FROM arena_summary", "");
	if (!whole)
		whole = (int64_t)report->heap.live_size;
	hf_emit_table_begin(report->emit, "rows", by->columns, by->n_columns);
	while (hf_row(q, &status, err)) {
		struct hf_cell cells[16];
		for (size_t c = 0; c < by->n_columns; c++) {
			cells[c] = hf_column_cell(q, (int)c);
			if (by->columns[c].kind == HF_VALUE_SHARE)
				cells[c] = hf_cell_real(
					hf_percent((uint64_t)hf_column_int(q, 0), (uint64_t)whole));
		}
		hf_emit_row(report->emit, HF_NO_ROW, cells);
		shown++;
	}
	hf_emit_table_end(report->emit);
	return status == HF_OK ? count_more(report, by, options, shown, err) : status;
}

static enum hf_status run_root(struct hf_report *report, const struct by *by, const char *order,
	const struct hf_top_options *options, struct hf_err *err)
{
	char sql[2048];
	snprintf(sql, sizeof(sql), "SELECT * FROM (%s) ORDER BY %s DESC, name LIMIT ?", by->sql,
		order);
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(report->heap.db, &q, err, sql, "i", options->n);
	int64_t shown = 0;
	bool human = hf_emit_form(report->emit) == HF_EMIT_HUMAN;
	hf_emit_table_begin(report->emit, "rows", by->columns, by->n_columns);
	while (hf_row(q, &status, err)) {
		double share = hf_percent((uint64_t)hf_column_int(q, 0), report->heap.live_size);
		if (shown >= SHORT_ROWS && share < options->min_percent)
			break;
		if (shown && options->min_percent > 0 && share < NEGLIGIBLE_PERCENT)
			break;
		struct hf_cell cells[N(root_columns)];
		for (size_t c = 0; c < N(root_columns); c++)
			cells[c] = hf_column_cell(q, (int)c);
		cells[1] = hf_cell_real(share);
		_cleanup_(hf_text_deinit) struct hf_text name = HF_TEXT_INIT;
		hf_heapdb_root_label_of(&name, hf_column_text(q, 5), hf_column_text(q, 6),
			hf_column_text(q, 7), hf_column_int(q, 8), hf_column_text(q, 11));
		if (human)
			cells[5] = hf_cell_text(hf_text_get(&name));
		hf_emit_row(report->emit, HF_NO_ROW, cells);
		shown++;
	}
	hf_emit_table_end(report->emit);
	return status == HF_OK ? count_more(report, by, options, shown, err) : status;
}

static enum hf_status run_object(struct hf_report *report, const struct by *by, const char *order,
	const struct hf_top_options *options, struct hf_err *err)
{
	return hf_top_objects(report,
		!strcmp(order, "held_size") ? HF_RANK_HELD
		: !strcmp(order, "size")    ? HF_RANK_SIZE
					    : HF_RANK_RETAINED,
		options->n, err);
}

static enum hf_status run_sites(struct hf_report *report, enum hf_site_by what, const struct by *by,
	const char *order, const struct hf_top_options *options, struct hf_err *err)
{
	int64_t shown = 0, all = 0;
	hf_site_note(report);
	enum hf_status status = hf_top_sites(
		report, what, options->sort ? order : NULL, options->n, &shown, &all, err);
	if (status == HF_OK)
		more(report, by, options, shown, all);
	return status;
}

static enum hf_status run_site(struct hf_report *report, const struct by *by, const char *order,
	const struct hf_top_options *options, struct hf_err *err)
{
	return run_sites(report, HF_BY_SITE, by, order, options, err);
}

static enum hf_status run_function(struct hf_report *report, const struct by *by, const char *order,
	const struct hf_top_options *options, struct hf_err *err)
{
	return run_sites(report, HF_BY_FUNCTION, by, order, options, err);
}

static enum hf_status run_module(struct hf_report *report, const struct by *by, const char *order,
	const struct hf_top_options *options, struct hf_err *err)
{
	return run_sites(report, HF_BY_MODULE, by, order, options, err);
}

static const struct by bys[] = {
	{"object", {{"retained", "retained_size"}, {"held", "held_size"}, {"size", "size"}},
		run_object, NULL, NULL, 0, NULL},
	{"type", {{"retained", "retained_size"}, {"size", "size"}, {"count", "count"}}, run_group,
		"SELECT size, NULL, count, retained_size, leak_size, name FROM type_summary",
		group_columns, N(group_columns), "No object of this heap has a known type."},
	{"site", {{"retained", "retained"}, {"size", "size"}, {"count", "count"}}, run_site, NULL,
		NULL, 0, no_sites},
	{"function", {{"size", "size"}, {"count", "count"}}, run_function, NULL, NULL, 0, no_sites},
	{"module", {{"size", "size"}, {"count", "count"}}, run_module, NULL, NULL, 0, no_sites},
	{"root",
		{{"held", "held_size"}, {"retained", "retained_size"}, {"size", "size"},
			{"count", "held_count"}},
		run_root,
		"SELECT held_size, NULL, held_count, retained_size, size, name, kind, module, tid, "
		"addr, count, thread FROM root_summary",
		root_columns, N(root_columns), "No root holds anything."},
	{"arena", {{"size", "size"}, {"retained", "retained_size"}, {"count", "count"}}, run_group,
		"SELECT size, NULL, count, retained_size, leak_size, allocator || ', ' || kind || "
		"printf(' 0x%x', addr) AS name FROM arena_summary",
		group_columns, N(group_columns), "No allocator was found."},
};

static void list_sorts(struct hf_text *text, const struct by *by)
{
	for (size_t i = 0; i < N(by->sorts) && by->sorts[i].name; i++)
		hf_text_addf(text, "%s%s", i ? ", " : "", by->sorts[i].name);
}

static enum hf_status find(const struct hf_top_options *options, const struct by **ret_by,
	const struct sort **ret_sort, struct hf_err *err)
{
	const struct by *by = NULL;
	for (size_t i = 0; i < N(bys) && !by; i++)
		by = !strcmp(bys[i].name, options->by) ? &bys[i] : NULL;
	if (!by)
		return hf_err_set(err, HF_E_USAGE,
			"--by %s: not known; it is one of object, type, site, function, module, "
			"root, arena",
			options->by);
	const struct sort *sort = options->sort ? NULL : &by->sorts[0];
	for (size_t i = 0; i < N(by->sorts) && by->sorts[i].name && !sort; i++)
		sort = !strcmp(by->sorts[i].name, options->sort) ? &by->sorts[i] : NULL;
	if (!sort) {
		_cleanup_(hf_text_deinit) struct hf_text sorts = HF_TEXT_INIT;
		list_sorts(&sorts, by);
		return hf_err_set(err, HF_E_USAGE, "--sort %s: --by %s can be sorted by %s",
			options->sort, by->name, hf_text_get(&sorts));
	}
	*ret_by = by;
	*ret_sort = sort;
	return HF_OK;
}

enum hf_status hf_report_top_check(const struct hf_top_options *options, struct hf_err *err)
{
	const struct by *by;
	const struct sort *sort;
	return find(options, &by, &sort, err);
}

enum hf_status hf_report_top(
	struct hf_report *report, const struct hf_top_options *options, struct hf_err *err)
{
	const struct by *by;
	const struct sort *sort;
	enum hf_status status = find(options, &by, &sort, err);
	if (status != HF_OK)
		return status;
	struct hf_emit *emit = report->emit;
	hf_emit_fact(emit, "by", NULL, HF_VALUE_TEXT, hf_cell_text(by->name));
	hf_emit_fact(emit, "sort", NULL, HF_VALUE_TEXT, hf_cell_text(sort->name));
	hf_emit_fact(emit, "live_size", NULL, HF_VALUE_SIZE,
		hf_cell_int((int64_t)report->heap.live_size));
	return by->run(report, by, sort->column, options, err);
}
