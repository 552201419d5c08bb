/* The parts of the recorder that need no hooks: sampler, stacks, live table, unwind rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <elf.h>
#include <link.h>
#include <math.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "site/cfi.h"
#include "site/live.h"
#include "site/sampler.h"
#include "site/stacks.h"

static uint64_t random_number(uint64_t *seed)
{
	return hf_sampler_random(seed);
}

static void test_functions(void **state)
{
	for (double x = 1e-12; x < 1e12; x *= 1.7)
		assert_true(fabs(hf_sampler_ln(x) - log(x)) <= 1e-13 * (1 + fabs(log(x))));
	for (double x = 1e-9; x < 200; x *= 1.13)
		assert_true(fabs(hf_sampler_one_minus_exp(x) / -expm1(-x) - 1) < 1e-12);
}

static void test_exact_weighs_one(void **state)
{
	assert_true(hf_sampler_weight(0, 1) == 1 && hf_sampler_weight(12345, 1) == 1);
	assert_true(fabs(hf_sampler_weight(512 << 10, 512 << 10) - 1 / (1 - exp(-1))) < 1e-12);
	assert_true(fabs(hf_sampler_weight(1, 512 << 10) - 524288.5) < 1e-3);
}

/* Objects of several sizes through the countdown, as a thread does it. */
struct estimate {
	double count, bytes, variance;
};

static void sample_all(
	uint64_t seed, uint64_t period, const uint64_t *sizes, size_t n, struct estimate *ret)
{
	uint64_t countdown = hf_sampler_gap(&seed, period);
	for (size_t i = 0; i < n; i++) {
		if (sizes[i] < countdown) {
			countdown -= sizes[i];
			continue;
		}
		countdown = hf_sampler_gap(&seed, period);
		double w = hf_sampler_weight(sizes[i], period);
		ret->count += w;
		ret->bytes += w * (double)sizes[i];
	}
}

static void test_estimates(void **state)
{
	enum { N = 200000, SEEDS = 30 };
	static const uint64_t choice[] = {16, 100, 4000, 70000, 600000};
	const uint64_t period = 64 << 10;
	uint64_t *sizes = malloc(N * sizeof(*sizes)), seed = 42;
	double bytes = 0, variance = 0, sum = 0, sum_count = 0, count_variance = 0;
	for (size_t i = 0; i < N; i++) {
		uint64_t r = random_number(&seed);
		sizes[i] = choice[r % 100 < 60   ? 0
				  : r % 100 < 90 ? 1
				  : r % 100 < 98 ? 2
						 : 3 + r / 128 % 2];
		double p = -expm1(-(double)sizes[i] / (double)period);
		bytes += (double)sizes[i];
		variance += (double)sizes[i] * (double)sizes[i] * (1 - p) / p;
		count_variance += (1 - p) / p;
	}
	int within[4] = {0};
	for (uint64_t s = 0; s < SEEDS; s++) {
		struct estimate e = {0};
		uint64_t start = (s + 1) * 0x9e3779b97f4a7c15ull;
		sample_all(start, period, sizes, N, &e);
		double z = fabs(e.bytes - bytes) / sqrt(variance);
		for (int k = 1; k < 4; k++)
			within[k] += z < k;
		assert_true(z < 4);
		sum += e.bytes;
		sum_count += e.count;
	}
	/* spread as the theory says: 68, 95 and 99.7 % within 1, 2 and 3 standard errors */
	assert_in_range(within[1], 14, 27);
	assert_true(within[2] >= 26 && within[3] >= 29);
	/* and no bias: the means of 30 within 3 of their own standard errors */
	assert_true(fabs(sum / SEEDS - bytes) < 3 * sqrt(variance / SEEDS));
	assert_true(fabs(sum_count / SEEDS - N) < 3 * sqrt(count_variance / SEEDS));
	free(sizes);
}

static struct hf_site_store *new_store(uint64_t period)
{
	struct hf_err err;
	struct hf_site_store *s;
	assert_int_equal(hf_store_create(NULL, period, &s, &err), HF_OK);
	return s;
}

