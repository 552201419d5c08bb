/*
 * The allocator's own figures against the walk. The allocator's side is computed from the arena
 * structs and the lists of free chunks alone, the way mallinfo2() does it; the walk's side from the
 * chunk headers alone. docs/walkers/glibc.md says what each counter means.
 */
#include <string.h>

#include "base/fmt.h"
#include "walk/glibc.h"

struct bins_sum {
	uint64_t bytes, n;
	bool broken;
};

/* Sum the free lists, as int_mallinfo() does. Bounded by the number of free chunks there are. */
static struct bins_sum sum_bins(struct glibc *g, const struct glibc_arena *arena)
{
	struct {
		uint64_t prev_size, head, next, back;
	} chunk;
	struct bins_sum sum = {0};
	const enum hf_severity severity = glibc_at_work(g, arena) ? HF_INFO : HF_WARNING;
	uint64_t left = arena->n_free + GLIBC_BINS;
	for (unsigned bin = 0; bin < GLIBC_BINS; bin++) {
		const uint64_t head = arena->bins + 16ull * bin - 16;
		uint64_t before = head, at;
		if (!glibc_peek(g, head + 16, &at, 8))
			continue;
		for (; at != head; before = at, at = chunk.next) {
			if (at % 16 || !left || !glibc_peek(g, at, &chunk, sizeof(chunk))) {
				sum.broken = true;
				hf_walk_finding(g->walk, severity, at,
					"glibc arena %u: free list %u breaks at 0x%lx", arena->id,
					bin, at);
				break;
			}
			left--;
			if (chunk.back != before && !sum.broken)
				hf_walk_finding(g->walk, severity, at,
					"glibc arena %u: free list %u: chunk 0x%lx points back to "
					"0x%lx, not 0x%lx",
					arena->id, bin, at, chunk.back, before);
			sum.broken |= chunk.back != before;
			sum.bytes += glibc_chunk_size(chunk.head);
			sum.n++;
		}
	}
	return sum;
}

static void counter(struct glibc *g, uint32_t arena, const char *what, uint64_t allocator,
	uint64_t walked, bool must_match)
{
	char name[64];
	hf_fmt(name, sizeof(name), "glibc.arena%u.%s", arena, what);
	hf_walk_counter(g->walk, name, allocator, walked, must_match);
}

/* System calls that malloc makes, by the instructions in front of the program counter: glibc's
 * wrappers are `mov $number, %eax; syscall`. */
static bool in_malloc_syscall(const uint8_t *before_pc)
{
	static const uint8_t numbers[] = {9 /* mmap */, 10 /* mprotect */, 11 /* munmap */,
		12 /* brk */, 25 /* mremap */, 28 /* madvise */};
	if (before_pc[0] != 0xb8)
		return false;
	for (size_t i = 0; i < sizeof(numbers); i++) {
		if (before_pc[1] == numbers[i])
			return true;
	}
	return false;
}

/* Is anybody in the code of libc, and not blocked in a system call that malloc does not make? One
 * that has crashed there may have done so by damage: no excuse for it. */
static bool in_libc(const struct glibc *g)
{
	for (size_t i = 0; i < g->walk->n_threads; i++) {
		uint64_t pc = g->walk->threads[i].pc;
		uint8_t before[7];
		if (!pc || g->walk->threads[i].crashed || g->image < 0 ||
			hf_images_find(g->walk->images, pc) != g->image)
			continue;
		if (hf_mem_read(g->walk->mem, pc - sizeof(before), before, sizeof(before), NULL))
			continue;
		bool in_syscall = before[5] == 0x0f && before[6] == 0x05;
		if (!in_syscall || in_malloc_syscall(before))
			return true;
	}
	return false;
}

void glibc_find_busy(struct glibc *g)
{
	g->busy = in_libc(g);
	/* A process with a single thread takes no lock. */
	g->lockless = g->busy && g->walk->n_threads == 1;
	for (size_t i = 0; i < g->arenas.n; i++)
		g->busy |= glibc_arena_at(g, i)->mutex != 0;
}

