/*
 * The tracer process behind stop/remote.h, and what it tells the tool: a report, each thread, the
 * bytes of its vector registers; and at the end one more record. Both sides are the same program,
 * so the records are plain structs. Internal to stop/.
 */
#pragma once
#include "stop/remote.h"

enum { HF_GUARD_DONE = 'd' };

struct hf_guard_report {
	struct hf_err err; /* status HF_OK: the rest is valid */
	int read_pid;
	bool in_place;
	char why_in_place[HF_REMOTE_REASON];
	int trace_errno;
	uint32_t not_stopped, n_threads, retries;
	uint64_t time_ns, stop_ns, vm_bytes, rss_bytes, unforked_bytes, missing_bytes;
	char hostname[HF_REMOTE_HOSTNAME]; /* "": as ours */
};

struct hf_guard_end {
	bool lost; /* the process that was read has ended meanwhile */
	uint64_t stop_ns;
};

/* Do all that the request asks for, and return. */
void hf_guard_main(const struct hf_remote *request, int socket);

bool hf_guard_receive(int socket, void *buf, size_t size);
