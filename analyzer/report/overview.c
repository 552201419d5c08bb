#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/fmt.h"
#include "base/path.h"
#include "report/also.h"
#include "report/group.h"
#include "report/report.h"
#include "report/site.h"
#include "report/top_site.h"

enum { SHOWN_SUSPECTS = 3, SHOWN_ROOTS = 5, BULK_STEPS = 2000 };

static enum hf_status meta_text(
	sqlite3 *db, const char *key, char *ret, size_t size, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status =
		hf_query(db, &q, err, "SELECT value FROM meta WHERE key = ?", "s", key);
	ret[0] = 0;
	if (hf_row(q, &status, err))
		snprintf(ret, size, "%s", hf_column_text(q, 0));
	return status;
}

static bool utc_text(const char *seconds, char *buf, size_t size)
{
	time_t t = (time_t)strtoll(seconds, NULL, 10);
	struct tm tm;
	return *seconds && gmtime_r(&t, &tm) && strftime(buf, size, "%Y-%m-%d %H:%M:%S UTC", &tm);
}

static enum hf_status process(struct hf_report *report, struct hf_err *err)
{
	char program[HF_NAME_SIZE], pid[32], when[64], trigger[128], host[128], date[64];
	sqlite3 *db = report->heap.db;
	enum hf_status status = meta_text(db, "program", program, sizeof(program), err);
	if (status == HF_OK)
		status = meta_text(db, "pid", pid, sizeof(pid), err);
	if (status == HF_OK)
		status = meta_text(db, "time", when, sizeof(when), err);
	if (status == HF_OK)
		status = meta_text(db, "trigger", trigger, sizeof(trigger), err);
	if (status == HF_OK)
		status = meta_text(db, "hostname", host, sizeof(host), err);
	if (status != HF_OK)
		return status;
	struct hf_emit *emit = report->emit;
	hf_emit_fact(emit, "program", NULL, HF_VALUE_TEXT, hf_cell_text(*program ? program : NULL));
	hf_emit_fact(emit, "pid", NULL, HF_VALUE_PLAIN,
		*pid ? hf_cell_int(strtoll(pid, NULL, 10)) : hf_cell_null());
	hf_emit_fact(emit, "time", NULL, HF_VALUE_PLAIN,
		*when ? hf_cell_int(strtoll(when, NULL, 10)) : hf_cell_null());
	hf_emit_fact(emit, "trigger", NULL, HF_VALUE_TEXT, hf_cell_text(*trigger ? trigger : NULL));
	hf_emit_title(emit, "%s%s%s%s%s", *program ? hf_base_name(program) : "unknown program",
		*pid ? ", pid " : "", pid, *host ? " on " : "", host);
	if (utc_text(when, date, sizeof(date)))
		hf_emit_line(emit, "%-14s %s%s%s%s", "dumped", date, *trigger ? " (" : "", trigger,
			*trigger ? ")" : "");
	return HF_OK;
}

/* "SIGSEGV at 0x10 in thread 4712 (worker)", of a process that a signal has ended. */
static enum hf_status ending(struct hf_report *report, struct hf_err *err)
{
	char signal[32], addr[32], tid[32], sender[32];
	const struct {
		const char *key;
		char *text;
	} facts[] = {{"signal", signal}, {"fault_addr", addr}, {"crashed_tid", tid},
		{"signal_sender", sender}};
	sqlite3 *db = report->heap.db;
	enum hf_status status = HF_OK;
	for (size_t i = 0; !status && i < sizeof(facts) / sizeof(facts[0]); i++)
		status = meta_text(db, facts[i].key, facts[i].text, sizeof(signal), err);
	if (status || !*signal)
		return status;
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	status = hf_query(db, &q, err, "SELECT name FROM thread WHERE tid = ? AND name != ''", "i",
		(int64_t)strtoll(tid, NULL, 10));
	const char *name = *tid && hf_row(q, &status, err) ? hf_column_text(q, 0) : "";
	struct hf_emit *emit = report->emit;
	hf_emit_fact(emit, "signal", NULL, HF_VALUE_TEXT, hf_cell_text(signal));
	hf_emit_fact(emit, "fault_addr", NULL, HF_VALUE_TEXT, hf_cell_text(*addr ? addr : NULL));
	hf_emit_fact(emit, "crashed_tid", NULL, HF_VALUE_PLAIN,
		*tid ? hf_cell_int(strtoll(tid, NULL, 10)) : hf_cell_null());
	hf_emit_line(emit, "%-14s %s%s%s%s%s%s%s%s%s%s", "ended by", signal, *addr ? " at " : "",
		addr, *tid ? " in thread " : "", tid, *name ? " (" : "", name, *name ? ")" : "",
		*sender ? ", sent by process " : "", sender);
	return status;
}

