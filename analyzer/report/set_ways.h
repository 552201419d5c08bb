/*
 * Objects with their holders, their holders' holders and so on, read many at a time: one statement
 * for all objects that are equally far from where it began, in ascending order of their ids. Not
 * thread safe.
 */
#pragma once
#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "emit/text.h"

struct hf_way {
	int64_t id;
	int64_t holder_id, root_id; /* 0: none */
	uint64_t size, held;
	uint64_t usable; /* the same for all objects of a kind, asked-for sizes known or not */
	size_t name;     /* where it starts in names; "" without a holder */
	bool reachable;
};

struct hf_ways {
	sqlite3 *db;
	/* Whose holders need not be read: the caller knows them. */
	bool (*is_known)(const void *ctx, int64_t id);
	const void *ctx;

	/* Own. */
	sqlite3_stmt *read;
	struct hf_way *at;
	size_t n, cap;
	struct hf_text names; /* each with its NUL */
	uint32_t *slots;      /* hash of ids: index + 1 */
	size_t n_slots;
	int64_t *wave; /* to be read next, ascending */
	size_t n_wave, cap_wave;
};

/* The objects and all their holders that are not known; what was read before is forgotten. ids:
 * ascending, each once. HF_E_NOTFOUND for an id that is no object's. */
enum hf_status hf_ways_read(struct hf_ways *ways, const int64_t *ids, size_t n, struct hf_err *err);
void hf_ways_deinit(struct hf_ways *ways);
/* NULL: it was not read. */
const struct hf_way *hf_ways_find(const struct hf_ways *ways, int64_t id);
/* "->next", "->[+16]": the first word of its holder that leads to the object, one that is a pointer
 * for certain if there is one. */
const char *hf_ways_name(const struct hf_ways *ways, const struct hf_way *way);
