/*
 * The object index: which object, if any, does an address point into?
 *
 * Walkers fill it, the scan reads it. A *region* is a stretch of an allocator's heap in which
 * everything from one start to the next belongs to that start: objects, free chunks and gaps alike
 * all have a start, so that no sizes need to be kept. A region keeps, for each granule of 16 bytes,
 * one bit "something starts here" and one bit "and it is a live object"; with a running count of
 * live starts an object's id (its rank by address over the whole process) is a population count. A
 * *single* is an object in a mapping of its own.
 *
 * 32 bytes a kilobyte of heap: 3.1 %. A look-up touches one record, in one cache line.
 *
 * Order of use: init; add regions and starts (in any order); seal; then find and iterate. Killing
 * an object (a chunk that turns out to be cached free memory) is possible until the seal. Thread
 * and signal safety: async-signal-safe; one thread fills, any number may look up after the seal.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/page_alloc.h"

enum {
	HF_GRANULE = 16,
	HF_CELL_BYTES = 64 * HF_GRANULE, /* of heap, a cell */
	HF_NO_OBJECT = -1,
};

struct hf_index_cell {
	uint64_t starts;    /* bit i: something starts at granule i */
	uint64_t live;      /* bit i: a live object starts at granule i; a subset of starts */
	uint32_t rank;      /* id of the first live object that starts in this cell */
	uint32_t back : 31; /* cells back to the nearest earlier one that has a start; 0 if none */
	uint32_t next : 1;  /* does something start at the first granule of the next cell? */
} __attribute__((aligned(32))); /* none is in two cache lines */

struct hf_index_region {
	uint64_t start, end; /* the first start, and the address after the last one's extent */
	struct hf_index_cell *cells; /* NULL: a single; in the index's pool */
	uint32_t arena;              /* index of its arena */
	uint32_t tail_bytes; /* bytes at the end of each extent that belong to nobody (glibc: 8,
				the next chunk's size word) */
	uint32_t live;       /* a single: is it live? */
	struct hf_index_cell *single; /* what answers for a single, after the seal; in the pool */
	/* Its live objects and their usable bytes, after the seal. */
	uint64_t n_live, live_bytes;
};

struct hf_index {
	struct hf_vec regions; /* of struct hf_index_region; by address after the seal */
	struct hf_pool pool;
	uint64_t lo, hi; /* no object lies outside [lo, hi); after the seal */
	uint32_t *slots; /* first region that ends after i << HF_SLOT_SHIFT, for i in 0 … n_slots */
	uint64_t n_slots;
	uint32_t n_objects;  /* after the seal */
	uint64_t live_bytes; /* theirs */
	bool sorted;
	uint64_t regions_dropped; /* overlapping ones that the seal took out */
};

enum { HF_SLOT_SHIFT = 26 };

void hf_index_init(struct hf_index *index);
void hf_index_deinit(struct hf_index *index);

/* A region [start, end): start 16-aligned; end is where the extent of its last start ends plus
 * tail_bytes (for glibc: the user address that a chunk after it would have). Returns a handle that
 * is valid until the seal, as a number (regions move), or -1 without memory. */
int64_t hf_index_add_region(
	struct hf_index *index, uint64_t start, uint64_t end, uint32_t arena, uint32_t tail_bytes);
/* An object of usable bytes in a mapping of its own. False without memory. */
bool hf_index_add_single(struct hf_index *index, uint64_t addr, uint64_t usable, uint32_t arena);

/* A start at addr (16-aligned, inside the region: checked, false if not). What is not live ends the
 * extent of what is before it. Setting the same start again overrides its liveness. */
bool hf_index_put(struct hf_index *index, int64_t region, uint64_t addr, bool live);
/* Hint to keep several puts into one region cheap: the cell array and its first address. */
static inline struct hf_index_region *hf_index_region_at(struct hf_index *index, int64_t region)
{
	return hf_vec_at(&index->regions, (size_t)region);
}

/* Is the start at addr in this region live? Make it dead; false if it was no live start. */
bool hf_index_kill(struct hf_index *index, int64_t region, uint64_t addr);
/* The same when the region is not known: a linear look over the regions that is only for few calls
 * before the seal. For many: hf_index_sort_regions() first, then this is a binary search. */
bool hf_index_kill_any(struct hf_index *index, uint64_t addr);
/* Sort the regions by address, so that hf_index_kill_any is fast; handles become invalid. */
void hf_index_sort_regions(struct hf_index *index);

/* Sort, drop overlapping regions (counted in regions_dropped: a walker's mistake or a damaged
 * heap), number the objects. HF_E_NOMEM, or HF_E_UNSUPPORTED for 2^32 - 1 objects
 * or more, or a CPU without POPCNT (from before 2008). */
enum hf_status hf_index_seal(struct hf_index *index, struct hf_err *err);

/* The region that contains addr (its tail included), or NULL. */
const struct hf_index_region *hf_index_search_region(const struct hf_index *index, uint64_t addr);

/* A stretch of the index: from `from` in region `first` up to, but not including, `to` in region
 * `last`. Its borders inside a region lie between cells. */
struct hf_index_piece {
	size_t first, last;
	uint64_t from, to;
};
/* Cut the (sealed) index into pieces of about `bytes` of heap, in address order. *at is where the
 * next one starts, zeroed before the first. False: there are no more. */
bool hf_index_next_piece(const struct hf_index *index, uint64_t bytes, struct hf_index_piece *at);

/* The part of region i that the piece has. */
static inline uint64_t hf_index_piece_start(
	const struct hf_index_piece *piece, const struct hf_index_region *region, size_t i)
{
	return i == piece->first ? piece->from : region->start;
}
static inline uint64_t hf_index_piece_end(
	const struct hf_index_piece *piece, const struct hf_index_region *region, size_t i)
{
	return i == piece->last ? piece->to : region->end;
}

/* Where the extent that starts at granule `bit` of a cell ends: at the next start, or with the
 * region. */
uint64_t hf_index_extent_end(const struct hf_index_region *region, uint64_t cell, unsigned bit);

/* The object that contains addr: its id, or HF_NO_OBJECT; *ret_start is its address. */
int64_t hf_index_find(const struct hf_index *index, uint64_t addr, uint64_t *ret_start);

struct hf_object {
	uint64_t addr, usable;
	uint32_t id, arena;
};

struct hf_index_iter {
	const struct hf_index *index;
	size_t region;
	uint64_t cell;
	uint64_t left; /* live bits of the cell still to visit */
	uint32_t id;
	uint64_t to; /* objects that start here, or behind, are not visited */
};

/* Visit every live object in address order. */
void hf_index_iter_init(struct hf_index_iter *iter, const struct hf_index *index);
/* Those whose addresses are in [from, to) only (after the seal). */
void hf_index_iter_range(
	struct hf_index_iter *iter, const struct hf_index *index, uint64_t from, uint64_t to);
bool hf_index_next(struct hf_index_iter *iter, struct hf_object *ret);
