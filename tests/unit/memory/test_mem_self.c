/* This process's own memory through readers, in place and as copies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/page_alloc.h"
#include "memory/memory.h"

enum { PAGES = 5000, HOLE_FIRST = 700, HOLE_END = 2600, JUMPS = 3000 };
static const size_t SIZE = (size_t)PAGES * HF_PAGE;

static uint64_t *memory;

struct view {
	struct hf_pool pool;
	struct hf_maps maps;
	struct hf_mem *mem;
};

static bool is_hole(size_t page)
{
	return (page >= HOLE_FIRST && page < HOLE_END) || page % 1000 == 999;
}

static int make_memory(void **state)
{
	memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return 1;
	madvise(memory, SIZE, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < SIZE / 8; i++) {
		if (!is_hole(i * 8 / HF_PAGE))
			memory[i] = i * 0x9e3779b97f4a7c15;
	}
	return 0;
}

static int drop_memory(void **state)
{
	return munmap(memory, SIZE);
}

static void view_init(struct view *v)
{
	hf_pool_init(&v->pool, NULL, 0);
	assert_int_equal(hf_maps_read(&v->maps, "/proc/self", &v->pool, NULL), HF_OK);
	assert_int_equal(hf_mem_self(&v->maps, &v->pool, &v->mem, NULL), HF_OK);
}

static void view_deinit(struct view *v)
{
	hf_mem_destroy(v->mem);
	hf_maps_deinit(&v->maps);
	hf_pool_deinit(&v->pool);
}

/* The word i, if it is resident. */
static void check_word(struct hf_reader *r, size_t i, const bool *copies)
{
	const uint64_t at = (uint64_t)&memory[i];
	const bool resident = hf_reader_seek(r, at);
	assert_int_equal(resident, !is_hole(i * 8 / HF_PAGE));
	assert_true(at >= r->win.start && at < r->win.end);
	if (!resident)
		return;
	uint64_t word;
	const uint8_t *data = r->win.data + (at - r->win.start);
	memcpy(&word, data, sizeof(word));
	assert_int_equal(word, i * 0x9e3779b97f4a7c15);
	if (copies)
		assert_int_equal(data != (const uint8_t *)&memory[i], *copies);
}

static void check_all(struct hf_mem *mem, const bool *copies)
{
	struct hf_reader r;
	hf_reader_init(&r, mem);
	for (size_t i = 0; i < SIZE / 8; i++)
		check_word(&r, i, copies);
	for (unsigned k = 0; k < JUMPS; k++)
		check_word(&r, (size_t)rand() % (SIZE / 8), copies);
	hf_reader_deinit(&r);
}

static void test_both_ways(void **state)
{
	for (unsigned k = 0; k < 2; k++) {
		const bool copies = k;
		struct view v;
		view_init(&v);
		hf_mem_self_copies(v.mem, copies);
		check_all(v.mem, &copies);
		struct hf_mem *twin = hf_mem_twin(v.mem);
		assert_non_null(twin);
		check_all(twin, &copies);
		hf_mem_destroy_twin(twin, v.mem);
		view_deinit(&v);
	}
}

/* Whichever is tried to be quicker. */
static void test_trial(void **state)
{
	struct view v;
	view_init(&v);
	check_all(v.mem, NULL);
	view_deinit(&v);
}

/* The list of this process's own mappings has the memory that it lies in: all of it must be there
 * still when the list is whole. */
static void test_many_maps(void **state)
{
	(void)state;
	enum { N = 5000, PAGE = 4096 };
	char *many =
		mmap(NULL, N * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(many, MAP_FAILED);
	for (size_t i = 0; i < N; i += 2)
		assert_int_equal(mprotect(many + i * PAGE, PAGE, PROT_NONE), 0);
	struct hf_pool pool;
	struct hf_maps maps;
	struct hf_err err;
	hf_pool_init(&pool, NULL, 0);
	assert_int_equal(hf_maps_read(&maps, "/proc/self", &pool, &err), HF_OK);
	assert_true(hf_maps_count(&maps) >= N);
	for (size_t i = 0; i < hf_maps_count(&maps); i++) {
		const struct hf_map *map = hf_maps_at(&maps, i);
		unsigned char resident;
		if (map->path[0] != '[')
			assert_int_equal(mincore((void *)map->start, PAGE, &resident), 0);
	}
	hf_maps_deinit(&maps);
	hf_pool_deinit(&pool);
	munmap(many, N * PAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_trial),
		cmocka_unit_test(test_many_maps),
	};
	return cmocka_run_group_tests(tests, make_memory, drop_memory);
}