/* *ret_known: false for a core file, which does not tell what was resident. */
static enum hf_status resident_bytes(sqlite3 *db, bool *ret_known, int64_t *ret, struct hf_err *err)
{
	int64_t n_known = 0, n_unknown = 0;
	enum hf_status status =
		hf_query_int(db, &n_known, err, "SELECT count(resident) FROM memory_account", "");
	if (status == HF_OK)
		status = hf_query_int(db, &n_unknown, err,
			"SELECT count(*) - count(resident) FROM memory_account", "");
	*ret_known = n_known || !n_unknown;
	return status ? status
		      : hf_query_int(db, ret, err,
				"SELECT coalesce(sum(resident), 0) FROM memory_account", "");
}

/* What the objects take is more than was asked for, and that is what the account shows. */
static void rounded_up(struct hf_text *text, const struct hf_heapdb *heap)
{
	char asked[HF_NUMBER_SIZE], given[HF_NUMBER_SIZE];
	hf_human_size(asked, heap->live_size);
	hf_human_size(given, heap->live_usable);
	if (heap->live_usable > heap->live_size && strcmp(asked, given) != 0)
		hf_text_addf(text, " (%s with malloc's rounding)", given);
}

static enum hf_status totals(struct hf_report *report, struct hf_err *err)
{
	const struct hf_heapdb *heap = &report->heap;
	struct hf_emit *emit = report->emit;
	int64_t resident = 0;
	bool known;
	enum hf_status status = resident_bytes(heap->db, &known, &resident, err);
	if (status != HF_OK)
		return status;
	hf_emit_fact(emit, "live_size", NULL, HF_VALUE_SIZE, hf_cell_int((int64_t)heap->live_size));
	hf_emit_fact(emit, "live_usable", NULL, HF_VALUE_SIZE,
		heap->live_usable ? hf_cell_int((int64_t)heap->live_usable) : hf_cell_null());
	hf_emit_fact(
		emit, "live_count", NULL, HF_VALUE_COUNT, hf_cell_int((int64_t)heap->live_count));
	hf_emit_fact(emit, "leak_size", NULL, HF_VALUE_SIZE, hf_cell_int((int64_t)heap->leak_size));
	hf_emit_fact(
		emit, "leak_count", NULL, HF_VALUE_COUNT, hf_cell_int((int64_t)heap->leak_count));
	hf_emit_fact(emit, "resident_size", NULL, HF_VALUE_SIZE,
		known ? hf_cell_int(resident) : hf_cell_null());
	hf_emit_fact(emit, "doubtful_size", NULL, HF_VALUE_SIZE,
		hf_cell_int((int64_t)heap->doubtful_size));
	char size[HF_NUMBER_SIZE], count[HF_NUMBER_SIZE], share[HF_NUMBER_SIZE];
	_cleanup_(hf_text_deinit) struct hf_text taken = HF_TEXT_INIT;
	rounded_up(&taken, heap);
	if (heap->partial && !heap->live_count)
		hf_emit_line(emit, "%-14s %s", "heap", "not known: no object could be found");
	else
		hf_emit_line(emit, "%-14s %s in %s live object%s%s", "heap",
			hf_human_size(size, heap->live_size),
			hf_human_count(count, heap->live_count), heap->live_count == 1 ? "" : "s",
			hf_text_get(&taken));
	if (heap->leak_count && heap->partial)
		hf_emit_line(emit, "%-14s at most %s (%s): what is missing may hold it", "leaked",
			hf_human_size(size, heap->leak_size),
			hf_human_share(share, hf_percent(heap->leak_size, heap->live_size)));
	else if (heap->leak_count)
		hf_emit_line(emit, "%-14s %s (%s) in %s object%s that nothing reaches", "leaked",
			hf_human_size(size, heap->leak_size),
			hf_human_share(share, hf_percent(heap->leak_size, heap->live_size)),
			hf_human_count(count, heap->leak_count), heap->leak_count == 1 ? "" : "s");
	else
		hf_emit_line(emit, "%-14s %s", "leaked",
			heap->partial ? "not known: the dump is partial" : "nothing");
	if (hf_percent(heap->doubtful_size, heap->live_size) >= 1)
		hf_emit_line(emit, "%-14s %s (%s) held only by words that are no pointers by type",
			"doubtful", hf_human_size(size, heap->doubtful_size),
			hf_human_share(share, hf_percent(heap->doubtful_size, heap->live_size)));
	return HF_OK;
}

