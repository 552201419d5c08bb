#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/fmt.h"
#include "base/path.h"
#include "report/report.h"
#include "report/site.h"
#include "report/suspects.h"
#include "report/top_site.h"

enum { SHOWN_ROOTS = 5 };

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
	if (heap->leak_count && heap->partial && !heap->has_roots)
		hf_emit_line(emit, "%-14s %s", "leaked", "not known: the dump has no roots");
	else if (heap->leak_count && heap->partial)
		hf_emit_line(emit,
			"%-14s %s (%s) of what is there seems leaked: what is missing may hold it",
			"leaked", hf_human_size(size, heap->leak_size),
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
	if (!report->heap.has_profile && !*report->heap.profile_missing)
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

/* What to ask next: only what the dump can answer. */
static void next(struct hf_report *report, uint64_t point)
{
	const struct hf_heapdb *heap = &report->heap;
	char addr[HF_NUMBER_SIZE];
	snprintf(addr, sizeof(addr), "0x%llx", (unsigned long long)point);
	if (!heap->live_count && !heap->partial)
		return;
	hf_emit_title(report->emit, "Next");
	if (point)
		hf_report_hint(report, "who", addr, "the path, hop by hop");
	if (heap->live_count && heap->has_roots)
		hf_report_hint(report, "tree", NULL, "where it divides");
	if (heap->leak_count && (heap->has_roots || !heap->partial))
		hf_report_hint(report, "leaks", NULL, "what nothing reaches");
	if (heap->partial)
		hf_report_hint(report, "info", NULL, "what is missing");
	if (heap->partial && !heap->has_roots && heap->live_count)
		hf_report_hint(report, "top", "--by type", "what there is, by type");
	if (heap->partial && !heap->live_count && heap->has_profile)
		hf_report_hint(report, "top", "--by site", "what was allocated where");
	else if (heap->partial && !heap->live_count)
		hf_emit_hint(report->emit, "holdfast run -- CMD", "what is allocated where");
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
		status = hf_report_suspects(report, &point, err);
	if (status == HF_OK)
		status = roots(report, err);
	if (status == HF_OK)
		status = sites(report, err);
	if (status == HF_OK)
		status = account(report, err);
	if (status != HF_OK)
		return status;
	next(report, point);
	return HF_OK;
}
