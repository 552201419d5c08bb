/*
 * The threads of another process (or of the process whose memory the caller shares), held by
 * ptrace: seize, stop, read registers, let run on, let go. They are seized, so that no signal is
 * sent and a stop of the whole process by SIGSTOP stays what it is; a tracer that dies in between
 * leaves threads that run on as if nothing had been.
 *
 * Two that seize the threads of one process at the same moment would each get some of them, since a
 * thread has one tracer. So dumps of one process trace it one after the other (turn.h).
 *
 * Async-signal-safe; a list belongs to one thread, which is the tracer.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/page_alloc.h"
#include "stop/thread.h"

struct hf_tracee {
	struct hf_thread thread;
	int tid_inside; /* of stop/namespaces.h; 0: the same */
	bool seized, stopped, gone;
	int signal;   /* on its way when the thread stopped: delivered when it goes on */
	bool late;    /* the last to be traced and the first to be let go */
	bool refused; /* it may not be traced */
	/* of park.h */
	struct slot *slot;
	bool parked, deaf; /* stands still by a signal, or cannot */
	bool at_call;      /* it entered or left a system call when it stopped */
};

struct hf_tracees {
	/* in */
	int pid;              /* of the process */
	int skip_tid;         /* a thread that is left alone; 0: none */
	bool no_trace;        /* list the threads and no more */
	struct hf_pool *pool; /* for vector registers */
	int turn;             /* of turn.h, from the first stop to the release; -1: not ours */
	/* out */
	struct hf_vec list;   /* of struct hf_tracee */
	int trace_errno;      /* why a thread could not be seized; 0: all could */
	uint32_t not_stopped; /* threads whose registers could not be had */
};

void hf_tracees_init(struct hf_tracees *t, int pid, int skip_tid, struct hf_pool *pool);
void hf_tracees_deinit(struct hf_tracees *t);

static inline struct hf_tracee *hf_tracees_at(const struct hf_tracees *t, size_t i)
{
	return hf_vec_at(&t->list, i);
}

/* Wait until no other dump traces the process. The functions that stop threads do it by themselves;
 * for who wants to know when the stop began. */
void hf_tracees_wait_turn(struct hf_tracees *t);
/* Seize and stop every thread, those too that are made meanwhile. Waits two seconds for threads in
 * uninterruptible system calls. 0, or a negative errno value if the threads cannot be listed. */
int hf_tracees_stop(struct hf_tracees *t);
/* The same with one thread of the process only; better with one that gets no signals. */
void hf_tracees_stop_one(struct hf_tracees *t, int tid);
/* Is this a thread on whose behalf signals are sent to the process? While it is traced, the kernel
 * sends those too that the program ignores: SIGCHLD for the thread that made the child, others for
 * the main thread. Whichever thread such a signal reaches instead sees EINTR, and where that one is
 * not traced, nothing can be done about it. Certain of a stopped thread only; not asked of many. */
bool hf_tracees_gets_signals(const struct hf_tracees *t, int tid);
/* Let stopped threads whose program counter lies in [busy_start, busy_end), and that are not asleep
 * in a system call, run for ns nanoseconds and ask them to stop again; hf_tracees_stop() must
 * follow. None goes into a system call that would tell it of a stop: it stands still at its door.
 */
void hf_tracees_run(struct hf_tracees *t, uint64_t busy_start, uint64_t busy_end, uint64_t ns);
/* A thread that stopped with a signal on its way: have it take the signal (enter its handler, or
 * end) and stop again, so that it may be used for system calls. */
void hf_tracees_settle(struct hf_tracees *t);
/* Registers of all stopped threads; and the undoing of what a stop does to system calls. */
void hf_tracees_registers(struct hf_tracees *t);
/* Sizes of a process at this moment; untouched if they cannot be had. */
void hf_process_sizes(int pid, uint64_t *ret_vm_bytes, uint64_t *ret_rss_bytes);
/* Let all go. One that has not stopped yet is let go by a later call, or by the tracer's end. */
void hf_tracees_release(struct hf_tracees *t);
/* A hexadecimal set of signals of /proc/PID/status, signal N at bit N - 1. */
uint64_t hf_signal_set(const char *status, const char *key);
/* The state letter of a thread, as /proc/PID/stat has it; 0: there is no such thread. */
char hf_thread_state(int pid, int tid);
/* Is there a thread that was asked to stop, has not, and is not let go? */
bool hf_tracees_unreleased(const struct hf_tracees *t);

/* ptrace(2) and wait4(2) with __WALL, without libc: negative errno values. */
long hf_ptrace(long request, int tid, long addr, long data);
long hf_wait(int tid, int *ret_status, int options);
