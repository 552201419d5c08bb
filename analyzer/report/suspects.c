#include "report/suspects.h"

#include <string.h>

#include "base/cleanup.h"
#include "report/also_note.h"
#include "report/place.h"
#include "report/site.h"

enum { SHOWN = 3, NEARLY_ALL_PERCENT = 90 };

enum suspect_column {
	BASIS,
	SIZE,
	COUNT,
	PATH,
	ADDR,
	POINT_ADDR,
	POINT_SIZE,
	POINT_TYPE,
	POINT_BELOW,
	POINT_CHILDREN,
	HELD_SIZE,
	RETAINED_SIZE,
	HOPS,
	POINT_ID,
	VARIABLE_ID,
	OBJECT_ID,
	ROOT,
};

static const char suspect_sql[] =
	"SELECT basis, CASE WHEN basis IN ('retained', 'group') THEN retained_size ELSE held_size "
	"END, CASE WHEN basis IN ('retained', 'group') THEN retained_count ELSE held_count END, "
	"path, addr, "
	"point_addr, point_size, point_type, CASE basis WHEN 'retained' THEN point_retained_size "
	"ELSE point_held_size END, point_children, held_size, retained_size, hops, point_id, "
	"variable_id, object_id, root "
	"FROM suspect ORDER BY id";

static struct hf_suspect_row read_row(sqlite3_stmt *q)
{
	const char *basis = hf_column_text(q, BASIS);
	return (struct hf_suspect_row){
		.basis = basis,
		.path = hf_column_text(q, PATH),
		.root = hf_column_null(q, ROOT) ? NULL : hf_column_text(q, ROOT),
		.point_type = hf_column_null(q, POINT_TYPE) ? NULL : hf_column_text(q, POINT_TYPE),
		.group = !strcmp(basis, "group"),
		.retained = !strcmp(basis, "retained"),
		.leaked = !strcmp(basis, "leaked"),
		.size = (uint64_t)hf_column_int(q, SIZE),
		.count = (uint64_t)hf_column_int(q, COUNT),
		.addr = (uint64_t)hf_column_int(q, ADDR),
		.point_addr = (uint64_t)hf_column_int(q, POINT_ADDR),
		.point_size = (uint64_t)hf_column_int(q, POINT_SIZE),
		.point_below = (uint64_t)hf_column_int(q, POINT_BELOW),
		.point_children = (uint64_t)hf_column_int(q, POINT_CHILDREN),
		.held_size = (uint64_t)hf_column_int(q, HELD_SIZE),
		.retained_size = (uint64_t)hf_column_int(q, RETAINED_SIZE),
		.point_id = hf_column_int(q, POINT_ID),
		.variable_id = hf_column_int(q, VARIABLE_ID),
		.object_id = hf_column_int(q, OBJECT_ID),
	};
}

/* Lines for people */

static void bulk_line(struct hf_report *report, const struct hf_place *place)
{
	char count[HF_NUMBER_SIZE], size[HF_NUMBER_SIZE], share[HF_NUMBER_SIZE];
	if (!place->bulk.len)
		return;
	const char *about = place->bulk_estimated ? "~" : "";
	hf_emit_line(report->emit, "   mostly %s  %s%s (%s) in %s%s objects%s",
		hf_text_get(&place->bulk), about, hf_human_size(size, place->bulk_size),
		hf_human_share(share, hf_percent(place->bulk_size, report->heap.live_size)), about,
		hf_human_count(count, place->bulk_count),
		place->bulk_estimated ? ", by a sample" : "");
}

static enum hf_status bulk_site_line(
	struct hf_report *report, const struct hf_place *place, struct hf_err *err)
{
	enum { CALLERS = 3 };
	if (!place->site)
		return HF_OK;
	_cleanup_(hf_text_deinit) struct hf_text text = HF_TEXT_INIT;
	enum hf_status status = hf_site_text(report, place->site, CALLERS, &text, err);
	hf_emit_line(report->emit, "   %sallocated at %s", place->site_share < 95 ? "mostly " : "",
		hf_text_get(&text));
	return status;
}