/* What the dump warns of: it bears on what the figures mean. */
static enum hf_status warnings(struct hf_report *report, struct hf_err *err)
{
	enum { SHOWN = 3 };
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(report->heap.db, &q, err,
		"SELECT text, count(*) OVER () FROM finding WHERE severity = 'warning' ORDER BY id "
		"LIMIT ?",
		"i", (int64_t)SHOWN);
	int64_t n = 0;
	for (int i = 0; hf_row(q, &status, err); i++) {
		n = hf_column_int(q, 1);
		hf_emit_line(report->emit, "%-14s %s", i ? "" : "warning", hf_column_text(q, 0));
	}
	if (status == HF_OK && n > SHOWN)
		hf_emit_line(report->emit, "%-14s %s and %lld more: holdfast info", "",
			hf_emit_dots(report->emit), (long long)n - SHOWN);
	return status;
}

static enum hf_status account(struct hf_report *report, struct hf_err *err)
{
	struct hf_column columns[] = {
		{"resident", "RESIDENT", HF_VALUE_SIZE, 0},
		{"share", "SHARE", HF_VALUE_SHARE, 0},
		{"size", "MAPPED", HF_VALUE_SIZE, 0},
		{"category", "WHAT", HF_VALUE_TEXT, 0},
		{"name", "", HF_VALUE_TEXT, HF_COLUMN_ELIDE},
		{"note", "", HF_VALUE_TEXT, HF_COLUMN_JSON},
	};
	int64_t total = 0;
	bool known;
	sqlite3 *db = report->heap.db;
	enum hf_status status = resident_bytes(db, &known, &total, err);
	if (status == HF_OK && !known)
		status = hf_query_int(db, &total, err, "SELECT sum(size) FROM memory_account", "");
	if (status != HF_OK)
		return status;
	char size[HF_NUMBER_SIZE];
	hf_emit_title(report->emit, "Where the %s memory is: %s%s", known ? "resident" : "mapped",
		hf_human_size(size, (uint64_t)total),
		known ? "" : " (how much of it was resident is not known)");
	columns[0].flags |= known ? 0 : HF_COLUMN_JSON;
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	status = hf_query(db, &q, err,
		"SELECT resident, size, category, name, note FROM memory_account "
		"ORDER BY coalesce(resident, size) DESC",
		"");
	bool human = hf_emit_form(report->emit) == HF_EMIT_HUMAN;
	hf_emit_table_begin(
		report->emit, "memory_account", columns, sizeof(columns) / sizeof(columns[0]));
	while (hf_row(q, &status, err)) {
		uint64_t part = (uint64_t)hf_column_int(q, known ? 0 : 1);
		if (human && !part)
			continue;
		hf_emit_row(report->emit, HF_NO_ROW,
			(struct hf_cell[]){
				hf_column_cell(q, 0),
				hf_cell_real(hf_percent(part, (uint64_t)total)),
				hf_column_cell(q, 1),
				hf_column_cell(q, 2),
				hf_column_cell(q, 3),
				hf_column_cell(q, 4),
			});
	}
	hf_emit_table_end(report->emit);
	return status;
}

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
};

static const char suspect_sql[] =
	"SELECT basis, CASE WHEN basis IN ('retained', 'group') THEN retained_size ELSE held_size "
	"END, CASE WHEN basis IN ('retained', 'group') THEN retained_count ELSE held_count END, "
	"path, addr, "
	"point_addr, point_size, point_type, CASE basis WHEN 'retained' THEN point_retained_size "
	"ELSE point_held_size END, point_children, held_size, retained_size, hops, point_id, "
	"variable_id, object_id "
	"FROM suspect ORDER BY id";

/* Before the chain that goes on from a point, in a stored path. */
static const char chain_mark[] = " [chain ";

