#include "report/diff.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/path.h"

enum { SHOWN_GROWN = 5, SHOWN_NEW = 5 };

/* A process keeps its program, its number and where its first module is. The name of its machine is
 * not in a core file. */
static const char process_sql[] =
	"SELECT coalesce((SELECT value FROM meta WHERE key = 'exe'), '') || ' ' || "
	"coalesce((SELECT value FROM meta WHERE key = 'pid'), '') || ' ' || "
	"coalesce((SELECT base FROM module ORDER BY id LIMIT 1), 0), "
	"coalesce((SELECT value FROM meta WHERE key = 'hostname'), ''), "
	"coalesce((SELECT base FROM module ORDER BY id LIMIT 1), 0)";

/* Was the place of a program drawn by lot? Else it lies where it was linked to, or where the kernel
 * puts all programs when it draws none. */
static bool is_random(uint64_t base)
{
	return base >> 32 && base != 0x555555554000;
}

/* What object.size is: usable bytes, those asked for, or either, where recording was a sample. */
static int measure(const struct hf_heapdb *heap)
{
	return heap->sizes_requested + (heap->sizes_requested && heap->profile_sampled);
}

static enum hf_status measure_heaps(struct hf_diff *diff, struct hf_err *err)
{
	for (size_t i = 1; i < diff->n_heaps; i++)
		diff->usable |= measure(diff->heaps[i]) != measure(diff->heaps[0]);
	enum hf_status status = HF_OK;
	for (size_t i = 0; i < diff->n_heaps && status == HF_OK; i++) {
		int64_t leaked = (int64_t)diff->heaps[i]->leak_size;
		diff->live[i] =
			diff->usable ? diff->heaps[i]->live_usable : diff->heaps[i]->live_size;
		if (diff->usable && leaked)
			status = hf_query_int(diff->heaps[i]->db, &leaked, err,
				"SELECT sum(usable) FROM object WHERE depth IS NULL", "");
		diff->leaked[i] = (uint64_t)leaked;
	}
	return status;
}

/* The program of a heap: the name of its file, and the build id where it is known. */
static const char program_sql[] =
	"SELECT coalesce(p.value, ''), coalesce((SELECT build_id FROM module WHERE path = "
	"p.value), "
	"'') FROM (SELECT max(value) AS value FROM meta WHERE key = 'exe') p";

static void program_name(struct hf_text *text, const char *exe)
{
	static const char deleted[] = " (deleted)";
	const char *name = hf_base_name(exe);
	size_t length = strlen(name), tail = sizeof(deleted) - 1;
	if (length > tail && !strcmp(name + length - tail, deleted))
		length -= tail;
	hf_text_add(text, name, length);
}

/* Heaps of different programs are compared all the same, but it is not what people mean to do. */
static enum hf_status other_programs(struct hf_diff *diff, struct hf_err *err)
{
	_cleanup_(hf_text_deinit) struct hf_text first = HF_TEXT_INIT, id = HF_TEXT_INIT;
	enum hf_status status = HF_OK;
	for (size_t i = 0; i < diff->n_heaps && status == HF_OK; i++) {
		_cleanup_(hf_text_deinit) struct hf_text name = HF_TEXT_INIT;
		_cleanup_stmt_ sqlite3_stmt *q = NULL;
		status = hf_query(diff->heaps[i]->db, &q, err, program_sql, "");
		if (!hf_row(q, &status, err))
			break;
		program_name(&name, hf_column_text(q, 0));
		const char *build_id = hf_column_text(q, 1);
		if (!i) {
			hf_text_addf(&first, "%s", hf_text_get(&name));
			hf_text_addf(&id, "%s", build_id);
		} else if (first.len && name.len &&
			   strcmp(hf_text_get(&first), hf_text_get(&name)) != 0 &&
			   (!id.len || strcmp(hf_text_get(&id), build_id) != 0)) {
			hf_emit_warning(diff->report->emit,
				"different programs, %s and %s: what follows is a difference, "
				"and no growth",
				hf_text_get(&first), hf_text_get(&name));
			break;
		}
	}
	return status;
}

