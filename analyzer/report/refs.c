#include <string.h>

#include "field/field_sql.h"
#include "report/report.h"

/* Up to so many they are sorted by what they hold; more are not all read for that, unless all are
 * asked for: the first are those among the objects that hold most, then they go by address. */
enum { SORTED_MAX = 500, PICKED_MAX = 20000 };

/* The holder comes first in any case. */
static const char referrers_sorted[] =
	"SELECT e.src_id, e.src_offset, e.dst_offset, " HF_SQL_EDGE_FIELD(
		"e") " FROM edge e CROSS JOIN object o ON o.id = e.src_id WHERE e.dst_id = ?1 "
		     "ORDER BY e.src_id = ?2 DESC, o.reachable DESC, o.held_size DESC, e.src_id "
		     "LIMIT ?3";
#define REFERRERS_WITH(large)                                                                      \
	"WITH large AS MATERIALIZED (SELECT object_id, rank FROM stat_top_held t WHERE " large     \
	" ORDER BY rank LIMIT ?3) "                                                                \
	"SELECT src_id, src_offset, dst_offset, field FROM ("                                      \
	"SELECT e.src_id, e.src_offset, e.dst_offset, " HF_SQL_EDGE_FIELD(                         \
		"e") " AS field, "                                                                 \
		     "iif(e.src_id = ?2, 0, t.rank) AS place FROM (SELECT object_id, rank FROM "   \
		     "large UNION SELECT ?2, 0) t CROSS JOIN edge e INDEXED BY edge_dst "          \
		     "ON e.dst_id = ?1 AND e.src_id = t.object_id "                                \
		     "WHERE t.object_id <> ?2 OR t.rank = 0 UNION ALL "                            \
		     "SELECT * FROM (SELECT e.src_id, e.src_offset, "                              \
		     "e.dst_offset, " HF_SQL_EDGE_FIELD(                                           \
			     "e") ", 1e9 FROM edge e "                                             \
				  "WHERE e.dst_id = ?1 AND e.src_id <> ?2 AND e.src_id NOT IN "    \
				  "(SELECT object_id FROM large) LIMIT ?3)) "                      \
				  "ORDER BY place, src_id, src_offset LIMIT ?3"
static const char referrers_picked[] = REFERRERS_WITH(
	"t.rank <= 20000 AND t.object_id IN (SELECT src_id FROM edge WHERE dst_id = ?1)");
static const char referrers_probed[] =
	REFERRERS_WITH("t.rank <= 5000 AND EXISTS (SELECT 1 FROM edge e INDEXED BY edge_dst "
		       "WHERE e.dst_id = ?1 AND e.src_id = t.object_id)");

static const char references_sorted[] =
	"SELECT e.dst_id, e.src_offset, e.dst_offset, " HF_SQL_EDGE_FIELD(
		"e") " FROM edge e CROSS JOIN object o ON o.id = e.dst_id WHERE e.src_id = ?1 "
		     "ORDER BY o.holder_id IS ?1 DESC, o.held_size DESC, e.src_offset LIMIT ?2";
/* The largest that it holds are known; the others go by offset. */
static const char references_picked[] =
	"WITH large AS MATERIALIZED (SELECT child_id, rank FROM stat_wide_child "
	"WHERE parent_id = ?1 AND tree = 0 AND rank > 0 ORDER BY rank LIMIT ?2) "
	"SELECT dst_id, src_offset, dst_offset, field FROM ("
	"SELECT e.dst_id, e.src_offset, e.dst_offset, " HF_SQL_EDGE_FIELD(
		"e") " AS field, "
		     "l.rank AS place FROM large l CROSS JOIN edge e INDEXED BY edge_dst "
		     "ON e.dst_id = l.child_id AND e.src_id = ?1 UNION ALL "
		     "SELECT * FROM (SELECT e.dst_id, e.src_offset, "
		     "e.dst_offset, " HF_SQL_EDGE_FIELD(
			     "e") ", 1e9 FROM edge e "
				  "WHERE e.src_id = ?1 AND e.dst_id NOT IN "
				  "(SELECT child_id FROM large) LIMIT ?2)) "
				  "ORDER BY place, src_offset LIMIT ?2";

