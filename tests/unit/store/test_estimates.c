/* What is known exactly bounds estimates by samples, and leaves the others alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "store/estimates.h"

/* n samples of one size, each of which stands for `weight` objects. */
static struct hf_estimate drawn(
	uint32_t site, uint64_t n, uint64_t size, uint32_t type, double weight)
{
	struct hf_estimate e = {.site = site};
	for (uint64_t i = 0; i < n; i++)
		hf_estimate_add(&e, size, size, type);
	e.count = (double)n * weight;
	e.size = (double)(n * size) * weight;
	return e;
}

static struct hf_estimate_pool pool_of(uint64_t count, uint64_t size)
{
	static uint32_t units[HF_ESTIMATE_UNITS];
	for (uint32_t i = 0; i < HF_ESTIMATE_UNITS; i++)
		units[i] = 0;
	return (struct hf_estimate_pool){.count = count, .size = size, .of_units = units};
}

static void set_unit(const struct hf_estimate_pool *pool, uint64_t usable, uint32_t n)
{
	((uint32_t *)pool->of_units)[hf_estimate_unit(usable)] = n;
}

static void check(const struct hf_estimate *e, double count, double size)
{
	assert_float_equal(e->count, count, 1e-6);
	assert_float_equal(e->size, size, 1e-6);
}

static void test_samples(void **state)
{
	struct hf_estimate e = {0};
	hf_estimate_add(&e, 40, 40, 3);
	hf_estimate_add(&e, 40, 40, 3);
	assert_int_equal(e.type, 3);
	assert_int_equal(e.unit, 5);
	hf_estimate_add(&e, 41, 56, 4);
	assert_int_equal(e.type, HF_ESTIMATE_MIXED);
	assert_int_equal(e.unit, HF_ESTIMATE_MIXED);
	assert_int_equal(e.samples, 3);
	assert_int_equal(e.sample_bytes, 121);
	assert_int_equal(hf_estimate_unit(UINT64_MAX), HF_ESTIMATE_MIXED);
}

static void test_unbiased_below_the_bounds(void **state)
{
	struct hf_estimate_pool pool = pool_of(1000, 100000);
	/* One sample does not tell that all objects of a site have its size. */
	struct hf_estimate at[] = {drawn(1, 1, 40, 0, 20), drawn(2, 3, 80, 0, 5)};
	set_unit(&pool, 40, 1);
	set_unit(&pool, 80, 100);
	hf_estimates_bound(at, 2, &pool);
	check(&at[0], 20, 800);
	check(&at[1], 15, 1200);
}

static void test_size(void **state)
{
	struct hf_estimate_pool pool = pool_of(100000, 10000000);
	struct hf_estimate at[] = {drawn(1, 2, 40, 0, 13000)};
	set_unit(&pool, 40, 4998);
	hf_estimates_bound(at, 1, &pool);
	check(&at[0], 4998, 4998 * 40);
}

static void test_type(void **state)
{
	const struct hf_summary_group types[] = {
		{0}, {.count = 50, .size = 9000, .leak_count = 7, .leak_size = 300}};
	struct hf_estimate_pool pool = pool_of(100000, 10000000);
	pool.types = types;
	pool.n_types = 2;
	struct hf_estimate at[] = {drawn(1, 1, 40, 1, 13000)}, leaked = at[0];
	hf_estimates_bound(at, 1, &pool);
	check(&at[0], 50, 9000);
	pool.leaked = true;
	hf_estimates_bound(&leaked, 1, &pool);
	check(&leaked, 7, 300);
}

static void test_the_whole(void **state)
{
	struct hf_estimate_pool pool = pool_of(20, 1000);
	struct hf_estimate one = drawn(1, 1, 100, 0, 1000);
	hf_estimates_bound(&one, 1, &pool);
	check(&one, 20, 1000);
	/* What is certain to be another's is not this one's; the rest is shared. */
	struct hf_estimate at[] = {drawn(1, 1, 100, 0, 1000), drawn(2, 2, 300, 0, 1)};
	set_unit(&pool, 300, 2);
	hf_estimates_bound(at, 2, &pool);
	check(&at[0], 18, 400);
	check(&at[1], 2, 600);
	struct hf_estimate both[] = {drawn(1, 1, 100, 0, 1000), drawn(2, 1, 100, 0, 1000)};
	hf_estimates_bound(both, 2, &pool);
	check(&both[0], 10, 500);
	check(&both[1], 10, 500);
	hf_estimates_bound(both, 0, &pool);
}

/* Samples are there, whatever the profile's figures say. */
static void test_not_below_the_samples(void **state)
{
	struct hf_estimate_pool pool = pool_of(20, 1000);
	struct hf_estimate at[] = {drawn(1, 3, 50, 0, 0)};
	set_unit(&pool, 50, 3);
	hf_estimates_bound(at, 1, &pool);
	check(&at[0], 3, 150);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_samples),
		cmocka_unit_test(test_unbiased_below_the_bounds),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_type),
		cmocka_unit_test(test_the_whole),
		cmocka_unit_test(test_not_below_the_samples),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
