/*
 * The registers of the calling thread at the moment that counts: where the program was interrupted,
 * or where it called.
 * Thread and signal safety: async-signal-safe.
 */
#pragma once
#include <ucontext.h>

#include "stop/thread.h"

/* The interrupted context, as the kernel left it on the signal frame. Points into it: the frame
 * must stay, as it does while the handler runs. */
void hf_caller_of_context(struct hf_thread *ret, const ucontext_t *context);

/* The registers that a function has to keep for its caller. */
struct hf_call_frame {
	uint64_t rbx, rbp, r12, r13, r14, r15, rsp, rip;
};
void hf_caller_of_call(struct hf_thread *ret, const struct hf_call_frame *frame);

/* The same of the function that uses it. What the program has in registers is there still, or has
 * been pushed above the stack pointer by the functions between, so nothing is lost. */
#define HF_CALL_FRAME_HERE(frame)                                                                  \
	__asm__ volatile("mov %%rbx, 0(%0)\n\t"                                                    \
			 "mov %%rbp, 8(%0)\n\t"                                                    \
			 "mov %%r12, 16(%0)\n\t"                                                   \
			 "mov %%r13, 24(%0)\n\t"                                                   \
			 "mov %%r14, 32(%0)\n\t"                                                   \
			 "mov %%r15, 40(%0)\n\t"                                                   \
			 "mov %%rsp, 48(%0)\n\t"                                                   \
			 "lea 0(%%rip), %%rax\n\t"                                                 \
			 "mov %%rax, 56(%0)"                                                       \
			 :                                                                         \
			 : "r"(frame)                                                              \
			 : "rax", "memory")
