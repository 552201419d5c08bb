#include <string.h>

#include "report/leak_ages.h"
#include "report/report.h"
#include "report/site.h"

enum { SHOWN_HEADS = 10, SHOWN_CALLERS = 6 };

static const char all_sql[] =
	"SELECT held_size, head_count, count, size, object_size, type, site, site_file, site_line, "
	"nullif(site_id, 0) AS site_id, est_size, est_count, youngest, oldest, id FROM "
	"leak_summary WHERE ?1 < 0";

/* All leaked objects whether sampled or not, by what is known of each. */
static const char kinds_sql[] =
	"SELECT sum(iif(o.holder_id IS NULL, o.held_size, 0)) AS held_size, "
	"sum(o.holder_id IS NULL) AS head_count, count(*) AS count, sum(o.size) AS size, "
	"iif(o.type_id IS NULL, o.size, NULL) AS object_size, max(ty.name) AS type, NULL AS site, "
	"NULL AS site_file, NULL AS site_line, NULL AS site_id, NULL AS est_size, "
	"NULL AS est_count, min(o.age) AS youngest, max(o.age) AS oldest, min(o.id) AS id "
	"FROM object o LEFT JOIN type ty ON ty.id = o.type_id WHERE o.reachable = 0 AND ?1 < 0 "
	"GROUP BY o.type_id, iif(o.type_id IS NULL, o.size, NULL)";

enum column {
	HELD,
	HEADS,
	COUNT,
	SIZE,
	OBJECT_SIZE,
	TYPE,
	SITE,
	SITE_FILE,
	SITE_LINE,
	SITE_ID,
	EST_SIZE,
	EST_COUNT,
	YOUNGEST,
	OLDEST,
};

static enum hf_status leak_name(
	struct hf_report *report, sqlite3_stmt *q, struct hf_text *text, struct hf_err *err)
{
	char size[HF_NUMBER_SIZE];
	const char *type = hf_column_text(q, TYPE);
	if (*type)
		hf_text_addf(text, "%s", type);
	if (!hf_column_null(q, SITE_ID)) {
		hf_text_addf(text, "%s", text->len ? " at " : "");
		return hf_site_text(report, hf_column_int(q, SITE_ID), SHOWN_CALLERS, text, err);
	}
	if (!text->len)
		hf_text_addf(text, "objects of %s%s",
			hf_human_size(size, (uint64_t)hf_column_int(q, OBJECT_SIZE)),
			report->heap.profile_tied ? "" : " (no site, no type known)");
	return HF_OK;
}

/* What a table of groups is about. */
struct part {
	const char *key, *title, *source, *where, *order;
	bool estimates; /* its figures are those of samples */
};

