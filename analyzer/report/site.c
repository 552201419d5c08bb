#include "report/site.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "symbolize/allocators.h"

/* The end of the template arguments that start at s, or NULL. */
static const char *end_of_arguments(const char *s)
{
	int depth = 0;
	for (; *s; s++) {
		depth += *s == '<';
		if (*s == '>' && s[-1] != '-' && --depth == 0)
			return s + 1;
	}
	return NULL;
}

/* A function's name without template arguments that take more than a few characters. */
static void add_short(struct hf_text *text, const char *function, const char *dots)
{
	enum { FEW = 16 };
	for (const char *s = function; *s; s++) {
		bool arguments = *s == '<' && s > function &&
				 (isalnum((unsigned char)s[-1]) || s[-1] == '_' || s[-1] == ':') &&
				 !(s - function >= 8 && !strncmp(s - 8, "operator", 8));
		const char *end = arguments ? end_of_arguments(s) : NULL;
		if (end && end - s > FEW) {
			hf_text_addf(text, "<%s>", dots);
			s = end - 1;
		} else {
			hf_text_add(text, s, 1);
		}
	}
}

static void add_place(struct hf_text *text, const char *function, const char *file, int64_t line,
	const char *dots)
{
	add_short(text, function, dots);
	if (*file && line)
		hf_text_addf(text, " (%s:%lld)", hf_base_name(file), (long long)line);
	else if (*file)
		hf_text_addf(text, " (%s)", hf_base_name(file));
}

/* Where code without a symbol is: "libfoo.so+0x1234". */
static void unnamed_place(struct hf_text *text, sqlite3_stmt *q)
{
	enum { PATH = 3, OFFSET, PC };
	if (!hf_column_null(q, OFFSET) && *hf_column_text(q, PATH))
		hf_text_addf(text, "%s+0x%llx", hf_base_name(hf_column_text(q, PATH)),
			(unsigned long long)hf_column_int(q, OFFSET));
	else if (hf_column_int(q, PC))
		hf_text_addf(text, "0x%llx", (unsigned long long)hf_column_int(q, PC));
	else
		hf_text_addf(text, "??");
}

/* A caller: "load_user:96" where it is in the file that was named last, else with its file. */
static void add_caller(struct hf_report *report, struct hf_text *text, struct hf_text *last,
	const char *function, const char *file, int64_t line)
{
	const char *dots = hf_emit_dots(report->emit);
	hf_text_addf(text, " %s ", hf_emit_from(report->emit));
	bool same = *file && line && !strcmp(hf_text_get(last), file);
	add_place(text, function, same || !line ? "" : file, line, dots);
	if (same)
		hf_text_addf(text, ":%lld", (long long)line);
	if (*file && line && !same) {
		hf_text_clear(last);
		hf_text_addf(last, "%s", file);
	}
}

static enum hf_status add_callers(struct hf_report *report, int64_t site, int64_t depth, int n,
	struct hf_text *text, struct hf_text *last, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(report->heap.db, &q, err,
		"SELECT f.function, f.file, f.line, m.path, f.pc - m.base, f.pc FROM site_frame f "
		"LEFT JOIN module m ON m.id = f.module_id WHERE f.site_id = ? AND f.depth > ? "
		"ORDER BY f.depth",
		"ii", site, depth);
	while (n > 0 && hf_row(q, &status, err)) {
		const char *function = hf_column_text(q, 0);
		if (hf_is_thread_start(function))
			break;
		if (hf_is_standard_library(function))
			continue;
		_cleanup_(hf_text_deinit) struct hf_text place = HF_TEXT_INIT;
		if (*function)
			hf_text_addf(&place, "%s", function);
		else
			unnamed_place(&place, q);
		add_caller(report, text, last, hf_text_get(&place), hf_column_text(q, 1),
			hf_column_int(q, 2));
		n--;
	}
	return status;
}

enum hf_status hf_site_text(struct hf_report *report, int64_t site, int n_callers,
	struct hf_text *text, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	_cleanup_(hf_text_deinit) struct hf_text last = HF_TEXT_INIT;
	enum hf_status status = hf_query(report->heap.db, &q, err,
		"SELECT function, file, line, coalesce(depth, 0) FROM site WHERE id = ?", "i",
		site);
	if (!hf_row(q, &status, err) || hf_column_null(q, 0)) {
		if (status == HF_OK)
			hf_text_addf(text, "site %lld", (long long)site);
		return status;
	}
	add_place(text, hf_column_text(q, 0), hf_column_text(q, 1), hf_column_int(q, 2),
		hf_emit_dots(report->emit));
	if (hf_column_int(q, 2))
		hf_text_addf(&last, "%s", hf_column_text(q, 1));
	return n_callers
		       ? add_callers(report, site, hf_column_int(q, 3), n_callers, text, &last, err)
		       : HF_OK;
}

