/* Teams: every task once, results in order, whoever is slow. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/page_alloc.h"
#include "base/sys.h"
#include "base/team.h"

enum { TASKS = 400 };

struct list {
	struct hf_team team;
	uint32_t taken;
	uint32_t done[TASKS]; /* how often */
	uint32_t order[TASKS], n;
	uint32_t by[HF_TEAM_MAX];
	uint32_t kept[HF_TEAM_KEPT], n_kept, n_finished;
};

struct member {
	struct list *list;
	size_t number;
	uint32_t task;
	bool asks; /* for its turn, in the work */
	uint64_t random;
};

static bool take(void *ptr, void *member)
{
	struct list *list = ptr;
	if (list->taken == TASKS)
		return false;
	((struct member *)member)->task = list->taken++;
	return true;
}

static void work(void *ptr)
{
	struct member *m = ptr;
	m->random = m->random * 6364136223846793005ull + 1442695040888963407ull;
	if (m->random >> 60 == 0)
		hf_sys_sleep_ns(m->random >> 44 & 0x3ffff);
	__atomic_add_fetch(&m->list->done[m->task], 1, __ATOMIC_RELAXED);
	m->list->by[m->number]++;
	if (m->asks) {
		hf_team_turn(&m->list->team, m->number);
		hf_team_turn(&m->list->team, m->number);
		m->list->order[m->list->n++] = m->task;
	}
}

static void append(struct list *list, uint32_t task)
{
	if (list->n < TASKS)
		list->order[list->n++] = task;
}

static bool keep(void *ptr, uint32_t slot)
{
	struct member *m = ptr;
	m->random = m->random * 6364136223846793005ull + 1442695040888963407ull;
	if (m->random >> 62 == 0)
		return false;
	m->list->kept[slot] = m->task;
	m->list->n_kept++;
	return true;
}

static void finish(void *ptr)
{
	struct member *m = ptr;
	m->list->n_finished++;
	append(m->list, m->task);
}

static void pass(void *ptr, uint32_t slot)
{
	struct list *list = ptr;
	append(list, list->kept[slot]);
}

static void run_keeping(size_t n_members)
{
	static struct list list;
	struct member members[HF_TEAM_MAX];
	memset(&list, 0, sizeof(list));
	list.team = (struct hf_team){.take = take,
		.work = work,
		.keep = keep,
		.finish = finish,
		.pass = pass,
		.list = &list,
		.n_members = n_members};
	for (size_t i = 0; i < n_members; i++) {
		members[i] = (struct member){&list, i, 0, false, i + 7};
		list.team.members[i] = &members[i];
	}
	hf_team_run(&list.team);
	assert_int_equal(list.n, TASKS);
	assert_int_equal(list.n_kept + list.n_finished, TASKS);
	for (uint32_t i = 0; i < TASKS; i++)
		assert_int_equal(list.order[i], i);
	if (n_members == 1)
		assert_int_equal(list.n_kept, 0);
}

static void run(size_t n_members, bool asks)
{
	static struct list list;
	struct member members[HF_TEAM_MAX];
	memset(&list, 0, sizeof(list));
	list.team =
		(struct hf_team){.take = take, .work = work, .list = &list, .n_members = n_members};
	for (size_t i = 0; i < n_members; i++) {
		members[i] = (struct member){&list, i, 0, asks, i + 7};
		list.team.members[i] = &members[i];
	}
	hf_team_run(&list.team);
	uint32_t sum = 0;
	for (uint32_t i = 0; i < TASKS; i++) {
		assert_int_equal(list.done[i], 1);
		if (asks)
			assert_int_equal(list.order[i], i);
	}
	for (size_t i = 0; i < n_members; i++)
		sum += list.by[i];
	assert_int_equal(sum, TASKS);
	assert_int_equal(list.n, asks ? TASKS : 0);
}

static void count(void *ctx, uint64_t start, uint64_t end)
{
	(void)start, (void)end;
	++*(int *)ctx;
}

static void test_order(void **state)
{
	(void)state;
	int before = 0, after = 0;
	hf_page_each(count, &before);
	for (unsigned round = 0; round < 20; round++) {
		for (size_t n = 1; n <= hf_team_size(); n++) {
			run(n, true);
			run(n, false);
			run_keeping(n);
		}
	}
	hf_page_each(count, &after);
	assert_int_equal(before, after);
}

/* One processor, one member. */
static void test_size(void **state)
{
	(void)state;
	cpu_set_t all, one;
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	size_t n = (size_t)CPU_COUNT(&all);
#if !defined(__SANITIZE_THREAD__)
	assert_int_equal(hf_team_size(), n < HF_TEAM_MAX ? n : HF_TEAM_MAX);
#endif
	CPU_ZERO(&one);
	for (int cpu = 0; cpu < CPU_SETSIZE && !CPU_COUNT(&one); cpu++) {
		if (CPU_ISSET(cpu, &all))
			CPU_SET(cpu, &one);
	}
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	assert_int_equal(hf_team_size(), 1);
	assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_size),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