static void test_stacks(void **state)
{
	struct hf_site_store *s = new_store(1);
	uint64_t pcs[HF_SITE_MAX_FRAMES];
	uint32_t ids[1000];
	for (int round = 0; round < 2; round++) {
		for (uint64_t i = 0; i < 1000; i++) {
			uint32_t n = 1 + (uint32_t)(i % HF_SITE_MAX_FRAMES);
			for (uint64_t k = 0; k < n; k++)
				pcs[k] = 0x1000 + k * (i % 7 + 1) + (k + 1 == n ? i * 64 : 0);
			uint32_t id = hf_stacks_intern(s, 1, pcs, n);
			assert_true(id);
			if (round)
				assert_int_equal(id, ids[i]);
			ids[i] = id;
			const uint64_t *back;
			assert_int_equal(hf_stacks_frames(s, id, &back), n);
			assert_memory_equal(back, pcs, n * sizeof(*pcs));
		}
	}
	assert_int_equal(hf_stacks_last(s), 1000);
	hf_stacks_add(s, ids[3], 1, 3, 100);
	hf_stacks_add(s, ids[3], 6, 4, 200);
	assert_int_equal(hf_stacks_total(s, ids[3]).count, 7);
	assert_int_equal(hf_stacks_total(s, ids[3]).bytes, 300);
	hf_store_destroy(s);
}

/* A full table refuses, counts, and stays as it is. */
static void test_stacks_full(void **state)
{
	struct hf_site_store *s = new_store(1);
	uint64_t pcs[HF_SITE_MAX_FRAMES] = {0};
	uint32_t n = 0;
	for (uint64_t i = 1; i < 500000; i++) {
		pcs[0] = i;
		n += hf_stacks_intern(s, 1, pcs, HF_SITE_MAX_FRAMES) != 0;
	}
	assert_int_equal(n, HF_SITE_MAX_PCS / HF_SITE_MAX_FRAMES);
	assert_int_equal(s->lost_stacks, 499999 - n);
	pcs[0] = 5;
	assert_int_equal(hf_stacks_intern(s, 1, pcs, HF_SITE_MAX_FRAMES), 5);
	hf_store_destroy(s);
}

static struct hf_live_object object(uint64_t addr, uint64_t r)
{
	return (struct hf_live_object){addr,
		r % 5 ? r % 5000 : (r % 3 ? 1 << 20 : 1ull << 33) + r % 97,
		1 + (uint32_t)(r >> 20 & 0xffff), (uint32_t)(r >> 40) & 0x3fffff,
		(uint32_t)r & 0x3fffff};
}

static void assert_same(const struct hf_live_object *a, const struct hf_live_object *b)
{
	assert_true(a->addr == b->addr && a->size == b->size && a->site == b->site &&
		    a->tid == b->tid && a->seconds == b->seconds);
}

static void count_live(void *ctx, const struct hf_live_object *o)
{
	++*(size_t *)ctx;
}

/* Against an array that says what is live: N addresses, some of them neighbours. */
static void test_live(void **state)
{
	enum { N = 50000, STEPS = 1000000 };
	struct hf_site_store *s = new_store(1);
	struct hf_live_object *model = calloc(N, sizeof(*model)), got;
	uint64_t seed = 7;
	size_t n_live = 0;
	for (int i = 0; i < STEPS; i++) {
		uint64_t r = random_number(&seed), k = r % N;
		uint64_t addr = 0x7f0000000000 + k * 32 + (k % 3 == 0 ? 16 : 0);
		/* mostly growing, then mostly shrinking */
		bool insert = (r >> 32) % 100 < (i < STEPS / 2 ? 80u : 20u);
		if (insert) {
			struct hf_live_object o = object(addr, random_number(&seed));
			assert_true(hf_live_insert(s, NULL, &o));
			n_live += model[k].addr == 0;
			model[k] = o;
		} else {
			bool was = model[k].addr != 0;
			assert_int_equal(hf_live_remove(s, NULL, addr, &got), was);
			if (was)
				assert_same(&got, &model[k]);
			n_live -= was;
			model[k].addr = 0;
		}
		if (i % 50000 == 0) {
			size_t n = 0;
			hf_live_each(s, count_live, &n);
			assert_int_equal(n, n_live);
		}
	}
	for (uint64_t k = 0; k < N; k++) {
		uint64_t addr = 0x7f0000000000 + k * 32 + (k % 3 == 0 ? 16 : 0);
		assert_int_equal(hf_live_find(s, addr, &got), model[k].addr != 0);
		if (model[k].addr)
			assert_same(&got, &model[k]);
	}
	uint64_t start = 0, end = 0, next = 0;
	for (uint64_t k = 0; k < N; k++) {
		if (!model[k].addr || model[k].addr < end)
			continue;
		assert_true(hf_live_next(s, next, &start, &end));
		assert_true(start >= next && model[k].addr >= start && model[k].addr < end);
		next = end;
	}
	assert_false(hf_live_next(s, next, &start, &end));
	assert_int_equal(s->lost_objects, 0);
	free(model);
	hf_store_destroy(s);
}

