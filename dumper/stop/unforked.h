/*
 * Memory that fork(2) does not hand on: what a program has kept from its children by madvise(2),
 * MADV_DONTFORK (not there in a copy) or MADV_WIPEONFORK (empty there). A snapshot takes it from
 * the target, whose threads stand still until then, to the same addresses.
 *
 * Whether there is any shows in the sizes of both: address space, and resident anonymous memory, of
 * which a difference of less than UNFORKED_LEAST is not seen.
 *
 * Async-signal-safe.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/page_alloc.h"

struct hf_unforked_sizes {
	uint64_t vm_bytes, anon_bytes;
};

/* Of a process at this moment; zero if they cannot be had. */
void hf_unforked_sizes(int pid, struct hf_unforked_sizes *ret);
/* Has a copy of a process with those sizes less? */
bool hf_unforked_differ(const struct hf_unforked_sizes *process, int copy_pid);

struct hf_unforked {
	uint64_t copied_bytes;
	uint64_t missing_bytes; /* resident, but could not be read, or are too many */
};

/* In the copy: read what is missing. The target's threads must stand still. */
void hf_unforked_copy(int target_pid, struct hf_pool *pool, struct hf_unforked *ret);
