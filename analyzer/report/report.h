/*
 * The reports: one question a file, answered from a database through an emitter.
 *
 * Nothing here prints or exits by itself; the human and the JSON form come from the same calls. A
 * function returns HF_OK when it answered, also about a partial heap: whether the heap is partial
 * is for the caller to say (hf_heapdb.partial), and hf_report_begin puts it at the top.
 * Thread rule: as the connection.
 */
#pragma once
#include "emit/emit.h"
#include "report/db.h"
#include "report/heapdb.h"

struct hf_report {
	struct hf_heapdb heap;
	struct hf_emit *emit;
	const char *input; /* as the user wrote it, for the commands that are suggested */
	/* Of what takes long; or NULL. total 0: not known. */
	bool (*progress)(void *ctx, const char *stage, uint64_t done, uint64_t total);
	void *progress_ctx;
};

/* Read the totals, and say it when the heap is partial. */
enum hf_status hf_report_begin(struct hf_report *report, sqlite3 *db, struct hf_emit *emit,
	const char *input, struct hf_err *err);
void hf_report_end(struct hf_report *report);

/* One screen: what the program is, where its memory went, who holds most of it. */
enum hf_status hf_report_overview(struct hf_report *report, struct hf_err *err);

struct hf_who_options {
	int n_paths; /* 1: the best path; more: also paths from other roots, at most so many */
};
/* Who holds the object that contains addr. HF_E_NOTFOUND, after saying what it is, if there is
 * none. */
enum hf_status hf_report_who(struct hf_report *report, uint64_t addr,
	const struct hf_who_options *options, struct hf_err *err);

/* A set of objects: all of a type or a site (a name, or a pattern with * and ?; of a site also
 * "file:line" or its id), or those whose ids a query selects. One of the three. */
struct hf_who_set {
	const char *type, *site, *sql;
	int64_t n; /* paths shown */
};
/* Who holds a set of objects: their best paths, merged. HF_E_NOTFOUND for an empty set. */
enum hf_status hf_report_who_set(
	struct hf_report *report, const struct hf_who_set *set, struct hf_err *err);

struct hf_top_options {
	const char *by, *sort; /* sort NULL: what suits `by`. HF_E_USAGE for words not known. */
	int64_t n;
	/* For a short list within another report: after a few, rows below this share of the heap
	 * are left out; 0: none. */
	double min_percent;
};
/* Are they known? HF_E_USAGE; hf_report_top() asks, too. */
enum hf_status hf_report_top_check(const struct hf_top_options *options, struct hf_err *err);
enum hf_status hf_report_top(
	struct hf_report *report, const struct hf_top_options *options, struct hf_err *err);

struct hf_tree_options {
	bool has_addr, dominators;
	uint64_t addr;
	int64_t n;          /* children shown of a node */
	int64_t depth;      /* drops shown below one another */
	double min_percent; /* children below this share of the whole are summed up */
};
enum hf_status hf_report_tree(
	struct hf_report *report, const struct hf_tree_options *options, struct hf_err *err);

struct hf_refs_options {
	bool in, out;
	int64_t limit;
};
enum hf_status hf_report_refs(struct hf_report *report, uint64_t addr,
	const struct hf_refs_options *options, struct hf_err *err);

struct hf_leaks_options {
	int64_t n;
	bool n_given; /* people asked for n: lists that would be shorter have as many rows, too */
	int64_t older_s; /* only what was allocated so many seconds before the dump; < 0: all */
	uint64_t limit;  /* of bytes, that the caller will hold them against; UINT64_MAX: none */
};
/* Bytes that are leaked (of that age), whatever was listed. Where not all ages are known, there are
 * certainly at least so many and at most so many. */
struct hf_leaks_found {
	uint64_t least, most;
	bool has_estimate; /* ages are those of samples */
	uint64_t estimate;
	bool estimate_is_over; /* samples leave no doubt that it is more than the limit */
};
enum hf_status hf_report_leaks(struct hf_report *report, const struct hf_leaks_options *options,
	struct hf_leaks_found *ret, struct hf_err *err);

struct hf_diff_options {
	const char *by; /* type, site, root, object; NULL: the finest group that all heaps know */
	int64_t n;
	bool n_given; /* as above */
};
/* What grew from the first of the n_old heaps, oldest first, to this report's heap; with more than
 * one, what grew in every step comes first. *ret_growth: of the live heap, bytes, may be < 0. */
/* Is it known? HF_E_USAGE; hf_report_diff() asks, too. */
enum hf_status hf_report_diff_check(const struct hf_diff_options *options, struct hf_err *err);
enum hf_status hf_report_diff(struct hf_report *report, struct hf_heapdb *const *old, size_t n_old,
	const struct hf_diff_options *options, int64_t *ret_growth, struct hf_err *err);

/* Header and totals of a database, what is missing from it. */
enum hf_status hf_report_info(struct hf_report *report, struct hf_err *err);
/* Checks every invariant of a database. HF_E_CORRUPT, after listing them, if any fails. */
enum hf_status hf_report_verify(struct hf_report *report, struct hf_err *err);

/* For the reports themselves. */

/* The object that contains addr. If there is none: where it is a root, emit what that holds, and
 * the answer is complete, *ret has the id 0; else emit what the address is and return
 * HF_E_NOTFOUND. */
enum hf_status hf_report_find(
	struct hf_report *report, uint64_t addr, struct hf_object *ret, struct hf_err *err);
/* What the variable around addr holds; *ret_found: there is one. */
enum hf_status hf_report_variable(
	struct hf_report *report, uint64_t addr, bool *ret_found, struct hf_err *err);
/* The facts of an object, and the same for JSON. */
void hf_report_object(struct hf_report *report, const char *key, const struct hf_object *object);
/* "holdfast COMMAND INPUT REST" as a hint. */
void hf_report_hint(
	struct hf_report *report, const char *command, const char *rest, const char *what);
/* Where a path has a key of a map that is not known: why not. */
void hf_report_keys_note(struct hf_report *report, const char *path);
/* Emit the findings that make the heap partial. */
enum hf_status hf_report_partial(struct hf_report *report, struct hf_err *err);
