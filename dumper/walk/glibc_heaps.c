/*
 * Where an arena's memory is. Thread arenas: heaps of at most 64 MiB, aligned to that, chained from
 * the newest back. The main arena: what sbrk gave, in one stretch with gaps where others called
 * sbrk; and once sbrk has failed, anonymous mappings of 1 MiB or more that nothing lists.
 */
#include "base/checked.h"
#include "walk/glibc.h"

struct heap_info {
	uint64_t arena, prev, size, mprotect_size;
};

static uint64_t heap_max(const struct glibc *g)
{
	/* arena.c, heap_max_size(): 2.35 … 2.41 */
	if (g->hp_pagesize && g->layout->first_minor == 35)
		return g->hp_pagesize * 4;
	return GLIBC_HEAP_MAX;
}

static void broken(struct glibc *g, struct glibc_arena *arena, uint64_t at, const char *what)
{
	arena->broken = true;
	g->incomplete = true;
	hf_walk_finding(g->walk, HF_PARTIAL, at,
		"glibc arena %u (0x%lx): %s at 0x%lx; objects are missing", arena->id, arena->addr,
		what, at);
}

static bool add_arena(struct glibc *g, uint64_t bins, bool is_main)
{
	struct glibc_arena read;
	if (!glibc_read_arena(g, bins, &read))
		return false;
	struct hf_walk_arena *out = hf_vec_push(&g->walk->arenas);
	struct glibc_arena *slot = out ? hf_vec_push(&g->arenas) : NULL;
	if (!slot)
		return false;
	*slot = read;
	slot->id = (uint32_t)g->walk->arenas.n - 1;
	slot->is_main = is_main;
	*out = (struct hf_walk_arena){.allocator = g->name,
		.kind = is_main ? HF_ARENA_MAIN : HF_ARENA_THREAD,
		.addr = read.addr};
	return true;
}

static bool is_known(struct glibc *g, uint64_t addr)
{
	for (size_t i = 0; i < g->arenas.n; i++) {
		if (glibc_arena_at(g, i)->addr == addr)
			return true;
	}
	return false;
}

/* Arenas that the ring does not reach: a heap that begins with a pointer to the arena behind it. */
static void add_by_shape(struct glibc *g)
{
	const uint64_t align = heap_max(g);
	for (size_t i = 0; i < g->spans.n; i++) {
		const struct hf_walk_range *span = hf_vec_at(&g->spans, i);
		for (uint64_t heap = hf_align_up(span->start, align); heap && heap < span->end;
			heap += align) {
			uint64_t addr, bins = heap + g->layout->heap_info + g->layout->bins, last;
			if (hf_reader_u64(&g->probe, heap, &addr) &&
				addr == heap + g->layout->heap_info && !is_known(g, addr) &&
				hf_reader_u64(&g->probe, bins + (GLIBC_BINS - 1) * 16, &last) &&
				last == bins + (GLIBC_BINS - 1) * 16 - 16)
				add_arena(g, bins, false);
		}
	}
}

static bool list_arenas(struct glibc *g)
{
	if (!add_arena(g, g->main_bins, true))
		return false;
	uint64_t addr;
	bool ok = hf_reader_u64(&g->probe, g->main_bins + GLIBC_NEXT_FROM_BINS, &addr);
	while (ok && addr != g->main_arena) {
		ok = addr % 8 == 0 && g->arenas.n < GLIBC_MAX_ARENAS && !is_known(g, addr) &&
		     glibc_span_of(g, addr) && add_arena(g, addr + g->layout->bins, false) &&
		     hf_reader_u64(&g->probe, addr + g->layout->bins + GLIBC_NEXT_FROM_BINS, &addr);
	}
	if (!ok) {
		hf_walk_finding(g->walk, HF_PARTIAL, addr,
			"glibc: the list of arenas breaks at 0x%lx; the others are found by shape",
			addr);
		g->incomplete = true;
		add_by_shape(g);
	}
	return true;
}

