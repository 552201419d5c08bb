/* The listing and the scan of a heap of many pieces, against a plain look-up of every word; and the
 * same file whatever the number of processors and what they can do. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../source/dump_kit.h"
#include "../walk/fake_mem.h"
#include "base/cpu.h"
#include "base/team.h"
#include "scan/scan.h"

enum {
	REGION = 11 << 20, /* more than two pieces */
	N_REGIONS = 3,
	SINGLE = 9 << 20,
	MODULE = 64 << 10,
};
static const uint64_t BASE = 0x7f0000000000, MODULE_BASE = 0x7e0000000000;

struct world {
	struct fake_mem mem;
	struct hf_index index;
	struct hf_images images;
	uint64_t lo, hi;
};

static uint64_t rng = 88172645463325252ull;
static uint64_t next_random(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

/* Chunks of all sizes, a few of them as large as pieces; live, free and with gaps. */
static void add_chunks(struct world *w, uint64_t start)
{
	int64_t region = hf_index_add_region(&w->index, start + 16, start + REGION, 0, 8);
	assert_true(region >= 0);
	for (uint64_t at = start + 16; at + 64 < start + REGION;) {
		uint64_t r = next_random(), size = 32 + (r & 0x1f0);
		if (r >> 52 == 0)
			size = 3 << 20;
		else if (r >> 54 == 1)
			size = 5000;
		hf_index_put(&w->index, region, at, r >> 40 & 7);
		at += (size + 15) & ~15ull;
	}
}

static uint64_t random_word(const struct world *w)
{
	uint64_t r = next_random();
	switch (r >> 60) {
	case 0:
	case 1:
		return w->lo + next_random() % (w->hi - w->lo);
	case 2:
		return (w->lo + next_random() % (w->hi - w->lo)) & ~15ull;
	case 3:
		return r & 3 ? 0 : MODULE_BASE + (r & 0xffff);
	default:
		return r & 1 ? r >> 30 : 0;
	}
}

static void fill(const struct world *w, uint64_t start, uint64_t size)
{
	uint64_t *words = fake_at((struct fake_mem *)&w->mem, start, size);
	for (uint64_t i = 0; i < size / 8; i++)
		words[i] = random_word(w);
}

static void world_init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	fake_mem_init(&w->mem);
	hf_index_init(&w->index);
	hf_vec_init(&w->images.images, sizeof(struct hf_image));
	struct hf_image *image = hf_vec_push(&w->images.images);
	*image = (struct hf_image){.base = MODULE_BASE, .end = MODULE_BASE + MODULE, .path = "m"};
	image->segments[0].start = MODULE_BASE;
	image->segments[0].end = MODULE_BASE + MODULE;
	image->n_segments = 1;
	w->lo = BASE;
	w->hi = BASE + N_REGIONS * (REGION + (1 << 20)) + SINGLE;
	uint64_t at = BASE;
	for (unsigned i = 0; i < N_REGIONS; i++, at += REGION + (1 << 20)) {
		fake_map(&w->mem, at, REGION, 3, "");
		add_chunks(w, at);
		fill(w, at, REGION);
	}
	fake_hole(&w->mem, BASE + (1 << 20), BASE + (2 << 20));
	fake_map(&w->mem, at, SINGLE, 3, "");
	assert_true(hf_index_add_single(&w->index, at + 16, SINGLE - 32, 1));
	fill(w, at, SINGLE);
	assert_int_equal(hf_index_seal(&w->index, NULL), HF_OK);
}

static void world_deinit(struct world *w)
{
	fake_mem_deinit(&w->mem);
	hf_index_deinit(&w->index);
	hf_vec_deinit(&w->images.images);
}

static void dump(const struct world *w, struct kit_bytes *bytes, struct hf_scan_totals *totals)
{
	struct hf_writer_options options = {.codec = HF_CODEC_LZ4, .time_ns = 1};
	struct hf_writer *writer;
	struct hf_err err;
	kit_bytes_init(bytes);
	assert_int_equal(hf_writer_create(&bytes->sink, &options, &writer, &err), HF_OK);
	hf_write_module(writer, MODULE_BASE, MODULE, 0, "m", NULL, 0);
	struct hf_arena_record arena = {.allocator = "a"};
	for (unsigned a = 0; a < 2; a++) {
		arena.live_bytes = arena.live_count = 0;
		for (size_t i = 0; i < w->index.regions.n; i++) {
			const struct hf_index_region *r = hf_vec_at(&w->index.regions, i);
			arena.live_bytes += r->arena == a ? r->live_bytes : 0;
			arena.live_count += r->arena == a ? r->n_live : 0;
		}
		arena.size_bytes = arena.live_bytes;
		hf_write_arena(writer, &arena);
	}
	assert_int_equal(hf_scan_list(&w->index, writer, &err), HF_OK);
	assert_int_equal(hf_scan_objects((struct hf_mem *)&w->mem.mem, &w->index, &w->images,
				 writer, totals, &err),
		HF_OK);
	assert_int_equal(hf_writer_finish(writer, &err), HF_OK);
	hf_writer_destroy(writer);
}