/* Numbers of equal hops, "×746170", as people read them. */
static void add_with_separators(struct hf_text *text, const char *path)
{
	static const char times[] = "×";
	char number[HF_NUMBER_SIZE];
	for (const char *at; (at = strstr(path, times)); path = at) {
		at += sizeof(times) - 1;
		hf_text_add(text, path, (size_t)(at - path));
		uint64_t n;
		if (hf_parse_u64(&at, &n))
			hf_text_addf(text, "%s", hf_human_count(number, n));
	}
	hf_text_addf(text, "%s", path);
}

/* The stored path ends at the point; what goes on from there is shown as part of it: a chain of
 * equal links, which is in brackets there, or all that the point points to (next: its name, if it
 * has one). */
static bool suspect_path(struct hf_text *text, sqlite3_stmt *q, const char *next)
{
	const char *path = hf_column_text(q, PATH), *chain = strstr(path, chain_mark);
	_cleanup_(hf_text_deinit) struct hf_text raw = HF_TEXT_INIT;
	if (!strcmp(hf_column_text(q, BASIS), "group")) {
		hf_text_addf(text, "%s", path);
		return false;
	}
	if (chain) {
		const char *links = chain + sizeof(chain_mark) - 1, *end = strrchr(links, ']');
		hf_text_addf(&raw, "%.*s%.*s", (int)(chain - path), path,
			end ? (int)(end - links) : (int)strlen(links), links);
	} else {
		hf_text_addf(&raw, "%s%s", path,
			hf_column_int(q, POINT_CHILDREN) <= 1 ? ""
			: next[0]                             ? next
							      : "->[*]");
	}
	add_with_separators(text, hf_text_get(&raw));
	return chain != NULL;
}

/* Where most of what a suspect holds is, beyond its point. */
struct bulk {
	struct hf_text path; /* empty: there is nothing to add */
	struct hf_text next; /* the first step from the point: "->buckets[*]" */
	uint64_t size, count;
	bool estimated; /* the figures are, from a sample */
	int64_t site;   /* where most of it was allocated; 0: not known */
	double site_share;
};

static void bulk_deinit(struct bulk *bulk)
{
	hf_text_deinit(&bulk->path);
	hf_text_deinit(&bulk->next);
}

static enum hf_status point_node(
	struct hf_report *report, int64_t id, struct hf_node *ret, struct hf_err *err)
{
	struct hf_object point;
	enum hf_status status = hf_heapdb_object(&report->heap, id, &point, err);
	if (status == HF_E_NOTFOUND)
		return hf_err_set(
			err, HF_E_CORRUPT, "the database has no object %lld", (long long)id);
	*ret = (struct hf_node){.id = id,
		.size = point.held_size,
		.count = point.held_count,
		.self_size = point.size};
	return status;
}

static enum hf_status bulk_read(
	struct hf_report *report, sqlite3_stmt *q, struct bulk *ret, struct hf_err *err)
{
	bool variable = hf_column_null(q, POINT_ADDR);
	int64_t id = hf_column_int(q, variable ? VARIABLE_ID : POINT_ID);
	if (!id || strcmp(hf_column_text(q, BASIS), "held") != 0 ||
		strstr(hf_column_text(q, PATH), chain_mark))
		return HF_OK;
	struct hf_node node = {.id = id,
		.variable = variable,
		.size = (uint64_t)hf_column_int(q, SIZE),
		.count = (uint64_t)hf_column_int(q, COUNT)};
	enum hf_status status = variable ? HF_OK : point_node(report, id, &node, err);
	if (status != HF_OK)
		return status;
	_cleanup_(hf_children_deinit) struct hf_children children = {0};
	_cleanup_(hf_text_deinit) struct hf_text steps = HF_TEXT_INIT;
	_cleanup_(hf_group_deinit) struct hf_group set = {0};
	hf_children_init(&children, &report->heap, false);
	status = hf_group_of(&children, &node, &set, err);
	if (status == HF_OK && set.n_all > 1)
		hf_group_name(&ret->next, &set, variable);
	hf_text_addf(&steps, "%s", hf_text_get(&ret->next));
	if (status == HF_OK)
		status = hf_group_bulk(&children, &set, BULK_STEPS, &steps, err);
	/* One step says no more than the suspect's own path does. */
	if (status != HF_OK || set.any_word || set.n_all < 2)
		return status;
	hf_text_addf(&ret->path, "%s%s", hf_column_text(q, PATH), hf_text_get(&steps));
	ret->estimated = set.estimated;
	ret->size = (uint64_t)(set.size + 0.5);
	ret->count = hf_group_number(set.n_all, set.estimated);
	if (report->heap.profile_tied)
		return hf_site_of_set(report, set.at, set.n, &ret->site, &ret->site_share, err);
	return HF_OK;
}

