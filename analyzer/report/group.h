/*
 * Many objects told as one: the members of a set, and what hangs below them by which word.
 *
 * A member that another member of the same shape (size and type) holds is no child but one more
 * member: the nodes of a list, or of a tree, are one set. So
 *
 *     buckets ->[*] x20,000 sessions ->[+32] x20,000 users ->[+56] x20,000 avatars
 *
 * is told in three steps, however long the lists of the buckets are. Not thread safe.
 */
#pragma once
#include "report/heapdb.h"

struct hf_group {
	bool any_word;       /* the members hang by several words */
	bool mixed;          /* whose fields have different names; else word.field is that of all */
	struct hf_word word; /* else: the word by which they hang */
	int64_t *ids;        /* owned: the members, but for those past the bound */
	size_t n, cap;
	uint64_t n_all;              /* members */
	uint64_t size, count;        /* they hold, and what is below them */
	uint64_t min_size, max_size; /* of a member by itself */
};

struct hf_groups {
	struct hf_group *at; /* owned; largest first */
	size_t n, cap;
	uint64_t n_members; /* of the set that was asked about, with those that it holds itself */
	bool cut;           /* the set has more members than were looked at */
};

void hf_group_deinit(struct hf_group *group);
void hf_groups_deinit(struct hf_groups *groups);

/* The objects that an object holds (variable: that a variable holds) as one set. */
enum hf_status hf_group_of(struct hf_heapdb *heap, bool variable, int64_t id, size_t max_members,
	struct hf_group *ret, struct hf_err *err);
/* What hangs below a set, by word. At most max_members of it are looked at. */
enum hf_status hf_groups_below(struct hf_heapdb *heap, const struct hf_group *set,
	size_t max_members, struct hf_groups *ret, struct hf_err *err);

/* "->[*]", or "->buckets[*]" where that is what all are; of_variable: ".page[*]". */
void hf_group_name(struct hf_text *text, const struct hf_group *group, bool of_variable);
/* " of 40 B", " of 24 B-1.2 KiB" */
void hf_group_sizes(struct hf_text *text, const struct hf_group *group);

/* Where most of what an object (variable: a variable) holds is, as steps from set to set while one
 * word leads to most of it: "->[*]->[+32]->[+56]". "" if the object holds no set. ret_set: what the
 * last step leads to (to be deinited); *ret_cut: its figures are those of a sample. */
enum hf_status hf_group_bulk(struct hf_heapdb *heap, bool variable, int64_t id, size_t max_members,
	struct hf_text *path, struct hf_group *ret_set, bool *ret_cut, struct hf_err *err);