/* "T" of "std::__new_allocator<T>::allocate"; its end, or NULL if it is no such function. */
static const char *allocated_type(const char *function, const char **ret_end)
{
	static const char allocator[] = "allocator<", allocate[] = "::allocate";
	const char *at = strstr(function, allocator);
	const char *end = at ? end_of_arguments(at + sizeof(allocator) - 2) : NULL;
	if (!end || strcmp(end, allocate) != 0)
		return NULL;
	*ret_end = end - 1 - (end[-2] == ' ');
	return at + sizeof(allocator) - 1;
}

enum hf_status hf_site_detail(
	struct hf_report *report, int64_t site, struct hf_text *text, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	_cleanup_(hf_text_deinit) struct hf_text detail = HF_TEXT_INIT, type = HF_TEXT_INIT;
	enum hf_status status = hf_query(report->heap.db, &q, err,
		"SELECT f.function FROM site s JOIN site_frame f ON f.site_id = s.id "
		"WHERE s.id = ? AND f.depth < s.depth ORDER BY f.depth",
		"i", site);
	const char *dots = hf_emit_dots(report->emit), *end;
	while (hf_row(q, &status, err)) {
		const char *function = hf_column_text(q, 0);
		const char *of = allocated_type(function, &end);
		hf_text_clear(&detail);
		if (of) {
			hf_text_add(&type, of, (size_t)(end - of));
			hf_text_addf(&detail, ", for ");
			add_short(&detail, hf_text_get(&type), dots);
			break;
		}
		/* The outermost one says most; operator new says nothing. */
		if (strstr(function, "::")) {
			hf_text_addf(&detail, ", in ");
			add_short(&detail, function, dots);
		}
	}
	hf_text_addf(text, "%s", hf_text_get(&detail));
	return status;
}

struct share {
	int64_t site;
	double size;
};

static int by_site(const void *pa, const void *pb)
{
	const struct share *a = pa, *b = pb;
	return a->site < b->site ? -1 : a->site > b->site;
}

enum hf_status hf_site_of_set(struct hf_report *report, const struct hf_member *members, size_t n,
	int64_t *ret_site, double *ret_share, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	_cleanup_(hf_freep) struct share *shares = calloc(n + 1, sizeof(*shares));
	if (!shares)
		return hf_err_set(err, HF_E_NOMEM, "no memory for a set of objects");
	enum hf_status status = hf_query(
		report->heap.db, &q, err, "SELECT site_id, size FROM object WHERE id = ?", "");
	size_t n_shares = 0;
	for (size_t i = 0; i < n && status == HF_OK; i++) {
		hf_rebind(q, "i", members[i].node.id);
		if (hf_row(q, &status, err) && !hf_column_null(q, 0))
			shares[n_shares++] = (struct share){hf_column_int(q, 0),
				members[i].weight * (double)hf_column_int(q, 1)};
		sqlite3_reset(q);
	}
	if (n_shares)
		qsort(shares, n_shares, sizeof(*shares), by_site);
	double all = 0, run = 0, best = 0;
	*ret_site = 0;
	for (size_t i = 0; i < n_shares; i++) {
		run = i && shares[i].site == shares[i - 1].site ? run + shares[i].size
								: shares[i].size;
		all += shares[i].size;
		if (run > best || !*ret_site) {
			best = run;
			*ret_site = shares[i].site;
		}
	}
	*ret_share = all > 0 ? 100 * best / all : 0;
	return status;
}

enum hf_status hf_site_stack(struct hf_report *report, int64_t site, struct hf_err *err)
{
	static const struct hf_column columns[] = {
		{"function", "", HF_VALUE_TEXT, HF_COLUMN_JSON},
		{"file", "", HF_VALUE_TEXT, HF_COLUMN_JSON},
		{"line", "", HF_VALUE_PLAIN, HF_COLUMN_JSON},
		{"module", "", HF_VALUE_TEXT, HF_COLUMN_JSON},
		{"pc", "", HF_VALUE_ADDRESS, HF_COLUMN_JSON},
	};
	enum { N_COLUMNS = sizeof(columns) / sizeof(columns[0]) };
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(report->heap.db, &q, err,
		"SELECT f.function, f.file, f.line, m.path, f.pc FROM site_frame f "
		"LEFT JOIN module m ON m.id = f.module_id WHERE f.site_id = ? ORDER BY f.depth",
		"i", site);
	hf_emit_table_begin(report->emit, "stack", columns, N_COLUMNS);
	while (hf_row(q, &status, err)) {
		struct hf_cell cells[N_COLUMNS];
		for (int c = 0; c < N_COLUMNS; c++)
			cells[c] = hf_column_cell(q, c);
		hf_emit_row(report->emit, HF_NO_ROW, cells);
	}
	hf_emit_table_end(report->emit);
	return status;
}