static void bulk_line(struct hf_report *report, const struct bulk *bulk)
{
	char count[HF_NUMBER_SIZE], size[HF_NUMBER_SIZE], share[HF_NUMBER_SIZE];
	if (!bulk->path.len)
		return;
	const char *about = bulk->estimated ? "~" : "";
	hf_emit_line(report->emit, "   mostly %s  %s%s (%s) in %s%s objects%s",
		hf_text_get(&bulk->path), about, hf_human_size(size, bulk->size),
		hf_human_share(share, hf_percent(bulk->size, report->heap.live_size)), about,
		hf_human_count(count, bulk->count), bulk->estimated ? ", by a sample" : "");
}

static enum hf_status bulk_site_line(
	struct hf_report *report, const struct bulk *bulk, struct hf_err *err)
{
	enum { CALLERS = 3 };
	if (!bulk->site)
		return HF_OK;
	_cleanup_(hf_text_deinit) struct hf_text text = HF_TEXT_INIT;
	enum hf_status status = hf_site_text(report, bulk->site, CALLERS, &text, err);
	hf_emit_line(report->emit, "   %sallocated at %s", bulk->site_share < 95 ? "mostly " : "",
		hf_text_get(&text));
	return status;
}

/* Many objects of a kind, none of which is a suspect alone. */
static void group_lines(struct hf_report *report, sqlite3_stmt *q, int number)
{
	char size[HF_NUMBER_SIZE], held[HF_NUMBER_SIZE], share[HF_NUMBER_SIZE],
		count[HF_NUMBER_SIZE];
	uint64_t bytes = (uint64_t)hf_column_int(q, SIZE);
	hf_emit_line(report->emit, "%d. %s %s %s", number,
		hf_human_count(count, (uint64_t)hf_column_int(q, POINT_CHILDREN)),
		hf_emit_times(report->emit), hf_column_text(q, PATH));
	hf_emit_line(report->emit, "   together retain %s (%s), hold %s; e.g. 0x%llx",
		hf_human_size(size, bytes),
		hf_human_share(share, hf_percent(bytes, report->heap.live_size)),
		hf_human_size(held, (uint64_t)hf_column_int(q, HELD_SIZE)),
		(unsigned long long)hf_column_int(q, ADDR));
}

static void suspect_lines(struct hf_report *report, sqlite3_stmt *q, int number, const char *next)
{
	char size[HF_NUMBER_SIZE], share[HF_NUMBER_SIZE], count[HF_NUMBER_SIZE];
	struct hf_emit *emit = report->emit;
	const char *basis = hf_column_text(q, BASIS);
	uint64_t bytes = (uint64_t)hf_column_int(q, SIZE);
	if (!strcmp(basis, "group")) {
		group_lines(report, q, number);
		return;
	}
	_cleanup_(hf_text_deinit) struct hf_text path = HF_TEXT_INIT;
	bool chain = suspect_path(&path, q, next);
	hf_emit_line(emit, "%d. %s  %s %s (%s)", number, hf_text_get(&path),
		!strcmp(basis, "retained") ? "retains"
		: !strcmp(basis, "leaked") ? "leaked, holds"
					   : "holds",
		hf_human_size(size, bytes),
		hf_human_share(share, hf_percent(bytes, report->heap.live_size)));
	if (hf_column_null(q, POINT_ADDR))
		hf_emit_line(emit, "   spreads over %s objects right below it",
			hf_human_count(count, (uint64_t)hf_column_int(q, POINT_CHILDREN)));
	else if (chain)
		hf_emit_line(emit, "   piles up along a chain that starts at 0x%llx",
			(unsigned long long)hf_column_int(q, POINT_ADDR));
	else {
		int64_t below = hf_column_int(q, POINT_CHILDREN);
		hf_emit_line(emit, "   piles up at 0x%llx (%s): %s object%s below it",
			(unsigned long long)hf_column_int(q, POINT_ADDR),
			hf_column_null(q, POINT_TYPE)
				? hf_human_size(size, (uint64_t)hf_column_int(q, POINT_SIZE))
				: hf_column_text(q, POINT_TYPE),
			below ? hf_human_count(count, (uint64_t)below) : "no",
			below == 1 ? "" : "s");
	}
}