static enum hf_status group_table(struct hf_report *report, const struct part *part,
	const struct hf_leaks_options *options, struct hf_err *err)
{
	bool with_sites = report->heap.profile_tied && part->source != kinds_sql;
	struct hf_column columns[] = {
		{"held_size", "LEAKED", HF_VALUE_SIZE, part->estimates ? HF_COLUMN_JSON : 0},
		{"est_size", "LEAKED", HF_VALUE_SIZE_ESTIMATE,
			part->estimates ? 0 : HF_COLUMN_JSON},
		{"head_count", "HEADS", HF_VALUE_COUNT, part->estimates ? HF_COLUMN_JSON : 0},
		{"est_count", "COUNT", HF_VALUE_COUNT_ESTIMATE,
			part->estimates ? 0 : HF_COLUMN_JSON},
		{"count", part->estimates ? "SAMPLES" : "COUNT",
			part->estimates ? HF_VALUE_SAMPLES : HF_VALUE_COUNT, 0},
		{"size", "SIZE", HF_VALUE_SIZE, part->estimates ? HF_COLUMN_JSON : 0},
		{"oldest", "OLDEST", HF_VALUE_AGE, with_sites ? 0 : HF_COLUMN_JSON},
		{"name", with_sites ? "ALLOCATED AT" : "WHAT", HF_VALUE_TEXT, HF_COLUMN_WRAP},
		{"youngest", "", HF_VALUE_AGE, HF_COLUMN_JSON},
		{"object_size", "", HF_VALUE_SIZE, HF_COLUMN_JSON},
		{"type", "", HF_VALUE_TEXT, HF_COLUMN_JSON},
		{"site", "", HF_VALUE_TEXT, HF_COLUMN_JSON},
		{"site_file", "", HF_VALUE_TEXT, HF_COLUMN_JSON},
		{"site_line", "", HF_VALUE_PLAIN, HF_COLUMN_JSON},
		{"site_id", "", HF_VALUE_PLAIN, HF_COLUMN_JSON},
	};
	char sql[2048], key[64];
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	int64_t total = 0, shown = 0;
	const char *source = options->older_s < 0 ? part->source : hf_leak_ages_sql;
	snprintf(sql, sizeof(sql), "SELECT count(*) FROM (%s) %s", source, part->where);
	enum hf_status status =
		hf_query_int(report->heap.db, &total, err, sql, "i", options->older_s);
	snprintf(sql, sizeof(sql), "SELECT * FROM (%s) %s ORDER BY %s LIMIT ?2", source,
		part->where, part->order);
	if (status == HF_OK)
		status =
			hf_query(report->heap.db, &q, err, sql, "ii", options->older_s, options->n);
	if (status == HF_OK && (total || !part->estimates))
		hf_emit_title(report->emit, "%s", part->title);
	hf_emit_table_begin(report->emit, part->key, columns, sizeof(columns) / sizeof(columns[0]));
	while (hf_row(q, &status, err)) {
		_cleanup_(hf_text_deinit) struct hf_text name = HF_TEXT_INIT;
		status = leak_name(report, q, &name, err);
		hf_emit_row(report->emit, HF_NO_ROW,
			(struct hf_cell[]){
				hf_column_cell(q, HELD),
				hf_column_cell(q, EST_SIZE),
				hf_column_cell(q, HEADS),
				hf_column_cell(q, EST_COUNT),
				hf_column_cell(q, COUNT),
				hf_column_cell(q, SIZE),
				hf_column_cell(q, OLDEST),
				hf_cell_text(hf_text_get(&name)),
				hf_column_cell(q, YOUNGEST),
				hf_column_cell(q, OBJECT_SIZE),
				hf_column_cell(q, TYPE),
				hf_column_cell(q, SITE),
				hf_column_cell(q, SITE_FILE),
				hf_column_cell(q, SITE_LINE),
				hf_column_cell(q, SITE_ID),
			});
		shown++;
	}
	hf_emit_table_end(report->emit);
	char number[HF_NUMBER_SIZE];
	snprintf(key, sizeof(key), "total_%s", part->key);
	hf_emit_fact(report->emit, key, NULL, HF_VALUE_COUNT, hf_cell_int(total));
	if (total > shown)
		hf_emit_line(report->emit, "%s and %s more groups (-n)", hf_emit_dots(report->emit),
			hf_human_count(number, (uint64_t)(total - shown)));
	return status;
}

/* All groups in one table, or, where sites are sampled, what is known of them by samples first. */
static enum hf_status groups(
	struct hf_report *report, const struct hf_leaks_options *options, struct hf_err *err)
{
	static const char by_size[] = "held_size DESC, size DESC, id",
			  by_estimate[] = "est_size DESC, id";
	static const struct part
		exact = {"groups",
			"By what was allocated (heads: objects that no leaked one holds)", all_sql,
			"", by_size, false},
		sampled = {"groups", "Where they were allocated (~: estimates from samples)",
			all_sql, "WHERE site_id IS NOT NULL", by_estimate, true},
		kinds = {"kinds", "All of them, sampled or not, by type or size (exact)", kinds_sql,
			"", by_size, false};
	if (!report->heap.profile_tied || !report->heap.profile_sampled)
		return group_table(report, &exact, options, err);
	enum hf_status status = group_table(report, &sampled, options, err);
	/* Only objects with a site have an age. */
	return status != HF_OK || options->older_s >= 0 ? status
							: group_table(report, &kinds, options, err);
}

static enum hf_status head_name(struct hf_report *report, const struct hf_object *o,
	struct hf_text *text, struct hf_err *err)
{
	if (o->label[0])
		hf_text_addf(text, "\"%s\"", o->label);
	if (o->type[0])
		hf_text_addf(text, "%s%s", text->len ? " " : "", o->type);
	if (!o->site_id)
		return HF_OK;
	hf_text_addf(text, "%s", text->len ? " at " : "");
	return hf_site_text(report, o->site_id, 0, text, err);
}

