/*
 * The walker of glibc's malloc on heaps that are laid out by hand, one a version, and on damaged
 * ones. Offsets are written out here and not taken from the walker's table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_mem.h"
#include "pieces.h"
#include "walk/walk.h"

static const uint64_t BRK = 0x555555600000, LIBC = 0x7f0000000000, HEAP1 = 0x7e0000000000,
		      HEAP2 = 0x7e0004000000, MAPPED = 0x7e8000000000, STACK = 0x7e9000000000;

/* What differs, in the words of the test. */
struct version {
	unsigned minor, first; /* and the first one that looks the same */
	uint64_t bins, fastbins, next, system_mem, first_chunk, later_chunk;
	uint64_t mp_size, n_mmaps, mmapped_mem, sbrk_base, tcache_bins;
	uint64_t tcache_chunk, entries, n_lists, tcache_fill;
	bool safe, free_slots, like_heap;
};

static const struct version versions[] = {
	{31, 31, 112, 16, 2160, 2184, 0x8c0, 0x20, 112, 40, 56, 72, 80, 0x290, 128, 64, 7, false,
		false, false},
	{33, 32, 112, 16, 2160, 2184, 0x8c0, 0x20, 112, 40, 56, 72, 80, 0x290, 128, 64, 7, true,
		false, false},
	{36, 35, 112, 16, 2160, 2184, 0x8d0, 0x30, 136, 60, 80, 96, 104, 0x290, 128, 64, 7, true,
		false, false},
	{42, 42, 112, 16, 2160, 2184, 0x8d0, 0x30, 136, 60, 80, 96, 104, 0x300, 152, 76, 7, true,
		true, false},
	{43, 43, 24, 0, 2072, 2096, 0x870, 0x30, 144, 68, 88, 104, 112, 0x300, 152, 76, 16, true,
		true, true},
};
enum { N_VERSIONS = sizeof(versions) / sizeof(versions[0]) };

/* A process with a main heap, a thread's arena of two heaps and a chunk with its own mapping. */
struct process {
	struct fake_mem mem;
	struct hf_pool pool;
	struct hf_images images;
	struct hf_index index;
	struct hf_walk walk;
	struct hf_walk_thread threads[1];
	const struct version *v;
	uint64_t main_arena, mp, thread_arena, tcache;
	uint64_t at, flag, arena; /* where the next chunk goes, its arena's flag and struct */
	uint64_t live[64];
	size_t n_live;
	uint64_t tops;
};

static void chunk(struct process *p, uint64_t size, bool prev_in_use)
{
	fake_put(&p->mem, p->at + 8, size | p->flag | prev_in_use);
	p->at += size;
}

static uint64_t live_chunk(struct process *p, uint64_t size, bool prev_in_use)
{
	uint64_t user = p->at + 16;
	p->live[p->n_live++] = user;
	chunk(p, size, prev_in_use);
	return user;
}

/* A chunk in bin `bin` of the arena, alone there; the next chunk must not have its bit set. */
static uint64_t binned_chunk(struct process *p, uint64_t size, unsigned bin)
{
	uint64_t at = p->at, head = p->arena + p->v->bins + bin * 16 - 16;
	chunk(p, size, true);
	fake_put(&p->mem, p->at, size); /* footer */
	fake_put(&p->mem, at + 16, head);
	fake_put(&p->mem, at + 24, head);
	fake_put(&p->mem, head + 16, at);
	fake_put(&p->mem, head + 24, at);
	return at;
}

static void arena_init(struct process *p, uint64_t arena, uint64_t next, uint64_t system_mem)
{
	for (uint64_t i = 0; i < 127; i++) {
		uint64_t self = arena + p->v->bins + 16 * i - 16;
		fake_put(&p->mem, self + 16, self);
		fake_put(&p->mem, self + 24, self);
	}
	fake_put(&p->mem, arena + p->v->next, next);
	fake_put(&p->mem, arena + p->v->system_mem, system_mem);
	p->arena = arena;
}

