/*
 * What snapshots tell the process they were made of, in memory that it shares with them and with
 * all that it has forked: a slot a dump, from its beginning until nobody needs it.
 *
 * Async-signal-safe. Several processes and threads may claim slots at the same time.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct hf_report {
	uint64_t owner;    /* pid of who claimed it; 0: free */
	uint64_t since_ns; /* CLOCK_MONOTONIC */
	uint64_t limit_ns; /* how long it may take; 0: no limit */
	int pid;           /* of the snapshot; 0: not yet known */
	int background;    /* nobody waits for it: it is free once it is done */
	int done;
	int result; /* 0 or a negative errno value */
	int sync;   /* hf_snapshot.sync */
};

/* Reserve the slots. Once, at start-up. false: no memory. */
bool hf_reports_reserve(void);

/* The memory that they are in. */
void hf_reports_range(uint64_t *ret_start, uint64_t *ret_end);

/* A slot for a dump of this process that takes limit_s seconds at most (0: any time). NULL: none is
 * free. */
struct hf_report *hf_report_claim(uint32_t limit_s, bool background);

/* The snapshot is this process; 0: there is none, and what it was to tell is told. */
void hf_report_begun(struct hf_report *report, int pid);

/* In the snapshot, or for one that could not be made: this is how it ended. */
void hf_report_tell(struct hf_report *report, int result);

/* Wait, once, until the snapshot has ended, and give the slot up. Returns what was told; -EIO:
 * nothing, it was killed or takes too long. */
int hf_report_wait(struct hf_report *report);

/* Dumps of this process in the background that are not done. One whose snapshot was killed is not
 * counted. */
unsigned hf_reports_unfinished(void);
