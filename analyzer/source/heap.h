/*
 * The heap in memory: what a reader (source/dump, source/go, …) fills and everything after it
 * (graph, symbolize, types, store, report) consumes.
 *
 * Objects are numbered 0 … n_objects - 1 in address order; that number is the object's index
 * everywhere. Columns are plain arrays of exact length, from malloc: a consumer that no longer
 * needs one may free() it and set it to NULL. A column that the source cannot give is NULL.
 * Invariants that a reader establishes, so that consumers need not check them again:
 *   - addr is strictly ascending and no two objects overlap;
 *   - every index (object, arena, module, thread, variable) is in range, or HF_NONE where «none» is
 *     allowed;
 *   - edge_offset is ascending, the edges of an object are sorted by strictly ascending source
 *     offset, and no edge leads out of what is here;
 *   - modrefs are sorted by (src, src_off), roots by nothing;
 *   - strings are NUL-terminated and not NULL ("" for none); they are bytes of a stranger, not
 *     necessarily UTF-8, and live as long as the heap.
 * Thread rule: filled by one reader (which may use threads inside), then read by any number.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "holdfast/format.h"

/* An index that names nothing. So a heap has at most 2^32 - 1 objects. */
static const uint32_t HF_NONE = UINT32_MAX;

/* In a 32-bit offset column: the value does not fit and stands in the column's table of wide
 * offsets. */
static const uint32_t HF_HEAP_WIDE = UINT32_MAX;

struct hf_heap_property {
	const char *key, *value;
};

struct hf_heap_module {
	uint64_t base, size, bias; /* as HF_SECTION_MODULE */
	const char *path;
	const uint8_t *build_id; /* raw bytes */
	uint32_t build_id_size;
};

struct hf_heap_mapping {
	uint64_t start, size, rss_bytes, offset;
	uint32_t perms;
	uint32_t kind; /* enum hf_mapping_kind */
	const char *path;
};

struct hf_heap_thread {
	uint64_t tid, flags, pc, sp, stack_start, stack_size, tp;
	const char *name;
};

struct hf_heap_register {
	uint32_t thread, number;
	uint64_t value;
};

struct hf_heap_stack_word {
	uint64_t addr, value;
	uint32_t thread;
};

struct hf_heap_arena {
	const char *allocator;
	uint32_t kind; /* enum hf_arena_kind */
	uint64_t addr, size_bytes, live_bytes, live_count, free_bytes, free_count, metadata_bytes;
};

/* What root words belong to. */
struct hf_heap_variable {
	const char *name;
	uint64_t addr, size_bytes;
	uint32_t kind;           /* enum hf_root_kind */
	uint32_t module, thread; /* or HF_NONE */
	bool declared;           /* of a frame: a variable of the source */
};

struct hf_heap_root {
	uint64_t addr;                     /* of the word; of a register: enum hf_register */
	uint64_t offset;                   /* into the object */
	uint32_t object;                   /* never HF_NONE */
	uint32_t kind;                     /* enum hf_root_kind */
	uint32_t variable, module, thread; /* or HF_NONE */
	uint8_t doubt;                     /* enum hf_root_doubt: what types say; 0 from readers */
};

enum hf_root_doubt {
	HF_ROOT_SURE,
	HF_ROOT_BORROWS, /* leads to something that it hardly owns: text in a slab, a cache's entry
			  */
	HF_ROOT_DATA,    /* certainly no pointer */
};

/* A word of an object that points into a module. */
struct hf_heap_modref {
	uint32_t src;        /* object */
	uint32_t src_off;    /* of the word, in units of 8 bytes, or HF_HEAP_WIDE */
	uint32_t module;     /* never HF_NONE */
	uint32_t module_off; /* bytes from the module's base, or HF_HEAP_WIDE */
};

/* The offsets, in bytes, of an edge or modref one of whose 32-bit columns says HF_HEAP_WIDE. */
struct hf_heap_wide {
	uint64_t index;   /* of the edge or modref */
	uint64_t src_off; /* always valid, whichever of the two was too wide */
	uint64_t dst_off; /* of a modref: module_off */
};

struct hf_heap_label {
	uint32_t object;
	const char *text;
};

struct hf_heap_counter {
	const char *name;
	uint64_t allocator, walked;
	bool must_match; /* a difference makes the heap partial */
};

/* From the dump, or of its reader. */
struct hf_heap_finding {
	uint32_t severity; /* enum hf_severity */
	uint64_t addr;     /* 0: none */
	const char *text;
};

