/*
 * Two or more heaps of a program side by side: what the parts of the diff report share.
 *
 * Ids differ between heaps. Groups are matched by what names them: a type's name, a site's
 * function, file and line, a root's kind, name and module. Objects are matched where the dumps are
 * of one process, by address, size, type and site. Not thread safe.
 */
#pragma once
#include "report/report.h"

enum { HF_DIFF_MAX_HEAPS = 16 };

struct hf_diff {
	struct hf_report *report;                   /* of the newest heap */
	struct hf_heapdb *heaps[HF_DIFF_MAX_HEAPS]; /* oldest first; the last is the report's */
	size_t n_heaps;
	int64_t n; /* rows shown */
	bool same_process;
	/* Sizes are usable ones: object.size is not what was asked for in all of the heaps. */
	bool usable;
	uint64_t live[HF_DIFF_MAX_HEAPS], leaked[HF_DIFF_MAX_HEAPS]; /* bytes */
};

/* Growth of groups from the first heap to the last. */
enum hf_diff_by { HF_DIFF_SITE, HF_DIFF_TYPE, HF_DIFF_ROOT };
/* Does every heap know groups of the kind? */
enum hf_status hf_diff_knows(
	struct hf_diff *diff, enum hf_diff_by by, bool *ret, struct hf_err *err);
enum hf_status hf_diff_groups(struct hf_diff *diff, enum hf_diff_by by, struct hf_err *err);

/* Groups that grew, and whose holders are asked for. */
enum { HF_DIFF_MAX_HOLDERS = 16 };
struct hf_diff_of {
	const char *sql, *rest_sql; /* key, id; -1: of what is of no group */
	const char *table, *column; /* that the ids are of; of object, that has the id */
	const char *size;           /* of object */
	bool estimates;             /* objects of sampled heaps stand for others, too */
	const char *keys[HF_DIFF_MAX_HOLDERS];
	size_t n;
};

struct hf_diff_holder {
	struct hf_text name;  /* of the root that holds most of the growth; "": there is none */
	int64_t growth_bytes; /* of what it holds of the group */
};

/* The roots that hold the growth, from the first heap to the last, of each of the groups. Reads all
 * objects of both. */
enum hf_status hf_diff_holders(struct hf_diff *diff, const struct hf_diff_of *of,
	struct hf_diff_holder *ret, struct hf_err *err);
/* What a row of root_summary is called in every heap: columns 0, 4, 5, 6 are name, kind, thread,
 * module. */
void hf_diff_root_key(struct hf_text *text, sqlite3_stmt *q, bool same_process);

/* Objects of the first and the last heap, matched. */
struct hf_diff_object {
	int64_t id;                    /* in the newest heap */
	int64_t growth_bytes;          /* of what it holds */
	uint64_t old_bytes, old_count; /* held */
};

struct hf_diff_objects {
	uint64_t kept_count, kept_bytes, new_count, new_bytes, gone_count, gone_bytes;
	int64_t *new_ids; /* owned: ascending */
	size_t n_new, cap_new;
	struct hf_diff_object *grown; /* owned: hold more than they did; by id, then by growth */
	size_t n_grown, cap_grown;
};

void hf_diff_objects_deinit(struct hf_diff_objects *objects);
/* Reads both heaps once. Of a chain of objects that grew by the same, the last one stays. */
enum hf_status hf_diff_objects_match(
	struct hf_diff *diff, struct hf_diff_objects *ret, struct hf_err *err);
/* Emit which objects' holdings grew; who holds the new objects. */
enum hf_status hf_diff_objects_emit(
	struct hf_diff *diff, const struct hf_diff_objects *objects, int64_t n, struct hf_err *err);
enum hf_status hf_diff_new_emit(
	struct hf_diff *diff, const struct hf_diff_objects *objects, int64_t n, struct hf_err *err);
