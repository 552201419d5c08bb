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

/* The copy, as whoever fills it reaches it. */
struct hf_unforked_copy {
	int pid; /* 0: it is this process */
	bool (*is_mapped)(void *ctx, uint64_t page);
	/* New memory, private and writable, where there is none. */
	bool (*map)(void *ctx, uint64_t start, uint64_t size);
	void (*protect)(void *ctx, uint64_t start, uint64_t size, int prot);
	/* The target's bytes to the same address; returns how many could be had. */
	uint64_t (*fill)(void *ctx, uint64_t start, uint64_t size);
	void *ctx;
};

/* What is missing in the copy is read from the target, whose threads must stand still. */
void hf_unforked_fill(int target_pid, const struct hf_unforked_copy *copy, struct hf_pool *pool,
	struct hf_unforked *ret);
/* The same in the copy itself. */
void hf_unforked_fill_self(int target_pid, struct hf_pool *pool, struct hf_unforked *ret);

/* Text of what was read and of what was not: a string, then the bytes. */
#define HF_TEXT_UNFORKED                                                                           \
	"%s%lu bytes of memory that fork does not copy (MADV_DONTFORK, MADV_WIPEONFORK) were "     \
	"read from the process itself"
#define HF_TEXT_DONTFORK                                                                           \
	"%s%lu bytes of memory are kept from copies (MADV_DONTFORK) and were not scanned: "        \
	"objects "                                                                                 \
	"that only they point to show as unreachable"
