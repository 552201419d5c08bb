/*
 * Where threads of this process may not be traced (the process changed its user, a filter or yama
 * refuses ptrace, a debugger is attached): they are asked to stand still by a signal. The handler
 * of ours waits until it is let go; the registers are in its signal frame.
 *
 * The signal is one that libc keeps for itself and that no program can block or handle by libc
 * (SIGCANCEL): what it does for libc goes on to libc's handler. Ours stays once it was needed,
 * since a thread may take the signal late; libc's, when it comes later, lets such a signal pass.
 *
 * A thread that blocks the signal all the same, or is in an uninterruptible system call, is not
 * parked. Under a seccomp filter only those threads are that have no filter or as many as whoever
 * makes the dump, and only if a process under the same filter has returned from such a handler
 * alive.
 *
 * System calls that do not restart behind a handler (signal(7)) return EINTR to the program, unless
 * it handles no signal at all, they have no relative time limit, and they were made by an
 * instruction that is recognized: then they are made again.
 *
 * Async-signal-safe. One user at a time; the list is changed by nobody meanwhile.
 */
#pragma once
#include "stop/tracees.h"

/* In this process, before its collector is made (which has signal handlers of its own). `ours` are
 * the signals that we handle and the program does not, signal N at bit N - 1. */
void hf_park_prepare(uint64_t ours);
/* Park those threads of the list that are neither stopped nor gone. Returns within two seconds. */
void hf_park(struct hf_tracees *t);
/* Let those that were parked in [busy_start, busy_end) run for ns nanoseconds; hf_park() must
 * follow. */
void hf_park_run(struct hf_tracees *t, uint64_t busy_start, uint64_t busy_end, uint64_t ns);
/* Let all go, also after whoever parked them has died. */
void hf_park_release(void);

/* In a handler of ours, of a program that handles no signals itself: have the system call that was
 * cut short made again. */
void hf_restart_call(ucontext_t *context, uint64_t ours);