/* Behind the arena's struct in its first heap. */
static uint64_t first_chunk(const struct glibc *g, const struct glibc_arena *arena)
{
	return hf_align_up(arena->addr + g->layout->bins + GLIBC_STATE_FROM_BINS, GLIBC_HEADER);
}

/* One heap of a thread arena: its chunks, and the claim on its memory. */
static bool walk_heap(struct glibc *g, struct glibc_arena *arena, uint64_t heap,
	const struct heap_info *info, bool newest)
{
	bool oldest = heap + g->layout->heap_info == arena->addr;
	struct glibc_region region = {.arena = arena,
		.start = heap + g->layout->heap_info,
		.end = heap + info->size,
		.limit = newest ? arena->top : heap + info->size - GLIBC_MIN_CHUNK,
		.ends_in_top = newest};
	if (oldest)
		region.start = first_chunk(g, arena);
	uint64_t mapped = heap + hf_align_up(glibc_max(info->size, info->mprotect_size), HF_PAGE);
	glibc_claim(g, heap, mapped);
	hf_walk_range(&g->walk->heaps, heap, mapped);
	arena->spans += region.start - heap;
	if (region.limit < region.start || region.limit > region.end) {
		broken(g, arena, heap, "a heap whose bounds cannot be is");
		return true;
	}
	return glibc_walk_region(g, &region);
}

static bool read_heap(
	struct glibc *g, const struct glibc_arena *arena, uint64_t heap, struct heap_info *ret)
{
	return hf_reader_copy(&g->probe, heap, ret, sizeof(*ret)) && ret->arena == arena->addr &&
	       ret->size <= heap_max(g) && ret->size % HF_PAGE == 0 && ret->size >= HF_PAGE;
}

/* Has this address been walked? Only for damaged lists: looks at all. */
static bool is_claimed(const struct glibc *g, uint64_t addr)
{
	for (size_t i = 0; i < g->cuts.n; i++) {
		const struct hf_walk_range *cut = hf_vec_at(&g->cuts, i);
		if (addr >= cut->start && addr < cut->end)
			return true;
	}
	return false;
}

/* The top chunk of a heap that no fence ends: the chunk that reaches to the heap's end. 0 if the
 * chunks do not lead there. */
static uint64_t find_top(struct glibc *g, uint64_t start, uint64_t end)
{
	for (uint64_t at = start; at < end;) {
		struct glibc_header h;
		if (!glibc_read_header(&g->probe, at, &h) || (h.head & (8 | GLIBC_MMAPPED)))
			return 0;
		uint64_t size = glibc_chunk_size(h.head);
		if (size < GLIBC_MIN_CHUNK || size > end - at)
			return 0;
		if (size == end - at)
			return at;
		at += size;
	}
	return 0;
}

/* Heaps of an arena whose list is broken, by their place and their pointer to the arena. */
static bool walk_heaps_by_shape(struct glibc *g, struct glibc_arena *arena)
{
	const uint64_t align = heap_max(g);
	for (size_t i = 0; i < g->spans.n; i++) {
		const struct hf_walk_range span = *(struct hf_walk_range *)hf_vec_at(&g->spans, i);
		for (uint64_t heap = hf_align_up(span.start, align); heap && heap < span.end;
			heap += align) {
			struct heap_info info;
			uint64_t fence, top = arena->top;
			if (!read_heap(g, arena, heap, &info) || is_claimed(g, heap))
				continue;
			bool oldest = heap + g->layout->heap_info == arena->addr;
			bool newest = !hf_reader_u64(&g->probe, heap + info.size - 8, &fence) ||
				      fence != GLIBC_PREV_INUSE;
			if (newest)
				arena->top = find_top(g,
					oldest ? first_chunk(g, arena)
					       : heap + g->layout->heap_info,
					heap + info.size);
			bool ok =
				(newest && !arena->top) || walk_heap(g, arena, heap, &info, newest);
			arena->top = top;
			if (!ok)
				return false;
		}
	}
	return true;
}

