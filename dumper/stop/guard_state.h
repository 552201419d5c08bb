/*
 * What the parts of the guard share: guard.c (its life, and what it tells the tool), guard_stop.c
 * (the threads stand still), guard_snapshot.c (the copy), guard_unforked.c (what the copy lacks).
 * Internal to stop/; one thread.
 */
#pragma once
#include "stop/guard.h"
#include "stop/inject.h"
#include "stop/tracees.h"

enum {
	HF_GUARD_FINISH_MS = 2000, /* for the end of the snapshot and the call that reaps it */
};

struct guard {
	int pid, socket;
	const struct hf_remote *request;
	struct hf_pool pool;
	struct hf_tracees tracees;
	struct hf_tracees borrower; /* the child that a process suspended by vfork() waits for */
	struct hf_guard_report report;
	uint64_t insn;           /* a syscall instruction */
	uint64_t stopped_at_ns;  /* when the first thread was asked to stop */
	struct hf_tracee child;  /* the snapshot; tid 0: none */
	int child_pid_in_target; /* as the target's own namespace calls it */
	long options;            /* PTRACE_O_SUSPEND_SECCOMP where we may */
	int pidfd;               /* of the target: tells whether the pid is still its own */
	int nice;
	struct hf_tracee *caller; /* of the clone */
	unsigned n_slow;          /* times that it was seen asleep */
	bool adopted;             /* the snapshot is in our hands */
	bool keep_files;          /* of the snapshot: closing them may wait for a server */
	bool nested;              /* the target is in a pid namespace of its own */
};

/* All threads stand still, with their registers read; or (report.why_in_place) none stops, and the
 * process is to be read in place. HF_E_PERM, HF_E_NOTFOUND. */
enum hf_status hf_guard_stop(struct guard *g, struct hf_err *err);

/* Fit to make a system call in the name of? */
bool hf_guard_usable(const struct hf_tracee *t);
/* Fork the snapshot; or report.in_place. The threads still stand. */
void hf_guard_fork(struct guard *g);
/* Memory that fork left out (stop/unforked.h) is written into the snapshot; the threads still
 * stand. */
void hf_guard_unforked(struct guard *g);
/* The snapshot is taken into our hands: true if it stands still. */
bool hf_guard_adopt(struct guard *g);
/* Adopt it and strip it of what it must not have, while the target runs on. */
void hf_guard_keep(struct guard *g);
/* End the snapshot. True if it had ended before. */
bool hf_guard_end_child(struct guard *g);