/* What could not be read, in records. All zero for a sound file. */
struct hf_heap_lost {
	uint64_t blocks;         /* damaged blocks that were skipped */
	uint64_t objects;        /* in damaged blocks, or known to be missing */
	uint64_t edges;          /* in damaged blocks, or known to be missing */
	uint64_t edges_dropped;  /* read, but one of their ends is a lost object */
	uint64_t roots_dropped;  /* read, but their object is lost */
	uint64_t others_dropped; /* records of any other section, read or not */
	uint64_t bytes; /* of the file that were skipped or that it lacks, as far as known */
};

/* A growing array; consumers read at[0 … n - 1]. */
#define HF_HEAP_LIST(type)                                                                         \
	struct {                                                                                   \
		type *at;                                                                          \
		size_t n, cap;                                                                     \
	}

struct hf_heap_strings; /* opaque */

struct hf_heap {
	/* objects */
	uint64_t n_objects;
	uint64_t *addr;      /* [n_objects] */
	uint64_t *usable;    /* [n_objects] usable size, bytes */
	uint32_t *arena;     /* [n_objects] index into arenas, which is never empty then */
	uint64_t *requested; /* [n_objects] size as requested where known, else usable; or NULL:
				known of none */
	uint32_t *site; /* [n_objects] site id of the heap profile, 0: none; or NULL: no sites */
	uint32_t *age;  /* [n_objects] whole seconds from the allocation to the stop, or HF_NONE;
			   or NULL: known of none */
	uint32_t *tid;  /* [n_objects] of the thread that allocated it, 0: not known; or NULL */

	/* Edges, forward: those of object i are edge_offset[i] … edge_offset[i + 1] - 1. */
	uint64_t n_edges;
	uint64_t *edge_offset;  /* [n_objects + 1] */
	uint32_t *edge_dst;     /* [n_edges] object */
	uint32_t *edge_src_off; /* [n_edges] of the word in the source, in units of 8 bytes; or
				   HF_HEAP_WIDE (32 GiB and more) */
	uint32_t *edge_dst_off; /* [n_edges] into the target, bytes; or HF_HEAP_WIDE (4 GiB) */
	HF_HEAP_LIST(struct hf_heap_wide) edges_wide; /* sorted by index */

	HF_HEAP_LIST(struct hf_heap_modref) modrefs;
	HF_HEAP_LIST(struct hf_heap_wide) modrefs_wide; /* sorted by index */

	/* everything else */
	HF_HEAP_LIST(struct hf_heap_property) properties;
	HF_HEAP_LIST(struct hf_heap_module) modules;
	HF_HEAP_LIST(struct hf_heap_mapping) mappings;
	HF_HEAP_LIST(struct hf_heap_thread) threads;
	HF_HEAP_LIST(struct hf_heap_register) registers;
	HF_HEAP_LIST(struct hf_heap_stack_word) stack_words;
	HF_HEAP_LIST(struct hf_heap_arena) arenas;
	HF_HEAP_LIST(struct hf_heap_variable) variables;
	HF_HEAP_LIST(struct hf_heap_root) roots;
	HF_HEAP_LIST(struct hf_heap_label) labels;
	HF_HEAP_LIST(struct hf_heap_counter) counters;
	HF_HEAP_LIST(struct hf_heap_finding) findings;

	/* where it came from */
	char format[32];  /* "holdfast 1.0", "go1.7 heap dump" … */
	uint64_t time_ns; /* of the stop, since 1970; 0: not known */
	uint8_t token[HF_FORMAT_TOKEN_SIZE];
	bool has_token;

	/* Something is missing; reasons says what, a line each, never empty then. */
	bool partial;
	HF_HEAP_LIST(const char *) reasons;
	struct hf_heap_lost lost;

	/* figures */
	uint64_t total_usable;  /* sum of usable, bytes */
	uint64_t file_bytes;    /* size of the file */
	uint64_t decoded_bytes; /* of all blocks that were read */

	struct hf_heap_strings *strings; /* owner of every string above */
};

/* An empty heap; allocates nothing. */
void hf_heap_init(struct hf_heap *heap);
void hf_heap_deinit(struct hf_heap *heap);
/* Bytes that the heap holds at present, strings included. */
uint64_t hf_heap_memory(const struct hf_heap *heap);

/* For readers. Allocate the columns of n objects (addr, usable, arena) or, after that, of n edges
 * (edge_offset too, which is zeroed; the others are not). HF_E_NOMEM with the size that was asked
 * for. */
