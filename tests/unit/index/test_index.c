/* The object index against a plain list of objects. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "index/index.h"
#include "index/look.h"

struct plain {
	uint64_t addr, usable;
	uint32_t arena;
	bool live;
};

static int64_t plain_find(const struct plain *list, size_t n, uint64_t addr, uint64_t *ret_start)
{
	int64_t id = 0;
	for (size_t i = 0; i < n; i++) {
		if (list[i].live && addr >= list[i].addr && addr - list[i].addr < list[i].usable) {
			*ret_start = list[i].addr;
			return id;
		}
		id += list[i].live;
	}
	return HF_NO_OBJECT;
}

static uint64_t random_below(uint64_t n)
{
	return (uint64_t)rand() % n;
}

/* A random heap: regions of chunks (mostly small, some spanning many cells), singles, gaps of all
 * sizes. */
static size_t build(struct hf_index *index, struct plain *list, size_t max, uint64_t *ret_end)
{
	uint64_t at = 0x10000;
	size_t n = 0;
	uint32_t arena = 0;
	while (n + 200 < max) {
		at += random_below(4) ? HF_GRANULE * random_below(100) : random_below(4) << 30;
		if (random_below(4) == 0) {
			list[n] = (struct plain){at, 16 + random_below(100000), arena++, true};
			assert_true(hf_index_add_single(index, at, list[n].usable, list[n].arena));
			at += (list[n++].usable + 15) & ~15ull;
			continue;
		}
		size_t chunks = 1 + random_below(150);
		uint64_t start = at;
		size_t first = n;
		for (size_t i = 0; i < chunks; i++) {
			uint64_t size = HF_GRANULE * (2 + (random_below(20) ? random_below(10)
									    : random_below(1000)));
			list[n++] = (struct plain){at, size - 8, arena, random_below(3) != 0};
			at += size;
		}
		int64_t region = hf_index_add_region(index, start, at, arena++, 8);
		assert_true(region >= 0);
		for (size_t i = first; i < n; i++) {
			bool kill = list[i].live && random_below(10) == 0;
			assert_true(hf_index_put(index, region, list[i].addr, list[i].live));
			if (kill) {
				assert_true(hf_index_kill_any(index, list[i].addr));
				assert_false(hf_index_kill_any(index, list[i].addr));
				list[i].live = false;
			}
		}
		assert_false(hf_index_put(index, region, at, true));
	}
	*ret_end = at;
	return n;
}

static void check(const struct hf_index *index, const struct plain *list, size_t n, uint64_t addr)
{
	uint64_t want_start = 0, start = 0;
	int64_t want = plain_find(list, n, addr, &want_start);
	int64_t got = hf_index_find(index, addr, &start);
	const struct hf_index_region *region = hf_index_search_region(index, addr);
	if (!region)
		assert_int_equal(want, HF_NO_OBJECT);
	if (got != want || (want >= 0 && start != want_start))
		fail_msg("0x%lx: got %ld (0x%lx), want %ld (0x%lx)", addr, got, start, want,
			want_start);
}

enum { MANY = 300, ROOM = MANY + HF_INDEX_SLACK };

/* Look-ups of many addresses at once, by what each kind of CPU does, say what single ones do. */
static void check_many(const struct hf_index *index, const uint64_t *addr, uint32_t n)
{
	uint64_t cell[ROOM], rest[ROOM], id[ROOM], offset[ROOM], number[ROOM], same[ROOM];
	uint16_t outside[ROOM];
	const struct hf_index_places places = {cell, rest};
	struct hf_index_region hint = {0};
	uint32_t n_outside = hf_index_place_many(index, &hint, addr, n, &places, outside);
	uint32_t k = 0;
	for (uint32_t i = 0; i < n; i++) {
		number[i] = i;
		same[i] = addr[i];
		if (!hf_index_search_region(index, addr[i]))
			assert_int_equal(outside[k++], i);
	}
	assert_int_equal(k, n_outside);
	uint32_t found = hf_index_look_many(
		&places, n, &(struct hf_index_answers){id, offset, {number, same}});
	k = 0;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t start;
		int64_t want = hf_index_find(index, addr[i], &start);
		if (want == HF_NO_OBJECT)
			continue;
		assert_true(k < found);
		assert_int_equal(number[k], i);
		assert_int_equal(same[k], addr[i]);
		assert_int_equal(id[k], want);
		assert_int_equal(offset[k], addr[i] - start);
		k++;
	}
	assert_int_equal(k, found);
}

