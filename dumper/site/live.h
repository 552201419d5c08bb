/*
 * The objects that live: address → size, site, thread, time. 16 bytes a slot; a shard is filled to
 * between 57 and 80 %, so an object takes 20 to 28 bytes, 24 on average (twice that from 1 MiB on).
 *
 * A shard is an array sorted by a hash of the address, with gaps: an object lies at its home or a
 * little behind it. It grows in place. Insertion and removal hold the shard's spin lock; nothing
 * else is locked or called meanwhile.
 * Thread and signal safety: callable from any thread; from a signal handler only if it did not
 * interrupt one of these functions on the same thread. hf_live_find() and hf_live_each() take no
 * lock and are for a snapshot, or a process that stands still.
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

/* Replaces an object of the same address. False: no room, which is counted. */
bool hf_live_insert(struct hf_site_store *s, const struct hf_live_object *object);
/* False: not recorded. ret may be NULL. */
bool hf_live_remove(struct hf_site_store *s, uint64_t addr, struct hf_live_object *ret);
bool hf_live_find(const struct hf_site_store *s, uint64_t addr, struct hf_live_object *ret);
void hf_live_each(const struct hf_site_store *s,
	void (*fn)(void *ctx, const struct hf_live_object *object), void *ctx);

/* All locks, for a fork. */
void hf_live_lock_all(struct hf_site_store *s);
void hf_live_unlock_all(struct hf_site_store *s);
/* Is a lock held? */
bool hf_live_busy(const struct hf_site_store *s);
