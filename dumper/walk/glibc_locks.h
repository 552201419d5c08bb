/*
 * Is some thread inside glibc's malloc with a lock held? For choosing the moment of a snapshot.
 * Thread and signal safety: async-signal-safe.
 */
#pragma once
#include <stdbool.h>

#include "walk/walk.h"

struct hf_glibc_locks {
	uint64_t main_arena;           /* 0: no glibc malloc was found */
	uint64_t next_offset;          /* of `next` in malloc_state; the lock is at 0 */
	uint64_t text_start, text_end; /* code of the module that malloc is in */
};

/* Find the arenas of the process that mem reads, by mem's own mappings. Leaves ret->main_arena 0 if
 * there are none, or no memory. */
void hf_glibc_locks_find(struct hf_mem *mem, struct hf_pool *pool, struct hf_glibc_locks *ret);

/* Is the lock of any arena taken, right now? copy reads size bytes of the process at addr, or
 * returns false. A ring that is damaged counts as not locked. */
bool hf_glibc_locks_held(const struct hf_glibc_locks *locks,
	bool (*copy)(void *ctx, uint64_t addr, void *buf, size_t size), void *ctx);
