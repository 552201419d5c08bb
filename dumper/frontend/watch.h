/*
 * A thread of ours that looks at the process from time to time, for triggers that nothing in the
 * program leads to: memory that passes a limit, time that passes. It exists only if one of these is
 * on.
 *
 * The program must not notice it. It is made by clone(2), not by pthread_create(), so that libc
 * still takes a program with one thread for what it is and malloc stays without locks. It has a
 * table of descriptors of its own, so that it neither takes numbers that the program is about to
 * get nor keeps pipes open; it blocks all signals; its stack is in pages of ours and it has no TLS,
 * so dumps leave it out. libc does not know it when the program changes its user or capabilities,
 * so it follows by itself within FOLLOW_NS. It ends with the process and with exec, and a forked
 * child gets its own. What remains to be seen is one more thread in /proc, and that calls which
 * refuse processes with several threads refuse (unshare(CLONE_NEWUSER), setns()).
 *
 * Code on this thread uses system calls alone: errno and the like are another thread's.
 */
#pragma once
#include "frontend/trigger.h"

struct hf_watch {
	/* The thread starts: open files by hf_watch_open(). Also in a forked child, which has
	 * the parent's data and none of its files. May be NULL. */
	void (*begin)(void);
	/* Look. Returns the nanoseconds until the next look, or HF_WATCH_NEVER. */
	uint64_t (*look)(uint64_t now_ns);
	uint64_t due_ns; /* CLOCK_MONOTONIC, or HF_WATCH_NEVER */
};

#define HF_WATCH_NEVER    UINT64_MAX
#define HF_WATCH_RETRY_NS 100000000ull /* while another dump is being made */

/* Have the thread look, at once and then when it is due. From a trigger's start(). */
void hf_watch_add(struct hf_watch *watch);
/* Start the thread, if there is something to watch. After all triggers have started. */
void hf_watch_start(void);

/* On the thread: a dump, and when it is whole one line on stderr with its reason and its name.
 * rotates: it is going to be removed and does not count for max=. ret_end may be NULL. Returns as
 * hf_capture(). -EAGAIN: another one is being made at this moment. -EDQUOT: no more are allowed;
 * said once. */
int hf_watch_dump(const char *trigger, const struct hf_fact *facts, size_t n_facts, bool rotates,
	struct hf_capture_end *ret_end);
/* What look() returns after the result of a dump that is made once. */
uint64_t hf_watch_once(int result);

/* On the thread: open for reading. Other threads do not see the descriptor. */
int hf_watch_open(const char *path);
/* On the thread: hf_capture_say(). */
void hf_watch_say(const char *text);

/* Bytes for people: "512.0 MiB". */
const char *hf_watch_size(uint64_t bytes, char *buf, size_t size);
