/*
 * What each part of a process's memory is, as far as roots are concerned: static data of modules,
 * TLS, live stack, dead stack, heap, registered roots, other writable memory, and what must not be
 * scanned.
 *
 * Order of claims (rangeset.h): the dumper's own memory, allocator state, heaps, registered roots,
 * thread-local storage, live stacks, what libc keeps of ended threads, dead stacks, static data,
 * and every other resident writable page. Thread and signal safety: async-signal-safe; one thread.
 */
#pragma once
#include "image/image.h"
#include "index/index.h"
#include "memory/memory.h"
#include "roots/rangeset.h"
#include "roots/tls.h"
#include "stop/thread.h"
#include "walk/walk.h"

enum hf_area_kind {
	HF_AREA_SKIP, /* ours, or allocator state: no roots */
	HF_AREA_HEAP,
	HF_AREA_DEAD_STACK,
	HF_AREA_STATIC,     /* index: image */
	HF_AREA_TLS,        /* thread, index: image; or the control block: index NO_IMAGE */
	HF_AREA_STACK,      /* thread */
	HF_AREA_MAPPING,    /* index: map; thread 1: what an ended thread left in it */
	HF_AREA_REGISTERED, /* index: registered root */
};

enum { HF_AREA_NO_IMAGE = 0xfffff };

/* Areas are tags of a rangeset. */
static inline uint64_t hf_area(enum hf_area_kind kind, size_t thread, size_t index)
{
	return (uint64_t)kind << 56 | (uint64_t)thread << 24 | (index & 0xffffff);
}

static inline enum hf_area_kind hf_area_kind(uint64_t area)
{
	return (enum hf_area_kind)(area >> 56);
}

static inline size_t hf_area_thread(uint64_t area)
{
	return (size_t)(area >> 24 & 0xffffffff);
}

static inline size_t hf_area_index(uint64_t area)
{
	return (size_t)(area & 0xffffff);
}

struct hf_registered_root {
	uint64_t addr, size;
	char name[64];
};

/* Where a thread's stack is. */
struct hf_stack_layout {
	uint64_t live_start, live_end; /* scanned; 0, 0: not found */
	uint64_t sp, pc, tp;
	bool whole; /* the stack pointer was not known or lies elsewhere: all of it is scanned */
};

struct hf_layout {
	/* in */
	struct hf_mem *mem;
	const struct hf_maps *maps;
	const struct hf_images *images;
	const struct hf_threads *threads;
	const struct hf_walk *walk;
	const struct hf_registered_root *registered;
	size_t n_registered;
	int main_tid;
	struct hf_pool *pool;
	/* out */
	struct hf_tls tls;
	struct hf_stack_layout *stacks; /* one a thread; in the pool */
	struct hf_vec ended;            /* struct hf_ended_thread */
	struct hf_rangeset areas;
	int64_t own_image; /* the dumper's library, or -1: set by the caller, its data is skipped */
};

enum hf_status hf_layout_build(struct hf_layout *layout, struct hf_err *err);
void hf_layout_deinit(struct hf_layout *layout);

/* Is addr in a thread's live stack? */
bool hf_layout_in_stack(const struct hf_layout *layout, uint64_t addr);