/* Addresses in one region, in all of them, in none. */
static void check_many_of(const struct hf_index *index, uint64_t end)
{
	uint64_t addr[ROOM] = {0};
	const uint64_t percent_outside = random_below(3) * 10, one = random_below(index->regions.n),
		       percent_one = random_below(2) * 90 + 5;
	for (uint32_t i = 0; i < MANY; i++) {
		const uint64_t k =
			random_below(100) < percent_one ? one : random_below(index->regions.n);
		const struct hf_index_region *r = hf_vec_at(&index->regions, k);
		addr[i] = random_below(100) < percent_outside
				  ? random_below(end + 4096)
				  : r->start + random_below(r->end - r->start);
	}
	for (enum hf_cpu cpu = HF_CPU_ANY; cpu <= HF_CPU_AVX512; cpu++) {
		hf_cpu_limit(cpu);
		check_many(index, addr, MANY);
		check_many(index, addr, (uint32_t)random_below(20));
	}
}

/* Pieces of any size hold every address of every region once, in order, and are cut between cells
 * only. */
static void check_pieces(const struct hf_index *index, uint64_t bytes)
{
	struct hf_index_piece piece = {0};
	size_t region = 0;
	uint64_t at = 0;
	while (hf_index_next_piece(index, bytes, &piece)) {
		uint64_t size = 0;
		assert_true(piece.first <= piece.last && piece.last < index->regions.n);
		for (size_t i = piece.first; i <= piece.last; i++) {
			const struct hf_index_region *r = hf_vec_at(&index->regions, i);
			uint64_t start = hf_index_piece_start(&piece, r, i),
				 end = hf_index_piece_end(&piece, r, i);
			region +=
				at ==
				((struct hf_index_region *)hf_vec_at(&index->regions, region))->end;
			at = at > r->start && i == region ? at : r->start;
			assert_int_equal(i, region);
			assert_int_equal(start, at);
			assert_true(end > start && end <= r->end);
			assert_true(end == r->end || (end - r->start) % HF_CELL_BYTES == 0);
			at = end;
			size += end - start;
		}
		assert_true(size <= ((bytes + HF_CELL_BYTES - 1) & ~(HF_CELL_BYTES - 1ull)) +
					    HF_CELL_BYTES);
	}
	if (index->regions.n) {
		assert_int_equal(region, index->regions.n - 1);
		assert_int_equal(
			at, ((struct hf_index_region *)hf_vec_at(&index->regions, region))->end);
	}
}

/* Each region knows how much of it lives. */
static void check_sums(const struct hf_index *index)
{
	uint64_t n = 0;
	for (size_t i = 0; i < index->regions.n; i++) {
		const struct hf_index_region *r = hf_vec_at(&index->regions, i);
		struct hf_index_iter iter;
		struct hf_object object;
		uint64_t n_live = 0, bytes = 0;
		hf_index_iter_init(&iter, index);
		while (hf_index_next(&iter, &object)) {
			bool mine = object.addr >= r->start && object.addr < r->end - r->tail_bytes;
			n_live += mine;
			bytes += mine ? object.usable : 0;
		}
		assert_int_equal(r->n_live, n_live);
		assert_int_equal(r->live_bytes, bytes);
		n += n_live;
	}
	assert_int_equal(n, index->n_objects);
}

