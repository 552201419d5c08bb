#include "report/report.h"

#include "base/cleanup.h"

/*
 * An address may be that of a root: reports print such addresses, and people paste them. Then the
 * answer is what the variable around it holds.
 */

enum { SHOWN_WORDS = 20 };

static const struct hf_column columns[] = {
	{"offset", "AT", HF_VALUE_TEXT, 0},
	{"addr", "TO", HF_VALUE_ADDRESS, 0},
	{"size", "SIZE", HF_VALUE_SIZE, 0},
	{"held_size", "HELD", HF_VALUE_SIZE, 0},
	{"held_share", "SHARE", HF_VALUE_SHARE, 0},
	{"retained_size", "RETAINED", HF_VALUE_SIZE, 0},
	{"what", "WHAT", HF_VALUE_TEXT, HF_COLUMN_ELIDE},
	{"word_addr", "", HF_VALUE_ADDRESS, HF_COLUMN_JSON},
	{"object_id", "", HF_VALUE_PLAIN, HF_COLUMN_JSON},
	{"dst_offset", "", HF_VALUE_PLAIN, HF_COLUMN_JSON},
	{"holds", "", HF_VALUE_BOOL, HF_COLUMN_JSON},
};

struct variable {
	int64_t id, word_count;
	uint64_t addr, size, held_size, held_count, retained_size;
	struct hf_text label;
};

static void variable_deinit(struct variable *v)
{
	hf_text_deinit(&v->label);
}

/* The smallest variable around the address; a stack, or a mapping, only for a word of its own that
 * points to an object. */
static enum hf_status find(
	struct hf_report *report, uint64_t addr, struct variable *ret, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(report->heap.db, &q, err,
		"SELECT v.id, v.addr, v.size, v.held_size, v.held_count, v.retained_size, "
		"v.word_count, v.name, v.kind, m.path, t.tid, t.name FROM variable v "
		"LEFT JOIN module m ON m.id = v.module_id LEFT JOIN thread t ON t.id = v.thread_id "
		"WHERE v.addr <= ?1 AND ?1 - v.addr < v.size AND (v.kind NOT IN ('stack', "
		"'mapping') OR EXISTS (SELECT 1 FROM root r WHERE r.variable_id = v.id AND "
		"r.addr = ?1)) ORDER BY v.size LIMIT 1",
		"i", (int64_t)addr);
	if (!hf_row(q, &status, err))
		return status;
	ret->id = hf_column_int(q, 0);
	ret->addr = (uint64_t)hf_column_int(q, 1);
	ret->size = (uint64_t)hf_column_int(q, 2);
	ret->held_size = (uint64_t)hf_column_int(q, 3);
	ret->held_count = (uint64_t)hf_column_int(q, 4);
	ret->retained_size = (uint64_t)hf_column_int(q, 5);
	ret->word_count = hf_column_int(q, 6);
	hf_heapdb_root_label_of(&ret->label, hf_column_text(q, 7), hf_column_text(q, 8),
		hf_column_text(q, 9), hf_column_int(q, 10), hf_column_text(q, 11));
	return HF_OK;
}

static void describe(struct hf_report *report, const struct variable *v, uint64_t addr)
{
	struct hf_emit *emit = report->emit;
	double share = hf_percent(v->held_size, report->heap.live_size);
	hf_emit_fact(emit, "address", NULL, HF_VALUE_ADDRESS, hf_cell_int((int64_t)addr));
	hf_emit_object_begin(emit, "variable");
	hf_emit_fact(emit, "id", NULL, HF_VALUE_PLAIN, hf_cell_int(v->id));
	hf_emit_fact(emit, "name", NULL, HF_VALUE_TEXT, hf_cell_text(hf_text_get(&v->label)));
	hf_emit_fact(emit, "addr", NULL, HF_VALUE_ADDRESS, hf_cell_int((int64_t)v->addr));
	hf_emit_fact(emit, "size", NULL, HF_VALUE_SIZE, hf_cell_int((int64_t)v->size));
	hf_emit_fact(emit, "held_size", NULL, HF_VALUE_SIZE, hf_cell_int((int64_t)v->held_size));
	hf_emit_fact(emit, "held_count", NULL, HF_VALUE_COUNT, hf_cell_int((int64_t)v->held_count));
	hf_emit_fact(emit, "held_share", NULL, HF_VALUE_SHARE, hf_cell_real(share));
	hf_emit_fact(
		emit, "retained_size", NULL, HF_VALUE_SIZE, hf_cell_int((int64_t)v->retained_size));
	hf_emit_fact(emit, "word_count", NULL, HF_VALUE_COUNT, hf_cell_int(v->word_count));
	hf_emit_object_end(emit);
	char size[HF_NUMBER_SIZE], held[HF_NUMBER_SIZE], percent[HF_NUMBER_SIZE],
		count[HF_NUMBER_SIZE], retained[HF_NUMBER_SIZE];
	hf_emit_title(emit, "%s  %s at 0x%llx", hf_text_get(&v->label),
		hf_human_size(size, v->size), (unsigned long long)v->addr);
	hf_emit_line(emit, "  no heap object, but a root: it holds %s (%s of the heap) in",
		hf_human_size(held, v->held_size), hf_human_share(percent, share));
	hf_emit_line(emit, "  %s object%s, and retains %s", hf_human_count(count, v->held_count),
		v->held_count == 1 ? "" : "s", hf_human_size(retained, v->retained_size));
}

