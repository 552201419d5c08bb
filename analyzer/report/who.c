#include <string.h>

#include "base/cleanup.h"
#include "report/path.h"
#include "report/report.h"
#include "report/site.h"
#include "report/who_all.h"

enum { SHOWN_HOPS = 24, SHOWN_ENDS = 10, MAX_ALSO = 8 };

static const struct hf_column hop_columns[] = {
	{"held_size", "HELD", HF_VALUE_SIZE, 0},
	{"held_share", "SHARE", HF_VALUE_SHARE, 0},
	{"retained_size", "RETAINED", HF_VALUE_SIZE, 0},
	{"size", "SIZE", HF_VALUE_SIZE, 0},
	{"addr", "ADDRESS", HF_VALUE_ADDRESS, 0},
	{"hop", "HOP", HF_VALUE_TEXT, HF_COLUMN_ELIDE | HF_COLUMN_HUMAN},
	{"kind", "", HF_VALUE_TEXT, HF_COLUMN_JSON},
	{"name", "", HF_VALUE_TEXT, HF_COLUMN_JSON},
	{"object_id", "", HF_VALUE_PLAIN, HF_COLUMN_JSON},
	{"times", "", HF_VALUE_COUNT, HF_COLUMN_JSON},
	{"last_addr", "", HF_VALUE_ADDRESS, HF_COLUMN_JSON},
	{"src_offset", "", HF_VALUE_PLAIN, HF_COLUMN_JSON},
	{"dst_offset", "", HF_VALUE_PLAIN, HF_COLUMN_JSON},
	{"type", "", HF_VALUE_TEXT, HF_COLUMN_JSON},
	{"site", "", HF_VALUE_TEXT, HF_COLUMN_JSON},
	{"label", "", HF_VALUE_TEXT, HF_COLUMN_JSON},
};
enum { N_HOP_COLUMNS = sizeof(hop_columns) / sizeof(hop_columns[0]) };

static struct hf_cell optional(const char *text)
{
	return hf_cell_text(text[0] ? text : NULL);
}

static void root_row(struct hf_report *report, const struct hf_path *path)
{
	const struct hf_root *root = &path->root;
	_cleanup_(hf_text_deinit) struct hf_text hop = HF_TEXT_INIT;
	_cleanup_(hf_text_deinit) struct hf_text name = HF_TEXT_INIT;
	hf_heapdb_root_name(&name, root);
	hf_heapdb_root_label(&hop, root);
	hf_emit_row(report->emit, HF_NO_ROW,
		(struct hf_cell[N_HOP_COLUMNS]){
			hf_cell_int((int64_t)root->held_size),
			hf_cell_real(hf_percent(root->held_size, report->heap.live_size)),
			hf_cell_int((int64_t)root->retained_size),
			root->variable_size ? hf_cell_int((int64_t)root->variable_size)
					    : hf_cell_null(),
			root->addr ? hf_cell_int((int64_t)root->addr) : hf_cell_null(),
			hf_cell_text(hf_text_get(&hop)),
			hf_cell_text(root->kind),
			hf_cell_text(hf_text_get(&name)),
			hf_cell_null(),
			hf_cell_int(1),
			hf_cell_null(),
			hf_cell_int((int64_t)root->word_offset),
			hf_cell_int((int64_t)root->offset),
			hf_cell_null(),
			hf_cell_null(),
			hf_cell_null(),
		});
}

static void hop_text(
	struct hf_text *text, const struct hf_report *report, const struct hf_hop *hop, bool first)
{
	_cleanup_(hf_text_deinit) struct hf_text what = HF_TEXT_INIT;
	if (first)
		hf_text_addf(
			text, "%s", hop->word.src_offset == UINT64_MAX ? "head of the leak" : "->");
	else
		hf_hop_name(text, hop, hf_emit_times(report->emit));
	if (hop->word.dst_offset && (!first || hop->word.src_offset != UINT64_MAX))
		hf_text_addf(text, " to +%llu", (unsigned long long)hop->word.dst_offset);
	hf_heapdb_object_what(&what, &hop->object);
	if (what.len)
		hf_text_addf(text, "  %s", hf_text_get(&what));
}

