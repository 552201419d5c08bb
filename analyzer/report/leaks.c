#include "report/report.h"

enum { SHOWN_HEADS = 10 };

static void leak_name(struct hf_text *text, sqlite3_stmt *q, const char *size)
{
	const char *type = hf_column_text(q, 5), *site = hf_column_text(q, 6);
	if (*type)
		hf_text_addf(text, "%s", type);
	if (*site) {
		hf_text_addf(text, "%sfrom %s", text->len ? " " : "", site);
		if (!hf_column_null(q, 7))
			hf_text_addf(text, "  %s:%s", hf_base_name(hf_column_text(q, 7)),
				hf_column_text(q, 8));
	}
	if (!*site && !hf_column_null(q, 9))
		hf_text_addf(text, "%sfrom site %lld", text->len ? " " : "",
			(long long)hf_column_int(q, 9));
	if (!text->len)
		hf_text_addf(text, "objects of %s (no site, no type known)", size);
}

static enum hf_status groups(struct hf_report *report, int64_t n, struct hf_err *err)
{
	static const struct hf_column columns[] = {
		{"held_size", "LEAKED", HF_VALUE_SIZE, 0},
		{"head_count", "HEADS", HF_VALUE_COUNT, 0},
		{"count", "COUNT", HF_VALUE_COUNT, 0},
		{"size", "SIZE", HF_VALUE_SIZE, 0},
		{"name", "WHAT", HF_VALUE_TEXT, HF_COLUMN_ELIDE},
		{"object_size", "", HF_VALUE_SIZE, HF_COLUMN_JSON},
		{"type", "", HF_VALUE_TEXT, HF_COLUMN_JSON},
		{"site", "", HF_VALUE_TEXT, HF_COLUMN_JSON},
		{"site_file", "", HF_VALUE_TEXT, HF_COLUMN_JSON},
		{"site_line", "", HF_VALUE_PLAIN, HF_COLUMN_JSON},
	};
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	int64_t total = 0, shown = 0;
	enum hf_status status =
		hf_query_int(report->heap.db, &total, err, "SELECT count(*) FROM leak_summary", "");
	if (status == HF_OK)
		status = hf_query(report->heap.db, &q, err,
			"SELECT held_size, head_count, count, size, object_size, type, site, "
			"site_file, site_line, nullif(site_id, 0) FROM leak_summary "
			"ORDER BY held_size DESC, size DESC, id LIMIT ?",
			"i", n);
	hf_emit_title(
		report->emit, "By what was allocated (heads: objects that no leaked one holds)");
	hf_emit_table_begin(report->emit, "groups", columns, sizeof(columns) / sizeof(columns[0]));
	while (hf_row(q, &status, err)) {
		char size[HF_NUMBER_SIZE];
		hf_human_size(size, (uint64_t)hf_column_int(q, 4));
		_cleanup_(hf_text_deinit) struct hf_text name = HF_TEXT_INIT;
		leak_name(&name, q, size);
		hf_emit_row(report->emit, HF_NO_ROW,
			(struct hf_cell[]){
				hf_column_cell(q, 0),
				hf_column_cell(q, 1),
				hf_column_cell(q, 2),
				hf_column_cell(q, 3),
				hf_cell_text(hf_text_get(&name)),
				hf_column_cell(q, 4),
				hf_column_cell(q, 5),
				hf_column_cell(q, 6),
				hf_column_cell(q, 7),
				hf_column_cell(q, 8),
			});
		shown++;
	}
	hf_emit_table_end(report->emit);
	char number[HF_NUMBER_SIZE];
	hf_emit_fact(report->emit, "total_groups", NULL, HF_VALUE_COUNT, hf_cell_int(total));
	if (total > shown)
		hf_emit_line(report->emit, "%s and %s more groups (-n)", hf_emit_dots(report->emit),
			hf_human_count(number, (uint64_t)(total - shown)));
	return status;
}