static void set_top(struct process *p, uint64_t end)
{
	fake_put(&p->mem, p->arena + p->v->bins - 16, p->at);
	fake_put(&p->mem, p->at + 8, (end - p->at) | 1);
	p->tops += end - p->at;
}

static uint64_t link_to(const struct process *p, uint64_t pos, uint64_t next)
{
	return p->v->safe ? next ^ pos >> 12 : next;
}

/* A tcache with two chunks of 48 bytes; the list's head is in list 1. */
static void fill_tcache(struct process *p, uint64_t first, uint64_t second)
{
	uint64_t n_lists = p->v->n_lists;
	for (uint64_t i = 0; i < n_lists && p->v->free_slots; i++)
		memcpy(fake_at(&p->mem, p->tcache + 2 * i, 2), &p->v->tcache_fill, 2);
	uint16_t count = (uint16_t)(p->v->free_slots ? p->v->tcache_fill - 2 : 2);
	memcpy(fake_at(&p->mem, p->tcache + 2, 2), &count, 2);
	fake_put(&p->mem, p->tcache + p->v->entries + 8, first);
	fake_put(&p->mem, first, link_to(p, first, second));
	fake_put(&p->mem, second, link_to(p, second, 0));
}

static void build_main(struct process *p)
{
	const uint64_t end = BRK + 0x21000;
	arena_init(p, p->main_arena, p->thread_arena, end - BRK);
	p->at = BRK;
	p->flag = 0;
	p->tcache = p->at + 16;
	chunk(p, p->v->tcache_chunk, true);
	live_chunk(p, 0x410, true);
	uint64_t first = p->at + 16;
	chunk(p, 48, true);
	uint64_t second = p->at + 16;
	chunk(p, 48, true);
	fill_tcache(p, first, second);
	live_chunk(p, 0x20, true);
	binned_chunk(p, 0x500, 1);
	live_chunk(p, 0x70, false);
	if (p->v->fastbins) {
		uint64_t a = p->at, b = a + 32;
		chunk(p, 32, true);
		chunk(p, 32, true);
		fake_put(&p->mem, p->arena + p->v->fastbins, a);
		fake_put(&p->mem, a + 16, link_to(p, a + 16, b));
		fake_put(&p->mem, b + 16, link_to(p, b + 16, 0));
	}
	live_chunk(p, 0x2000, true);
	set_top(p, end);
}

static void build_thread(struct process *p)
{
	const uint64_t info = p->v->later_chunk, size = 0x4000;
	fake_put(&p->mem, HEAP1, p->thread_arena);
	fake_put(&p->mem, HEAP1 + 16, size);
	fake_put(&p->mem, HEAP1 + 24, size);
	arena_init(p, p->thread_arena, p->main_arena, 2 * size);
	p->flag = 4;
	p->at = HEAP1 + p->v->first_chunk;
	live_chunk(p, 0x100, true);
	uint64_t rest = HEAP1 + size - 32 - p->at;
	binned_chunk(p, rest, 100);
	fake_put(&p->mem, p->at + 8, 0x10); /* fence: the old top before it is free */
	fake_put(&p->mem, p->at + 24, 0x1);
	fake_put(&p->mem, HEAP2, p->thread_arena);
	fake_put(&p->mem, HEAP2 + 8, HEAP1);
	fake_put(&p->mem, HEAP2 + 16, size);
	fake_put(&p->mem, HEAP2 + 24, size);
	p->at = HEAP2 + info;
	live_chunk(p, 0x1230, true);
	set_top(p, HEAP2 + size);
}

static void build_mapped(struct process *p)
{
	/* memalign() left a stale header at the start. */
	const uint64_t size = 0x5000, lead = 0x30, less = p->v->like_heap ? 16 : 0;
	fake_put(&p->mem, MAPPED + 8, (size - less) | 2);
	fake_put(&p->mem, MAPPED + lead, lead);
	fake_put(&p->mem, MAPPED + lead + 8, (size - lead - less) | 2);
	p->live[p->n_live++] = MAPPED + lead + 16;
}