/* What a word of a live object points to. */
static void check_word(const struct world *w, const struct hf_heap *heap, uint32_t src,
	uint64_t src_start, uint64_t at, uint64_t word, uint64_t *edge, size_t *modref)
{
	uint64_t start;
	int64_t dst = hf_index_find(&w->index, word, &start);
	if (dst != HF_NO_OBJECT) {
		assert_true(*edge < heap->n_edges);
		assert_true(*edge >= heap->edge_offset[src] && *edge < heap->edge_offset[src + 1]);
		assert_int_equal(heap->edge_dst[*edge], dst);
		assert_int_equal(hf_heap_src_off(heap, *edge), at - src_start);
		assert_int_equal(hf_heap_dst_off(heap, *edge), word - start);
		++*edge;
	} else if (word - MODULE_BASE < MODULE) {
		assert_int_equal(heap->modrefs.at[*modref].src, src);
		assert_int_equal(hf_heap_modref_src_off(heap, *modref), at - src_start);
		assert_int_equal(hf_heap_modref_module_off(heap, *modref), word - MODULE_BASE);
		++*modref;
	}
}

static void check(const struct world *w, const struct hf_heap *heap)
{
	struct hf_index_iter iter;
	struct hf_object object;
	struct hf_reader r;
	uint64_t edge = 0;
	size_t modref = 0;
	hf_reader_init(&r, (struct hf_mem *)&w->mem.mem);
	hf_index_iter_init(&iter, &w->index);
	while (hf_index_next(&iter, &object)) {
		assert_int_equal(heap->addr[object.id], object.addr);
		assert_int_equal(heap->usable[object.id], object.usable);
		for (uint64_t at = object.addr; at + 8 <= object.addr + object.usable; at += 8) {
			uint64_t word;
			if (hf_reader_u64(&r, at, &word))
				check_word(
					w, heap, object.id, object.addr, at, word, &edge, &modref);
		}
	}
	assert_int_equal(edge, heap->n_edges);
	assert_int_equal(modref, heap->modrefs.n);
	hf_reader_deinit(&r);
}

static void test_all_words(void **state)
{
	(void)state;
	struct world w;
	struct kit_bytes bytes, alone;
	struct hf_heap heap;
	struct hf_err err;
	struct hf_scan_totals totals, same, counted;
	cpu_set_t all, one;
	world_init(&w);
	dump(&w, &bytes, &totals);
	assert_int_equal(kit_read(&bytes, &heap, &err), HF_OK);
	assert_false(heap.partial);
	assert_int_equal(heap.n_objects, w.index.n_objects);
	assert_int_equal(heap.n_edges, totals.n_edges);
	check(&w, &heap);
	assert_int_equal(kit_verify(&bytes), 0);

	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	assert_int_equal(hf_team_size(), 1);
	dump(&w, &alone, &same);
	assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
	assert_int_equal(alone.n, bytes.n);
	assert_memory_equal(alone.data, bytes.data, bytes.n);

	for (enum hf_cpu cpu = HF_CPU_ANY; cpu < HF_CPU_AVX512; cpu++) {
		kit_bytes_deinit(&alone);
		hf_cpu_limit(cpu);
		dump(&w, &alone, &same);
		assert_int_equal(alone.n, bytes.n);
		assert_memory_equal(alone.data, bytes.data, bytes.n);
		assert_memory_equal(&same, &totals, sizeof(totals));
	}
	hf_cpu_limit(HF_CPU_AVX512);

	assert_int_equal(hf_scan_objects((struct hf_mem *)&w.mem.mem, &w.index, &w.images, NULL,
				 &counted, &err),
		HF_OK);
	assert_memory_equal(&counted, &totals, sizeof(totals));
	assert_memory_equal(&same, &totals, sizeof(totals));
	hf_heap_deinit(&heap);
	kit_bytes_deinit(&bytes);
	kit_bytes_deinit(&alone);
	world_deinit(&w);
}

/* Nothing to list, nothing to scan. */
static void test_empty(void **state)
{
	(void)state;
	struct world w = {0};
	struct kit_bytes bytes;
	struct hf_scan_totals totals;
	fake_mem_init(&w.mem);
	hf_index_init(&w.index);
	hf_vec_init(&w.images.images, sizeof(struct hf_image));
	assert_int_equal(hf_index_seal(&w.index, NULL), HF_OK);
	dump(&w, &bytes, &totals);
	assert_int_equal(totals.n_edges + totals.n_modrefs + totals.scanned_bytes, 0);
	kit_bytes_deinit(&bytes);
	world_deinit(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_words),
		cmocka_unit_test(test_empty),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
