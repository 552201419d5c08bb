/* Every allocation of the module fails once: the status comes back, and nothing leaks (which the
 * asan preset sees). The allocators are replaced at link time (--wrap). */
#include <errno.h>
#include <sys/mman.h>

#include "solved.h"

static long allocations_left;

static bool fails(void)
{
	return allocations_left-- == 0;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__real_aligned_alloc(size_t align, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size)
{
	return fails() ? NULL : __real_aligned_alloc(align, size);
}

void *__real_reallocarray(void *p, size_t n, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
	return fails() ? NULL : __real_reallocarray(p, n, size);
}

void *__real_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset)
{
	return fails() ? MAP_FAILED : __real_mmap(addr, size, prot, flags, fd, offset);
}

static enum hf_status questions(struct hf_err *err)
{
	struct hf_graph_sum sum;
	struct hf_graph_entries entries = {0};
	struct hf_graph_paths paths = {0};
	static const uint32_t nodes[] = {0, 3};
	enum hf_status st = hf_graph_retained_set(&r.holders, nodes, 2, &sum, err);
	if (!st)
		st = hf_graph_entries_init(&entries, &r.holders, 1, 0, err);
	if (!st)
		st = hf_graph_paths_init(&paths, &r.holders, 3, 10, err);
	hf_graph_entries_deinit(&entries);
	hf_graph_paths_deinit(&paths);
	return st;
}

static enum hf_status everything(struct hf_err *err)
{
	struct hf_graph *g = &s.g;
	enum hf_status st = hf_graph_reach_init(&r.reach, g, err);
	if (!st)
		st = hf_graph_heads_init(&r.heads, g, r.reach.reachable, r.reach.n_reachable, err);
	if (!st)
		st = hf_graph_dominators_init(&r.dominators, g, &r.heads, err);
	if (!st)
		st = hf_graph_held_init(&r.held, g, &r.heads, err);
	if (!st)
		st = hf_graph_transpose_init(&r.transpose, g, true, err);
	if (!st)
		st = hf_graph_holders_init(
			&r.holders, g, &r.transpose, &r.reach, &r.heads, &r.held, err);
	struct hf_graph_certain certain = {0};
	if (!st)
		st = hf_graph_certain_init(&certain, g, err);
	hf_graph_certain_deinit(&certain);
	if (!st)
		st = questions(err);
	results_deinit();
	return st;
}

static void test_every_allocation_fails(void **state)
{
	struct hf_err err;
	sample_init(&s, 5, 2);
	sample_edge(&s, 0, 1, false);
	sample_edge(&s, 1, 2, false);
	sample_edge(&s, 1, 3, true);
	sample_edge(&s, 2, 3, false);
	sample_edge(&s, 3, 1, false);
	sample_edge(&s, 4, 2, false);
	sample_root(&s, 0, 0, 0);
	sample_root(&s, 2, 1, 3);
	sample_root(&s, 3, HF_GRAPH_NONE, 3);
	sample_finish(&s);
	long n = 0;
	for (;; n++) {
		allocations_left = n;
		enum hf_status st = everything(&err);
		if (st == HF_OK)
			break;
		assert_int_equal(st, HF_E_NOMEM);
		assert_non_null(strstr(err.msg, "out of memory"));
	}
	allocations_left = -1;
	assert_true(n > 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_allocation_fails),
	};
	allocations_left = -1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