static void hop_row(struct hf_report *report, const struct hf_hop *hop, bool first)
{
	const struct hf_object *o = &hop->object;
	_cleanup_(hf_text_deinit) struct hf_text text = HF_TEXT_INIT;
	hop_text(&text, report, hop, first);
	hf_emit_row(report->emit, HF_NO_ROW,
		(struct hf_cell[N_HOP_COLUMNS]){
			hf_cell_int((int64_t)o->held_size),
			hf_cell_real(hf_percent(o->held_size, report->heap.live_size)),
			hf_cell_int((int64_t)o->retained_size),
			hf_cell_int((int64_t)o->size),
			hf_cell_int((int64_t)o->addr),
			hf_cell_text(hf_text_get(&text)),
			hf_cell_text("object"),
			first ? hf_cell_null() : optional(hop->word.field),
			hf_cell_int(o->id),
			hf_cell_int((int64_t)hop->times),
			hf_cell_int((int64_t)hop->last_addr),
			first ? hf_cell_null() : hf_cell_int((int64_t)hop->word.src_offset),
			hop->word.src_offset == UINT64_MAX
				? hf_cell_null()
				: hf_cell_int((int64_t)hop->word.dst_offset),
			optional(o->type),
			optional(o->site),
			optional(o->label),
		});
}

static void gap_row(struct hf_report *report, uint64_t skipped)
{
	char number[HF_NUMBER_SIZE];
	_cleanup_(hf_text_deinit) struct hf_text text = HF_TEXT_INIT;
	hf_text_addf(&text, "%s %s%s", hf_emit_dots(report->emit),
		skipped ? hf_human_count(number, skipped) : "more",
		skipped ? " objects" : " than could be followed");
	struct hf_cell cells[N_HOP_COLUMNS];
	for (size_t c = 0; c < N_HOP_COLUMNS; c++)
		cells[c] = hf_cell_null();
	cells[5] = hf_cell_text(hf_text_get(&text));
	cells[6] = hf_cell_text("gap");
	cells[9] = skipped ? hf_cell_int((int64_t)skipped) : hf_cell_null();
	hf_emit_row(report->emit, HF_NO_ROW, cells);
}

/* People see the ends of a long path; JSON has all that was kept. */
static void path_table(struct hf_report *report, const char *key, const struct hf_path *path)
{
	hf_emit_table_begin(report->emit, key, hop_columns, N_HOP_COLUMNS);
	if (path->rooted)
		root_row(report, path);
	if (path->cut)
		gap_row(report, 0);
	bool fold = hf_emit_form(report->emit) == HF_EMIT_HUMAN && path->n_hops > SHOWN_HOPS;
	uint64_t folded = 0;
	for (size_t i = 0; i < path->n_hops; i++) {
		const struct hf_hop *hop = &path->hops[i];
		if (fold && i >= SHOWN_ENDS && i < path->n_hops - SHOWN_ENDS) {
			folded += hop->times + hop->skipped;
			if (i + 1 == path->n_hops - SHOWN_ENDS)
				gap_row(report, folded);
			continue;
		}
		hop_row(report, hop, i == 0 && !path->cut);
		if (hop->skipped)
			gap_row(report, hop->skipped);
	}
	hf_emit_table_end(report->emit);
}

void hf_who_path(struct hf_report *report, const char *key, const struct hf_path *path)
{
	_cleanup_(hf_text_deinit) struct hf_text text = HF_TEXT_INIT;
	struct hf_emit *emit = report->emit;
	hf_path_text(&text, path, hf_emit_times(emit), hf_emit_dots(emit));
	hf_emit_object_begin(emit, key);
	hf_emit_fact(emit, "text", NULL, HF_VALUE_TEXT, hf_cell_text(hf_text_get(&text)));
	hf_emit_fact(emit, "length", NULL, HF_VALUE_COUNT, hf_cell_int((int64_t)path->length));
	hf_emit_fact(emit, "complete", NULL, HF_VALUE_BOOL, hf_cell_int(!path->cut));
	hf_emit_line(emit, "  %s", hf_text_get(&text));
	hf_report_keys_note(report, hf_text_get(&text));
	path_table(report, "hops", path);
	hf_emit_object_end(emit);
}

