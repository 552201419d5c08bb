/*
 * Where thread-local storage, thread control blocks and thread stacks lie: glibc's structures,
 * found by shape, without symbols.
 *
 * - struct link_map (elf/link.h): behind its public head, the fields l_tls_initimage,
 *   l_tls_initimage_size, l_tls_blocksize, l_tls_align, l_tls_firstbyte_offset, l_tls_offset,
 *   l_tls_modid stand in this order (include/link.h, the same from glibc 2.3 to 2.43); the first
 * four are known from the program headers, so the place of the others follows. On x86-64 (TLS
 * variant II, "ELF Handling For Thread-Local Storage" §3.4.6) a module's static block starts at tp
 * - l_tls_offset.
 * - struct pthread (nptl/descr.h) starts at tp; stackblock, stackblock_size and guardsize are
 * neighbours in it, and self-consistent: the block contains tp.
 * - nptl/allocatestack.c keeps the stacks of ended threads in the list stack_cache, linked through
 *   struct pthread.list. They are dead memory full of stale pointers, but for the dtv at tp + 8
 *   (struct tcbhead_t), which the next thread on that stack gets. One that nobody has joined or
 *   detached is in the list of those in use: pthread_join() will return its result. Behind `list`
 *   comes tid: 0 when the kernel has seen the thread's end, -1 when it has been joined; joinid, the
 *   struct itself if the thread is detached, is behind it (nptl/descr.h, 2.31 to 2.43).
 *
 * Thread and signal safety: async-signal-safe. All values are a stranger's.
 */
#pragma once
#include "base/page_alloc.h"
#include "image/image.h"
#include "memory/memory.h"

enum {
	HF_PTHREAD_SIZE = 2304, /* bytes of struct pthread that are looked at and scanned: the
				   smallest of the known versions (2304 in 2.31, 2368 in 2.36) */
};

struct hf_tls {
	uint64_t *offsets; /* per image: distance of its static TLS block below tp; 0: none or
			      unknown */
	uint64_t total;    /* bytes of static TLS below tp */
	uint32_t unknown;  /* images with TLS whose place was not found */
};

/* Find the static TLS offset of every image. offsets live in pool. */
enum hf_status hf_tls_find(struct hf_tls *tls, struct hf_mem *mem, const struct hf_images *images,
	struct hf_pool *pool, struct hf_err *err);

struct hf_stack_block {
	uint64_t start, end; /* of the thread's stack, guard left out; TLS and struct pthread are at
				its top */
};

/* The stack block of the thread with thread pointer tp. False for a main thread, or if not found.
 */
bool hf_tls_stack_block(struct hf_mem *mem, uint64_t tp, struct hf_stack_block *ret);

struct hf_ended_thread {
	struct hf_stack_block block;
	uint64_t tp;
	bool unjoined;
};

/* Ended threads whose stacks glibc keeps, appended to ret (struct hf_ended_thread). tps: the thread
 * pointers of the live threads. */
void hf_tls_ended_threads(struct hf_mem *mem, const struct hf_images *images, const uint64_t *tps,
	size_t n_tps, struct hf_vec *ret);