static void build_mp(struct process *p)
{
	fake_put(&p->mem, p->mp, 0x20000);
	fake_put(&p->mem, p->mp + 8, 0x20000);
	fake_put(&p->mem, p->mp + 16, 0x20000);
	fake_put(&p->mem, p->mp + 24, 8);
	uint32_t mmaps[3] = {1, 65536, 1};
	memcpy(fake_at(&p->mem, p->mp + p->v->n_mmaps, 12), mmaps, 12);
	fake_put(&p->mem, p->mp + p->v->mmapped_mem, 0x5000);
	fake_put(&p->mem, p->mp + p->v->mmapped_mem + 8, 0x5000);
	fake_put(&p->mem, p->mp + p->v->sbrk_base, BRK);
	fake_put(&p->mem, p->mp + p->v->tcache_bins, 64);
	fake_put(&p->mem, p->mp + p->v->tcache_bins + 8, 1032);
	fake_put(&p->mem, p->mp + p->v->tcache_bins + 16, p->v->tcache_fill);
}

static void add_image(struct process *p, const char *path, uint64_t base)
{
	struct hf_image *image = hf_vec_push(&p->images.images);
	*image = (struct hf_image){.path = path,
		.base = base,
		.end = base + 0x14000,
		.n_segments = 2,
		.segments = {{base, base + 0x10000, HF_PERM_R},
			{base + 0x10000, base + 0x14000, HF_PERM_R | HF_PERM_W}},
		.tls_size = 0x90,
		.tls_align = 8};
}

static void process_init(struct process *p, const struct version *v, bool banner)
{
	const uint32_t rw = HF_PERM_R | HF_PERM_W;
	memset(p, 0, sizeof(*p));
	p->v = v;
	fake_mem_init(&p->mem);
	hf_pool_init(&p->pool, NULL, 0);
	hf_index_init(&p->index);
	hf_walk_init(&p->walk);
	hf_vec_init(&p->images.images, sizeof(struct hf_image));
	fake_map(&p->mem, BRK, 0x21000, rw, "[heap]");
	fake_map(&p->mem, HEAP1, 0x4000, rw, "");
	fake_map(&p->mem, HEAP2, 0x4000, rw, "");
	fake_map(&p->mem, MAPPED, 0x5000, rw, "");
	fake_map(&p->mem, STACK, 0x2000, rw, "");
	fake_map(&p->mem, LIBC, 0x10000, HF_PERM_R, "/lib/libc.so.6");
	fake_map(&p->mem, LIBC + 0x10000, 0x4000, rw, "/lib/libc.so.6");
	add_image(p, "/lib/libc.so.6", LIBC);
	p->main_arena = LIBC + 0x11c60;
	p->mp = p->main_arena - 0x920;
	p->thread_arena = HEAP1 + v->later_chunk;
	if (banner) {
		char *text = fake_at(&p->mem, LIBC + 0x8ff0, 200);
		memcpy(text, "GNU C Library (Debian GLIBC 2.99-9) stable release version 2.", 61);
		text[61] = (char)('0' + v->minor / 10);
		text[62] = (char)('0' + v->minor % 10);
		text[63] = '.';
	}
	build_main(p);
	build_thread(p);
	build_mapped(p);
	build_mp(p);
	/* The thread's TLS: tcache, then thread_arena. */
	p->threads[0].tp = STACK + 0x1800;
	fake_put(&p->mem, STACK + 0x1800 - 0x48, p->tcache);
	fake_put(&p->mem, STACK + 0x1800 - 0x38, p->main_arena);
	p->walk.mem = &p->mem.mem;
	p->walk.maps = &p->mem.maps;
	p->walk.images = &p->images;
	p->walk.pool = &p->pool;
	p->walk.index = &p->index;
	p->walk.threads = p->threads;
	p->walk.n_threads = 1;
}

