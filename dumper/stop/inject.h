/*
 * System calls in the name of a stopped thread: its registers are set to a `syscall` instruction
 * that the process has anyway (nothing is written into its memory), one call is run from stop to
 * stop, and the registers are put back. All signals of the thread are held back meanwhile.
 *
 * Between the start and the end of a call the thread is not itself: the tracer must not die there.
 *
 * Used by one thread, the tracer.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "stop/tracees.h"

/* Address of a `syscall` instruction in the executable mappings of a process (the vdso's first); 0:
 * none was found. The process must be one that we may trace. */
uint64_t hf_inject_find(int pid);

struct hf_inject {
	struct hf_tracee *tracee; /* seized and stopped */
	uint64_t insn;            /* of hf_inject_find */
	long options;             /* PTRACE_O_* to have set during the call, and after it */
	/* Called again and again while the call takes long and waits for something: whoever it
	 * waits for may be a thread that the caller holds. True: give it up; the thread stays in
	 * the call, and is fit for nothing but to be killed. Needs a timer that interrupts system
	 * calls. May be NULL. */
	bool (*slow)(void *ctx);
	void *ctx;
	int child;   /* out: of a clone, as its tracer sees it; 0: none */
	long result; /* out: what the call returned to the thread */
};

/* Run one call. A child that it makes is traced and on its way to its first stop. 0, or a negative
 * errno value if the call could not be run to its end (the thread's registers are its own again,
 * or it is gone). */
int hf_inject_run(struct hf_inject *inject, long number, const uint64_t args[6]);

/* May seccomp filters of a stopped tracee be suspended by us? */
bool hf_inject_may_suspend_seccomp(const struct hf_tracee *tracee);