static bool walk_thread_arena(struct glibc *g, struct glibc_arena *arena)
{
	const uint64_t max = heap_max(g);
	uint64_t heap = hf_align_down(arena->top, max);
	bool newest = true;
	for (unsigned i = 0; i < GLIBC_MAX_HEAPS; i++, newest = false) {
		struct heap_info info;
		/* A cycle would come back to memory that is claimed. */
		if (!read_heap(g, arena, heap, &info) ||
			((i < 64 || i % 64 == 0) && is_claimed(g, heap)))
			break;
		if (!walk_heap(g, arena, heap, &info, newest))
			return false;
		if (heap + g->layout->heap_info == arena->addr)
			return true;
		if (info.prev % max || info.prev == heap)
			break;
		heap = info.prev;
	}
	broken(g, arena, heap, "the list of heaps breaks");
	return walk_heaps_by_shape(g, arena);
}

static const struct hf_map *brk_map(const struct glibc *g)
{
	for (size_t i = 0; i < hf_maps_count(g->walk->maps); i++) {
		const struct hf_map *map = hf_maps_at(g->walk->maps, i);
		if (strcmp(map->path, "[heap]") == 0)
			return map;
	}
	return NULL;
}

static bool top_is_sound(const struct hf_walk_range *span, const struct glibc_arena *arena)
{
	uint64_t end = arena->top + arena->top_size;
	return end <= span->end && end > arena->top && end % HF_PAGE == 0;
}

/* End of the memory that the top chunk lies in: what its size says, if that can be. */
static uint64_t top_end(const struct glibc *g, const struct glibc_arena *arena)
{
	const struct hf_walk_range *span = glibc_span_of(g, arena->top);
	uint64_t end = arena->top + arena->top_size;
	if (!span || top_is_sound(span, arena))
		return end;
	return span->end;
}

static bool walk_contiguous(struct glibc *g, struct glibc_arena *arena)
{
	const struct hf_walk_range *span = glibc_span_of(g, arena->top);
	const struct hf_map *brk = brk_map(g);
	if (!span || arena->top % 16) {
		broken(g, arena, arena->top, "the top chunk is nowhere:");
		return true;
	}
	uint64_t base = g->sbrk_base;
	/* Pages of it may be protected, and so not be there in a core. */
	const bool whole = base >= span->start || glibc_unbroken(g, base) > arena->top ||
			   (glibc_span_of(g, base) && arena->top - base <= arena->system_mem);
	if (base > arena->top || !whole) {
		base = brk && brk->start >= span->start && brk->start <= arena->top ? brk->start
										    : span->start;
		if (g->mp)
			broken(g, arena, g->sbrk_base, "the start of the heap is nowhere:");
	}
	if (!top_is_sound(span, arena)) {
		bool at_work = glibc_at_work(g, arena);
		hf_walk_finding(g->walk, at_work ? HF_INFO : HF_WARNING, arena->top,
			"glibc arena %u: %s the top chunk at 0x%lx: %lu bytes", arena->id,
			at_work ? "a thread was inside malloc, which had yet to set the size of"
				: "damaged size of",
			arena->top, arena->top_size);
		arena->top_size = top_end(g, arena) - arena->top;
	}
	struct glibc_region region = {.arena = arena,
		.start = hf_align_up(base, GLIBC_HEADER),
		.limit = arena->top,
		.end = top_end(g, arena),
		.ends_in_top = true,
		.gaps = true};
	arena->spans += region.start - base;
	glibc_claim(g, base, region.end);
	hf_walk_range(&g->walk->heaps, base, region.end);
	return glibc_walk_region(g, &region);
}

/* Where the fence is that ends a mapping whose chain of chunks is broken: before a page boundary.
 */
