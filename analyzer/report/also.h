/*
 * Why something retains less than it holds: the words outside its holder tree that point into it,
 * with what each reaches.
 *
 * Not thread safe.
 */
#pragma once
#include "report/heapdb.h"

/* What the words are looked for of: an object, or a variable with all its words. */
struct hf_also_top {
	int64_t object_id, variable_id; /* one of them */
	uint64_t held_size, retained_size;
};

struct hf_also_entry {
	int64_t src_id, root_id; /* one of them */
	uint64_t src_offset;
	uint64_t target_addr;
	uint64_t bytes, count; /* what it reaches: held by its target */
};

struct hf_also {
	struct hf_also_entry *at; /* [n] owned; most bytes first */
	size_t n;
	bool complete; /* false: there was too much to look at */
};

/* A search of bounded length. Of the words of one object, or of one variable, into one target there
 * is one entry. HF_E_CORRUPT if the database lacks an object. */
enum hf_status hf_also_find(struct hf_heapdb *heap, const struct hf_also_top *top,
	struct hf_also *ret, struct hf_err *err);
void hf_also_deinit(struct hf_also *also);

/* "0x…->[+16]  struct cache, g_cache->…" or "stack of thread 4711 (worker)". */
enum hf_status hf_also_from(struct hf_text *text, struct hf_heapdb *heap,
	const struct hf_also_entry *entry, const char *dots, struct hf_err *err);
