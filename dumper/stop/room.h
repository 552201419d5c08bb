/*
 * Room for the work of a snapshot where the target has used up what it may map (RLIMIT_AS,
 * RLIMIT_DATA, with hard limits that cannot be raised). A snapshot has the same mappings, so it is
 * as full as the target. But it may split: a second copy stands still and is read from without, and
 * the first one gives up what it inherited of the program, all but its own code, stacks and data.
 *
 * In a snapshot alone, but for the limits: a process of its own, with one thread.
 * Async-signal-safe.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/page_alloc.h"

/* Is the room for memory of the process scarce, with vm_bytes mapped and rss_bytes resident? */
bool hf_room_is_scarce(uint64_t vm_bytes, uint64_t rss_bytes);
/* Raise the limits of a process as far as we may; 0: of this one. */
void hf_room_raise_limits(int pid);

/* The frozen copy: a child that dies with this process. Its pid, or a negative errno value; 0: it
 * may not be read, and is gone. End it with hf_room_thaw(). */
int hf_room_freeze(void);
void hf_room_thaw(int pid);

/* Give up the program's memory, but for KEPT_AROUND bytes around each of the n addresses. The
 * mappings are read with memory of the pool. */
void hf_room_give_up(const uint64_t *kept, size_t n, struct hf_pool *pool);
