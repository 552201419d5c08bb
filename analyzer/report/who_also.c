#include "base/cleanup.h"
#include "report/also_note.h"
#include "report/group.h"
#include "report/who_all.h"

static enum hf_status emit_entry(
	struct hf_report *report, const struct hf_also_entry *e, struct hf_err *err)
{
	struct hf_object from;
	struct hf_root root;
	_cleanup_(hf_text_deinit) struct hf_text text = HF_TEXT_INIT;
	enum hf_status status =
		hf_also_from(&text, &report->heap, e, hf_emit_dots(report->emit), err);
	if (status == HF_OK)
		status = e->src_id ? hf_heapdb_object(&report->heap, e->src_id, &from, err)
				   : hf_heapdb_root(&report->heap, e->root_id, &root, err);
	if (status != HF_OK)
		return status;
	uint64_t addr = e->src_id ? from.addr : root.addr;
	hf_emit_row(report->emit, HF_NO_ROW,
		(struct hf_cell[]){
			hf_cell_int((int64_t)e->bytes),
			hf_cell_int((int64_t)e->count),
			hf_cell_int((int64_t)e->target_addr),
			hf_cell_text(hf_text_get(&text)),
			hf_cell_text(e->src_id ? "object" : root.kind),
			addr ? hf_cell_int((int64_t)addr) : hf_cell_null(),
		});
	return HF_OK;
}

static enum hf_status emit_entries(
	struct hf_report *report, const struct hf_also *also, size_t max, struct hf_err *err)
{
	static const struct hf_column columns[] = {
		{"bytes", "REACHES", HF_VALUE_SIZE, 0},
		{"count", "OBJECTS", HF_VALUE_COUNT, 0},
		{"target_addr", "INTO", HF_VALUE_ADDRESS, 0},
		{"from", "FROM", HF_VALUE_TEXT, HF_COLUMN_ELIDE},
		{"kind", "", HF_VALUE_TEXT, HF_COLUMN_JSON},
		{"from_addr", "", HF_VALUE_ADDRESS, HF_COLUMN_JSON},
	};
	enum hf_status status = HF_OK;
	hf_emit_table_begin(
		report->emit, "also_holds", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < also->n && i < max && status == HF_OK; i++)
		status = emit_entry(report, &also->at[i], err);
	hf_emit_table_end(report->emit);
	if (status == HF_OK && also->n > max)
		hf_emit_line(report->emit, "%s and %s%zu more", hf_emit_dots(report->emit),
			also->complete ? "" : "more than ", also->n - max);
	return status;
}

/* The words summed by what they are in. */
static enum hf_status emit_sources(
	struct hf_report *report, const struct hf_also *also, size_t max, struct hf_err *err)
{
	static const struct hf_column columns[] = {
		{"bytes", "REACHES", HF_VALUE_SIZE, 0},
		{"count", "OBJECTS", HF_VALUE_COUNT, 0},
		{"words", "WORDS", HF_VALUE_COUNT, 0},
		{"from", "IN", HF_VALUE_TEXT, HF_COLUMN_ELIDE},
		{"kind", "", HF_VALUE_TEXT, HF_COLUMN_JSON},
		{"estimated", "", HF_VALUE_BOOL, HF_COLUMN_JSON},
	};
	_cleanup_(hf_also_sources_deinit) struct hf_also_sources sources = {0};
	struct hf_emit *emit = report->emit;
	enum hf_status status = hf_also_sum(&report->heap, also, &sources, err);
	/* Where it says no more than the words one by one, people need not see it. */
	if (status != HF_OK || (hf_emit_form(emit) == HF_EMIT_HUMAN && sources.n == also->n))
		return status;
	hf_emit_line(emit, "Summed by what the words are in:");
	hf_emit_table_begin(
		emit, "also_holds_by_source", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < sources.n && i < max && status == HF_OK; i++) {
		const struct hf_also_source *s = &sources.at[i];
		_cleanup_(hf_text_deinit) struct hf_text text = HF_TEXT_INIT;
		status = hf_also_source_place(&text, &report->heap, s, err);
		struct hf_cell cells[] = {
			hf_cell_int((int64_t)hf_group_number(s->bytes, s->estimated)),
			hf_cell_int((int64_t)hf_group_number(s->count, s->estimated)),
			hf_cell_int((int64_t)hf_group_number(s->words, s->estimated)),
			hf_cell_text(hf_text_get(&text)),
			hf_cell_text(hf_also_kind_name(s->kind)),
			hf_cell_int(s->estimated),
		};
		for (int c = 0; c < 3; c++)
			cells[c].estimate = s->estimated;
		hf_emit_row(emit, HF_NO_ROW, cells);
	}
	hf_emit_table_end(emit);
	if (status == HF_OK && sources.n > max)
		hf_emit_line(emit, "%s and %s%zu more", hf_emit_dots(emit),
			also->complete ? "" : "at least ", sources.n - max);
	return status;
}

enum hf_status hf_who_also(
	struct hf_report *report, const struct hf_object *object, int n, struct hf_err *err)
{
	struct hf_emit *emit = report->emit;
	/* Where all is retained, and the one way in is the holder, there is nothing to find. */
	if (!object->reachable ||
		(object->retained_count == object->held_count && object->holder_id &&
			object->idom_id == object->holder_id)) {
		hf_emit_fact(emit, "also_holds_complete", NULL, HF_VALUE_BOOL, hf_cell_int(1));
		return HF_OK;
	}
	struct hf_also_top top = {.object_id = object->id,
		.held_size = object->held_size,
		.retained_size = object->retained_size};
	_cleanup_(hf_also_deinit) struct hf_also also = {0};
	enum hf_status status = hf_also_find(&report->heap, &top, &also, err);
	if (status != HF_OK)
		return status;
	char held[HF_NUMBER_SIZE], retained[HF_NUMBER_SIZE];
	if (also.n && object->retained_count == object->held_count)
		hf_emit_title(emit, "Also reached from outside");
	else if (also.n)
		hf_emit_title(emit, "Why it retains %s of the %s: words that also reach in",
			hf_human_size(retained, object->retained_size),
			hf_human_size(held, object->held_size));
	status = emit_entries(report, &also, (size_t)n, err);
	if (status == HF_OK)
		status = emit_sources(report, &also, (size_t)n, err);
	hf_emit_fact(emit, "also_holds_complete", NULL, HF_VALUE_BOOL, hf_cell_int(also.complete));
	if (!also.complete)
		hf_emit_line(emit, "(there is too much below it to look at all of it)");
	if (status == HF_OK)
		status = hf_also_note(report, &top, &also, "  ", err);
	return status;
}