static void process_deinit(struct process *p)
{
	hf_index_deinit(&p->index);
	hf_walk_deinit(&p->walk);
	hf_images_deinit(&p->images);
	hf_pool_deinit(&p->pool);
	fake_mem_deinit(&p->mem);
}

static void run(struct process *p)
{
	struct hf_err err = {0};
	assert_int_equal(hf_walk_all(&p->walk, &err), HF_OK);
	assert_int_equal(hf_index_seal(&p->index, &err), HF_OK);
	for (uint64_t bytes = HF_CELL_BYTES; bytes <= 16 * HF_CELL_BYTES; bytes *= 2)
		assert_true(pieces_give_the_same(&p->walk, bytes));
}

static bool is_object(struct process *p, uint64_t addr)
{
	uint64_t start = 0;
	return hf_index_find(&p->index, addr, &start) >= 0 && start == addr;
}

static size_t n_missing(struct process *p)
{
	size_t n = 0;
	for (size_t i = 0; i < p->n_live; i++)
		n += !is_object(p, p->live[i]);
	return n;
}

static size_t n_findings(struct process *p, enum hf_severity least, const char *text)
{
	size_t n = 0;
	for (size_t i = 0; i < p->walk.findings.n; i++) {
		const struct hf_walk_finding *f = hf_vec_at(&p->walk.findings, i);
		n += f->severity >= least && strstr(f->text, text) != NULL;
	}
	return n;
}

static const struct hf_walk_counter *counter(struct process *p, const char *name)
{
	for (size_t i = 0; i < p->walk.counters.n; i++) {
		const struct hf_walk_counter *c = hf_vec_at(&p->walk.counters, i);
		if (strcmp(c->name, name) == 0)
			return c;
	}
	return NULL;
}

static void assert_exact(struct process *p)
{
	assert_int_equal(n_missing(p), 0);
	assert_int_equal(p->index.n_objects, p->n_live);
	for (size_t i = 0; i < p->walk.counters.n; i++) {
		const struct hf_walk_counter *c = hf_vec_at(&p->walk.counters, i);
		assert_int_equal(c->allocator, c->walked);
	}
	assert_int_equal(counter(p, "glibc.mmapped_count")->walked, 1);
	assert_true(counter(p, "glibc.in_use_bytes")->must_match);
	assert_int_equal(n_findings(p, HF_PARTIAL, ""), 0);
}

static void test_versions(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_VERSIONS; i++) {
		struct process p;
		process_init(&p, &versions[i], true);
		run(&p);
		assert_exact(&p);
		assert_int_equal(n_findings(&p, HF_INFO, ""), 0);
		assert_int_equal(p.walk.tcaches.n, 1);
		const struct hf_walk_arena *main = hf_vec_at(&p.walk.arenas, 0);
		char name[] = "glibc 2.00";
		name[8] = (char)('0' + versions[i].minor / 10);
		name[9] = (char)('0' + versions[i].minor % 10);
		assert_string_equal(main->allocator, name);
		assert_int_equal(main->addr, p.main_arena);
		assert_int_equal(
			counter(&p, "glibc.mmapped_bytes")->must_match, versions[i].minor < 43);
		process_deinit(&p);
	}
}

/* An object full of what look like chunks, as a buffer that chunks were merged into: a piece that
 * is begun in there is none of the heap's. */
static void test_old_headers(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_VERSIONS; i++) {
		struct process p;
		uint64_t n_large = 0;
		process_init(&p, &versions[i], true);
		for (size_t k = 0; k < p.n_live; k++) {
			const uint64_t at = p.live[k] - 16, size = 0x2000;
			uint64_t head;
			memcpy(&head, fake_at(&p.mem, at + 8, 8), 8);
			if (head != (size | 1))
				continue;
			n_large++;
			for (uint64_t old = 32; old < size; old += 32)
				fake_put(&p.mem, at + old + 8, 32 | 1);
		}
		assert_int_equal(n_large, 1);
		run(&p);
		assert_exact(&p);
		process_deinit(&p);
	}
}