/* "allocated at load_avatar (user.c:88) ← load_user, 12 s before the dump, by thread 4711" */
static enum hf_status allocation(
	struct hf_report *report, const struct hf_object *object, struct hf_err *err)
{
	enum { CALLERS = 6 };
	struct hf_emit *emit = report->emit;
	if (!object->site_id) {
		if (report->heap.profile_tied && report->heap.profile_sampled)
			hf_emit_line(emit, "  where it was allocated is not among the samples");
		return HF_OK;
	}
	char age[HF_NUMBER_SIZE];
	_cleanup_(hf_text_deinit) struct hf_text text = HF_TEXT_INIT;
	hf_text_addf(&text, "  allocated at ");
	enum hf_status status = hf_site_text(report, object->site_id, CALLERS, &text, err);
	if (status == HF_OK && object->age >= 0)
		hf_text_addf(&text, ", %s before the dump", hf_human_age(age, object->age));
	if (status == HF_OK && object->alloc_tid)
		hf_text_addf(&text, ", by thread %lld", (long long)object->alloc_tid);
	hf_emit_line(emit, "%s", hf_text_get(&text));
	return status == HF_OK ? hf_site_stack(report, object->site_id, err) : status;
}

/* Label and type: the site has a line of its own. */
static void label_and_type(struct hf_text *text, const struct hf_object *object)
{
	if (object->label[0])
		hf_text_addf(text, "\"%s\"", object->label);
	if (object->type[0])
		hf_text_addf(text, "%s%s", text->len ? " " : "", object->type);
}

static void describe(struct hf_report *report, const struct hf_object *object, uint64_t addr)
{
	char size[HF_NUMBER_SIZE], held[HF_NUMBER_SIZE], share[HF_NUMBER_SIZE],
		count[HF_NUMBER_SIZE], retained[HF_NUMBER_SIZE];
	struct hf_emit *emit = report->emit;
	_cleanup_(hf_text_deinit) struct hf_text what = HF_TEXT_INIT;
	label_and_type(&what, object);
	hf_emit_fact(emit, "address", NULL, HF_VALUE_ADDRESS, hf_cell_int((int64_t)addr));
	hf_emit_fact(
		emit, "offset", NULL, HF_VALUE_PLAIN, hf_cell_int((int64_t)(addr - object->addr)));
	hf_report_object(report, "object", object);
	if (addr != object->addr)
		hf_emit_line(emit,
			"0x%llx is %llu bytes into this object:", (unsigned long long)addr,
			(unsigned long long)(addr - object->addr));
	hf_emit_title(emit, "0x%llx  %s%s%s", (unsigned long long)object->addr,
		hf_human_size(size, object->size), what.len ? "  " : "", hf_text_get(&what));
	hf_emit_line(emit, "  holds %s (%s of the heap) in %s object%s, retains %s",
		hf_human_size(held, object->held_size),
		hf_human_share(share, hf_percent(object->held_size, report->heap.live_size)),
		hf_human_count(count, object->held_count), object->held_count == 1 ? "" : "s",
		hf_human_size(retained, object->retained_size));
}

/* A variable of several words can be the one way in although none of its words is. */
static enum hf_status dominating_variable(
	struct hf_report *report, int64_t variable, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(report->heap.db, &q, err,
		"SELECT v.name, v.kind, m.path, t.tid, t.name, v.retained_size FROM variable v "
		"LEFT JOIN module m ON m.id = v.module_id LEFT JOIN thread t ON t.id = v.thread_id "
		"WHERE v.id = ?",
		"i", variable);
	if (!hf_row(q, &status, err))
		return status;
	char size[HF_NUMBER_SIZE];
	_cleanup_(hf_text_deinit) struct hf_text label = HF_TEXT_INIT;
	hf_heapdb_root_label_of(&label, hf_column_text(q, 0), hf_column_text(q, 1),
		hf_column_text(q, 2), hf_column_int(q, 3), hf_column_text(q, 4));
	hf_emit_fact(report->emit, "dominator_variable", NULL, HF_VALUE_TEXT,
		hf_cell_text(hf_column_text(q, 0)));
	hf_emit_line(report->emit, "Every way to it starts at %s, which retains %s.",
		hf_text_get(&label), hf_human_size(size, (uint64_t)hf_column_int(q, 5)));
	return HF_OK;
}

