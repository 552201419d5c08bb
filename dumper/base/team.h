/*
 * A list of tasks for several processors, with results in the order of the list.
 *
 * The members of a team take tasks, one after the other, and do them at the same time; what must
 * happen in order (writing to a file) a member does when it is its turn: when all tasks before its
 * own are done. Who is done before its turn comes may leave its result for the others to pass on,
 * so that nobody waits for one who is slow. The caller is the first member; the others are threads
 * made by clone(2), without libc, and gone when hf_team_run() returns. Where none can be made, the
 * caller does everything: same results, later.
 *
 * Thread and signal safety: async-signal-safe; needs no TLS, malloc or lock of the process. Members
 * share the caller's TLS and must not touch it.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	/* A dump is to be quick, but the target still needs most of its processors, and the group
	 * that they share may have a quota. */
	HF_TEAM_MAX = 2,
	HF_TEAM_STACK = 128 << 10,
	HF_TEAM_KEPT = 8, /* tasks that may be done before those in front of them */
};

struct hf_team {
	/* Put the next task into the member's own struct; false: there are none left. Called by one
	 * member at a time, in the order of the list. */
	bool (*take)(void *list, void *member);
	/* Do it; hf_team_turn() in it or not. */
	void (*work)(void *member);
	/* Three that may be NULL together: then a member waits for its turn behind every task. What
	 * work() made is to be kept in a slot below HF_TEAM_KEPT; false: there is no room, it is
	 * finished when its turn comes. Called by one member at a time. */
	bool (*keep)(void *member, uint32_t slot);
	/* In the order of the list: the member's own result, and one that was kept. */
	void (*finish)(void *member);
	void (*pass)(void *list, uint32_t slot);
	void *list;
	void *members[HF_TEAM_MAX];
	size_t n_members; /* ≥ 1 */

	/* inside */
	uint32_t lock; /* of list, n_taken and kept, and for a change of turn; a futex: 0 free, 1
			  taken, 2 and somebody waits */
	uint32_t turn; /* tasks that are finished, modulo 2^32; a futex */
	uint32_t n_taken;
	bool kept[HF_TEAM_KEPT];    /* by task % HF_TEAM_KEPT */
	uint32_t task[HF_TEAM_MAX]; /* of each member */
};

/* How many members there should be here: as many as processors that this process may use, at most
 * HF_TEAM_MAX. */
size_t hf_team_size(void);
/* Do all tasks. */
void hf_team_run(struct hf_team *team);
/* In work(): wait until all tasks before this member's are done. i: its number. Any number of
 * times. */
void hf_team_turn(struct hf_team *team, size_t i);
