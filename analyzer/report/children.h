/*
 * What a node of the holder tree, or of the dominator tree, has directly below it.
 *
 * Of an object with a million words, or a variable, not every child is read: the database has the
 * number of its children, the largest of them, and a fair sample of the rest (stat_wide). A child
 * of the sample stands for `weight` children: sums over size * weight are estimates.
 *
 *     status = hf_children_open(&children, &node, &err);
 *     while (hf_children_next(&children, &child, &status, &err))
 *             …
 *
 * One node at a time. Not thread safe.
 */
#pragma once
#include "report/heapdb.h"

/* A node and its figures in the tree, with what is below it. */
struct hf_node {
	int64_t id;
	bool variable;
	uint64_t size, count;
	uint64_t self_size; /* of a variable: 0 */
};

struct hf_child {
	struct hf_node node;
	int64_t type_id;
	struct hf_word word;
	bool direct;  /* a word of the parent leads to it */
	bool of_root; /* the parent is a variable */
	double weight;
};

enum { HF_CHILDREN_STATEMENTS = 8 };

struct hf_children {
	struct hf_heapdb *heap; /* the caller's */
	bool dominators;
	bool sparing;   /* sets of a small heap are sampled, too: see report/group.h */
	uint64_t steps; /* rows that were looked at so far, over all nodes */
	/* Of the node that is open. */
	bool wide;      /* not every child may be listed; n_all says how many there are */
	bool sampled;   /* not every child is */
	uint64_t n_all; /* if wide */
	/* Own. */
	struct hf_node parent;
	sqlite3_stmt *current;
	uint64_t left_count; /* objects below that no child so far accounts for */
	double weight;       /* of the sample */
	struct {
		int64_t id;
		uint64_t turn; /* of another turn: the slot is free */
	} * seen;              /* hash table of the children so far */
	uint64_t turn;
	size_t n_seen, cap_seen;
	sqlite3_stmt *stmt[HF_CHILDREN_STATEMENTS];
};

/* heap must outlive it. */
void hf_children_init(struct hf_children *ret, struct hf_heapdb *heap, bool dominators);
void hf_children_deinit(struct hf_children *children);

/* Start with the children of a node. */
enum hf_status hf_children_open(
	struct hf_children *children, const struct hf_node *node, struct hf_err *err);
/* The next one, in no order but that of a wide node starts with the largest. False at the end and
 * on an error, which sets *status. */
bool hf_children_next(struct hf_children *children, struct hf_child *ret, enum hf_status *status,
	struct hf_err *err);
