/*
 * An alternate signal stack for every thread, so that a handler runs after a stack overflow too:
 * the main thread gets one at the start, others when they are made by pthread_create() or
 * thrd_create(), which are interposed here. A program that sets one of its own with sigaltstack(2)
 * has that.
 *
 * Each stack has two halves. While a handler of ours has called a handler of the program on the
 * thread's ordinary stack, our frame lies in one half and further signals get the other one.
 *
 * Thread and signal safety: start once; other() in a handler.
 */
#pragma once
#include <signal.h>
#include <stdbool.h>

/* The calling thread, and all that are made from now on. */
void hf_signal_stack_start(void);
/* In a handler: is it on a stack of ours? If so, *ret is the other half: what to set by
 * sigaltstack(2) once it has left this one to call a handler of the program. The kernel sets it
 * back when our handler returns. */
bool hf_signal_stack_other(stack_t *ret);