static enum hf_status heads(struct hf_report *report, int64_t n, int64_t older_s,
	uint64_t *ret_first, struct hf_err *err)
{
	const struct hf_column columns[] = {
		{"held_size", "LEAKED", HF_VALUE_SIZE, 0},
		{"held_count", "OBJECTS", HF_VALUE_COUNT, 0},
		{"retained_size", "RETAINED", HF_VALUE_SIZE, 0},
		{"size", "SIZE", HF_VALUE_SIZE, 0},
		{"addr", "ADDRESS", HF_VALUE_ADDRESS, 0},
		{"age", "AGE", HF_VALUE_AGE, report->heap.profile_tied ? 0 : HF_COLUMN_JSON},
		{"name", "WHAT", HF_VALUE_TEXT, HF_COLUMN_ELIDE},
		{"id", "", HF_VALUE_PLAIN, HF_COLUMN_JSON},
	};
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(report->heap.db, &q, err,
		older_s < 0 ? "SELECT object_id FROM stat_leak_head WHERE ?1 < 0 ORDER BY rank "
			      "LIMIT ?2"
			    : "SELECT id FROM object WHERE reachable = 0 AND holder_id IS NULL "
			      "AND age >= ?1 ORDER BY held_size DESC, id LIMIT ?2",
		"ii", older_s, n);
	hf_emit_title(report->emit, "Largest heads");
	hf_emit_table_begin(report->emit, "heads", columns, sizeof(columns) / sizeof(columns[0]));
	while (hf_row(q, &status, err)) {
		struct hf_object o;
		status = hf_heapdb_object(&report->heap, hf_column_int(q, 0), &o, err);
		if (status == HF_E_NOTFOUND)
			status = hf_err_set(err, HF_E_CORRUPT, "the database lacks object %lld",
				(long long)hf_column_int(q, 0));
		_cleanup_(hf_text_deinit) struct hf_text what = HF_TEXT_INIT;
		if (status == HF_OK)
			status = head_name(report, &o, &what, err);
		if (status != HF_OK)
			break;
		if (!*ret_first)
			*ret_first = o.addr;
		hf_emit_row(report->emit, HF_NO_ROW,
			(struct hf_cell[]){
				hf_cell_int((int64_t)o.held_size),
				hf_cell_int((int64_t)o.held_count),
				hf_cell_int((int64_t)o.retained_size),
				hf_cell_int((int64_t)o.size),
				hf_cell_int((int64_t)o.addr),
				o.age < 0 ? hf_cell_null() : hf_cell_int(o.age),
				hf_cell_text(hf_text_get(&what)),
				hf_cell_int(o.id),
			});
	}
	hf_emit_table_end(report->emit);
	return status;
}

enum hf_status hf_report_leaks(struct hf_report *report, const struct hf_leaks_options *options,
	struct hf_leaks_found *ret, struct hf_err *err)
{
	const struct hf_heapdb *heap = &report->heap;
	struct hf_emit *emit = report->emit;
	char size[HF_NUMBER_SIZE], share[HF_NUMBER_SIZE], count[HF_NUMBER_SIZE];
	hf_emit_fact(emit, "leak_size", NULL, HF_VALUE_SIZE, hf_cell_int((int64_t)heap->leak_size));
	hf_emit_fact(
		emit, "leak_count", NULL, HF_VALUE_COUNT, hf_cell_int((int64_t)heap->leak_count));
	hf_emit_fact(emit, "leak_share", NULL, HF_VALUE_SHARE,
		hf_cell_real(hf_percent(heap->leak_size, heap->live_size)));
	*ret = (struct hf_leaks_found){.least = heap->leak_size, .most = heap->leak_size};
	if (heap->leak_count)
		hf_emit_title(emit, "%s %s in %s object%s: %s of %s",
			hf_human_size(size, heap->leak_size),
			heap->partial ? "seems leaked" : "leaked",
			hf_human_count(count, heap->leak_count), heap->leak_count == 1 ? "" : "s",
			hf_human_share(share, hf_percent(heap->leak_size, heap->live_size)),
			heap->partial ? "what is there" : "the heap");
	else if (heap->partial)
		hf_emit_line(emit, "No leak among what the dump holds, but it is partial: there is "
				   "no telling.");
	else
		hf_emit_line(emit, "Nothing is leaked: every object is reachable from a root.");
	if (heap->partial && heap->leak_count)
		hf_emit_warning(emit,
			"PARTIAL: what holds them, and more leaks, may be in what is missing");
	bool human = hf_emit_form(emit) == HF_EMIT_HUMAN;
	if (human && !heap->leak_count)
		return HF_OK;
	uint64_t first = 0, listed = heap->leak_count;
	enum hf_status status = HF_OK;
	if (options->older_s >= 0)
		status = hf_leak_ages(report, options, ret, &listed, err);
	if (status == HF_OK && (!human || listed)) {
		if (!human || heap->profile_sampled || *heap->profile_missing)
			hf_site_note(report);
		status = groups(report, options, err);
		if (status == HF_OK)
			status =
				heads(report, human && !options->n_given ? SHOWN_HEADS : options->n,
					options->older_s, &first, err);
	}
	if (status == HF_OK && first) {
		char addr[HF_NUMBER_SIZE];
		snprintf(addr, sizeof(addr), "0x%llx", (unsigned long long)first);
		hf_emit_title(emit, "Next");
		hf_report_hint(report, "tree", addr, "what hangs on the first");
		hf_report_hint(report, "refs", addr, "what it points to");
		if (!heap->has_profile && !*heap->profile_missing)
			hf_emit_hint(
				emit, "holdfast run --exact -- CMD", "where such are allocated");
	}
	return status;
}