/* When the area is used up objects are lost, counted, and nothing breaks; what is given back can be
 * used again. */
static void test_live_full(void **state)
{
	enum { N = 1500000 };
	struct hf_site_store *s = new_store(512 << 10);
	uint64_t n_lost = 0, n_kept = 0;
	assert_true(hf_store_room(s, HF_SITE_PART_AREA, HF_SITE_AREA - (12 << 20)));
	s->used = s->size - (12 << 20);
	for (int round = 0; round < 3; round++) {
		n_lost = n_kept = s->lost_objects = 0;
		for (uint64_t i = 1; i < N; i++) {
			struct hf_live_object o = {i * 48, 10, 1, 1, 1};
			bool ok = hf_live_insert(s, NULL, &o);
			n_kept += ok;
			n_lost += !ok;
		}
		assert_true(n_lost > 0 && n_lost == s->lost_objects && n_kept > 600000);
		size_t n = 0;
		hf_live_each(s, count_live, &n);
		assert_int_equal(n, n_kept);
		for (uint64_t i = 1; i < N; i++)
			n_kept -= hf_live_remove(s, NULL, i * 48, NULL);
		assert_int_equal(n_kept, 0);
	}
	hf_store_destroy(s);
}

struct shared {
	struct hf_site_store *s;
	uint64_t number;
};

static void *use_shared(void *arg)
{
	struct shared *shared = arg;
	uint64_t seed = shared->number + 1, pcs[4] = {1, 2, 3};
	/* two have workers, two share one */
	struct hf_site_worker *worker =
		shared->number % 2 ? hf_live_join(shared->s, gettid()) : NULL;
	for (uint64_t i = 0; i < 300000; i++) {
		uint64_t r = random_number(&seed);
		uint64_t addr = 16 * (r % 20000 * 4 + shared->number) + 4096;
		struct hf_live_object o = object(addr, r);
		if (r >> 63)
			hf_live_insert(shared->s, worker, &o);
		else
			hf_live_remove(shared->s, worker, addr, NULL);
		pcs[3] = r >> 40 & 1023;
		if (hf_stacks_intern(shared->s, 1, pcs, 4) == 0)
			return (void *)1;
	}
	for (uint64_t k = 0; k < 20000; k++)
		hf_live_remove(shared->s, worker, 16 * (k * 4 + shared->number) + 4096, NULL);
	return NULL;
}

static void test_threads(void **state)
{
	struct shared shared[4];
	pthread_t thread[4];
	struct hf_site_store *s = new_store(1);
	for (uint64_t i = 0; i < 4; i++) {
		shared[i] = (struct shared){s, i};
		pthread_create(&thread[i], NULL, use_shared, &shared[i]);
	}
	for (int i = 0; i < 4; i++) {
		void *result;
		pthread_join(thread[i], &result);
		assert_null(result);
	}
	size_t n = 0, n_sites = 0;
	hf_live_each(s, count_live, &n);
	assert_int_equal(n, 0);
	const uint64_t *pcs;
	for (uint32_t i = 1; i <= hf_stacks_last(s); i++)
		n_sites += hf_stacks_frames(s, i, &pcs) == 4;
	assert_int_equal(n_sites, 1024);
	hf_store_destroy(s);
}

/* The rules of libc: found for its code, and damaged tables do no harm. */
struct libc {
	struct hf_cfi_table table;
	uint64_t text, text_end;
};