/* A core file without the pages of libc's read-only data. */
static void test_by_shape(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_VERSIONS; i++) {
		struct process p;
		process_init(&p, &versions[i], false);
		run(&p);
		assert_exact(&p);
		assert_int_equal(n_findings(&p, HF_INFO, "version could not be read"), 1);
		char range[] = "it is 2.00";
		range[8] = (char)('0' + versions[i].first / 10);
		range[9] = (char)('0' + versions[i].first % 10);
		assert_int_equal(n_findings(&p, HF_INFO, range), 1);
		process_deinit(&p);
	}
}

/* Threads are not known: the tcache shows by what it holds. */
static void test_without_threads(void **state)
{
	(void)state;
	struct process p;
	process_init(&p, &versions[2], true);
	p.walk.n_threads = 0;
	run(&p);
	assert_exact(&p);
	process_deinit(&p);
}

static void test_newer(void **state)
{
	(void)state;
	struct version v = versions[4];
	struct process p;
	v.minor = 57;
	process_init(&p, &v, true);
	run(&p);
	assert_exact(&p);
	assert_int_equal(n_findings(&p, HF_WARNING, "newer than"), 1);
	process_deinit(&p);
}

static void test_older(void **state)
{
	(void)state;
	struct version v = versions[0];
	struct process p;
	v.minor = 28;
	process_init(&p, &v, true);
	run(&p);
	assert_int_equal(p.index.n_objects, 0);
	assert_int_equal(n_findings(&p, HF_PARTIAL, "2.28 is older"), 1);
	process_deinit(&p);
}

static void test_nothing(void **state)
{
	(void)state;
	struct process p;
	process_init(&p, &versions[2], true);
	memset(fake_at(&p.mem, LIBC + 0x10000, 0x4000), 0, 0x4000);
	run(&p);
	/* The main heap is still known by the tcache that it begins with. */
	assert_int_equal(n_findings(&p, HF_PARTIAL, "heaps were found by their shape"), 1);
	assert_int_equal(n_missing(&p), 0);
	process_deinit(&p);
	process_init(&p, &versions[2], true);
	memset(fake_at(&p.mem, LIBC + 0x10000, 0x4000), 0, 0x4000);
	memset(fake_at(&p.mem, BRK, 16), 0, 16);
	run(&p);
	assert_int_equal(n_findings(&p, HF_PARTIAL, "no allocator found"), 1);
	process_deinit(&p);
}

static void test_others(void **state)
{
	(void)state;
	struct process p;
	process_init(&p, &versions[2], true);
	add_image(&p, "/usr/lib/libjemalloc.so.2", LIBC + 0x1000000);
	add_image(&p, "/usr/lib/libmimalloc.so.2.0", LIBC + 0x2000000);
	run(&p);
	assert_int_equal(n_findings(&p, HF_PARTIAL, "jemalloc is in the process"), 1);
	assert_int_equal(n_findings(&p, HF_PARTIAL, "mimalloc is in the process"), 1);
	assert_int_equal(n_missing(&p), 0);
	process_deinit(&p);
}

static void test_second_libc(void **state)
{
	(void)state;
	struct process p;
	const uint64_t second = LIBC + 0x1000000;
	process_init(&p, &versions[2], true);
	fake_map(&p.mem, second, 0x10000, HF_PERM_R, "/opt/libc.so.6");
	fake_map(&p.mem, second + 0x10000, 0x4000, HF_PERM_R | HF_PERM_W, "/opt/libc.so.6");
	add_image(&p, "/opt/libc.so.6", second);
	arena_init(&p, second + 0x11c60, second + 0x11c60, 0x1000);
	run(&p);
	assert_int_equal(n_findings(&p, HF_PARTIAL, "second glibc malloc (/opt/libc.so.6"), 1);
	assert_int_equal(n_missing(&p), 0);
	process_deinit(&p);
}

