#include "base/team.h"

#include <limits.h>
#include <linux/futex.h>
#include <sched.h>

#include "base/page_alloc.h"
#include "base/sys.h"

static void futex_wait(uint32_t *word, uint32_t value)
{
	hf_syscall4(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, 0);
}

static void futex_wake(uint32_t *word)
{
	hf_syscall3(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX);
}

static void lock(uint32_t *word)
{
	uint32_t seen = 0;
	if (__atomic_compare_exchange_n(word, &seen, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return;
	while (__atomic_exchange_n(word, 2, __ATOMIC_ACQUIRE))
		futex_wait(word, 2);
}

static void unlock(uint32_t *word)
{
	if (__atomic_exchange_n(word, 0, __ATOMIC_RELEASE) == 2)
		futex_wake(word);
}

void hf_team_turn(struct hf_team *team, size_t i)
{
	uint32_t now;
	while ((now = __atomic_load_n(&team->turn, __ATOMIC_ACQUIRE)) != team->task[i])
		futex_wait(&team->turn, now);
}

static bool take(struct hf_team *team, size_t i)
{
	lock(&team->lock);
	bool more = team->take(team->list, team->members[i]);
	if (more)
		team->task[i] = team->n_taken++;
	unlock(&team->lock);
	return more;
}

static bool keep(struct hf_team *team, size_t i)
{
	bool kept = false;
	if (!team->keep)
		return false;
	lock(&team->lock);
	const uint32_t early = team->task[i] - team->turn, slot = team->task[i] % HF_TEAM_KEPT;
	if (early && early < HF_TEAM_KEPT)
		kept = team->kept[slot] = team->keep(team->members[i], slot);
	unlock(&team->lock);
	return kept;
}

/* The task is finished. Is the next one kept? */
static bool next_turn(struct hf_team *team, uint32_t *ret_slot)
{
	lock(&team->lock);
	const uint32_t turn = team->turn + 1;
	*ret_slot = turn % HF_TEAM_KEPT;
	__atomic_store_n(&team->turn, turn, __ATOMIC_RELEASE);
	const bool kept = team->kept[*ret_slot];
	team->kept[*ret_slot] = false;
	unlock(&team->lock);
	return kept;
}

static void be_member(struct hf_team *team, size_t i)
{
	while (take(team, i)) {
		uint32_t slot;
		team->work(team->members[i]);
		if (keep(team, i))
			continue;
		hf_team_turn(team, i);
		if (team->finish)
			team->finish(team->members[i]);
		while (next_turn(team, &slot))
			team->pass(team->list, slot);
		if (team->n_members > 1)
			futex_wake(&team->turn);
	}
}

struct helper {
	struct hf_team *team;
	size_t i;
	void *stack;
	uint32_t tid; /* the kernel clears it when the thread is gone */
};

static int helper_main(void *arg)
{
	struct helper *helper = arg;
	be_member(helper->team, helper->i);
	return 0;
}

static bool start(struct helper *helper)
{
	const unsigned long flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND |
				    CLONE_THREAD | CLONE_SYSVSEM | CLONE_CHILD_CLEARTID;
	helper->stack = hf_page_alloc(HF_TEAM_STACK);
	helper->tid = 1;
	if (helper->stack && hf_sys_clone(flags, helper->stack, HF_TEAM_STACK, &helper->tid,
				     helper_main, helper) > 0)
		return true;
	helper->tid = 0;
	return false;
}

static void wait_for(struct helper *helper)
{
	uint32_t tid;
	/* the kernel's wake is not a private one */
	while ((tid = __atomic_load_n(&helper->tid, __ATOMIC_ACQUIRE)))
		hf_syscall4(SYS_futex, &helper->tid, FUTEX_WAIT, tid, 0);
	hf_page_free(helper->stack, HF_TEAM_STACK);
}

void hf_team_run(struct hf_team *team)
{
	struct helper helpers[HF_TEAM_MAX];
	team->lock = team->turn = team->n_taken = 0;
	for (size_t i = 0; i < HF_TEAM_KEPT; i++)
		team->kept[i] = false;
	for (size_t i = 1; i < team->n_members; i++) {
		helpers[i] = (struct helper){.team = team, .i = i};
		start(&helpers[i]);
	}
	be_member(team, 0);
	for (size_t i = 1; i < team->n_members; i++)
		wait_for(&helpers[i]);
}

size_t hf_team_size(void)
{
#if defined(__SANITIZE_THREAD__)
	return 1; /* knows only threads that libc made */
#else
	uint64_t mask[1024 / 64] = {0};
	size_t n = 0;
	long size = hf_syscall3(SYS_sched_getaffinity, 0, sizeof(mask), mask);
	for (long i = 0; i < size / 8; i++)
		n += (size_t)__builtin_popcountll(mask[i]);
	return n < 1 ? 1 : n < HF_TEAM_MAX ? n : HF_TEAM_MAX;
#endif
}
