#include "report/top_object.h"

#include <stdlib.h>

#include "base/cleanup.h"

/*
 * Links of a chain (a list's nodes) each have nearly all that the one before has: the head alone
 * stands for them, else they would fill every table. The database ranks a bounded number of
 * objects; where chains fill all of those, what hangs directly on roots and on heads of leaks is
 * ranked after them.
 */

enum { RANKED = 100000, LOOK_BACK = 256, ROOTS = 200 };

struct row {
	struct hf_object head;
	int64_t tail_id;
	uint64_t tail_figure;
	uint64_t chain; /* objects of it besides the head */
};

struct top {
	struct hf_report *report;
	enum hf_object_rank rank;
	struct row *rows;
	int64_t n, max;
};

static const struct hf_column columns[] = {
	{"addr", "ADDRESS", HF_VALUE_ADDRESS, 0},
	{"size", "SIZE", HF_VALUE_SIZE, 0},
	{"retained_size", "RETAINED", HF_VALUE_SIZE, 0},
	{"held_size", "HELD", HF_VALUE_SIZE, 0},
	{"held_share", "SHARE", HF_VALUE_SHARE, 0},
	{"held_count", "OBJECTS", HF_VALUE_COUNT, 0},
	{"what", "WHAT", HF_VALUE_TEXT, HF_COLUMN_ELIDE},
	{"id", "", HF_VALUE_PLAIN, HF_COLUMN_JSON},
	{"retained_count", "", HF_VALUE_COUNT, HF_COLUMN_JSON},
	{"chain", "", HF_VALUE_COUNT, HF_COLUMN_JSON},
};
enum { N_COLUMNS = sizeof(columns) / sizeof(columns[0]) };

static uint64_t figure(const struct top *top, const struct hf_object *o)
{
	return top->rank == HF_RANK_HELD   ? o->held_size
	       : top->rank == HF_RANK_SIZE ? o->size
					   : o->retained_size;
}

static bool join_chain(struct top *top, const struct hf_object *o)
{
	int64_t above = top->rank == HF_RANK_HELD ? o->holder_id : o->idom_id;
	if (!above || top->rank == HF_RANK_SIZE)
		return false;
	for (int64_t i = top->n; i-- > 0 && top->n - i <= LOOK_BACK;) {
		struct row *row = &top->rows[i];
		if (row->tail_id != above ||
			figure(top, o) < row->tail_figure - row->tail_figure / 10)
			continue;
		row->tail_id = o->id;
		row->tail_figure = figure(top, o);
		row->chain++;
		return true;
	}
	return false;
}

/* Take the objects of a query until there are enough rows. */
static enum hf_status take(
	struct top *top, sqlite3_stmt *q, uint64_t *n_read, uint64_t *last, struct hf_err *err)
{
	enum hf_status status = HF_OK;
	while (hf_row(q, &status, err)) {
		struct hf_object o;
		status = hf_heapdb_object(&top->report->heap, hf_column_int(q, 0), &o, err);
		if (status == HF_E_NOTFOUND)
			return hf_err_set(err, HF_E_CORRUPT, "the database lacks object %lld",
				(long long)hf_column_int(q, 0));
		if (status != HF_OK)
			return status;
		(*n_read)++;
		*last = figure(top, &o);
		if (join_chain(top, &o))
			continue;
		if (top->n == top->max)
			break;
		top->rows[top->n++] =
			(struct row){.head = o, .tail_id = o.id, .tail_figure = figure(top, &o)};
	}
	return status;
}

static enum hf_status take_ranked(
	struct top *top, uint64_t *n_read, uint64_t *last, struct hf_err *err)
{
	static const char *const sql[] = {
		[HF_RANK_RETAINED] = "SELECT object_id FROM stat_top_retained ORDER BY rank",
		[HF_RANK_HELD] = "SELECT object_id FROM stat_top_held ORDER BY rank",
		[HF_RANK_SIZE] = "SELECT object_id FROM stat_top_size ORDER BY rank",
	};
	static const char all_sizes[] = "SELECT id FROM object ORDER BY size DESC, id";
	bool all = top->rank == HF_RANK_SIZE && top->max > RANKED;
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status =
		hf_query(top->report->heap.db, &q, err, all ? all_sizes : sql[top->rank], "");
	return status == HF_OK ? take(top, q, n_read, last, err) : status;
}