/* What a range visits is what all of it visits there. */
static void check_range(const struct hf_index *index, const struct plain *list, size_t n,
	uint64_t from, uint64_t to)
{
	struct hf_index_iter iter;
	struct hf_object object;
	uint32_t id = 0;
	hf_index_iter_range(&iter, index, from, to);
	for (size_t i = 0; i < n; i++) {
		id += list[i].live;
		if (!list[i].live || list[i].addr < from || list[i].addr >= to)
			continue;
		assert_true(hf_index_next(&iter, &object));
		assert_int_equal(object.addr, list[i].addr);
		assert_int_equal(object.usable, list[i].usable);
		assert_int_equal(object.id, id - 1);
	}
	assert_false(hf_index_next(&iter, &object));
}

static void test_random(void **state)
{
	(void)state;
	static struct plain list[2000];
	for (unsigned seed = 0; seed < 60; seed++) {
		struct hf_index index;
		uint64_t end;
		srand(seed);
		hf_index_init(&index);
		size_t n = build(&index, list, 2000, &end);
		assert_int_equal(hf_index_seal(&index, NULL), HF_OK);
		assert_int_equal(index.regions_dropped, 0);
		for (size_t i = 0; i < n; i++) {
			check(&index, list, n, list[i].addr);
			check(&index, list, n, list[i].addr - 1);
			check(&index, list, n, list[i].addr + list[i].usable - 1);
			check(&index, list, n, list[i].addr + list[i].usable);
			check(&index, list, n, list[i].addr + random_below(list[i].usable));
		}
		for (int i = 0; i < 2000; i++)
			check(&index, list, n, random_below(end + 4096));
		struct hf_index_iter iter;
		struct hf_object object;
		hf_index_iter_init(&iter, &index);
		uint32_t id = 0;
		for (size_t i = 0; i < n; i++) {
			if (!list[i].live)
				continue;
			assert_true(hf_index_next(&iter, &object));
			assert_int_equal(object.addr, list[i].addr);
			assert_int_equal(object.usable, list[i].usable);
			assert_int_equal(object.id, id++);
			assert_int_equal(object.arena, list[i].arena);
		}
		assert_false(hf_index_next(&iter, &object));
		assert_int_equal(index.n_objects, id);
		for (int i = 0; i < 50; i++) {
			uint64_t from = random_below(end + 4096),
				 size = random_below(i % 2 ? 4096 : end);
			check_range(&index, list, n, from, from + size);
			from = list[random_below(n)].addr;
			check_range(&index, list, n, from, from + 1);
		}
		check_range(&index, list, n, 0, UINT64_MAX);
		check_many_of(&index, end);
		check_sums(&index);
		check_pieces(&index, 1);
		check_pieces(&index, 10000);
		check_pieces(&index, 1 << 20);
		check_pieces(&index, UINT64_MAX / 2);
		hf_index_deinit(&index);
	}
}

static void test_overlap(void **state)
{
	(void)state;
	struct hf_index index;
	uint64_t start;
	hf_index_init(&index);
	assert_true(hf_index_add_single(&index, 0x2000, 0x1000, 0));
	assert_true(hf_index_add_single(&index, 0x2800, 0x1000, 0));
	assert_true(hf_index_add_single(&index, 0x4000, 0x1000, 0));
	assert_int_equal(hf_index_seal(&index, NULL), HF_OK);
	assert_int_equal(index.regions_dropped, 1);
	assert_int_equal(index.n_objects, 2);
	assert_int_equal(hf_index_find(&index, 0x4010, &start), 1);
	hf_index_deinit(&index);
}

static void test_empty(void **state)
{
	(void)state;
	struct hf_index index;
	struct hf_index_iter iter;
	struct hf_object object;
	uint64_t start;
	hf_index_init(&index);
	assert_int_equal(hf_index_seal(&index, NULL), HF_OK);
	assert_int_equal(hf_index_find(&index, 0, &start), HF_NO_OBJECT);
	assert_int_equal(hf_index_find(&index, 0x1000, &start), HF_NO_OBJECT);
	hf_index_iter_init(&iter, &index);
	assert_false(hf_index_next(&iter, &object));
	check_pieces(&index, 4096);
	hf_index_deinit(&index);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_overlap),
		cmocka_unit_test(test_empty),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
