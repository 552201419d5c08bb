#include <string.h>

#include "report/locate.h"
#include "report/report.h"

enum { MAX_REASONS = 3, NEAR = 1 << 30 };

enum hf_status hf_report_begin(struct hf_report *report, sqlite3 *db, struct hf_emit *emit,
	const char *input, struct hf_err *err)
{
	*report = (struct hf_report){.emit = emit, .input = input};
	enum hf_status status = hf_heapdb_init(&report->heap, db, err);
	if (status != HF_OK)
		return status;
	hf_emit_fact(emit, "partial", NULL, HF_VALUE_BOOL, hf_cell_int(report->heap.partial));
	return report->heap.partial ? hf_report_partial(report, err) : HF_OK;
}

void hf_report_end(struct hf_report *report)
{
	hf_heapdb_deinit(&report->heap);
}

enum hf_status hf_report_partial(struct hf_report *report, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	/* No bounds: what is missing may be holders, leaks, or the list of what is free. */
	hf_emit_warning(report->emit, "PARTIAL: the dump does not hold the whole heap; all figures "
				      "are of what is there.");
	enum hf_status status = hf_query(report->heap.db, &q, err,
		"SELECT text FROM finding WHERE severity = 'partial' "
		"UNION ALL SELECT 'check failed: ' || name || ': the allocator says ' || expected "
		"|| ', the walk found ' || found FROM counter WHERE must_match AND expected <> "
		"found",
		"");
	int n = 0;
	while (hf_row(q, &status, err)) {
		if (n++ < MAX_REASONS)
			hf_emit_warning(report->emit, "  %s", hf_column_text(q, 0));
	}
	if (n > MAX_REASONS)
		hf_emit_warning(report->emit, "  and %d more: holdfast info %s", n - MAX_REASONS,
			report->input);
	return status;
}

static void neighbour(struct hf_report *report, const char *key, const char *label, bool has,
	const struct hf_object *object, uint64_t distance)
{
	hf_emit_fact(report->emit, key, NULL, HF_VALUE_ADDRESS,
		has ? hf_cell_int((int64_t)object->addr) : hf_cell_null());
	/* What is further away says nothing. */
	if (!has || distance >= NEAR)
		return;
	char size[HF_NUMBER_SIZE], away[HF_NUMBER_SIZE];
	hf_emit_line(report->emit, "%-14s 0x%llx, %s, %s %s", label,
		(unsigned long long)object->addr, hf_human_size(size, object->size),
		hf_human_size(away, distance),
		!strcmp(key, "before") ? "past its end" : "further on");
}

static enum hf_status not_an_object(struct hf_report *report, uint64_t addr, struct hf_err *err)
{
	struct hf_location where;
	enum hf_status status = hf_locate(&report->heap, addr, &where, err);
	if (status != HF_OK)
		return status;
	_cleanup_(hf_text_deinit) struct hf_text text = HF_TEXT_INIT;
	hf_location_text(&text, &where);
	struct hf_emit *emit = report->emit;
	hf_emit_line(emit, "0x%llx is %s.", (unsigned long long)addr,
		addr ? hf_text_get(&text) : "the null pointer, which points to nothing");
	hf_emit_fact(emit, "address", NULL, HF_VALUE_ADDRESS, hf_cell_int((int64_t)addr));
	hf_emit_fact(emit, "object", NULL, HF_VALUE_ADDRESS, hf_cell_null());
	hf_emit_fact(emit, "place", NULL, HF_VALUE_TEXT, hf_cell_text(where.name));
	hf_emit_fact(emit, "place_text", NULL, HF_VALUE_TEXT, hf_cell_text(hf_text_get(&text)));
	uint64_t end = where.has_before ? where.before.addr + where.before.usable : 0;
	neighbour(report, "before", "object before", where.has_before, &where.before, addr - end);
	neighbour(report, "after", "object after", where.has_after, &where.after,
		where.after.addr - addr);
	return hf_err_set(
		err, HF_E_NOTFOUND, "0x%llx is in no live object", (unsigned long long)addr);
}