/* --- damage ---------------------------------------------------------------------------------- */

static struct process damaged;

static struct process *damaged_process(void)
{
	process_init(&damaged, &versions[2], true);
	return &damaged;
}

static void test_fastbin_cycle(void **state)
{
	(void)state;
	struct process *p = damaged_process();
	uint64_t a = fake_get(&p->mem, p->main_arena + 16), b = a + 32;
	fake_put(&p->mem, b + 16, link_to(p, b + 16, a));
	run(p);
	assert_int_equal(n_missing(p), 0);
	assert_int_equal(p->index.n_objects, p->n_live);
	assert_int_equal(n_findings(p, HF_WARNING, "fastbin of 32 bytes breaks"), 1);
	process_deinit(p);
}

static void test_tcache_cycle(void **state)
{
	(void)state;
	struct process *p = damaged_process();
	uint64_t first = fake_get(&p->mem, p->tcache + 128 + 8), second = first + 48;
	fake_put(&p->mem, second, link_to(p, second, first));
	run(p);
	assert_int_equal(n_missing(p), 0);
	assert_int_equal(p->index.n_objects, p->n_live);
	assert_int_equal(n_findings(p, HF_WARNING, "thread cache"), 1);
	process_deinit(p);
}

/* A damaged size leads past the first chunk of a list: those behind it are free all the same. */
static void test_tcache_passed_by(void **state)
{
	(void)state;
	struct process *p = damaged_process();
	uint64_t first = fake_get(&p->mem, p->tcache + 128 + 8);
	fake_put(&p->mem, p->live[0] - 8, (0x410 + 48) | 1);
	run(p);
	assert_int_equal(n_missing(p), 0);
	assert_false(is_object(p, first));
	assert_false(is_object(p, first + 48));
	assert_int_equal(p->index.n_objects, p->n_live);
	assert_int_equal(n_findings(p, HF_WARNING, "thread cache"), 1);
	process_deinit(p);
}

static void test_bin_cycle(void **state)
{
	(void)state;
	struct process *p = damaged_process();
	uint64_t at = fake_get(&p->mem, p->main_arena + 112 + 16);
	fake_put(&p->mem, at + 16, at);
	run(p);
	assert_int_equal(n_missing(p), 0);
	assert_true(n_findings(p, HF_WARNING, "free list 1") >= 1);
	assert_true(counter(p, "glibc.arena0.in_use")->allocator !=
		    counter(p, "glibc.arena0.in_use")->walked);
	process_deinit(p);
}

static void test_ring(void **state)
{
	(void)state;
	static const uint64_t values[] = {0, 8, 0x4141414141414141, 0x7e0000000030};
	for (size_t i = 0; i < 4; i++) {
		/* The last one: the thread's arena is its own successor. */
		struct process *p = damaged_process();
		fake_put(&p->mem, p->thread_arena + 2160, values[i]);
		run(p);
		assert_int_equal(n_missing(p), 0);
		assert_true(n_findings(p, HF_PARTIAL, "arenas") >= 1);
		process_deinit(p);
	}
	/* main_arena leads nowhere: the other is found by its heap. */
	struct process *p = damaged_process();
	fake_put(&p->mem, p->main_arena + 2160, 0x1230);
	run(p);
	assert_int_equal(n_missing(p), 0);
	process_deinit(p);
}

static void test_heap_list(void **state)
{
	(void)state;
	static const uint64_t values[] = {0, 0x7e0004000000, 0x4141414141414141};
	for (size_t i = 0; i < 3; i++) {
		struct process *p = damaged_process();
		fake_put(&p->mem, HEAP2 + 8, values[i]);
		run(p);
		assert_int_equal(n_missing(p), 0);
		assert_true(n_findings(p, HF_PARTIAL, "list of heaps") >= 1);
		process_deinit(p);
	}
}