/* Where a suspect retains much less than it holds: which words spoil it, summed by what they are
 * in, with what they reach. */
static enum hf_status spoil_lines(struct hf_report *report, sqlite3_stmt *q, struct hf_err *err)
{
	enum { SHOWN = 3, LITTLE_PERCENT = 85 };
	struct hf_also_top top = {.variable_id = hf_column_int(q, VARIABLE_ID),
		.thorough = true,
		.held_size = (uint64_t)hf_column_int(q, HELD_SIZE),
		.retained_size = (uint64_t)hf_column_int(q, RETAINED_SIZE)};
	if (!top.variable_id)
		top.object_id = hf_column_int(q, OBJECT_ID);
	if (strcmp(hf_column_text(q, BASIS), "held") != 0 ||
		hf_percent(top.retained_size, top.held_size) >= LITTLE_PERCENT)
		return HF_OK;
	_cleanup_(hf_also_deinit) struct hf_also also = {0};
	_cleanup_(hf_also_sources_deinit) struct hf_also_sources sources = {0};
	enum hf_status status = hf_also_find(&report->heap, &top, &also, err);
	if (status == HF_OK)
		status = hf_also_sum(&report->heap, &also, &sources, err);
	char size[HF_NUMBER_SIZE];
	if (status == HF_OK)
		hf_emit_line(report->emit, "   retains %s of it: %s",
			hf_human_size(size, top.retained_size),
			also.n ? "these words reach in, too" : "other words reach in, too");
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
	return status;
}

static enum hf_status suspects(struct hf_report *report, uint64_t *ret_point, struct hf_err *err)
{
	static const struct hf_column columns[] = {
		{"basis", "", HF_VALUE_TEXT, HF_COLUMN_JSON},
		{"size", "", HF_VALUE_SIZE, HF_COLUMN_JSON},
		{"share", "", HF_VALUE_SHARE, HF_COLUMN_JSON},
		{"count", "", HF_VALUE_COUNT, HF_COLUMN_JSON},
		{"path", "", HF_VALUE_TEXT, HF_COLUMN_JSON},
		{"addr", "", HF_VALUE_ADDRESS, HF_COLUMN_JSON},
		{"point_addr", "", HF_VALUE_ADDRESS, HF_COLUMN_JSON},
		{"point_type", "", HF_VALUE_TEXT, HF_COLUMN_JSON},
		{"point_below", "", HF_VALUE_SIZE, HF_COLUMN_JSON},
		{"point_children", "", HF_VALUE_COUNT, HF_COLUMN_JSON},
		{"held_size", "", HF_VALUE_SIZE, HF_COLUMN_JSON},
		{"retained_size", "", HF_VALUE_SIZE, HF_COLUMN_JSON},
		{"hops", "", HF_VALUE_COUNT, HF_COLUMN_JSON},
		{"bulk_path", "", HF_VALUE_TEXT, HF_COLUMN_JSON},
		{"bulk_size", "", HF_VALUE_SIZE, HF_COLUMN_JSON},
		{"bulk_count", "", HF_VALUE_COUNT, HF_COLUMN_JSON},
		{"bulk_estimated", "", HF_VALUE_BOOL, HF_COLUMN_JSON},
		{"bulk_site_id", "", HF_VALUE_PLAIN, HF_COLUMN_JSON},
	};
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(report->heap.db, &q, err, suspect_sql, "");
	int n = 0;
	hf_emit_title(report->emit, "Who holds most");
	hf_emit_table_begin(
		report->emit, "suspects", columns, sizeof(columns) / sizeof(columns[0]));
	while (hf_row(q, &status, err)) {
		_cleanup_(hf_text_deinit) struct hf_text path = HF_TEXT_INIT;
		_cleanup_(bulk_deinit) struct bulk bulk = {
			.path = HF_TEXT_INIT, .next = HF_TEXT_INIT};
		if (n++ < SHOWN_SUSPECTS) {
			status = bulk_read(report, q, &bulk, err);
			suspect_lines(report, q, n, hf_text_get(&bulk.next));
			bulk_line(report, &bulk);
			hf_report_keys_note(report, hf_text_get(&bulk.path));
			if (status == HF_OK)
				status = bulk_site_line(report, &bulk, err);
			if (status == HF_OK)
				status = spoil_lines(report, q, err);
		}
		suspect_path(&path, q, hf_text_get(&bulk.next));
		if (n == 1)
			*ret_point = (uint64_t)hf_column_int(
				q, hf_column_null(q, POINT_ADDR) ? ADDR : POINT_ADDR);
		hf_emit_row(report->emit, HF_NO_ROW,
			(struct hf_cell[]){
				hf_column_cell(q, BASIS),
				hf_column_cell(q, SIZE),
				hf_cell_real(hf_percent(
					(uint64_t)hf_column_int(q, SIZE), report->heap.live_size)),
				hf_column_cell(q, COUNT),
				hf_cell_text(hf_text_get(&path)),
				hf_column_cell(q, ADDR),
				hf_column_cell(q, POINT_ADDR),
				hf_column_cell(q, POINT_TYPE),
				hf_column_cell(q, POINT_BELOW),
				hf_column_cell(q, POINT_CHILDREN),
				hf_column_cell(q, HELD_SIZE),
				hf_column_cell(q, RETAINED_SIZE),
				hf_column_cell(q, HOPS),
				hf_cell_text(bulk.path.len ? hf_text_get(&bulk.path) : NULL),
				bulk.path.len ? hf_cell_int((int64_t)bulk.size) : hf_cell_null(),
				bulk.path.len ? hf_cell_int((int64_t)bulk.count) : hf_cell_null(),
				bulk.path.len ? hf_cell_int(bulk.estimated) : hf_cell_null(),
				bulk.site ? hf_cell_int(bulk.site) : hf_cell_null(),
			});
	}
	hf_emit_table_end(report->emit);
	if (status == HF_OK && !n)
		hf_emit_line(report->emit, "nothing stands out: no root holds a tenth of the heap");
	return status;
}

