/*
 * Look-ups in a database that every report needs: totals, an object by id or address, the word that
 * leads from one object to another, a root. All of them are searches by an index.
 *
 * Ids are those of the database (from 1); 0 stands for none. Texts in the records are cut to their
 * buffers. Not thread safe.
 */
#pragma once
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "emit/text.h"

struct hf_heapdb {
	sqlite3 *db; /* the caller's */
	uint64_t live_size, live_count, leak_size, leak_count;
	uint64_t live_usable;   /* what the allocator gave for live_size; 0: not known */
	bool sizes_requested;   /* sizes are what was asked for; of a sampled profile some are */
	uint64_t doubtful_size; /* held only by words that are certainly no pointers */
	bool partial;
	bool has_roots; /* a dump that is cut may have none */
	bool has_wide;  /* stat_wide is there: databases of older versions lack it */
	bool small;     /* so few objects that any number of them may be looked at */
	/* Of the heap profile with the allocation sites; see report/site.h. */
	bool has_profile, profile_tied, profile_sampled;
	char profile_maker[32];
	char profile_missing[256]; /* its file's name, where it was not there: "" */
	uint64_t profile_period;
	uint64_t profile_lost; /* allocations that could not be recorded */
	uint64_t n_with_site;  /* objects whose site is known */
	sqlite3_stmt *object, *addr, *word, *field, *root; /* prepared on first use */
};

/* Read the totals. db must outlive it. */
enum hf_status hf_heapdb_init(struct hf_heapdb *heap, sqlite3 *db, struct hf_err *err);
void hf_heapdb_deinit(struct hf_heapdb *heap);

enum { HF_NAME_SIZE = 512 };

struct hf_object {
	int64_t id;
	uint64_t addr, size, usable;
	bool reachable;
	int64_t arena_id, type_id, site_id, idom_id, idom_variable_id, holder_id, holder_root_id;
	uint64_t retained_size, retained_count, held_size, held_count;
	int64_t site_line;                                                /* 0: not known */
	int64_t age, alloc_tid;                                           /* -1, 0: not known */
	int64_t depth;                                                    /* -1: unreachable */
	char type[HF_NAME_SIZE], site[HF_NAME_SIZE], label[HF_NAME_SIZE]; /* "": none */
	char site_file[HF_NAME_SIZE];
};

/* HF_E_NOTFOUND if there is none (err is left alone then). */
enum hf_status hf_heapdb_object(
	struct hf_heapdb *heap, int64_t id, struct hf_object *ret, struct hf_err *err);
/* The object with the highest address ≤ addr; the one with the lowest address > addr. */
enum hf_status hf_heapdb_at_or_before(
	struct hf_heapdb *heap, uint64_t addr, struct hf_object *ret, struct hf_err *err);
enum hf_status hf_heapdb_after(
	struct hf_heapdb *heap, uint64_t addr, struct hf_object *ret, struct hf_err *err);
/* The object that contains addr, interior addresses included. */
enum hf_status hf_heapdb_containing(
	struct hf_heapdb *heap, uint64_t addr, struct hf_object *ret, struct hf_err *err);

/* The first word of src that points into dst. */
struct hf_word {
	uint64_t src_offset, dst_offset;
	char field[HF_NAME_SIZE]; /* "": untyped */
};
enum hf_status hf_heapdb_word(
	struct hf_heapdb *heap, int64_t src, int64_t dst, struct hf_word *ret, struct hf_err *err);
/* The field of the word of src at word->src_offset. */
enum hf_status hf_heapdb_field(
	struct hf_heapdb *heap, int64_t src, struct hf_word *word, struct hf_err *err);

struct hf_root {
	int64_t id, variable_id, object_id;
	char kind[32], name[HF_NAME_SIZE]; /* of the variable where there is one */
	char module[HF_NAME_SIZE];         /* path, "": none */
	char thread[HF_NAME_SIZE];         /* name */
	int64_t tid;                       /* 0: no thread */
	uint64_t addr;                     /* of the word; of a register: 0 */
	uint64_t word_offset;              /* of the word in its variable */
	bool named_word;                   /* name says which word it is */
	uint64_t offset;                   /* into the object */
	uint64_t variable_addr, variable_size, held_size, held_count, retained_size;
};
enum hf_status hf_heapdb_root(
	struct hf_heapdb *heap, int64_t id, struct hf_root *ret, struct hf_err *err);

/* "g_table[+0x10]" */
void hf_heapdb_root_name(struct hf_text *text, const struct hf_root *root);
/* What a root is, for people: "g_table[+0x10]  global in server", "stack of thread 12 (worker)". */
void hf_heapdb_root_label(struct hf_text *text, const struct hf_root *root);
/* The same from columns: kind, module path, tid, thread name; NULL or 0 where there is none. */
void hf_heapdb_root_label_of(struct hf_text *text, const char *name, const char *kind,
	const char *module, int64_t tid, const char *thread);
/* "buckets[17]" to "buckets[*]": what many elements have in common. */
void hf_field_star(char *field);
/* "->[+16]", "->next", or "[3].name" of an element */
void hf_heapdb_word_name(struct hf_text *text, const struct hf_word *word);
/* What is known of an object besides its address: label, type, site; "" if nothing is. */
void hf_heapdb_object_what(struct hf_text *text, const struct hf_object *object);
/* The same, and where it hangs, for lines without a path: "session, g_sessions->…", "leaked". dots:
 * the emitter's. A root that cannot be read is left out. */
void hf_heapdb_object_place(struct hf_text *text, struct hf_heapdb *heap,
	const struct hf_object *object, const char *dots);
