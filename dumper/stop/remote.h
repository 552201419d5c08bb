/*
 * A consistent moment of another process, without preparation in it.
 *
 *     tool ── fork ─▶ guard: the tracer
 *                       stop all threads → registers → inject clone: a copy-on-write snapshot
 *                       → let the threads go                      (the target runs on)
 *      ◀── threads ──
 *     reads the snapshot
 *      ── done ─────▶   kill the snapshot, reap it, inject wait4 so that no zombie stays
 *
 * The tracer is a process of its own so that the target is whole whatever happens to the tool: when
 * the tool is killed at any moment, the guard finishes the step it is in, lets the target go and
 * cleans up. It is in a session of its own, out of reach of the terminal's signals.
 *
 * Where the clone is refused (a seccomp filter, a limit of processes, no memory), the threads stay
 * stopped until the tool is done and it reads the target itself: in_place tells it.
 *
 * The snapshot has no exit signal, closes its inherited descriptors at once, never runs an
 * instruction of the program, and dies with the guard.
 *
 * Not for use inside a target. One thread.
 */
#pragma once
#include "base/err.h"
#include "stop/thread.h"

enum { HF_REMOTE_REASON = 160, HF_REMOTE_HOSTNAME = 72 };

struct hf_remote {
	/* in */
	int pid;      /* of the target */
	int proc_pid; /* the number below /proc where its memory is: hf_permission_live_task() */
	struct hf_pool *pool;
	const char *litter; /* a file that the guard removes if the tool dies; or NULL */
	/* Is some thread in the middle of changing what is to be seen? As in stop/snapshot.h; asked
	 * in the guard, which has the tool's memory as it was. May be NULL. */
	bool (*busy)(void *ctx);
	void *ctx;
	uint64_t busy_start, busy_end;
	/* out */
	struct hf_threads threads; /* by the numbers that the process knows them by itself */
	char hostname[HF_REMOTE_HOSTNAME]; /* of a process that calls its host by another name; ""
					    */
	int read_pid; /* whose memory is to be read: the snapshot, or the target in place */
	bool in_place;
	char why_in_place[HF_REMOTE_REASON];
	uint32_t retries;             /* stops that found somebody busy */
	int trace_errno;              /* why a thread could not be traced, 0: all could */
	uint32_t not_stopped;         /* threads whose registers could not be had */
	uint64_t vm_bytes, rss_bytes; /* at the moment; 0: not known */
	uint64_t unforked_bytes;      /* of memory that fork does not copy: read from the target */
	uint64_t missing_bytes;       /* of such memory: could not be had */
	uint64_t time_ns;             /* CLOCK_REALTIME of the moment */
	uint64_t stop_ns; /* from the first thread's stop to the last one's release; in place: up
			     to now, the final figure after hf_remote_close() */
	/* internal */
	int guard, socket;
};

/* Take the moment. HF_E_PERM with the reason (stop/permission.h), HF_E_NOTFOUND (no such process),
 * HF_E_UNSUPPORTED (a 32-bit process), HF_E_FAILED. On failure nothing is left behind and
 * hf_remote_close() need not be called. */
enum hf_status hf_remote_open(struct hf_remote *remote, struct hf_err *err);
/* The reading is done: end the snapshot, let go of what is still held. HF_E_FAILED: the snapshot or
 * the target ended while it was read, so what was read is not to be trusted. */
enum hf_status hf_remote_close(struct hf_remote *remote, struct hf_err *err);