/* Of one process, of several, or neither is certain. */
enum sameness { SAME, NOT_KNOWN, DIFFERENT };

static enum hf_status same_process(struct hf_diff *diff, enum sameness *ret, struct hf_err *err)
{
	_cleanup_(hf_text_deinit) struct hf_text first = HF_TEXT_INIT, host = HF_TEXT_INIT;
	*ret = SAME;
	for (size_t i = 0; i < diff->n_heaps; i++) {
		_cleanup_stmt_ sqlite3_stmt *q = NULL;
		enum hf_status status = hf_query(diff->heaps[i]->db, &q, err, process_sql, "");
		if (!hf_row(q, &status, err))
			return status;
		const char *name = hf_column_text(q, 1);
		if (!i)
			hf_text_addf(&first, "%s", hf_column_text(q, 0));
		else if (strcmp(hf_text_get(&first), hf_column_text(q, 0)) != 0)
			*ret = DIFFERENT;
		if (!i)
			hf_text_addf(&host, "%s", name);
		else if (*ret == DIFFERENT || !strcmp(hf_text_get(&host), name))
			continue;
		else if (*name && *hf_text_get(&host))
			*ret = DIFFERENT;
		else if (!is_random((uint64_t)hf_column_int(q, 2)))
			*ret = NOT_KNOWN;
	}
	return HF_OK;
}

static void totals(struct hf_diff *diff, const char *by, int64_t size)
{
	const struct hf_heapdb *old = diff->heaps[0], *new = &diff->report->heap;
	uint64_t old_size = diff->live[0], new_size = diff->live[diff->n_heaps - 1];
	int64_t leaked = (int64_t)(diff->leaked[diff->n_heaps - 1] - diff->leaked[0]);
	struct hf_emit *emit = diff->report->emit;
	int64_t count = (int64_t)(new->live_count - old->live_count);
	char a[HF_NUMBER_SIZE], b[HF_NUMBER_SIZE], c[HF_NUMBER_SIZE], d[HF_NUMBER_SIZE];
	hf_emit_fact(emit, "by", NULL, HF_VALUE_TEXT, hf_cell_text(by));
	hf_emit_fact(emit, "growth", NULL, HF_VALUE_SIZE_DELTA, hf_cell_int(size));
	hf_emit_fact(emit, "count_growth", NULL, HF_VALUE_COUNT_DELTA, hf_cell_int(count));
	hf_emit_fact(emit, "old_size", NULL, HF_VALUE_SIZE, hf_cell_int((int64_t)old_size));
	hf_emit_fact(emit, "new_size", NULL, HF_VALUE_SIZE, hf_cell_int((int64_t)new_size));
	hf_emit_fact(emit, "leak_growth", NULL, HF_VALUE_SIZE_DELTA, hf_cell_int(leaked));
	hf_emit_fact(emit, "usable_sizes", NULL, HF_VALUE_BOOL, hf_cell_int(diff->usable));
	hf_emit_title(emit, "Live heap: %s -> %s (%s), %s object%s", hf_human_size(c, old_size),
		hf_human_size(d, new_size), hf_human_size_delta(a, size),
		hf_human_count_delta(b, count), count == 1 || count == -1 ? "" : "s");
	if (leaked)
		hf_emit_line(emit, "%-14s %s", "leaked", hf_human_size_delta(a, leaked));
	if (diff->usable)
		hf_emit_line(emit, "%-14s %s", "compared",
			"what malloc gave: not all of these heaps tell what was asked for");
}

