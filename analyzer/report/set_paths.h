/*
 * The best paths of many objects, merged where they read the same (shapes.h).
 *
 * Every object on the way is climbed from once: the shapes of those that were passed are kept, 24
 * bytes each. Not thread safe.
 */
#pragma once
#include "report/report.h"
#include "report/set_ways.h"
#include "report/shapes.h"

struct hf_set_paths {
	struct hf_report *report;
	struct hf_shapes shapes;
	struct hf_set_cell *cells; /* owned; open addressing, a power of 2 of them */
	size_t n_cells, used;
	const int64_t *ids; /* the caller's, ascending, each once */
	size_t n_ids;
	struct hf_ways ways;        /* of some members at a time */
	const struct hf_way **path; /* owned: from a member up to below an object that is known */
	size_t cap_path;
	uint64_t size_bytes, held_bytes; /* of the members; held: each byte once */
	uint64_t nested;                 /* members that another one holds */
};

/* Place all n objects. ids stays the caller's until deinit, which is to be called in any case.
 * HF_E_NOTFOUND for an id that is no object's. */
enum hf_status hf_set_paths_init(struct hf_set_paths *set, struct hf_report *report,
	const int64_t *ids, size_t n, struct hf_err *err);
void hf_set_paths_deinit(struct hf_set_paths *set);

/* Emit the n that hold most as the table `key`. *ret_example: address of one object of the first.
 */
enum hf_status hf_set_paths_emit(struct hf_set_paths *set, const char *key, int64_t n,
	uint64_t *ret_example, struct hf_err *err);
/* The same of what the members are, not of what they hold: the n paths whose members are largest.
 * all_count, all_bytes: of the set that the members are a sample of, or of themselves. */
enum hf_status hf_set_paths_emit_members(struct hf_set_paths *set, const char *key, int64_t n,
	uint64_t all_count, uint64_t all_bytes, struct hf_err *err);