static void test_top(void **state)
{
	(void)state;
	struct process *p = damaged_process();
	fake_put(&p->mem, p->thread_arena + 96, 0x4141414141414140);
	run(p);
	assert_true(n_missing(p) <= 2);
	assert_true(n_findings(p, HF_PARTIAL, "") >= 1);
	process_deinit(p);
	p = damaged_process();
	fake_put(&p->mem, p->main_arena + 96, 0x10);
	run(p);
	assert_true(is_object(p, p->live[p->n_live - 1]));
	assert_true(n_findings(p, HF_PARTIAL, "top") >= 1);
	process_deinit(p);
}

/* Every size that a header can have been given: no crash, no hang, little lost. */
static void test_sizes(void **state)
{
	(void)state;
	static const uint64_t sizes[] = {0, 1, 8, 0x11, 0x18, 0x21, 0x1000, 0x7fffffffffffffff,
		0xfffffffffffffff0, 0xffffffffffffffff, 0x4141414141414141, 0x21001, 0x2a};
	for (size_t victim = 0; victim < 4; victim++) {
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			struct process *p = damaged_process();
			fake_put(&p->mem, p->live[victim] - 8, sizes[i]);
			run(p);
			assert_true(n_missing(p) <= 2);
			process_deinit(p);
		}
	}
}

static void test_hole(void **state)
{
	(void)state;
	/* Pages inside a live chunk were never touched. */
	struct process *p = damaged_process();
	uint64_t big = p->live[3];
	fake_hole(&p->mem, (big + 4095) & ~4095ull, ((big + 4095) & ~4095ull) + 4096);
	run(p);
	assert_exact(p);
	process_deinit(p);
}

static void test_lock_held(void **state)
{
	(void)state;
	struct process *p = damaged_process();
	fake_put(&p->mem, p->thread_arena, 1);
	fake_put(&p->mem, p->thread_arena + 2184, 0x12340000);
	run(p);
	assert_int_equal(n_missing(p), 0);
	const struct hf_walk_counter *c = counter(p, "glibc.arena1.system_mem");
	assert_int_equal(c->allocator, 0x12340000);
	assert_int_equal(c->walked, 0x8000);
	assert_false(c->must_match);
	assert_false(counter(p, "glibc.in_use_bytes")->must_match);
	assert_int_equal(n_findings(p, HF_INFO, "arena 1: a thread was inside malloc"), 1);
	assert_int_equal(n_findings(p, HF_INFO, "arena 0: a thread"), 0);
	process_deinit(p);
}

/* The only thread is in the code of libc, or only waits there in a system call (poll). */
static void put_pc(struct process *p, bool waits)
{
	static const uint8_t poll[] = {0xb8, 7, 0, 0, 0, 0x0f, 0x05};
	if (waits)
		memcpy(fake_at(&p->mem, LIBC + 0x1000, sizeof(poll)), poll, sizeof(poll));
	p->threads[0].pc = LIBC + 0x1000 + sizeof(poll);
}

/* A top chunk whose size is not written yet, and the rest of a free chunk that is being split: as a
 * thread inside malloc leaves them, which is damage where no thread is there. */
static void test_inside_malloc(void **state)
{
	(void)state;
	for (int how = 0; how < 3; how++) {
		struct process *p = damaged_process();
		const bool waits = how != 0; /* or it crashed there */
		put_pc(p, how == 1);
		p->threads[0].crashed = how == 2;
		fake_put(&p->mem, fake_get(&p->mem, p->main_arena + 96) + 8, 0);
		uint64_t split = fake_get(&p->mem, p->main_arena + 112 + 16);
		fake_put(&p->mem, split + 8, 0x101);
		fake_put(&p->mem, split + 0x108, 0);
		fake_put(&p->mem, split + 0x500, 0x400);
		run(p);
		assert_int_equal(n_missing(p), 0);
		assert_int_equal(n_findings(p, HF_PARTIAL, ""), 0);
		assert_int_equal(n_findings(p, HF_WARNING, "damaged size of the top"), waits);
		assert_int_equal(n_findings(p, HF_WARNING, "split"), waits);
		assert_int_equal(n_findings(p, HF_INFO, "inside malloc"), waits ? 0 : 2);
		assert_int_equal(n_findings(p, HF_INFO, "damaged"), waits);
		process_deinit(p);
	}
}