static uint64_t find_fence(struct glibc *g, uint64_t from, uint64_t limit)
{
	for (uint64_t end = hf_align_up(from + 2 * GLIBC_HEADER, HF_PAGE); end <= limit;) {
		struct glibc_header a, b;
		if (!hf_reader_seek(&g->probe, end - 1)) {
			end = hf_align_up(g->probe.win.end + 1, HF_PAGE);
			continue;
		}
		if (glibc_read_header(&g->probe, end - 2 * GLIBC_HEADER, &a) &&
			(a.head & ~1ull) == GLIBC_HEADER &&
			glibc_read_header(&g->probe, end - GLIBC_HEADER, &b) &&
			b.head == (GLIBC_HEADER | GLIBC_PREV_INUSE))
			return end - 2 * GLIBC_HEADER;
		end += HF_PAGE;
	}
	glibc_may_waste(g, (limit - from) / HF_PAGE);
	return 0;
}

/* The end of the two fence headers at `at`; of three, if the old top was 16 bytes larger than they
 * need. */
static uint64_t fences_end(struct glibc *g, uint64_t at)
{
	struct glibc_header h;
	uint64_t end = at + 2 * GLIBC_HEADER;
	bool third = glibc_read_header(&g->probe, end, &h) && end % HF_PAGE &&
		     h.head == (GLIBC_HEADER | GLIBC_PREV_INUSE);
	return third ? end + GLIBC_HEADER : end;
}

/* Is a stretch of the main arena at `start`? Sets the region. Damage inside it does not matter if
 * its first chunks are sound and a fence or the top closes it. */
static bool is_segment(struct glibc *g, struct glibc_arena *arena, uint64_t start, uint64_t limit,
	struct glibc_region *ret)
{
	enum { SOUND = 64 << 10 }; /* bytes of a chain that breaks later */
	uint64_t end;
	*ret = (struct glibc_region){.arena = arena, .start = start};
	bool whole = glibc_follow(g, arena, start, limit, &end);
	if (!whole) {
		if (end - start < SOUND)
			return false;
		if (arena->top > end && arena->top < limit && !find_fence(g, end, arena->top))
			end = arena->top;
		else
			end = find_fence(g, end, limit);
		if (!end)
			return false;
	}
	ret->limit = end;
	ret->ends_in_top = end == arena->top;
	ret->end = ret->ends_in_top ? top_end(g, arena) : fences_end(g, end);
	return true;
}

static bool walk_segment(struct glibc *g, const struct glibc_region *region)
{
	/* The bytes that malloc left out to align its first chunk count as its memory. */
	if (g->mp && region->start == hf_align_up(g->sbrk_base, GLIBC_HEADER))
		region->arena->spans += region->start - g->sbrk_base;
	glibc_claim(g, region->start, region->end);
	hf_walk_range(&g->walk->heaps, region->start, region->end);
	return glibc_walk_region(g, region);
}

/* Segments in one stretch of memory that nobody has claimed. Mapped ones start at a page; in brk
 * memory, behind a fence, anywhere. */
static bool scan_for_segments(
	struct glibc *g, struct glibc_arena *arena, const struct hf_walk_range *range, bool brk)
{
	const uint64_t step = brk ? GLIBC_HEADER : HF_PAGE;
	for (uint64_t at = hf_align_up(range->start, step); at < range->end;) {
		if (!hf_reader_seek(&g->reader, at)) {
			at = hf_align_up(g->reader.win.end, step);
			continue;
		}
		struct glibc_header h;
		struct glibc_region region;
		if (!glibc_read_header(&g->reader, at, &h) ||
			(h.head & (GLIBC_FLAGS | 8)) != GLIBC_PREV_INUSE ||
			glibc_chunk_size(h.head) < GLIBC_MIN_CHUNK || (!brk && h.prev_size) ||
			glibc_chunk_size(h.head) > range->end - at ||
			!is_segment(g, arena, at, range->end, &region)) {
			at += step;
			if (!glibc_may_waste(g, 0))
				break;
			continue;
		}
		if (!walk_segment(g, &region))
			return false;
		at = hf_align_up(region.end, step);
	}
	return true;
}