static const struct hf_column in_columns[] = {
	{"addr", "FROM", HF_VALUE_ADDRESS, 0},
	{"src_offset", "AT", HF_VALUE_TEXT, 0},
	{"size", "SIZE", HF_VALUE_SIZE, 0},
	{"held_size", "HELD", HF_VALUE_SIZE, 0},
	{"retained_size", "RETAINED", HF_VALUE_SIZE, 0},
	{"what", "WHAT", HF_VALUE_TEXT, HF_COLUMN_ELIDE},
	{"kind", "", HF_VALUE_TEXT, HF_COLUMN_JSON},
	{"object_id", "", HF_VALUE_PLAIN, HF_COLUMN_JSON},
	{"dst_offset", "", HF_VALUE_PLAIN, HF_COLUMN_JSON},
	{"holder", "", HF_VALUE_BOOL, HF_COLUMN_JSON},
	{"reachable", "", HF_VALUE_BOOL, HF_COLUMN_JSON},
};
static const struct hf_column out_columns[] = {
	{"src_offset", "AT", HF_VALUE_TEXT, 0},
	{"addr", "TO", HF_VALUE_ADDRESS, 0},
	{"size", "SIZE", HF_VALUE_SIZE, 0},
	{"held_size", "HELD", HF_VALUE_SIZE, 0},
	{"retained_size", "RETAINED", HF_VALUE_SIZE, 0},
	{"what", "WHAT", HF_VALUE_TEXT, HF_COLUMN_ELIDE},
	{"object_id", "", HF_VALUE_PLAIN, HF_COLUMN_JSON},
	{"dst_offset", "", HF_VALUE_PLAIN, HF_COLUMN_JSON},
	{"holds", "", HF_VALUE_BOOL, HF_COLUMN_JSON},
};

/* "+24", or the field's name; JSON has the number. */
static struct hf_cell at_cell(struct hf_report *report, struct hf_text *text, sqlite3_stmt *q,
	int offset_column, int field_column)
{
	if (hf_emit_form(report->emit) != HF_EMIT_HUMAN)
		return hf_column_cell(q, offset_column);
	if (!hf_column_null(q, field_column))
		hf_text_addf(text, "%s", hf_column_text(q, field_column));
	else
		hf_text_addf(text, "+%lld", (long long)hf_column_int(q, offset_column));
	return hf_cell_text(hf_text_get(text));
}

/* Where the other object hangs is said unless the two hold each other. */
static void what_text(struct hf_report *report, struct hf_text *text, const struct hf_object *other,
	uint64_t dst_offset, const char *held)
{
	if (*held)
		hf_heapdb_object_what(text, other);
	else
		hf_heapdb_object_place(text, &report->heap, other, hf_emit_dots(report->emit));
	if (dst_offset)
		hf_text_addf(
			text, "%sto +%llu", text->len ? ", " : "", (unsigned long long)dst_offset);
	if (*held)
		hf_text_addf(text, "%s%s", text->len ? ", " : "", held);
}

static enum hf_status other_object(
	struct hf_report *report, int64_t id, struct hf_object *ret, struct hf_err *err)
{
	enum hf_status status = hf_heapdb_object(&report->heap, id, ret, err);
	return status == HF_E_NOTFOUND ? hf_err_set(err, HF_E_CORRUPT,
						 "the database has no object %lld", (long long)id)
				       : status;
}