static enum hf_status roots(struct hf_report *report, struct hf_err *err)
{
	hf_emit_title(report->emit, "Largest roots");
	struct hf_top_options top = {.by = "root", .n = SHOWN_ROOTS, .min_percent = 1};
	hf_emit_object_begin(report->emit, "roots");
	enum hf_status status = hf_report_top(report, &top, err);
	hf_emit_object_end(report->emit);
	return status;
}

/* Where memory was allocated, if it is known. */
static enum hf_status sites(struct hf_report *report, struct hf_err *err)
{
	enum { SHOWN = 4 };
	int64_t shown = 0, all = 0;
	char number[HF_NUMBER_SIZE];
	if (!report->heap.has_profile)
		return HF_OK;
	hf_emit_title(report->emit, "Where it was allocated");
	hf_emit_object_begin(report->emit, "allocated");
	hf_site_note(report);
	enum hf_status status = hf_top_sites(report, HF_BY_SITE, "size", SHOWN, &shown, &all, err);
	hf_emit_object_end(report->emit);
	if (status == HF_OK && all > shown)
		hf_emit_line(report->emit, "%s and %s more: holdfast top %s --by site",
			hf_emit_dots(report->emit), hf_human_count(number, (uint64_t)(all - shown)),
			report->input);
	return status;
}

enum hf_status hf_report_overview(struct hf_report *report, struct hf_err *err)
{
	uint64_t point = 0;
	enum hf_status status = process(report, err);
	if (status == HF_OK)
		status = ending(report, err);
	if (status == HF_OK)
		status = totals(report, err);
	if (status == HF_OK)
		status = warnings(report, err);
	if (status == HF_OK)
		status = suspects(report, &point, err);
	if (status == HF_OK)
		status = roots(report, err);
	if (status == HF_OK)
		status = sites(report, err);
	if (status == HF_OK)
		status = account(report, err);
	if (status != HF_OK)
		return status;
	char addr[HF_NUMBER_SIZE];
	snprintf(addr, sizeof(addr), "0x%llx", (unsigned long long)point);
	hf_emit_title(report->emit, "Next");
	if (point)
		hf_report_hint(report, "who", addr, "the path, hop by hop");
	hf_report_hint(report, "tree", NULL, "where it divides");
	if (report->heap.leak_count)
		hf_report_hint(report, "leaks", NULL, "what nothing reaches");
	return HF_OK;
}