enum hf_status hf_heap_alloc_objects(struct hf_heap *heap, uint64_t n, struct hf_err *err);
enum hf_status hf_heap_alloc_edges(struct hf_heap *heap, uint64_t n, struct hf_err *err);
/* The columns requested (as usable) and site (0), after the objects are there. */
enum hf_status hf_heap_alloc_sites(struct hf_heap *heap, struct hf_err *err);
/* The columns age (HF_NONE) and tid (0), likewise. */
enum hf_status hf_heap_alloc_ages(struct hf_heap *heap, struct hf_err *err);
/* The whole list of modrefs, n of them, not zeroed. */
enum hf_status hf_heap_alloc_modrefs(struct hf_heap *heap, uint64_t n, struct hf_err *err);
/* A copy of n bytes that lives as long as the heap, NUL-terminated; NULL: no memory. */
const char *hf_heap_string(struct hf_heap *heap, const void *bytes, size_t n);
/* A zeroed new last element of a list of the heap, or NULL: no memory. Earlier pointers into that
 * list become invalid. */
#define hf_heap_push(list)                                                                         \
	((typeof((list)->at))hf_heap_push_(                                                        \
		(void **)&(list)->at, &(list)->n, &(list)->cap, sizeof(*(list)->at)))
void *hf_heap_push_(void **at, size_t *n, size_t *cap, size_t size_bytes);
/* Note a finding; HF_PARTIAL makes the heap partial and is a reason. Out of memory is ignored, but
 * for the flag. */
void hf_heap_finding(struct hf_heap *heap, uint32_t severity, uint64_t addr, const char *format,
	...) __attribute__((format(printf, 4, 5)));

/* For consumers. */
/* n elements that are not zeroed, for free(): in huge pages where they are many. NULL: no memory.
 */
void *hf_heap_array(uint64_t n, size_t size_bytes);
/* The object that contains addr, or HF_NONE. A binary search: for a few questions, not for a scan.
 */
uint32_t hf_heap_find(const struct hf_heap *heap, uint64_t addr);
/* The module that contains addr, or HF_NONE. */
uint32_t hf_heap_find_module(const struct hf_heap *heap, uint64_t addr);
/* The value of a process key, or NULL. */
const char *hf_heap_property(const struct hf_heap *heap, const char *key);
/* The modrefs of an object: the index of the first, and how many; 0 if none. Binary search. */
size_t hf_heap_modrefs_of(const struct hf_heap *heap, uint32_t object, size_t *ret_first);

/* Is the root word in what the dynamic loader of glibc keeps for itself, beside _rtld_global? Its
 * tables of mappings (_dlfo_loaded_mappings) are not cleared when they are made, so that they are
 * full of words that were somebody else's. */
bool hf_heap_is_loaders_own(const struct hf_heap *heap, const struct hf_heap_root *root);

/* The entry of a sorted table of wide offsets; NULL: not there. */
const struct hf_heap_wide *hf_heap_wide_find(
	const struct hf_heap_wide *table, size_t n, uint64_t index);

/* Offsets in bytes, wide or not. */
static inline uint64_t hf_heap_src_off(const struct hf_heap *heap, uint64_t edge)
{
	uint32_t v = heap->edge_src_off[edge];
	return v != HF_HEAP_WIDE
		       ? (uint64_t)v * 8
		       : hf_heap_wide_find(heap->edges_wide.at, heap->edges_wide.n, edge)->src_off;
}

static inline uint64_t hf_heap_dst_off(const struct hf_heap *heap, uint64_t edge)
{
	uint32_t v = heap->edge_dst_off[edge];
	return v != HF_HEAP_WIDE
		       ? v
		       : hf_heap_wide_find(heap->edges_wide.at, heap->edges_wide.n, edge)->dst_off;
}

static inline uint64_t hf_heap_modref_src_off(const struct hf_heap *heap, size_t modref)
{
	uint32_t v = heap->modrefs.at[modref].src_off;
	return v != HF_HEAP_WIDE
		       ? (uint64_t)v * 8
		       : hf_heap_wide_find(heap->modrefs_wide.at, heap->modrefs_wide.n, modref)
				 ->src_off;
}

static inline uint64_t hf_heap_modref_module_off(const struct hf_heap *heap, size_t modref)
{
	uint32_t v = heap->modrefs.at[modref].module_off;
	return v != HF_HEAP_WIDE
		       ? v
		       : hf_heap_wide_find(heap->modrefs_wide.at, heap->modrefs_wide.n, modref)
				 ->dst_off;
}
