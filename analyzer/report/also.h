/*
 * Why something retains less than it holds: the words outside its holder tree that point into it,
 * with what each reaches; and the same summed by what the words are in.
 *
 * Not thread safe.
 */
#pragma once
#include "report/heapdb.h"

/* What the words are looked for of: an object, or a variable with all its words. */
struct hf_also_top {
	int64_t object_id, variable_id; /* one of them */
	uint64_t held_size, retained_size;
	bool thorough; /* look at more of it, as for a few questions at once; else for some 10 ms */
};

struct hf_also_entry {
	int64_t src_id, root_id; /* one of them */
	uint64_t src_offset;
	int64_t variable_id; /* of a root's word, if it is of one */
	uint64_t target_addr;
	uint64_t bytes, count; /* what it reaches: held by its target */
	double weight;         /* words that it stands for: more than 1 in a sample */
	uint32_t first, last;  /* it reaches what the entries with a `first` in [first, last) do */
};

struct hf_also {
	struct hf_also_entry *at; /* [n] owned; most bytes first */
	size_t n;
	bool complete; /* false: there was too much to look at */
};

/* Words that are in one variable, one thread's stack or registers, one module's data, or in objects
 * that one variable holds. */
enum hf_also_kind {
	HF_ALSO_VARIABLE,
	HF_ALSO_STACK,
	HF_ALSO_REGISTERS,
	HF_ALSO_MODULE,
	HF_ALSO_OBJECTS,
};
struct hf_also_source {
	enum hf_also_kind kind;
	int64_t id;          /* of the variable (0: none), thread or module */
	size_t example;      /* the entry that reaches most */
	double words;        /* that reach in */
	double bytes, count; /* what they reach together */
	bool estimated;      /* the figures are */
	bool various;        /* objects: the words are of several fields */
	int64_t field_id;    /* else: the field, 0: not known */
};
struct hf_also_sources {
	struct hf_also_source *at; /* owned; most bytes first */
	size_t n;
};

/* A search of bounded length. Of the words of one object, or of one variable, into one target there
 * is one entry. HF_E_CORRUPT if the database lacks an object. */
enum hf_status hf_also_find(struct hf_heapdb *heap, const struct hf_also_top *top,
	struct hf_also *ret, struct hf_err *err);
void hf_also_deinit(struct hf_also *also);

enum hf_status hf_also_sum(struct hf_heapdb *heap, const struct hf_also *also,
	struct hf_also_sources *ret, struct hf_err *err);
void hf_also_sources_deinit(struct hf_also_sources *sources);
/* "stack[+0x30]  stack of thread 4711" of one word, or "1,204 words of objects that g_index holds
 * (struct node.next)". */
enum hf_status hf_also_source_text(struct hf_text *text, struct hf_heapdb *heap,
	const struct hf_also *also, const struct hf_also_source *source, const char *dots,
	struct hf_err *err);
/* "objects that g_index holds (struct node.next)" alone. */
enum hf_status hf_also_source_place(struct hf_text *text, struct hf_heapdb *heap,
	const struct hf_also_source *source, struct hf_err *err);
/* "variable", "stack", … */
const char *hf_also_kind_name(enum hf_also_kind kind);

/* "0x…->[+16]  struct cache, g_cache->…" or "stack of thread 4711 (worker)". */
enum hf_status hf_also_from(struct hf_text *text, struct hf_heapdb *heap,
	const struct hf_also_entry *entry, const char *dots, struct hf_err *err);