static void check_arena(struct glibc *g, struct glibc_arena *arena, uint64_t *total_in_use,
	uint64_t *total_walked, bool *all_certain)
{
	struct bins_sum bins = sum_bins(g, arena);
	uint64_t in_use = arena->system_mem - arena->top_size - bins.bytes - arena->fast_bytes;
	uint64_t walked = arena->spans - arena->top_size - arena->free_bytes - arena->fast_bytes;
	bool certain = !g->busy && !arena->mutex && !arena->n_resyncs && !arena->broken;
	counter(g, arena->id, "system_mem", arena->system_mem, arena->spans, certain);
	counter(g, arena->id, "in_use", in_use, walked, certain);
	counter(g, arena->id, "free_chunks", bins.n, arena->n_free, certain);
	bool differs =
		arena->system_mem != arena->spans || in_use != walked || bins.n != arena->n_free;
	if (differs && (g->busy || arena->mutex) && !arena->n_resyncs && !arena->broken)
		hf_walk_finding(g->walk, HF_INFO, arena->addr,
			"glibc arena %u: a thread was inside malloc at that moment: the figures "
			"differ by what it had begun",
			arena->id);
	*total_in_use += in_use;
	*total_walked += walked;
	*all_certain &= certain;
}

static void fill_arena(struct glibc *g, const struct glibc_arena *arena)
{
	struct hf_walk_arena *out = hf_vec_at(&g->walk->arenas, arena->id);
	uint64_t dead = arena->free_bytes + arena->fast_bytes + arena->cached_bytes +
			arena->tcache_struct_bytes;
	uint64_t n_dead = arena->n_free + arena->n_fast + arena->n_cached + arena->n_tcache_structs;
	uint64_t live_usable = arena->chunk_bytes - dead - 8 * (arena->n_chunks - n_dead);
	out->size_bytes = arena->spans;
	out->free_bytes =
		arena->top_size + arena->free_bytes + arena->fast_bytes + arena->cached_bytes;
	out->free_count = arena->n_free + arena->n_fast + arena->n_cached + (arena->top_size != 0);
	out->metadata_bytes = out->size_bytes - out->free_bytes - live_usable;
}

static void fill_mmapped(struct glibc *g)
{
	struct hf_walk_arena *out = hf_vec_at(&g->walk->arenas, g->mmapped_id);
	out->size_bytes = g->mmapped_bytes;
	out->free_bytes = g->mmapped_cached_bytes;
	out->free_count = g->n_mmapped_cached;
	out->metadata_bytes = g->mmapped_bytes - g->mmapped_usable;
}

void glibc_check(struct glibc *g)
{
	uint64_t in_use = 0, walked = 0, resyncs = 0, skipped = 0, transient = 0;
	bool certain = true;
	for (size_t i = 0; i < g->arenas.n; i++) {
		struct glibc_arena *arena = glibc_arena_at(g, i);
		check_arena(g, arena, &in_use, &walked, &certain);
		fill_arena(g, arena);
		resyncs += arena->n_resyncs;
		skipped += arena->skipped_bytes;
		transient += arena->n_transient;
	}
	fill_mmapped(g);
	hf_walk_counter(g->walk, "glibc.in_use_bytes", in_use, walked, certain);
	if (g->mp) {
		hf_walk_counter(g->walk, "glibc.mmapped_count", g->n_mmaps, g->n_mmapped, certain);
		/* From 2.43 on mp_.mmapped_mem drifts with each mremap. */
		hf_walk_counter(g->walk, "glibc.mmapped_bytes", g->mmapped_mem, g->mmapped_bytes,
			certain && !g->layout->mmapped_size_like_heap);
	}
	if (resyncs || transient)
		hf_walk_finding(g->walk, HF_INFO, 0,
			"glibc: %lu times the chain of chunks was found again, %lu bytes skipped; "
			"%lu "
			"chunks were in the middle of an operation",
			resyncs, skipped, transient);
}
