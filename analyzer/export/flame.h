/*
 * Stacks merged into a tree from the outermost function on, for drawing. Frames that every thread
 * starts with and those inside allocators are left out.
 *
 * Thread rule: none.
 */
#pragma once
#include "export/export.h"
#include "export/stacks.h"

struct hf_flame_node {
	const char *function, *file;  /* file NULL: not known */
	uint32_t line;                /* of the innermost frames only, else 0 */
	uint32_t parent, child, next; /* UINT32_MAX: none; children largest first */
	uint32_t depth;               /* the root is 0 */
	uint64_t bytes, count;
	const char *module; /* path, "" */
};

struct hf_flame {
	struct hf_flame_node *at; /* at[0] is the root */
	size_t n, cap;
	uint32_t max_depth;
};

enum hf_status hf_flame_init(struct hf_flame *ret, const struct hf_stacks *stacks,
	enum hf_export_what what, struct hf_err *err);
void hf_flame_deinit(struct hf_flame *flame);