static enum hf_status dominator(
	struct hf_report *report, const struct hf_object *object, struct hf_err *err)
{
	struct hf_emit *emit = report->emit;
	if (!object->idom_id) {
		hf_emit_fact(emit, "dominator", NULL, HF_VALUE_TEXT, hf_cell_null());
		if (object->idom_variable_id)
			return dominating_variable(report, object->idom_variable_id, err);
		if (object->reachable)
			hf_emit_line(emit, "Nothing dominates it: several roots reach it, on ways "
					   "that share no object.");
		return HF_OK;
	}
	struct hf_object idom;
	enum hf_status status = hf_heapdb_object(&report->heap, object->idom_id, &idom, err);
	if (status == HF_E_NOTFOUND)
		return hf_err_set(err, HF_E_CORRUPT, "the database has no object %lld, a dominator",
			(long long)object->idom_id);
	if (status != HF_OK)
		return status;
	hf_report_object(report, "dominator", &idom);
	char size[HF_NUMBER_SIZE];
	_cleanup_(hf_text_deinit) struct hf_text what = HF_TEXT_INIT;
	hf_heapdb_object_what(&what, &idom);
	hf_emit_line(emit, "Every way to it goes through 0x%llx%s%s, which retains %s.",
		(unsigned long long)idom.addr, what.len ? " " : "", hf_text_get(&what),
		hf_human_size(size, idom.retained_size));
	return HF_OK;
}

static void hints(struct hf_report *report, const struct hf_object *object, bool all)
{
	char addr[HF_NUMBER_SIZE], rest[2 * HF_NUMBER_SIZE];
	snprintf(addr, sizeof(addr), "0x%llx", (unsigned long long)object->addr);
	hf_emit_title(report->emit, "Next");
	if (!all && object->reachable) {
		snprintf(rest, sizeof(rest), "%s --all", addr);
		hf_report_hint(report, "who", rest, "paths from other roots");
	}
	hf_report_hint(report, "refs", addr, "every word to it");
	hf_report_hint(report, "tree", addr, "what it holds");
}

enum hf_status hf_report_who(struct hf_report *report, uint64_t addr,
	const struct hf_who_options *options, struct hf_err *err)
{
	struct hf_object object;
	enum hf_status status = hf_report_find(report, addr, &object, err);
	if (status != HF_OK || !object.id)
		return status;
	describe(report, &object, addr);
	status = allocation(report, &object, err);
	if (status != HF_OK)
		return status;

	_cleanup_(hf_path_deinit) struct hf_path path = {0};
	status = hf_path_read(&report->heap, &object, &path, err);
	if (status != HF_OK)
		return status;
	char length[HF_NUMBER_SIZE];
	if (path.rooted)
		hf_emit_title(report->emit, "Held by (best path from a root, %s object%s)",
			hf_human_count(length, path.length), path.length == 1 ? "" : "s");
	else
		hf_emit_title(
			report->emit, "Leaked: no root reaches it. From the head of its component");
	hf_who_path(report, "path", &path);
	hf_emit_line(report->emit, "%s", "");
	status = dominator(report, &object, err);
	if (status == HF_OK)
		status = hf_who_also(report, &object, MAX_ALSO, err);
	if (status == HF_OK && options->n_paths > 1)
		status = hf_who_all(report, &object, options->n_paths, err);
	if (status == HF_OK)
		hints(report, &object, options->n_paths > 1);
	return status;
}