static enum hf_status heads(
	struct hf_report *report, int64_t n, uint64_t *ret_first, struct hf_err *err)
{
	static const struct hf_column columns[] = {
		{"held_size", "LEAKED", HF_VALUE_SIZE, 0},
		{"held_count", "OBJECTS", HF_VALUE_COUNT, 0},
		{"retained_size", "RETAINED", HF_VALUE_SIZE, 0},
		{"size", "SIZE", HF_VALUE_SIZE, 0},
		{"addr", "ADDRESS", HF_VALUE_ADDRESS, 0},
		{"name", "WHAT", HF_VALUE_TEXT, HF_COLUMN_ELIDE},
		{"id", "", HF_VALUE_PLAIN, HF_COLUMN_JSON},
	};
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(report->heap.db, &q, err,
		"SELECT object_id FROM stat_leak_head ORDER BY rank LIMIT ?", "i", n);
	hf_emit_title(report->emit, "Largest heads");
	hf_emit_table_begin(report->emit, "heads", columns, sizeof(columns) / sizeof(columns[0]));
	while (hf_row(q, &status, err)) {
		struct hf_object o;
		status = hf_heapdb_object(&report->heap, hf_column_int(q, 0), &o, err);
		if (status == HF_E_NOTFOUND)
			status = hf_err_set(err, HF_E_CORRUPT, "the database lacks object %lld",
				(long long)hf_column_int(q, 0));
		if (status != HF_OK)
			break;
		if (!*ret_first)
			*ret_first = o.addr;
		_cleanup_(hf_text_deinit) struct hf_text what = HF_TEXT_INIT;
		hf_heapdb_object_what(&what, &o);
		hf_emit_row(report->emit, HF_NO_ROW,
			(struct hf_cell[]){
				hf_cell_int((int64_t)o.held_size),
				hf_cell_int((int64_t)o.held_count),
				hf_cell_int((int64_t)o.retained_size),
				hf_cell_int((int64_t)o.size),
				hf_cell_int((int64_t)o.addr),
				hf_cell_text(hf_text_get(&what)),
				hf_cell_int(o.id),
			});
	}
	hf_emit_table_end(report->emit);
	return status;
}

enum hf_status hf_report_leaks(struct hf_report *report, const struct hf_leaks_options *options,
	uint64_t *ret_bytes, struct hf_err *err)
{
	const struct hf_heapdb *heap = &report->heap;
	struct hf_emit *emit = report->emit;
	char size[HF_NUMBER_SIZE], share[HF_NUMBER_SIZE], count[HF_NUMBER_SIZE];
	hf_emit_fact(emit, "leak_size", NULL, HF_VALUE_SIZE, hf_cell_int((int64_t)heap->leak_size));
	hf_emit_fact(
		emit, "leak_count", NULL, HF_VALUE_COUNT, hf_cell_int((int64_t)heap->leak_count));
	hf_emit_fact(emit, "leak_share", NULL, HF_VALUE_SHARE,
		hf_cell_real(hf_percent(heap->leak_size, heap->live_size)));
	*ret_bytes = heap->leak_size;
	if (heap->leak_count)
		hf_emit_title(emit, "%s leaked in %s objects: %s of the heap",
			hf_human_size(size, heap->leak_size),
			hf_human_count(count, heap->leak_count),
			hf_human_share(share, hf_percent(heap->leak_size, heap->live_size)));
	else if (heap->partial)
		hf_emit_line(emit, "No leak among what the dump holds, but it is partial: there is "
				   "no telling.");
	else
		hf_emit_line(emit, "Nothing is leaked: every object is reachable from a root.");
	if (heap->partial && heap->leak_count)
		hf_emit_warning(
			emit, "PARTIAL: what holds them may be in the part that is missing");
	bool human = hf_emit_form(emit) == HF_EMIT_HUMAN;
	if (human && !heap->leak_count)
		return HF_OK;
	uint64_t first = 0;
	enum hf_status status = groups(report, options->n, err);
	if (status == HF_OK)
		status = heads(report, human ? SHOWN_HEADS : options->n, &first, err);
	if (status == HF_OK && first) {
		char addr[HF_NUMBER_SIZE];
		snprintf(addr, sizeof(addr), "0x%llx", (unsigned long long)first);
		hf_emit_title(emit, "Next");
		hf_report_hint(report, "tree", addr, "what hangs on the first");
		hf_report_hint(report, "refs", addr, "what it points to");
	}
	return status;
}