static int find_libc(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct libc *libc = arg;
	if (!strstr(info->dlpi_name, "libc.so"))
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		if (ph->p_type == PT_GNU_EH_FRAME)
			libc->table.header = (const uint8_t *)info->dlpi_addr + ph->p_vaddr;
		if (ph->p_type == PT_LOAD && ph->p_flags & PF_X) {
			libc->text = info->dlpi_addr + ph->p_vaddr;
			libc->text_end = libc->text + ph->p_memsz;
		}
	}
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		const uint8_t *start = (const uint8_t *)info->dlpi_addr + ph->p_vaddr;
		if (ph->p_type == PT_LOAD && libc->table.header >= start &&
			libc->table.header < start + ph->p_filesz) {
			libc->table.start = start;
			libc->table.end = start + ph->p_filesz;
		}
	}
	return 1;
}

static void test_rules(void **state)
{
	struct libc libc = {0};
	if (!dl_iterate_phdr(find_libc, &libc))
		skip();
	size_t n = 0, n_frames = 0;
	for (uint64_t pc = libc.text; pc < libc.text_end; pc += 13, n++) {
		hf_cfi_rule rule = hf_cfi_find(&libc.table, pc);
		n_frames += hf_cfi_kind(rule) == HF_CFI_FRAME;
		if (hf_cfi_kind(rule) == HF_CFI_FRAME)
			assert_int_equal(hf_cfi_ra_offset(rule), -8);
	}
	assert_true(n_frames > n * 8 / 10); /* the rest is padding */
	/* the entry of a function: the CFA is above its return address */
	hf_cfi_rule entry = hf_cfi_find(&libc.table, (uint64_t)strtoull);
	assert_int_equal(hf_cfi_kind(entry), HF_CFI_FRAME);
	assert_true(!hf_cfi_base_is_bp(entry) && hf_cfi_cfa_offset(entry) == 8);
	assert_int_equal(hf_cfi_kind(hf_cfi_find(&libc.table, 4096)), HF_CFI_NONE);
	assert_int_equal(
		hf_cfi_kind(hf_cfi_find(&libc.table, libc.text_end + (1 << 22))), HF_CFI_NONE);
}

static void test_damaged_rules(void **state)
{
	struct libc libc = {0};
	if (!dl_iterate_phdr(find_libc, &libc))
		skip();
	size_t size = (size_t)(libc.table.end - libc.table.start);
	uint8_t *copy = malloc(size);
	uint64_t shift = (uint64_t)copy - (uint64_t)libc.table.start, seed = 99;
	memcpy(copy, libc.table.start, size);
	struct hf_cfi_table table = {copy, copy + size, libc.table.header + shift};
	size_t n = 0;
	for (uint64_t pc = libc.text; pc < libc.text_end; pc += 997)
		n += hf_cfi_kind(hf_cfi_find(&table, pc + shift)) == HF_CFI_FRAME;
	assert_true(n > 1000);
	size_t tables = (size_t)(libc.table.end - libc.table.header);
	for (int round = 0; round < 40; round++) {
		for (int i = 0; i < 2000; i++) {
			uint64_t r = random_number(&seed);
			copy[(size_t)(libc.table.header - libc.table.start) + (r >> 8) % tables] =
				(uint8_t)r;
		}
		/* the header itself, now and then */
		memcpy(copy + (libc.table.header - libc.table.start), libc.table.header,
			round % 4 ? 12 : 0);
		for (uint64_t pc = libc.text; pc < libc.text_end; pc += 997)
			hf_cfi_find(&table, pc + shift);
	}
	/* cut at every length near the header */
	for (size_t cut = 0; cut < 200; cut++) {
		table.end = table.header + cut;
		hf_cfi_find(&table, libc.text + shift);
	}
	free(copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_functions),
		cmocka_unit_test(test_exact_weighs_one),
		cmocka_unit_test(test_estimates),
		cmocka_unit_test(test_stacks),
		cmocka_unit_test(test_stacks_full),
		cmocka_unit_test(test_live),
		cmocka_unit_test(test_live_full),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_damaged_rules),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
