/*
 * The objects that live: address → size, site, thread, time.
 *
 * 2 KiB of addresses are a group, whose objects lie side by side in one block (blocks.h): a byte
 * each that says where in the group it starts, by which it is found, sixteen at a time, and an
 * entry of 12 bytes. A group is one word, and the words of 8 MiB of addresses are a table:
 *
 *     realms[addr >> 34] ─▶ list[addr >> 23 & 0x7ff] ─▶ table[addr >> 11 & 0xfff]
 *                                                           ─▶ block: keys[], entries[]
 *
 * So an object takes 13 bytes and its share of the block's slack, 8 bytes for 2 KiB of heap come on
 * top, and what lies side by side in the heap does so here.
 *
 * A group is changed by whoever has set the lock bit in its word, and what it was becomes what it
 * is with one store: each state between two instructions can be read. So a snapshot of the process
 * may be taken at any moment, and hf_live_find() and hf_live_each() take no lock. Where the store
 * is shared with a process that runs on (a mapped file), a version in the word tells them to look
 * again.
 *
 * Thread and signal safety: callable from any thread, each with its own worker or NULL; from a
 * signal handler only if it did not interrupt one of these functions on the same thread.
 */
#pragma once
#include "site/store.h"

struct hf_live_object {
	uint64_t addr;
	uint64_t size;    /* as requested, bytes */
	uint32_t site;    /* id */
	uint32_t tid;     /* modulo 2^22, more than a kernel gives out */
	uint32_t seconds; /* after the start of recording, at most 2^22 - 1 (48 days) */
};

/* The thread's own worker, for as long as it lives; NULL: there are too many threads, and those
 * without one get in each other's way. Asks the kernel whose owners have ended. */
struct hf_site_worker *hf_live_join(struct hf_site_store *s, int tid);

/* Indices of an address. */
static inline uint64_t hf_live_region(uint64_t addr)
{
	return (addr >> HF_SITE_REGION_BITS) & (HF_SITE_REALM - 1);
}
static inline uint64_t hf_live_group(uint64_t addr)
{
	return (addr >> HF_SITE_GROUP_BITS) & (HF_SITE_GROUPS - 1);
}

/* Have the words that an object at addr needs in the cache by the time they are asked for. */
static inline void hf_live_prefetch(const struct hf_site_store *s, uint64_t addr)
{
	uint64_t list = s->realms[(addr >> HF_SITE_REALM_BITS) & (HF_SITE_REALMS - 1)];
	const uint32_t *lists = (const uint32_t *)((const char *)s + (list << 12));
	if (!list)
		return;
	uint64_t table = lists[hf_live_region(addr)];
	const uint64_t *words = (const uint64_t *)((const char *)s + (table << 12));
	__builtin_prefetch(&words[hf_live_group(addr)], 1);
}
/* Replaces an object of the same address. False: no room, which is counted. */
bool hf_live_insert(struct hf_site_store *s, struct hf_site_worker *worker,
	const struct hf_live_object *object);
/* False: not recorded. ret may be NULL. */
bool hf_live_remove(struct hf_site_store *s, struct hf_site_worker *worker, uint64_t addr,
	struct hf_live_object *ret);
bool hf_live_find(const struct hf_site_store *s, uint64_t addr, struct hf_live_object *ret);
/* Addresses of recorded objects: the next group that has any, from the one of addr on, is
 * [*ret_start, *ret_end). False: there is none. */
bool hf_live_next(
	const struct hf_site_store *s, uint64_t addr, uint64_t *ret_start, uint64_t *ret_end);
/* In no order. */
void hf_live_each(const struct hf_site_store *s,
	void (*fn)(void *ctx, const struct hf_live_object *object), void *ctx);

/* Recorded allocations so far, but for those of exact mode. A thread counts in its worker. */
uint64_t hf_live_samples(const struct hf_site_store *s);
static inline void hf_live_count_sample(struct hf_site_store *s, struct hf_site_worker *worker)
{
	if (worker)
		worker->n_samples++;
	else
		__atomic_add_fetch(&s->workers[0].n_samples, 1, __ATOMIC_RELAXED);
}

/* In a forked child: what other threads had locked is free. */
void hf_live_forked(struct hf_site_store *s);
/* Copy the objects of a store that is in use into an empty one of the same size. False: no memory.
 */
bool hf_live_copy(const struct hf_site_store *from, struct hf_site_store *to);