/* Many objects of a kind, none of which is a suspect alone. */
static void group_lines(struct hf_report *report, const struct hf_suspect_row *row, int number)
{
	char size[HF_NUMBER_SIZE], held[HF_NUMBER_SIZE], share[HF_NUMBER_SIZE],
		count[HF_NUMBER_SIZE];
	hf_emit_line(report->emit, "%d. %s %s %s", number,
		hf_human_count(count, row->point_children), hf_emit_times(report->emit), row->path);
	hf_emit_line(report->emit, "   together retain %s (%s), hold %s; e.g. 0x%llx",
		hf_human_size(size, row->size),
		hf_human_share(share, hf_percent(row->size, report->heap.live_size)),
		hf_human_size(held, row->held_size), (unsigned long long)row->addr);
}

/* Is what is at the place nearly all that the start has? Then the path stands for both. */
static bool stands_for_start(const struct hf_suspect_row *row, const struct hf_place *place)
{
	return hf_percent(place->size, row->size) >= NEARLY_ALL_PERCENT;
}

static void add_start(struct hf_text *text, const struct hf_suspect_row *row)
{
	if (row->root)
		hf_text_addf(text, "%s", row->root);
	else
		hf_text_addf(text, "0x%llx", (unsigned long long)row->addr);
}

static void title_lines(struct hf_report *report, const struct hf_suspect_row *row,
	const struct hf_place *place, int number)
{
	char size[HF_NUMBER_SIZE], share[HF_NUMBER_SIZE];
	_cleanup_(hf_text_deinit) struct hf_text start = HF_TEXT_INIT;
	bool alone = stands_for_start(row, place);
	uint64_t bytes = alone ? place->size : row->size, live = report->heap.live_size;
	add_start(&start, row);
	hf_emit_line(report->emit, "%d. %s  %s %s (%s)", number,
		hf_text_get(alone ? &place->path : &start),
		row->retained ? "retains"
		: row->leaked ? "leaked, holds"
			      : "holds",
		hf_human_size(size, bytes), hf_human_share(share, hf_percent(bytes, live)));
	if (!alone)
		hf_emit_line(report->emit, "   %s (%s) of it at %s",
			hf_human_size(size, place->size),
			hf_human_share(share, hf_percent(place->size, live)),
			hf_text_get(&place->path));
}

static void point_line(
	struct hf_report *report, const struct hf_suspect_row *row, const struct hf_place *place)
{
	char size[HF_NUMBER_SIZE], count[HF_NUMBER_SIZE];
	struct hf_emit *emit = report->emit;
	unsigned long long addr = row->point_addr;
	hf_human_count(count, place->members ? place->members
			      : place->links ? place->links
					     : row->point_children);
	hf_human_size(size, row->point_size);
	const char *what = row->point_type ? row->point_type : size;
	if (!addr)
		hf_emit_line(emit, "   spreads over %s objects right below it", count);
	else if (place->links)
		hf_emit_line(emit, "   piles up along a chain of %s objects that starts at 0x%llx",
			count, addr);
	else if (place->members)
		hf_emit_line(emit,
			"   spreads over %s%s objects like 0x%llx (%s), which hang on each other",
			place->members_estimated ? "~" : "", count, addr, what);
	else if (!row->point_children)
		hf_emit_line(emit, "   is one object, 0x%llx (%s)", addr, what);
	else
		hf_emit_line(emit, "   piles up at 0x%llx (%s): %s object%s below it", addr, what,
			count, row->point_children == 1 ? "" : "s");
}

/* Where a suspect retains much less than it holds: which words spoil it, summed by what they are
 * in, with what they reach. */
