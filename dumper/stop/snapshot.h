/*
 * A consistent moment of this process, from inside: all its threads parked just long enough to read
 * their registers and to fork a copy-on-write snapshot.
 *
 *     caller (a thread of the target, maybe in a signal handler)
 *       └─ clone: collector, shares the memory, but is another process: it may trace the threads
 *            seize and stop every thread → registers → fork ─▶ snapshot: runs work(), alone in its
 * copy let the threads go on; exit                         reparented to init when the collector
 * ends wait for the collector (milliseconds), go on
 *
 * The children have no exit signal, so the program sees no SIGCHLD and its own wait() calls do not
 * meet them (only wait4 with __WALL would). Both close all inherited descriptors (but one for
 * messages) at once. In the snapshot every signal is blocked, and it offers itself to the OOM
 * killer first.
 *
 * Where the target is the reaper of orphans (PID 1 of a container, PR_SET_CHILD_SUBREAPER), the
 * collector stays until the snapshot is done, and a thread of ours without signals waits for it.
 * Where fork fails (ENOMEM, pids limit), work() runs in the collector, on the live memory, with the
 * threads parked: `in_place` tells it.
 *
 * Where not even the collector can be made (a limit of processes), the calling thread does the work
 * in place, while the others are parked by a signal: in_caller.
 *
 * Where threads may not be traced, another collector is made, which parks them by a signal
 * (park.h); so too where a seccomp filter kills whoever traces, since it kills the collector. If
 * that is killed again, a last one lets the threads run and only forks.
 *
 * Async-signal-safe; needs no TLS, malloc or lock. One snapshot at a time (the caller's to ensure).
 */
#pragma once
#include "base/err.h"
#include "stop/thread.h"

struct hf_snapshot {
	/* in */
	struct hf_thread *caller; /* registers of the calling thread at the moment that counts */
	void *stack;              /* stack for collector and snapshot, reserved at start-up */
	size_t stack_size;
	struct hf_pool *pool; /* reserved memory for the list of threads */
	/* Is some other thread in the middle of changing what is to be seen (an allocator's lock
	 * held)? Asked with all threads stopped; if so, those that are in the code [busy_start,
	 * busy_end) run on for a moment, at most max_retries times and for 3 ms. The others stay
	 * where they are, so it comes to an end. NULL: nobody asks. */
	bool (*busy)(void *ctx);
	uint64_t busy_start, busy_end;
	/* The work, in the snapshot (or in place). Its result is stored in `result`. */
	int (*work)(struct hf_snapshot *snapshot);
	void *ctx;
	uint32_t max_retries;
	bool background;      /* nobody waits for the work: it steps back behind the target */
	bool hold;            /* the threads stand still until the work is done */
	uint64_t our_signals; /* which the program does not handle (park.h) */
	int *sync;            /* a word that forked processes share */
	uint32_t limit_s;     /* for all but the work, which has one of its own; 0: none */
	int keep_fd;          /* the one descriptor that stays open for messages (stderr), or -1 */
	/* out, filled before work() runs */
	struct hf_threads threads;
	int target_pid;
	bool in_place;
	int fork_errno;       /* why in_place */
	bool in_caller;       /* in place, and by the calling thread itself: the others ran on */
	uint32_t retries;     /* stops that found somebody busy */
	uint32_t not_stopped; /* threads whose registers could not be had */
	int missed[4];        /* the first of them; 0: no more */
	uint32_t parked;      /* threads that a signal stopped (park.h) */
	int trace_errno;      /* why */
	uint64_t rss_bytes, vm_bytes; /* at the stop; 0: not known */
	uint64_t missing_bytes;       /* of memory that fork does not copy: could not be had */
	uint64_t unforked_bytes;      /* of such memory: read from the target */
	uint64_t time_ns;             /* CLOCK_REALTIME of the stop */
	uint64_t stop_ns;             /* how long the threads stood still, the fork included */
	/* out, for the caller of hf_snapshot_take */
	int pid;    /* of the snapshot; 0: in place, done */
	int result; /* of work(), in place */
};

/* Take it. Returns when the target's threads run again. HF_E_FAILED: not even a collector could be
 * made (err says why); everything runs on in every case. */
enum hf_status hf_snapshot_take(struct hf_snapshot *snapshot, struct hf_err *err);