/* free() has merged a chunk of 32 bytes with the one behind it and cleared the links where the
 * header of that was: neither size nor footer tell where the next chunk is. */
static void test_inside_free(void **state)
{
	(void)state;
	struct process *p = damaged_process();
	put_pc(p, false);
	uint64_t freed = p->live[1] - 16;
	p->live[1] = p->live[0];
	fake_put(&p->mem, freed + 0x20, 0);
	fake_put(&p->mem, freed + 0x28, 0);
	fake_put(&p->mem, freed + 0x520, 0x1234); /* data of the chunk behind */
	run(p);
	assert_int_equal(n_missing(p), 0);
	assert_false(is_object(p, freed + 16));
	assert_int_equal(n_findings(p, HF_PARTIAL, ""), 0);
	process_deinit(p);
}

/* malloc adds up what it maps before it sets the maximum: its parameters are known all the same. */
static void test_inside_maximum(void **state)
{
	(void)state;
	struct process *p = damaged_process();
	fake_put(&p->mem, p->mp + p->v->mmapped_mem + 8, 0x4000);
	/* what looks like them but for where the heap starts, and is closer */
	const uint64_t other = p->main_arena - 0x200;
	memcpy(fake_at(&p->mem, other, 0x100), fake_at(&p->mem, p->mp, 0x100), 0x100);
	fake_put(&p->mem, other + p->v->mmapped_mem + 8, 0x5000);
	fake_put(&p->mem, other + p->v->sbrk_base, 1);
	run(p);
	assert_exact(p);
	process_deinit(p);
}

/* A chunk with a mapping of its own that malloc does not count yet, or no longer, must not stand
 * for another of the same size. */
static void test_inside_mmap(void **state)
{
	(void)state;
	const uint64_t later = 0x7f1000000000, size = 0x5000;
	struct process *p = damaged_process();
	put_pc(p, false);
	fake_map(&p->mem, later, size, HF_PERM_R | HF_PERM_W, "");
	fake_put(&p->mem, later + 8, (size - (p->v->like_heap ? 16 : 0)) | 2);
	p->live[p->n_live++] = later + 16;
	run(p);
	assert_int_equal(n_missing(p), 0);
	process_deinit(p);
}

/* A counter that is wrong and nobody inside: it must show. */
static void test_mismatch(void **state)
{
	(void)state;
	struct process *p = damaged_process();
	fake_put(&p->mem, p->thread_arena + 2184, 0x9000);
	run(p);
	const struct hf_walk_counter *c = counter(p, "glibc.arena1.system_mem");
	assert_int_equal(c->allocator, 0x9000);
	assert_int_equal(c->walked, 0x8000);
	assert_true(c->must_match);
	process_deinit(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_old_headers),
		cmocka_unit_test(test_by_shape),
		cmocka_unit_test(test_without_threads),
		cmocka_unit_test(test_newer),
		cmocka_unit_test(test_older),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_second_libc),
		cmocka_unit_test(test_fastbin_cycle),
		cmocka_unit_test(test_tcache_cycle),
		cmocka_unit_test(test_tcache_passed_by),
		cmocka_unit_test(test_bin_cycle),
		cmocka_unit_test(test_ring),
		cmocka_unit_test(test_heap_list),
		cmocka_unit_test(test_top),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_hole),
		cmocka_unit_test(test_lock_held),
		cmocka_unit_test(test_inside_malloc),
		cmocka_unit_test(test_inside_free),
		cmocka_unit_test(test_inside_mmap),
		cmocka_unit_test(test_inside_maximum),
		cmocka_unit_test(test_mismatch),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