static enum hf_status root_rows(struct hf_report *report, const struct hf_object *object,
	int64_t limit, int64_t *shown, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(report->heap.db, &q, err,
		"SELECT id FROM root WHERE object_id = ? LIMIT ?", "ii", object->id, limit);
	while (hf_row(q, &status, err)) {
		struct hf_root root;
		status = hf_heapdb_root(&report->heap, hf_column_int(q, 0), &root, err);
		if (status != HF_OK)
			return status;
		_cleanup_(hf_text_deinit) struct hf_text text = HF_TEXT_INIT;
		hf_heapdb_root_label(&text, &root);
		if (root.offset)
			hf_text_addf(&text, ", to +%llu", (unsigned long long)root.offset);
		bool holder = root.id == object->holder_root_id && !object->holder_id;
		if (holder)
			hf_text_addf(&text, ", holds it");
		hf_emit_row(report->emit, HF_NO_ROW,
			(struct hf_cell[]){
				root.addr ? hf_cell_int((int64_t)root.addr) : hf_cell_null(),
				hf_emit_form(report->emit) == HF_EMIT_HUMAN
					? hf_cell_text("root")
					: hf_cell_int((int64_t)root.word_offset),
				hf_cell_null(),
				hf_cell_int((int64_t)root.held_size),
				hf_cell_int((int64_t)root.retained_size),
				hf_cell_text(hf_text_get(&text)),
				hf_cell_text(root.kind),
				hf_cell_null(),
				hf_cell_int((int64_t)root.offset),
				hf_cell_int(holder),
				hf_cell_int(1),
			});
		(*shown)++;
	}
	return status;
}

static enum hf_status in_rows(struct hf_report *report, const struct hf_object *object,
	int64_t limit, int64_t total, int64_t *shown, struct hf_err *err)
{
	const char *sql = total <= SORTED_MAX || limit >= total ? referrers_sorted
			  : total <= PICKED_MAX                 ? referrers_picked
								: referrers_probed;
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(
		report->heap.db, &q, err, sql, "iii", object->id, object->holder_id, limit);
	while (hf_row(q, &status, err)) {
		struct hf_object other;
		status = other_object(report, hf_column_int(q, 0), &other, err);
		if (status != HF_OK)
			return status;
		_cleanup_(hf_text_deinit) struct hf_text at = HF_TEXT_INIT;
		_cleanup_(hf_text_deinit) struct hf_text what = HF_TEXT_INIT;
		bool holder = other.id == object->holder_id;
		what_text(report, &what, &other, (uint64_t)hf_column_int(q, 2),
			holder            ? "holds it"
			: other.reachable ? ""
					  : "leaked");
		hf_emit_row(report->emit, HF_NO_ROW,
			(struct hf_cell[]){
				hf_cell_int((int64_t)other.addr),
				at_cell(report, &at, q, 1, 3),
				hf_cell_int((int64_t)other.size),
				hf_cell_int((int64_t)other.held_size),
				hf_cell_int((int64_t)other.retained_size),
				hf_cell_text(hf_text_get(&what)),
				hf_cell_text("object"),
				hf_cell_int(other.id),
				hf_column_cell(q, 2),
				hf_cell_int(holder),
				hf_cell_int(other.reachable),
			});
		(*shown)++;
	}
	return status;
}

static void more_line(struct hf_report *report, int64_t more)
{
	char number[HF_NUMBER_SIZE];
	if (more > 0)
		hf_emit_line(report->emit, "%s and %s more (--limit)", hf_emit_dots(report->emit),
			hf_human_count(number, (uint64_t)more));
}