/* A sampled profile of which no object is left, or of a program that allocated next to nothing. */
static void note_no_samples(struct hf_report *report)
{
	char period[HF_NUMBER_SIZE];
	if (report->heap.profile_period > 1)
		hf_emit_line(report->emit,
			"No samples: sites are sampled, one allocation in %s, and the objects that",
			hf_human_size(period, report->heap.profile_period));
	else
		hf_emit_line(report->emit, "No samples: sites were sampled for a time, and the "
					   "objects that");
	hf_emit_line(report->emit, "live are too few for one. `holdfast run --exact` records all "
				   "of them.");
}

static void note_sampled(struct hf_report *report)
{
	const struct hf_heapdb *heap = &report->heap;
	char period[HF_NUMBER_SIZE], count[HF_NUMBER_SIZE];
	if (heap->profile_period > 1)
		hf_emit_line(report->emit,
			"Sites are sampled, one allocation in %s: figures with ~ are estimates",
			hf_human_size(period, heap->profile_period));
	else
		hf_emit_line(report->emit,
			"Sites were sampled for a time: figures with ~ are estimates");
	hf_emit_line(report->emit,
		"from %s live sample%s. Objects, HELD, RETAINED, leak totals are exact.",
		hf_human_count(count, heap->n_with_site), heap->n_with_site == 1 ? "" : "s");
}

/* Sites are numbers then. */
static void note_missing(struct hf_report *report)
{
	hf_emit_line(report->emit, "The heap profile %s is not beside the dump: sites",
		report->heap.profile_missing);
	hf_emit_line(report->emit, "have no names, and whether all allocations were recorded or a "
				   "sample of them");
	hf_emit_line(report->emit, "is not known. Copy it to where the dump is, or: holdfast load "
				   "--profile.");
}

void hf_site_note(struct hf_report *report)
{
	const struct hf_heapdb *heap = &report->heap;
	struct hf_emit *emit = report->emit;
	char lost[HF_NUMBER_SIZE];
	hf_emit_object_begin(emit, "sites");
	hf_emit_fact(emit, "known", NULL, HF_VALUE_BOOL, hf_cell_int(heap->has_profile));
	hf_emit_fact(emit, "tied", NULL, HF_VALUE_BOOL, hf_cell_int(heap->profile_tied));
	hf_emit_fact(emit, "estimates", NULL, HF_VALUE_BOOL, hf_cell_int(heap->profile_sampled));
	hf_emit_fact(emit, "period", NULL, HF_VALUE_SIZE,
		heap->has_profile ? hf_cell_int((int64_t)heap->profile_period) : hf_cell_null());
	hf_emit_fact(emit, "samples", NULL, HF_VALUE_COUNT,
		heap->profile_tied ? hf_cell_int((int64_t)heap->n_with_site) : hf_cell_null());
	hf_emit_fact(emit, "lost", NULL, HF_VALUE_COUNT, hf_cell_int((int64_t)heap->profile_lost));
	hf_emit_fact(emit, "missing_profile", NULL, HF_VALUE_TEXT,
		hf_cell_text(*heap->profile_missing ? heap->profile_missing : NULL));
	hf_emit_object_end(emit);
	if (*heap->profile_missing)
		note_missing(report);
	if (heap->has_profile && !heap->profile_tied)
		hf_emit_line(emit, "These sites cannot be tied to objects: heap profile of %s, %s.",
			heap->profile_maker, heap->profile_sampled ? "estimates" : "exact");
	else if (heap->profile_tied && heap->profile_sampled && !heap->n_with_site)
		note_no_samples(report);
	else if (heap->profile_tied && heap->profile_sampled)
		note_sampled(report);
	if (heap->profile_lost)
		hf_emit_line(emit, "%s allocations could not be recorded: no memory or no room.",
			hf_human_count(lost, heap->profile_lost));
}