/* Of three heaps and more: every size, and whether it only ever grew. */
static void series(struct hf_diff *diff)
{
	struct hf_emit *emit = diff->report->emit;
	_cleanup_(hf_text_deinit) struct hf_text text = HF_TEXT_INIT;
	size_t grew = 0;
	for (size_t i = 0; i < diff->n_heaps; i++) {
		char size[HF_NUMBER_SIZE];
		hf_text_addf(&text, "%s%s", i ? " -> " : "", hf_human_size(size, diff->live[i]));
		grew += i && diff->live[i] > diff->live[i - 1];
	}
	hf_emit_fact(emit, "steps", NULL, HF_VALUE_COUNT, hf_cell_int((int64_t)diff->n_heaps - 1));
	hf_emit_fact(emit, "steps_grown", NULL, HF_VALUE_COUNT, hf_cell_int((int64_t)grew));
	hf_emit_line(emit, "%-14s %s", "step by step", hf_text_get(&text));
	hf_emit_line(emit, "%-14s in %zu of %zu steps; first below: what grew in every one", "grew",
		grew, diff->n_heaps - 1);
}

static void match_totals(struct hf_diff *diff, const struct hf_diff_objects *objects)
{
	struct hf_emit *emit = diff->report->emit;
	const struct {
		const char *key, *size_key, *label;
		uint64_t count, bytes;
	} rows[] = {
		{"new_objects", "new_bytes", "new", objects->new_count, objects->new_bytes},
		{"gone_objects", "gone_bytes", "gone", objects->gone_count, objects->gone_bytes},
		{"kept_objects", "kept_bytes", "still there", objects->kept_count,
			objects->kept_bytes},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char count[HF_NUMBER_SIZE], size[HF_NUMBER_SIZE];
		hf_emit_fact(emit, rows[i].key, NULL, HF_VALUE_COUNT,
			hf_cell_int((int64_t)rows[i].count));
		hf_emit_fact(emit, rows[i].size_key, NULL, HF_VALUE_SIZE,
			hf_cell_int((int64_t)rows[i].bytes));
		hf_emit_line(emit, "%-14s %s object%s, %s", rows[i].label,
			hf_human_count(count, rows[i].count), rows[i].count == 1 ? "" : "s",
			hf_human_size(size, rows[i].bytes));
	}
}