static bool walk_scattered(struct glibc *g, struct glibc_arena *arena)
{
	struct hf_vec ranges;
	const struct hf_map *brk = brk_map(g);
	hf_vec_init(&ranges, sizeof(struct hf_walk_range));
	bool ok = glibc_unclaimed(g, &ranges);
	for (size_t i = 0; ok && i < ranges.n; i++) {
		const struct hf_walk_range *range = hf_vec_at(&ranges, i);
		bool is_brk = brk && range->start < brk->end && range->end > brk->start;
		ok = scan_for_segments(g, arena, range, is_brk);
	}
	hf_vec_deinit(&ranges);
	if (ok && arena->spans < arena->system_mem)
		hf_walk_finding(g->walk, HF_INFO, arena->addr,
			"glibc arena %u: %lu of %lu bytes of its scattered memory found", arena->id,
			arena->spans, arena->system_mem);
	return ok;
}

/* The main heap begins with the first thread's tcache, and its chunks lead to the end of its
 * mapping, or to where the memory ends that is there. */
static bool walk_lost_heap(
	struct glibc *g, struct glibc_arena *arena, const struct hf_walk_range *range)
{
	struct glibc_header h;
	struct glibc_region region = {.arena = arena, .start = range->start};
	if (!glibc_read_header(&g->probe, range->start, &h) || h.prev_size ||
		h.head != (g->layout->tcache_chunk[0] | GLIBC_PREV_INUSE))
		return true;
	glibc_follow(g, arena, range->start, range->end, &region.end);
	if (region.end - range->start <= glibc_chunk_size(h.head))
		return true;
	uint64_t top = region.end == range->end ? find_top(g, range->start, range->end) : 0;
	region.limit = top ? top : region.end;
	region.ends_in_top = top != 0;
	arena->top = top;
	arena->top_size = top ? range->end - top : 0;
	return walk_segment(g, &region);
}

static bool walk_lost(struct glibc *g)
{
	struct hf_vec ranges;
	struct hf_walk_arena *out = hf_vec_push(&g->walk->arenas);
	struct glibc_arena *main = out ? hf_vec_push(&g->arenas) : NULL;
	if (!main)
		return false;
	*out = (struct hf_walk_arena){.allocator = g->name, .kind = HF_ARENA_MAIN};
	*main = (struct glibc_arena){.id = (uint32_t)g->walk->arenas.n - 1, .is_main = true};
	main->broken = true;
	g->incomplete = true;
	hf_walk_finding(g->walk, HF_PARTIAL, 0,
		"glibc: the C library's data is not there or not sound; heaps were found by their "
		"shape, and "
		"cached "
		"chunks may count as live");
	add_by_shape(g);
	for (size_t i = 1; i < g->arenas.n; i++) {
		if (!walk_thread_arena(g, glibc_arena_at(g, i)))
			return false;
	}
	hf_vec_init(&ranges, sizeof(struct hf_walk_range));
	bool ok = glibc_unclaimed(g, &ranges);
	for (size_t i = 0; ok && i < ranges.n; i++)
		ok = walk_lost_heap(g, glibc_arena_at(g, 0), hf_vec_at(&ranges, i));
	hf_vec_deinit(&ranges);
	return ok;
}

bool glibc_walk_heaps(struct glibc *g)
{
	if (g->lost)
		return walk_lost(g);
	if (!list_arenas(g))
		return false;
	glibc_find_busy(g);
	for (size_t i = 1; i < g->arenas.n; i++) {
		if (!walk_thread_arena(g, glibc_arena_at(g, i)))
			return false;
	}
	/* Last, so that its scattered memory is looked for only in what is left. */
	struct glibc_arena *main = glibc_arena_at(g, 0);
	if (main->top == main->bins - 16)
		return true; /* nothing was ever allocated from it */
	return main->flags & GLIBC_NONCONTIGUOUS ? walk_scattered(g, main)
						 : walk_contiguous(g, main);
}