static enum hf_status words(struct hf_report *report, const struct variable *v,
	uint64_t *ret_largest, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	char count[HF_NUMBER_SIZE];
	hf_emit_title(report->emit, "Words of it that point to objects: %s",
		hf_human_count(count, (uint64_t)v->word_count));
	enum hf_status status = hf_query(report->heap.db, &q, err,
		"SELECT r.addr, r.offset, o.id, o.holder_id IS NULL AND o.holder_root_id = r.id "
		"FROM root r CROSS JOIN object o ON o.id = r.object_id WHERE r.variable_id = ?1 "
		"ORDER BY 4 DESC, o.held_size DESC, r.id LIMIT ?2",
		"ii", v->id, (int64_t)SHOWN_WORDS);
	hf_emit_table_begin(report->emit, "words", columns, sizeof(columns) / sizeof(columns[0]));
	while (hf_row(q, &status, err)) {
		struct hf_object o;
		status = hf_heapdb_object(&report->heap, hf_column_int(q, 2), &o, err);
		if (status == HF_E_NOTFOUND)
			status = hf_err_set(err, HF_E_CORRUPT, "the database has no object %lld",
				(long long)hf_column_int(q, 2));
		if (status != HF_OK)
			break;
		bool holds = hf_column_int(q, 3) != 0;
		uint64_t addr = (uint64_t)hf_column_int(q, 0), into = (uint64_t)hf_column_int(q, 1);
		if (!*ret_largest)
			*ret_largest = o.addr;
		_cleanup_(hf_text_deinit) struct hf_text at = HF_TEXT_INIT, what = HF_TEXT_INIT;
		hf_text_addf(&at, "+0x%llx", (unsigned long long)(addr - v->addr));
		hf_heapdb_object_what(&what, &o);
		if (into)
			hf_text_addf(&what, "%sto +%llu", what.len ? ", " : "",
				(unsigned long long)into);
		if (!holds)
			hf_text_addf(&what, "%salso held by another", what.len ? ", " : "");
		hf_emit_row(report->emit, HF_NO_ROW,
			(struct hf_cell[]){
				hf_cell_text(hf_text_get(&at)),
				hf_cell_int((int64_t)o.addr),
				hf_cell_int((int64_t)o.size),
				hf_cell_int((int64_t)o.held_size),
				hf_cell_real(hf_percent(o.held_size, report->heap.live_size)),
				hf_cell_int((int64_t)o.retained_size),
				hf_cell_text(hf_text_get(&what)),
				hf_cell_int((int64_t)addr),
				hf_cell_int(o.id),
				hf_cell_int((int64_t)into),
				hf_cell_int(holds),
			});
	}
	hf_emit_table_end(report->emit);
	if (v->word_count > SHOWN_WORDS)
		hf_emit_line(report->emit, "%s and %s more", hf_emit_dots(report->emit),
			hf_human_count(count, (uint64_t)v->word_count - SHOWN_WORDS));
	return status;
}

enum hf_status hf_report_variable(
	struct hf_report *report, uint64_t addr, bool *ret_found, struct hf_err *err)
{
	_cleanup_(variable_deinit) struct variable v = {0};
	enum hf_status status = find(report, addr, &v, err);
	*ret_found = v.id != 0;
	if (status != HF_OK || !v.id)
		return status;
	describe(report, &v, addr);
	if (!v.word_count)
		return HF_OK;
	uint64_t largest = 0;
	status = words(report, &v, &largest, err);
	if (status != HF_OK)
		return status;
	char rest[HF_NUMBER_SIZE];
	snprintf(rest, sizeof(rest), "0x%llx", (unsigned long long)largest);
	hf_emit_title(report->emit, "Next");
	hf_report_hint(report, "tree", rest, "what the first holds");
	return HF_OK;
}
