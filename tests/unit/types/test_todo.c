#include "types/todo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka needs the above */
#include <cmocka.h>

static uint64_t state = 1;
static uint32_t next_random(uint32_t below)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((state >> 33) % below);
}

/* Everything that is in comes out once, ascending, however many are taken at a time. */
static void comes_out_sorted(void **ctx)
{
	enum { N = 300000 };
	static const uint32_t sizes[] = {1, 63, 64, 65, 4096, 4097, N};
	uint8_t *in = calloc(N, 1);
	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		struct hf_todo todo;
		assert_true(hf_todo_init(&todo, sizes[s]));
		assert_true(hf_todo_is_empty(&todo));
		size_t n_in = 0, n_out = 0, n;
		for (uint32_t i = 0; i < sizes[s] / 3 + 1; i++) {
			uint32_t number = next_random(sizes[s]);
			n_in += !in[number];
			in[number] = 1;
			hf_todo_add(&todo, number);
			assert_true(hf_todo_has(&todo, number));
		}
		uint32_t taken[100];
		int64_t last = -1;
		while ((n = hf_todo_take(&todo, taken, 1 + next_random(100)))) {
			n_out += n;
			for (size_t i = 0; i < n; i++) {
				assert_true(taken[i] > last);
				assert_true(in[taken[i]]);
				assert_false(hf_todo_has(&todo, taken[i]));
				in[taken[i]] = 0;
				last = taken[i];
			}
		}
		assert_int_equal(n_in, n_out);
		assert_true(hf_todo_is_empty(&todo));
		hf_todo_deinit(&todo);
	}
	free(in);
}

/* What is added while others are taken is not lost, also where that was taken before. */
static void added_between(void **ctx)
{
	struct hf_todo todo;
	uint32_t taken[2];
	assert_true(hf_todo_init(&todo, 10000));
	hf_todo_add(&todo, 9000);
	hf_todo_add(&todo, 70);
	assert_int_equal(hf_todo_take(&todo, taken, 1), 1);
	assert_int_equal(taken[0], 70);
	hf_todo_add(&todo, 3);
	hf_todo_add(&todo, 70);
	assert_int_equal(hf_todo_take(&todo, taken, 2), 2);
	assert_int_equal(taken[0], 3);
	assert_int_equal(taken[1], 70);
	assert_int_equal(hf_todo_take(&todo, taken, 2), 1);
	assert_int_equal(taken[0], 9000);
	assert_int_equal(hf_todo_take(&todo, taken, 2), 0);
	hf_todo_deinit(&todo);
}

/* The most objects that can be numbered; only what is used of it takes memory. */
static void last_number(void **ctx)
{
	struct hf_todo todo;
	uint32_t taken[3];
	assert_true(hf_todo_init(&todo, UINT32_MAX));
	hf_todo_add(&todo, UINT32_MAX - 1);
	hf_todo_add(&todo, 0);
	assert_int_equal(hf_todo_take(&todo, taken, 3), 2);
	assert_int_equal(taken[0], 0);
	assert_int_equal(taken[1], UINT32_MAX - 1);
	assert_true(hf_todo_is_empty(&todo));
	hf_todo_deinit(&todo);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comes_out_sorted),
		cmocka_unit_test(added_between),
		cmocka_unit_test(last_number),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
