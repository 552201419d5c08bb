/*
 * What lies inside of objects that are no one thing: pools and slabs that hand out pieces, buffers
 * with a struct somewhere in them. A pointer that leads into such an object says that there is a T
 * at that offset; its words spread as those of objects do.
 *
 * Of two parts at one place the one that contains the other stays. Their number is bounded.
 * Thread rule: as types/table.h. Inside types/ only.
 */
#pragma once
#include "types/typing.h"

struct hf_part {
	uint32_t object, offset; /* into it, bytes */
	uint32_t type;
	uint8_t how; /* enum hf_typed of the pointer that leads there */
	bool waits;  /* is on the stack */
};

struct hf_parts {
	struct hf_part *at; /* after hf_parts_sort() by object and offset */
	size_t n, cap;
	struct hf_map by_place; /* → part + 1 */
	uint32_t *stack;        /* those that have not spread yet */
	size_t n_stack, cap_stack;
	uint64_t n_skipped; /* over the bound */
};

void hf_parts_deinit(struct hf_parts *parts);
/* There is a type at that place. */
void hf_parts_add(struct hf_typing *typing, uint32_t object, uint64_t offset, uint32_t type,
	enum hf_typed how);
/* The next one that has not spread; false: none. */
bool hf_parts_next(struct hf_typing *typing, struct hf_part *ret);
/* Objects that consist of parts of one type are arrays of it. */
void hf_parts_settle(struct hf_typing *typing);
/* In order; without those that lie in what their object, or another part, is known to be. No more
 * are added then. */
void hf_parts_sort(struct hf_typing *typing);
/* Objects that have no type, but parts: they are what the largest part is, with something around
 * it: a guess. After sorting. */
void hf_parts_name(struct hf_typing *typing);
/* The parts of objects in ascending order, after sorting: *at moves on. Which one covers the
 * offset? NULL: none. */
const struct hf_part *hf_parts_at(
	const struct hf_typing *typing, size_t *at, uint32_t object, uint64_t offset);