static enum hf_status spoil_lines(struct hf_report *report, const struct hf_suspect_row *row,
	const struct hf_place *place, struct hf_err *err)
{
	enum { LITTLE_PERCENT = 85 };
	struct hf_also_top top = {.variable_id = row->variable_id,
		.thorough = true,
		.held_size = row->held_size,
		.retained_size = row->retained_size};
	if (!top.variable_id)
		top.object_id = row->object_id;
	if (strcmp(row->basis, "held") != 0 ||
		hf_percent(top.retained_size, top.held_size) >= LITTLE_PERCENT)
		return HF_OK;
	_cleanup_(hf_also_deinit) struct hf_also also = {0};
	_cleanup_(hf_also_sources_deinit) struct hf_also_sources sources = {0};
	enum hf_status status = hf_also_find(&report->heap, &top, &also, err);
	if (status == HF_OK)
		status = hf_also_sum(&report->heap, &also, &sources, err);
	char size[HF_NUMBER_SIZE], held[HF_NUMBER_SIZE];
	const char *words = also.n ? "these words reach in, too" : "other words reach in, too";
	_cleanup_(hf_text_deinit) struct hf_text start = HF_TEXT_INIT;
	add_start(&start, row);
	hf_human_size(size, top.retained_size);
	if (status == HF_OK && stands_for_start(row, place) && place->size != row->size)
		hf_emit_line(report->emit, "   %s retains %s of the %s that it holds: %s",
			hf_text_get(&start), size, hf_human_size(held, row->size), words);
	else if (status == HF_OK)
		hf_emit_line(report->emit, "   retains %s of it: %s", size, words);
	for (size_t i = 0; status == HF_OK && i < sources.n && i < SHOWN; i++) {
		const struct hf_also_source *s = &sources.at[i];
		_cleanup_(hf_text_deinit) struct hf_text from = HF_TEXT_INIT;
		status = hf_also_source_text(
			&from, &report->heap, &also, s, hf_emit_dots(report->emit), err);
		hf_emit_line(report->emit, "     %s%s by %s", s->estimated ? "~" : "",
			hf_human_size(size, hf_group_number(s->bytes, s->estimated)),
			hf_text_get(&from));
	}
	if (status == HF_OK && sources.n > SHOWN)
		hf_emit_line(report->emit, "     %s and %s%zu more", hf_emit_dots(report->emit),
			also.complete ? "" : "at least ", sources.n - SHOWN);
	if (status == HF_OK)
		status = hf_also_note(report, &top, &also, "     ", err);
	return status;
}

static enum hf_status lines(struct hf_report *report, const struct hf_suspect_row *row,
	const struct hf_place *place, int number, struct hf_err *err)
{
	if (row->group) {
		group_lines(report, row, number);
		return HF_OK;
	}
	title_lines(report, row, place, number);
	point_line(report, row, place);
	bulk_line(report, place);
	hf_report_keys_note(report, hf_text_get(&place->bulk));
	enum hf_status status = bulk_site_line(report, place, err);
	return status == HF_OK ? spoil_lines(report, row, place, err) : status;
}

/* Rows */

static const struct hf_column columns[] = {
	{"basis", "", HF_VALUE_TEXT, HF_COLUMN_JSON},
	{"size", "", HF_VALUE_SIZE, HF_COLUMN_JSON},
	{"share", "", HF_VALUE_SHARE, HF_COLUMN_JSON},
	{"count", "", HF_VALUE_COUNT, HF_COLUMN_JSON},
	{"path", "", HF_VALUE_TEXT, HF_COLUMN_JSON},
	{"path_size", "", HF_VALUE_SIZE, HF_COLUMN_JSON},
	{"addr", "", HF_VALUE_ADDRESS, HF_COLUMN_JSON},
	{"point_addr", "", HF_VALUE_ADDRESS, HF_COLUMN_JSON},
	{"point_type", "", HF_VALUE_TEXT, HF_COLUMN_JSON},
	{"point_below", "", HF_VALUE_SIZE, HF_COLUMN_JSON},
	{"point_children", "", HF_VALUE_COUNT, HF_COLUMN_JSON},
	{"held_size", "", HF_VALUE_SIZE, HF_COLUMN_JSON},
	{"retained_size", "", HF_VALUE_SIZE, HF_COLUMN_JSON},
	{"hops", "", HF_VALUE_COUNT, HF_COLUMN_JSON},
	{"chain_links", "", HF_VALUE_COUNT, HF_COLUMN_JSON},
	{"members", "", HF_VALUE_COUNT, HF_COLUMN_JSON},
	{"members_estimated", "", HF_VALUE_BOOL, HF_COLUMN_JSON},
	{"bulk_path", "", HF_VALUE_TEXT, HF_COLUMN_JSON},
	{"bulk_size", "", HF_VALUE_SIZE, HF_COLUMN_JSON},
	{"bulk_count", "", HF_VALUE_COUNT, HF_COLUMN_JSON},
	{"bulk_estimated", "", HF_VALUE_BOOL, HF_COLUMN_JSON},
	{"bulk_site_id", "", HF_VALUE_PLAIN, HF_COLUMN_JSON},
};