static enum hf_status take_near_roots(struct top *top, uint64_t below, struct hf_err *err)
{
	const char *column = top->rank == HF_RANK_HELD ? "held_size" : "retained_size";
	const char *above = top->rank == HF_RANK_HELD ? "holder_id" : "idom_id";
	char text[1024];
	snprintf(text, sizeof(text),
		"SELECT id FROM (SELECT o.id, o.%s AS f FROM (SELECT id FROM variable "
		"ORDER BY %s DESC LIMIT ?1) v CROSS JOIN root r ON r.variable_id = v.id "
		"CROSS JOIN object o ON o.id = r.object_id WHERE o.%s IS NULL AND o.%s < ?2 "
		"UNION SELECT o.id, o.%s FROM stat_leak_head h CROSS JOIN object o "
		"ON o.id = h.object_id WHERE h.rank <= ?3 AND o.%s < ?2) ORDER BY f DESC, id "
		"LIMIT ?3",
		column, column, above, column, column, column);
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(top->report->heap.db, &q, err, text, "iii", (int64_t)ROOTS,
		(int64_t)below, top->max);
	uint64_t n_read = 0, last = 0;
	return status == HF_OK ? take(top, q, &n_read, &last, err) : status;
}

static void emit_row(struct hf_report *report, const struct row *row, bool more)
{
	char number[HF_NUMBER_SIZE];
	const struct hf_object *o = &row->head;
	_cleanup_(hf_text_deinit) struct hf_text what = HF_TEXT_INIT;
	hf_heapdb_object_place(&what, &report->heap, o, hf_emit_dots(report->emit));
	if (row->chain && hf_emit_form(report->emit) == HF_EMIT_HUMAN)
		hf_text_addf(&what, ", heads %s%s", hf_human_count(number, row->chain + 1),
			more ? "+" : "");
	hf_emit_row(report->emit, HF_NO_ROW,
		(struct hf_cell[N_COLUMNS]){
			hf_cell_int((int64_t)o->addr),
			hf_cell_int((int64_t)o->size),
			hf_cell_int((int64_t)o->retained_size),
			hf_cell_int((int64_t)o->held_size),
			hf_cell_real(hf_percent(o->held_size, report->heap.live_size)),
			hf_cell_int((int64_t)o->held_count),
			hf_cell_text(hf_text_get(&what)),
			hf_cell_int(o->id),
			hf_cell_int((int64_t)o->retained_count),
			hf_cell_int((int64_t)row->chain),
		});
}

static void top_deinit(struct top *top)
{
	free(top->rows);
}

enum hf_status hf_top_objects(
	struct hf_report *report, enum hf_object_rank rank, int64_t n, struct hf_err *err)
{
	int64_t max = n < RANKED ? n : RANKED;
	_cleanup_(top_deinit) struct top top = {.report = report, .rank = rank, .max = max};
	top.rows = calloc((size_t)max, sizeof(*top.rows));
	if (!top.rows)
		return hf_err_set(err, HF_E_NOMEM, "no memory for %lld rows", (long long)max);
	uint64_t n_read = 0, last = 0;
	enum hf_status status = take_ranked(&top, &n_read, &last, err);
	bool full = rank != HF_RANK_SIZE && n_read >= RANKED;
	if (status == HF_OK && top.n < max && full)
		status = take_near_roots(&top, last, err);
	if (status != HF_OK)
		return status;
	bool chains = false;
	hf_emit_table_begin(report->emit, "rows", columns, N_COLUMNS);
	for (int64_t i = 0; i < top.n; i++) {
		emit_row(report, &top.rows[i], full && top.rows[i].tail_figure == last);
		chains |= top.rows[i].chain > 0;
	}
	hf_emit_table_end(report->emit);
	if (chains)
		hf_emit_line(report->emit,
			"heads N: the first of N objects, each of which has nearly "
			"all of the one before");
	if (!top.n)
		hf_emit_line(report->emit, "There are no objects.");
	return HF_OK;
}
