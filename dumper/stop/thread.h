/*
 * What is known of a stopped thread: its registers. Used by every way of stopping (in-process,
 * ptrace from outside, a core file).
 */
#pragma once
#include <stdint.h>
#include <sys/user.h>
#include <ucontext.h>

#include "base/page_alloc.h"
#include "holdfast/format.h"

enum {
	HF_XSAVE_MAX = 4096, /* bytes kept of a thread's vector state; AVX-512 takes 2696 */
	HF_THREAD_NAME_MAX = 16,
};

struct hf_thread {
	int tid;
	uint32_t flags; /* enum hf_thread_flag */
	struct user_regs_struct regs;
	uint32_t xsave_size; /* 0: not had */
	uint8_t *xsave;      /* XSAVE area (Intel SDM vol. 1, ch. 13), at most HF_XSAVE_MAX bytes */
	char name[HF_THREAD_NAME_MAX];
};

struct hf_threads {
	struct hf_vec threads; /* of struct hf_thread */
};

static inline struct hf_thread *hf_threads_at(const struct hf_threads *threads, size_t i)
{
	return hf_vec_at(&threads->threads, i);
}

static inline size_t hf_threads_count(const struct hf_threads *threads)
{
	return threads->threads.n;
}

/* Call fn for every 64-bit register value that may be a pointer: the general ones, then the lanes
 * of the vector registers. number is an enum hf_register. */
void hf_thread_each_register(const struct hf_thread *thread,
	void (*fn)(void *ctx, uint32_t number, uint64_t value), void *ctx);

/* Value of one general register (enum hf_register below HF_REG_LANE0). */
uint64_t hf_thread_register(const struct hf_thread *thread, uint32_t number);

/* The interrupted context of a signal handler, as the kernel left it on the signal frame: registers
 * but fs_base, which is not in it. xsave points into the frame, which stays while the handler runs.
 */
void hf_thread_of_context(struct hf_thread *ret, const ucontext_t *context);
