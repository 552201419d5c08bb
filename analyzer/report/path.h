/*
 * A path from a root to an object, equal hops in a row collapsed. The best path is the one up the
 * holder links.
 *
 * A path can be as long as the heap has objects (a list), so it is read step by step, runs of hops
 * through the same word of same-sized objects are counted instead of kept, and of what remains only
 * the ends are kept.
 */
#pragma once
#include "report/heapdb.h"

/* One object, or a run of objects, of a path, root end first. */
struct hf_hop {
	struct hf_object object; /* the one nearest to the root */
	struct hf_word word; /* that leads into it from its holder; the first hop: from the root */
	uint64_t times;      /* objects in the run */
	uint64_t last_id;    /* the one farthest from the root */
	uint64_t last_addr;
	uint64_t skipped; /* objects between this hop and the next that were not kept */
};

struct hf_path {
	struct hf_hop *hops; /* owned */
	size_t n_hops, cap_hops;
	uint64_t length;     /* objects on the path */
	bool rooted;         /* false: the path starts at the head of a leak */
	bool cut;            /* the way up is longer than was followed: its middle is missing */
	struct hf_root root; /* if rooted */
};

/* The best path. */
enum hf_status hf_path_read(struct hf_heapdb *heap, const struct hf_object *object,
	struct hf_path *ret, struct hf_err *err);
void hf_path_deinit(struct hf_path *path);

/* To build another one: start from {0}; add the object asked for, then the next one towards the
 * root and so on, each with the word of the next one that leads into it (the last one: NULL); then
 * finish with the root. */
enum hf_status hf_path_add(struct hf_path *path, const struct hf_object *object,
	const struct hf_word *word, struct hf_err *err);
void hf_path_finish(struct hf_path *path, const struct hf_root *root);

/* "g_sessions[+0x10]->[+16]->[+8] ×749,998->[+24]"; times and dots: the emitter's. */
void hf_path_text(
	struct hf_text *text, const struct hf_path *path, const char *times, const char *dots);
/* "->[+8] ×749,998" */
void hf_hop_name(struct hf_text *text, const struct hf_hop *hop, const char *times);
