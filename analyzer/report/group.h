/*
 * Many objects told as one: the members of a set, and what hangs below them by which word.
 *
 * A member that another member of the same shape (size and type) holds is no child but one more
 * member: the nodes of a list, or of a tree, are one set. So
 *
 *     buckets ->[*] x20,000 sessions ->[+32] x20,000 users ->[+56] x20,000 avatars
 *
 * is told in three steps, however long the lists of the buckets are.
 *
 * What has too many members to look at all of them is told by a sample: then the figures are
 * estimates, and say so. Not thread safe.
 */
#pragma once
#include "report/children.h"

struct hf_member {
	struct hf_node node;
	int64_t type_id;
	double weight; /* members that it stands for */
};

struct hf_group {
	bool any_word;       /* the members hang by several words */
	bool indirect;       /* no word of what is above leads to them (dominator tree) */
	bool mixed;          /* whose fields have different names; else word.field is that of all */
	bool estimated;      /* the figures are */
	struct hf_word word; /* else: the word by which they hang */
	struct hf_member *at; /* owned: the members, or a sample of them */
	size_t n, cap;
	double n_all;                /* members */
	double size, count;          /* they hold, and what is below them */
	uint64_t min_size, max_size; /* of a member by itself */
	/* Own: how much of it is scaled to stand for what was not looked at. */
	size_t n_scaled;
	double n_all_scaled, size_scaled, count_scaled;
};

struct hf_groups {
	struct hf_group *at; /* owned; largest first */
	size_t n, cap;
	double n_members; /* of the set that was asked about, with those that it holds itself */
	bool estimated;   /* n_members is */
};

/* A figure as a number: an estimate has three digits. */
uint64_t hf_group_number(double figure, bool estimated);

void hf_group_deinit(struct hf_group *group);
void hf_groups_deinit(struct hf_groups *groups);

/* Members of another set, too. */
enum hf_status hf_group_join(
	struct hf_group *group, const struct hf_group *other, struct hf_err *err);

/* What a node holds (or dominates) as one set. */
enum hf_status hf_group_of(struct hf_children *children, const struct hf_node *node,
	struct hf_group *ret, struct hf_err *err);
/* A set of one. */
enum hf_status hf_group_one(
	struct hf_group *ret, const struct hf_node *node, int64_t type_id, struct hf_err *err);
/* What hangs below a set, by word. About max_steps objects are looked at; in a small heap all,
 * unless children->sparing. */
enum hf_status hf_groups_below(struct hf_children *children, const struct hf_group *set,
	uint64_t max_steps, struct hf_groups *ret, struct hf_err *err);

/* "->[*]", or "->buckets[*]" where that is what all are; of_variable: ".page[*]"; "=>[*]" where no
 * word leads to them. */
void hf_group_name(struct hf_text *text, const struct hf_group *group, bool of_variable);
/* " of 40 B", " of 24 B-1.2 KiB" */
void hf_group_sizes(struct hf_text *text, const struct hf_group *group);

/* Where most of what a set holds is: from set to set while one word leads to most of it, each step
 * added to path ("->[+32]->[+56]"). set becomes what the last step leads to.
 * first: NULL, or set is a structure (see hf_group_alike), and gets its members, and whether their
 * number is an estimate: n_all, estimated. */
enum hf_status hf_group_bulk(struct hf_children *children, struct hf_group *set, uint64_t max_steps,
	struct hf_text *path, struct hf_group *first, struct hf_err *err);

/* Keep the members that are like an object: of one type and size, a word leads to them. */
void hf_group_alike(struct hf_group *group, uint64_t self_size, int64_t type_id);