static enum hf_status referrers(
	struct hf_report *report, const struct hf_object *object, int64_t limit, struct hf_err *err)
{
	int64_t n_roots = 0, n_edges = 0, shown = 0;
	sqlite3 *db = report->heap.db;
	enum hf_status status = hf_query_int(db, &n_roots, err,
		"SELECT count(*) FROM root WHERE object_id = ?", "i", object->id);
	if (status == HF_OK)
		status = hf_query_int(db, &n_edges, err,
			"SELECT count(*) FROM edge WHERE dst_id = ?", "i", object->id);
	if (status != HF_OK)
		return status;
	char roots[HF_NUMBER_SIZE], edges[HF_NUMBER_SIZE];
	hf_emit_fact(report->emit, "root_count", NULL, HF_VALUE_COUNT, hf_cell_int(n_roots));
	hf_emit_fact(report->emit, "referrer_count", NULL, HF_VALUE_COUNT, hf_cell_int(n_edges));
	hf_emit_title(report->emit, "Words that point to it: %s in roots, %s in objects",
		hf_human_count(roots, (uint64_t)n_roots), hf_human_count(edges, (uint64_t)n_edges));
	hf_emit_table_begin(
		report->emit, "referrers", in_columns, sizeof(in_columns) / sizeof(in_columns[0]));
	status = root_rows(report, object, limit, &shown, err);
	if (status == HF_OK && shown < limit)
		status = in_rows(report, object, limit - shown, n_edges, &shown, err);
	hf_emit_table_end(report->emit);
	more_line(report, n_roots + n_edges - shown);
	return status;
}

static enum hf_status references(
	struct hf_report *report, const struct hf_object *object, int64_t limit, struct hf_err *err)
{
	int64_t total = 0, shown = 0;
	enum hf_status status = hf_query_int(report->heap.db, &total, err,
		"SELECT count(*) FROM edge WHERE src_id = ?", "i", object->id);
	if (status != HF_OK)
		return status;
	char number[HF_NUMBER_SIZE];
	hf_emit_fact(report->emit, "reference_count", NULL, HF_VALUE_COUNT, hf_cell_int(total));
	hf_emit_title(report->emit, "Objects that it points to: %s word%s",
		hf_human_count(number, (uint64_t)total), total == 1 ? "" : "s");
	const char *sql = total <= SORTED_MAX || limit >= total || !report->heap.has_wide
				  ? references_sorted
				  : references_picked;
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	status = hf_query(report->heap.db, &q, err, sql, "ii", object->id, limit);
	hf_emit_table_begin(report->emit, "references", out_columns,
		sizeof(out_columns) / sizeof(out_columns[0]));
	while (hf_row(q, &status, err)) {
		struct hf_object other;
		status = other_object(report, hf_column_int(q, 0), &other, err);
		if (status != HF_OK)
			break;
		_cleanup_(hf_text_deinit) struct hf_text at = HF_TEXT_INIT;
		_cleanup_(hf_text_deinit) struct hf_text what = HF_TEXT_INIT;
		bool holds = other.holder_id == object->id;
		what_text(report, &what, &other, (uint64_t)hf_column_int(q, 2),
			holds ? "held by it" : "");
		hf_emit_row(report->emit, HF_NO_ROW,
			(struct hf_cell[]){
				at_cell(report, &at, q, 1, 3),
				hf_cell_int((int64_t)other.addr),
				hf_cell_int((int64_t)other.size),
				hf_cell_int((int64_t)other.held_size),
				hf_cell_int((int64_t)other.retained_size),
				hf_cell_text(hf_text_get(&what)),
				hf_cell_int(other.id),
				hf_column_cell(q, 2),
				hf_cell_int(holds),
			});
		shown++;
	}
	hf_emit_table_end(report->emit);
	more_line(report, total - shown);
	return status;
}

enum hf_status hf_report_refs(struct hf_report *report, uint64_t addr,
	const struct hf_refs_options *options, struct hf_err *err)
{
	struct hf_object object;
	enum hf_status status = hf_report_find(report, addr, &object, err);
	if (status != HF_OK || !object.id)
		return status;
	char size[HF_NUMBER_SIZE];
	_cleanup_(hf_text_deinit) struct hf_text what = HF_TEXT_INIT;
	hf_heapdb_object_what(&what, &object);
	hf_report_object(report, "object", &object);
	hf_emit_title(report->emit, "0x%llx  %s%s%s", (unsigned long long)object.addr,
		hf_human_size(size, object.size), what.len ? "  " : "", hf_text_get(&what));
	if (options->in)
		status = referrers(report, &object, options->limit, err);
	if (status == HF_OK && options->out)
		status = references(report, &object, options->limit, err);
	return status;
}
