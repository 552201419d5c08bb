/*
 * Memory for the live table: blocks of HF_SITE_CLASSES sizes out of the store's area. A worker has
 * free ones at hand; what it has too many of goes to lists that all share, and what nobody has is
 * cut off a chunk. A block never goes back to the kernel, and never becomes one of another size.
 *
 * A block of class c ≥ 1 holds the entries of up to hf_blocks_capacity[c] objects: their keys, a
 * byte each, then the entries.
 *
 * Thread and signal safety: a worker belongs to one thread. At every instant the lists are such
 * that a copy of the store as it is then can go on with them (a forked child).
 */
#pragma once
#include "site/store.h"

enum { HF_BLOCKS_UNIT = 8 }; /* bytes; a block is named by its offset in the store in units */

/* What is known of a live object beside its address. */
struct hf_site_entry {
	uint32_t size; /* as requested, bytes */
	/* of 64 bits, without the alignment: site (20) · tid (22) · seconds since the start (22).
	 * Site 0: no object. */
	uint32_t low, high;
};

static const uint16_t hf_blocks_capacity[HF_SITE_CLASSES] = {
	0, 1, 2, 4, 8, 14, 20, 28, 40, 56, 80, 112, 160, 256};

/* Offset of the entries in a block. */
static inline uint32_t hf_blocks_keys_size(unsigned class)
{
	return (hf_blocks_capacity[class] + 3u) & ~3u;
}
static inline uint32_t hf_blocks_size(unsigned class)
{
	uint32_t entries = hf_blocks_capacity[class] * (uint32_t)sizeof(struct hf_site_entry);
	return (hf_blocks_keys_size(class) + entries + HF_BLOCKS_UNIT - 1) & ~(HF_BLOCKS_UNIT - 1u);
}

/* A block's name, 0: no room. */
uint32_t hf_blocks_take(struct hf_site_store *s, struct hf_site_worker *worker, unsigned class);
void hf_blocks_give(
	struct hf_site_store *s, struct hf_site_worker *worker, unsigned class, uint32_t block);
/* Zeroed pages of the area: their offset, 0: no room. */
uint64_t hf_blocks_pages(struct hf_site_store *s, uint64_t size);