static const struct {
	const char *name;
	enum hf_diff_by by;
} kinds[] = {{"site", HF_DIFF_SITE}, {"type", HF_DIFF_TYPE}, {"root", HF_DIFF_ROOT}};
enum { N_KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static enum hf_status unknown_kind(const char *by, struct hf_err *err)
{
	return hf_err_set(
		err, HF_E_USAGE, "--by %s: not known; it is one of type, site, root, object", by);
}

/* The kind that was asked for, or the finest that all heaps know. */
static enum hf_status choose(struct hf_diff *diff, const char *by, size_t *ret, struct hf_err *err)
{
	for (size_t i = 0; i < N_KINDS; i++) {
		bool known = !by && kinds[i].by == HF_DIFF_ROOT;
		enum hf_status status = HF_OK;
		if (!by && !known)
			status = hf_diff_knows(diff, kinds[i].by, &known, err);
		if (status != HF_OK)
			return status;
		if (known || (by && !strcmp(by, kinds[i].name))) {
			*ret = i;
			return HF_OK;
		}
	}
	return unknown_kind(by, err);
}

enum hf_status hf_report_diff_check(const struct hf_diff_options *options, struct hf_err *err)
{
	bool known = !options->by || !strcmp(options->by, "object");
	for (size_t i = 0; i < N_KINDS && !known; i++)
		known = !strcmp(options->by, kinds[i].name);
	return known ? HF_OK : unknown_kind(options->by, err);
}

static enum hf_status objects(struct hf_diff *diff, bool alone, bool n_given,
	const struct hf_diff_objects *found, struct hf_err *err)
{
	bool all = alone || n_given;
	enum hf_status status = HF_OK;
	if (found->n_grown) {
		if (!alone)
			hf_emit_title(diff->report->emit, "Where it grew");
		status = hf_diff_objects_emit(diff, found, all ? diff->n : SHOWN_GROWN, err);
	}
	if (diff->usable)
		hf_emit_line(diff->report->emit,
			"(what single objects hold is not compared: sizes do not mean the same)");
	else if (alone && !found->n_grown && !found->n_new)
		hf_emit_line(
			diff->report->emit, "no object is new, and none holds more than before");
	if (status == HF_OK && found->n_new)
		status = hf_diff_new_emit(diff, found, all ? diff->n : SHOWN_NEW, err);
	return status;
}

static bool any_sampled(const struct hf_diff *diff)
{
	bool sampled = false;
	for (size_t i = 0; i < diff->n_heaps; i++)
		sampled |= diff->heaps[i]->profile_sampled;
	return sampled;
}

enum hf_status hf_report_diff(struct hf_report *report, struct hf_heapdb *const *old, size_t n_old,
	const struct hf_diff_options *options, int64_t *ret_growth, struct hf_err *err)
{
	struct hf_diff diff = {.report = report, .n_heaps = n_old + 1, .n = options->n};
	if (!n_old || n_old >= HF_DIFF_MAX_HEAPS)
		return hf_err_set(
			err, HF_E_USAGE, "diff compares 2 to %d heaps", (int)HF_DIFF_MAX_HEAPS);
	memcpy(diff.heaps, old, n_old * sizeof(*old));
	diff.heaps[n_old] = &report->heap;

	bool by_object = options->by && !strcmp(options->by, "object");
	size_t kind = 0;
	_cleanup_(hf_diff_objects_deinit) struct hf_diff_objects found = {0};
	enum sameness sameness = DIFFERENT;
	enum hf_status status = same_process(&diff, &sameness, err);
	diff.same_process = sameness == SAME;
	if (status == HF_OK && by_object && !diff.same_process)
		status = hf_err_set(err, HF_E_USAGE,
			"--by object: the dumps are %s processes, whose addresses say "
			"nothing of each other; try --by root",
			sameness == NOT_KNOWN ? "perhaps of different" : "of different");
	if (status == HF_OK && !by_object)
		status = choose(&diff, options->by, &kind, err);
	if (status == HF_OK)
		status = measure_heaps(&diff, err);
	if (status == HF_OK && diff.same_process)
		status = hf_diff_objects_match(&diff, &found, err);
	if (status == HF_OK)
		status = other_programs(&diff, err);
	if (status != HF_OK)
		return status;

	*ret_growth = (int64_t)(diff.live[n_old] - diff.live[0]);
	totals(&diff, by_object ? "object" : kinds[kind].name, *ret_growth);
	if (n_old > 1)
		series(&diff);
	hf_emit_fact(
		report->emit, "same_process", NULL, HF_VALUE_BOOL, hf_cell_int(diff.same_process));
	if (diff.same_process)
		match_totals(&diff, &found);
	if (!by_object) {
		bool estimates = kinds[kind].by == HF_DIFF_SITE && any_sampled(&diff);
		hf_emit_fact(
			report->emit, "estimates", NULL, HF_VALUE_BOOL, hf_cell_int(estimates));
		hf_emit_title(report->emit, "Growth by %s%s", kinds[kind].name,
			estimates ? " (estimates: the sites are sampled)"
			: !options->by && kinds[kind].by == HF_DIFF_ROOT
				? " (these heaps know no sites and no types)"
				: "");
		status = hf_diff_groups(&diff, kinds[kind].by, err);
	}
	if (status == HF_OK && diff.same_process)
		status = objects(&diff, by_object, options->n_given, &found, err);
	else if (status == HF_OK)
		hf_emit_line(report->emit, "(%s: objects are not matched)",
			sameness == NOT_KNOWN ? "not known whether of one process"
					      : "different processes");
	return status;
}
