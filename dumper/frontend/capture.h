/*
 * A dump of this very process: reserve at start-up, snapshot, pipeline, file.
 * Thread and signal safety: hf_capture() may be called from any thread and from a signal handler,
 * with any lock held and malloc in any state. Only one dump is made at a time.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "dump.h"
#include "frontend/config.h"
#include "stop/thread.h"

/* Reserve all memory that a dump needs in the target. Once, at start-up. */
enum hf_status hf_capture_reserve(struct hf_err *err);

/* A dump on its way, and what its name was made from. */
struct hf_capture_end {
	char path[HF_PATH_MAX];
	uint64_t unix_time, number;
	/* internal */
	int result;
	struct hf_report *report; /* NULL: it has ended */
};

struct hf_capture_request {
	const char *path;         /* NULL: the pattern */
	const char *trigger;      /* the dump's key of that name: "signal USR2", "exit" … */
	struct hf_thread *caller; /* registers where the calling thread's live state begins */
	bool wait;                /* until the file is whole */
	bool hold;                /* the other threads stand still until then */
	bool announce; /* one line on stderr when the file is whole: the trigger and the name */
	uint64_t our_signals; /* that we handle and the program does not, signal N at bit N - 1 */
	bool rotates;         /* it is removed again by its trigger, and does not count for max= */
	struct hf_capture_end *end; /* without wait: for hf_capture_wait(); or NULL */
	/* Further keys of the PROCESS section. */
	const struct hf_fact *facts;
	size_t n_facts;
};

/* Returns 0, or a negative errno value as holdfast_dump() documents. Without wait, 0 says that a
 * snapshot was taken; what goes wrong in it is one line on stderr. With neither wait nor end:
 * -EBUSY if two such dumps are still being written. */
int hf_capture(const struct hf_config *config, const struct hf_capture_request *request);

/* Wait, once, for the file of a dump that was made without wait; other dumps may be made meanwhile.
 * Returns as hf_capture() does. */
int hf_capture_wait(const struct hf_capture_end *end);

/* The heap profile's name beside a dump. */
void hf_capture_profile_path(const char *path, char ret[HF_PATH_MAX]);

/* One line on the stderr that the process started with; dropped if descriptor 2 is another file by
 * now. */
void hf_capture_say(const char *text);

/* The name of the last dump that this process began. */
void hf_capture_last_path(char ret[HF_PATH_MAX]);
