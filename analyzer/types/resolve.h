/*
 * What lies at an offset of a type: the name of the way there, and whether it is a pointer.
 *
 *     struct table { long n; struct session *buckets[4096]; }   at 24: "buckets[]", a pointer
 *
 * The first array on the way has "[]" for its index, which is (offset − field's offset) / stride;
 * so one field stands for all elements. Of a union, the member that says most is taken: a pointer
 * to a struct before one to bytes, that before an integer. Answers are kept, by 8 bytes.
 * Thread rule: as types/table.h.
 */
#pragma once
#include "types/table.h"

enum hf_slot_what {
	HF_SLOT_PADDING, /* nothing: between members, or past the end */
	HF_SLOT_DATA,    /* certainly no pointer: a double, an int, characters, a count */
	HF_SLOT_WORD,    /* an integer as wide as a pointer, or nobody knows */
	HF_SLOT_CODE,    /* a pointer to a function */
	HF_SLOT_BYTES,   /* void * or char *: what it points to is not said */
	HF_SLOT_POINTER, /* to pointee */
};

struct hf_type_slot {
	const char *name; /* "user", "buckets[]", "[].key", "(next)" */
	uint64_t offset;  /* of the field in the type */
	uint64_t stride;  /* of its "[]"; 0: it has none */
	uint32_t pointee; /* of POINTER: what it points to; of BYTES: 0 or a byte */
	uint32_t bytes;   /* another member of a union here is a char *: its slot; 0: none */
	uint32_t field;   /* of hf_names, + 1; 0: none yet. The user's */
	uint8_t what;     /* enum hf_slot_what */
	bool past;        /* points behind the last of an array of them */
	bool dynamic;     /* points to a Rust trait object */
	bool certain;     /* known to be one: no union left a choice */
};

bool hf_slots_init(struct hf_types *types);

/* As hf_type_slot_id(), of what is not in the type's table. */
uint32_t hf_type_slot_find(struct hf_types *types, uint32_t type, uint64_t offset);

/* The place in types->slots of hf_type_slot(). */
static inline uint32_t hf_type_slot_id(struct hf_types *types, uint32_t type, uint64_t offset)
{
	const struct hf_type *t = &types->at[type];
	uint64_t at = offset;
	if (t->flex_size && at >= t->flex_offset) {
		uint64_t in = at - t->flex_offset;
		bool power = !(t->flex_size & (t->flex_size - 1));
		at = t->flex_offset + (power ? in & (t->flex_size - 1) : in % t->flex_size);
	}
	uint32_t id = at % 8 == 0 && at < t->slots_end ? t->slots[at / 8] : 0;
	return id ? id : hf_type_slot_find(types, type, offset);
}

/* The word at offset of a type. Never NULL: a slot without a name is not known at all (type 0, or
 * incomplete), and is HF_SLOT_WORD. Valid until the next call. */
const struct hf_type_slot *hf_type_slot(struct hf_types *types, uint32_t type, uint64_t offset);

/* The name with its index: "buckets[17]". */
void hf_type_slot_text(const struct hf_type_slot *slot, uint64_t offset, char *ret, size_t size);

/* Is there a type at an offset of another one (0: at the start), itself included? */
bool hf_type_has_at(struct hf_types *types, uint32_t outer, uint64_t offset, uint32_t inner);
