/*
 * The figures that people open first, worked out once from the arrays of heap and graph: the
 * largest objects, sums by group (arena, type, site), the groups of leaks.
 *
 * Thread rule: pure functions over read-only arrays.
 */
#pragma once
#include "store/rows.h"

enum { HF_SUMMARY_TOP = 100000 }; /* objects in a list of the largest */

struct hf_summary_ranked {
	uint64_t size;
	uint32_t object;
};

/* The n_top objects of the largest sizes, largest first, then by id. size is that of object 0;
 * those of the n objects lie stride bytes apart. Returns an array for free() and sets *ret_n; NULL:
 * no memory. */
struct hf_summary_ranked *hf_summary_top(
	const uint64_t *size, size_t stride, uint32_t n, uint32_t n_top, uint32_t *ret_n);

/*
 * The dominator tree in preorder: a node's objects are the retained_count entries from its own
 * position on. ret_order has room for n_objects.
 */
enum hf_status hf_summary_preorder(uint32_t *ret_order, const struct hf_graph_dominance *node,
	uint32_t n_objects, uint32_t n_variables, struct hf_err *err);

struct hf_summary_group {
	uint64_t count, size;           /* of all objects of the group */
	uint64_t retained_size;         /* retained by its members that no other member dominates */
	uint64_t leak_count, leak_size; /* of the unreachable ones */
	uint32_t oldest;                /* age + 1 s of the oldest; 0: not known */
};

/* Sums by group[i] (< n_groups) over all objects into ret[n_groups]. order is NULL if n_groups is
 * 1, where everything retains everything. */
enum hf_status hf_summary_groups(struct hf_summary_group *ret, uint32_t n_groups,
	const uint32_t *group, const struct hf_rows_objects *objects, const uint32_t *order,
	struct hf_err *err);

struct hf_summary_leak {
	uint32_t site, type;  /* ids; 0: none */
	uint64_t object_size; /* of each, where there is neither site nor type; else 0 */
	uint64_t count, size, head_count, held_size;
	double est_count, est_size; /* what the recorded objects stand for, if not all were */
	uint32_t unit; /* usable size of all in units of 8 bytes; UINT32_MAX: several; see
			  estimates.h */
	uint32_t youngest, oldest; /* age + 1 s; 0: not known */
};

/* Leaked objects by site and type, or by size; most held first. An array for free(). */
enum hf_status hf_summary_leaks(struct hf_summary_leak **ret, size_t *ret_n,
	const struct hf_rows_objects *objects, const struct hf_graph_heads *heads,
	struct hf_err *err);
