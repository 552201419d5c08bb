/*
 * The ways from roots to many objects, merged by what they are called: objects that hang on the
 * same variable by the same fields are one shape, whatever their addresses.
 *
 * A shape is a node of a tree: its parent, and the step that leads into it ("->next", "->[+16]").
 * Fields keep their names, array indexes in them count as one ("buckets[*]"); words without a name
 * that leave one shape at more than a few offsets are an array, "->[*]". A run through the same
 * step of the same-sized objects (a list) stays at one shape, which counts its longest run. Nothing
 * recurses. Not thread safe.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "emit/text.h"

enum { HF_SHAPE_TOP = 0 }; /* the parent of those that start at a root */

struct hf_shape {
	uint32_t parent, next_sibling, first_child; /* 0: none */
	uint32_t n_children;
	uint32_t merged_into; /* 0: stands for itself */
	char *step;           /* owned; how its parent leads to it, or the root's name */
	uint64_t object_size; /* of the objects that are of the shape: a chain has one size */
	uint64_t longest_run; /* objects in a row of the shape */
	uint64_t count, size_bytes, held_bytes; /* of the members that are of the shape */
	uint64_t members_bytes; /* of those that no other holds: them and all members they hold */
	int64_t example;        /* id of one: the one that holds most */
	uint64_t example_held_bytes;
};

struct hf_shapes {
	struct hf_shape *at; /* owned */
	uint32_t n, cap;
	uint32_t *slots; /* owned: hash of (parent, step), 0: empty */
	uint32_t n_slots, n_used;
};

/* HF_E_NOMEM. Deinit may be called on a zeroed or half-built one. */
enum hf_status hf_shapes_init(struct hf_shapes *shapes, struct hf_err *err);
void hf_shapes_deinit(struct hf_shapes *shapes);

/* The shape below parent by the step. The step of what is below the top is the name of a root; the
 * others start with "->" or "[". */
enum hf_status hf_shapes_child(struct hf_shapes *shapes, uint32_t parent, const char *step,
	uint64_t object_size, uint32_t *ret, struct hf_err *err);

/* Would an object of this size, reached from one of the shape by the step, continue its run? */
bool hf_shapes_continues(
	const struct hf_shapes *shapes, uint32_t shape, const char *step, uint64_t object_size);

/* A member, an object of this shape. held_bytes: 0 for one that another member holds. */
void hf_shapes_add(struct hf_shapes *shapes, uint32_t shape, int64_t id, uint64_t size_bytes,
	uint64_t held_bytes);

/* Once, after the last member: steps without a name that are an array's become one. */
enum hf_status hf_shapes_merge_arrays(struct hf_shapes *shapes, struct hf_err *err);

/* "g_sessions->buckets[*]->user"; times: the emitter's. */
void hf_shapes_text(
	struct hf_text *text, const struct hf_shapes *shapes, uint32_t shape, const char *times);