static struct hf_cell count_or_null(uint64_t n)
{
	return n ? hf_cell_int((int64_t)n) : hf_cell_null();
}

static void emit_row(struct hf_report *report, sqlite3_stmt *q, const struct hf_suspect_row *row,
	const struct hf_place *place)
{
	bool bulk = place->bulk.len;
	hf_emit_row(report->emit, HF_NO_ROW,
		(struct hf_cell[]){
			hf_column_cell(q, BASIS),
			hf_column_cell(q, SIZE),
			hf_cell_real(hf_percent(row->size, report->heap.live_size)),
			hf_column_cell(q, COUNT),
			hf_cell_text(hf_text_get(&place->path)),
			hf_cell_int((int64_t)place->size),
			hf_column_cell(q, ADDR),
			hf_column_cell(q, POINT_ADDR),
			hf_column_cell(q, POINT_TYPE),
			hf_column_cell(q, POINT_BELOW),
			hf_column_cell(q, POINT_CHILDREN),
			hf_column_cell(q, HELD_SIZE),
			hf_column_cell(q, RETAINED_SIZE),
			hf_column_cell(q, HOPS),
			count_or_null(place->links),
			count_or_null(place->members),
			place->members ? hf_cell_int(place->members_estimated) : hf_cell_null(),
			hf_cell_text(bulk ? hf_text_get(&place->bulk) : NULL),
			bulk ? hf_cell_int((int64_t)place->bulk_size) : hf_cell_null(),
			bulk ? hf_cell_int((int64_t)place->bulk_count) : hf_cell_null(),
			bulk ? hf_cell_int(place->bulk_estimated) : hf_cell_null(),
			place->site ? hf_cell_int(place->site) : hf_cell_null(),
		});
}

/* That nobody is suspected says little where the dump has nothing to tell it by. */
static void none_line(struct hf_report *report)
{
	const struct hf_heapdb *heap = &report->heap;
	const char *text = "nothing stands out: no root holds a tenth of the heap";
	if (heap->partial && !heap->live_count)
		text = "not known: the dump has no objects";
	else if (heap->partial && !heap->has_roots)
		text = "not known: the dump has no roots";
	else if (heap->partial)
		text = "not known: in what the dump has, no root holds a tenth of the heap";
	hf_emit_line(report->emit, "%s", text);
}

enum hf_status hf_report_suspects(struct hf_report *report, uint64_t *ret_point, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(report->heap.db, &q, err, suspect_sql, "");
	int n = 0;
	*ret_point = 0;
	hf_emit_title(report->emit, "Who holds most");
	hf_emit_table_begin(
		report->emit, "suspects", columns, sizeof(columns) / sizeof(columns[0]));
	while (hf_row(q, &status, err)) {
		_cleanup_(hf_place_deinit) struct hf_place place = {
			.path = HF_TEXT_INIT, .bulk = HF_TEXT_INIT};
		struct hf_suspect_row row = read_row(q);
		bool shown = n++ < SHOWN;
		status = hf_place_read(report, &row, shown, &place, err);
		if (status == HF_OK && shown)
			status = lines(report, &row, &place, n, err);
		if (n == 1)
			*ret_point = row.point_addr ? row.point_addr : row.addr;
		emit_row(report, q, &row, &place);
	}
	hf_emit_table_end(report->emit);
	if (status == HF_OK && !n)
		none_line(report);
	return status;
}
