/*
 * Allocator walkers: from an allocator's own metadata to a list of live objects, without symbols,
 * through the memory interface, in a process whose heap may be caught in the middle of an operation
 * or be damaged.
 *
 * A walker is one row of hf_walkers: probe() finds the allocator's structures, walk() enumerates.
 * What it enumerates must add up with the allocator's own counters: it reports them as counters,
 * and damage as findings; a heap that it cannot walk is a finding of severity HF_PARTIAL, never "no
 * objects".
 *
 * Cached free chunks (tcache, fastbins) are free memory. Allocator state (arena structs, tcache
 * structs) is no object and no root: walkers name it in `excluded`. Thread and signal safety:
 * async-signal-safe; one thread.
 */
#pragma once
#include "base/err.h"
#include "base/page_alloc.h"
#include "holdfast/format.h"
#include "image/image.h"
#include "index/index.h"
#include "memory/memory.h"

enum { HF_FINDING_TEXT = 200 };

/* What the walk learns beside the objects. Names and texts are in the pool. */
struct hf_walk_arena {
	const char *allocator; /* "glibc 2.36" */
	enum hf_arena_kind kind;
	uint64_t addr;       /* of the arena's struct, 0 for the mmapped ones */
	uint64_t size_bytes; /* got from the system */
	uint64_t free_bytes; /* in free chunks, cached ones included; with their headers */
	uint64_t free_count;
	uint64_t metadata_bytes; /* chunk headers of live objects, heap headers, arena and tcache
				    structs, fences and alignment: size_bytes - free_bytes - live
				    bytes */
};

struct hf_walk_counter {
	const char *name;
	uint64_t allocator, walked;
	bool must_match;
};

struct hf_walk_finding {
	enum hf_severity severity;
	uint64_t addr;
	char text[HF_FINDING_TEXT];
};

struct hf_walk_range {
	uint64_t start, end;
};

/* A stopped thread, as far as walkers care. */
struct hf_walk_thread {
	uint64_t tp;     /* thread pointer (fs base), 0 if unknown */
	uint64_t sp, pc; /* 0 if unknown */
	bool crashed;    /* by a fatal signal, there */
};

struct hf_walk {
	/* in */
	struct hf_mem *mem;
	const struct hf_maps *maps;
	const struct hf_images *images;
	const struct hf_image_files *files; /* where theirs are; NULL: they are not looked at */
	const struct hf_walk_thread *threads;
	size_t n_threads;
	const struct hf_walk_range *own; /* the dumper's memory, sorted: never a heap */
	size_t n_own;
	struct hf_pool *pool;
	uint64_t
		piece_bytes; /* of a heap, for one thread to walk, whole kilobytes; 0: as is best */
	/* out */
	struct hf_index *index;
	struct hf_vec arenas;   /* of struct hf_walk_arena; an object's arena is an index into it */
	struct hf_vec counters; /* of struct hf_walk_counter */
	struct hf_vec findings; /* of struct hf_walk_finding */
	struct hf_vec heaps; /* of struct hf_walk_range: memory that belongs to allocators (for the
				kinds of mappings; never roots) */
	struct hf_vec excluded; /* of struct hf_walk_range: allocator state inside modules' data and
				   TLS that must not be scanned for roots */
	struct hf_vec
		tcaches; /* of struct hf_walk_range: allocator structs that live in heap chunks */
};

/* in fields are the caller's to fill afterwards. */
void hf_walk_init(struct hf_walk *walk);
void hf_walk_deinit(struct hf_walk *walk);

struct hf_walker {
	const char *name;
	/* Is this allocator here and in use? HF_OK and *ret_state (in the pool) for walk();
	 * HF_E_NOTFOUND: not here; HF_E_UNSUPPORTED: here, but of a kind that cannot be walked (err
	 * says which). */
	enum hf_status (*probe)(struct hf_walk *walk, void **ret_state, struct hf_err *err);
	/* Enumerate into walk->index and the lists. Damage becomes findings; an error is returned
	 * only when nothing could be done (no memory). */
	enum hf_status (*walk)(struct hf_walk *walk, void *state, struct hf_err *err);
};

extern const struct hf_walker hf_walker_glibc;

/* Run every walker that finds its allocator, then name allocators that are present but cannot be
 * walked. No allocator at all: a finding of severity HF_PARTIAL that says so. */
enum hf_status hf_walk_all(struct hf_walk *walk, struct hf_err *err);

/* Append a record; without memory it is dropped. text is a format of base/fmt.h. */
void hf_walk_finding(struct hf_walk *walk, enum hf_severity severity, uint64_t addr,
	const char *format, ...) __attribute__((format(printf, 4, 5)));
void hf_walk_counter(struct hf_walk *walk, const char *name, uint64_t allocator, uint64_t walked,
	bool must_match);
bool hf_walk_range(struct hf_vec *ranges, uint64_t start, uint64_t end);