enum hf_status hf_report_find(
	struct hf_report *report, uint64_t addr, struct hf_object *ret, struct hf_err *err)
{
	bool is_root = false;
	enum hf_status status = hf_heapdb_containing(&report->heap, addr, ret, err);
	if (status != HF_E_NOTFOUND)
		return status;
	*ret = (struct hf_object){0};
	status = hf_report_variable(report, addr, &is_root, err);
	return status != HF_OK || is_root ? status : not_an_object(report, addr, err);
}

void hf_report_object(struct hf_report *report, const char *key, const struct hf_object *object)
{
	struct hf_emit *emit = report->emit;
	hf_emit_object_begin(emit, key);
	hf_emit_fact(emit, "id", NULL, HF_VALUE_PLAIN, hf_cell_int(object->id));
	hf_emit_fact(emit, "addr", NULL, HF_VALUE_ADDRESS, hf_cell_int((int64_t)object->addr));
	hf_emit_fact(emit, "size", NULL, HF_VALUE_SIZE, hf_cell_int((int64_t)object->size));
	hf_emit_fact(emit, "usable", NULL, HF_VALUE_SIZE, hf_cell_int((int64_t)object->usable));
	hf_emit_fact(emit, "retained_size", NULL, HF_VALUE_SIZE,
		hf_cell_int((int64_t)object->retained_size));
	hf_emit_fact(emit, "retained_count", NULL, HF_VALUE_COUNT,
		hf_cell_int((int64_t)object->retained_count));
	hf_emit_fact(
		emit, "held_size", NULL, HF_VALUE_SIZE, hf_cell_int((int64_t)object->held_size));
	hf_emit_fact(
		emit, "held_count", NULL, HF_VALUE_COUNT, hf_cell_int((int64_t)object->held_count));
	hf_emit_fact(emit, "held_share", NULL, HF_VALUE_SHARE,
		hf_cell_real(hf_percent(object->held_size, report->heap.live_size)));
	hf_emit_fact(emit, "reachable", NULL, HF_VALUE_BOOL, hf_cell_int(object->reachable));
	hf_emit_fact(emit, "depth", NULL, HF_VALUE_COUNT,
		object->depth < 0 ? hf_cell_null() : hf_cell_int(object->depth));
	hf_emit_fact(emit, "type", NULL, HF_VALUE_TEXT,
		hf_cell_text(object->type[0] ? object->type : NULL));
	hf_emit_fact(emit, "site", NULL, HF_VALUE_TEXT,
		hf_cell_text(object->site[0] ? object->site : NULL));
	hf_emit_fact(emit, "site_id", NULL, HF_VALUE_PLAIN,
		object->site_id ? hf_cell_int(object->site_id) : hf_cell_null());
	hf_emit_fact(emit, "site_file", NULL, HF_VALUE_TEXT,
		hf_cell_text(object->site_file[0] ? object->site_file : NULL));
	hf_emit_fact(emit, "site_line", NULL, HF_VALUE_PLAIN,
		object->site_line ? hf_cell_int(object->site_line) : hf_cell_null());
	hf_emit_fact(emit, "age", NULL, HF_VALUE_AGE,
		object->age < 0 ? hf_cell_null() : hf_cell_int(object->age));
	hf_emit_fact(emit, "alloc_tid", NULL, HF_VALUE_PLAIN,
		object->alloc_tid ? hf_cell_int(object->alloc_tid) : hf_cell_null());
	hf_emit_fact(emit, "label", NULL, HF_VALUE_TEXT,
		hf_cell_text(object->label[0] ? object->label : NULL));
	hf_emit_object_end(emit);
}

void hf_report_hint(
	struct hf_report *report, const char *command, const char *rest, const char *what)
{
	_cleanup_(hf_text_deinit) struct hf_text text = HF_TEXT_INIT;
	hf_text_addf(&text, "holdfast %s %s", command, report->input);
	if (rest && *rest)
		hf_text_addf(&text, " %s", rest);
	hf_emit_hint(report->emit, hf_text_get(&text), what);
}

void hf_report_keys_note(struct hf_report *report, const char *path)
{
	if (strstr(path, "[\"key\" not shown]"))
		hf_emit_line(report->emit,
			"  (keys of maps are contents, and those are not in the dump)");
}
