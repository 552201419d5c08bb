#include "base/checked.h"
#include "walk/glibc.h"

#include <string.h>

static int by_start(const void *a, const void *b)
{
	const struct hf_walk_range *x = a, *y = b;
	return (x->start > y->start) - (x->start < y->start);
}

/* Could malloc have got this memory from the system? */
static bool is_private(const struct hf_map *map)
{
	return hf_map_is_anonymous(map) && !(map->perms & HF_PERM_SHARED) &&
	       strncmp(map->path, "[stack", 6) != 0;
}

static bool is_candidate(const struct hf_map *map)
{
	return is_private(map) && (map->perms & HF_PERM_R) && (map->perms & HF_PERM_W);
}

/* Static data: the .bss of a module is anonymous memory too. */
static bool cut_images(struct glibc *g)
{
	const struct hf_images *images = g->walk->images;
	for (size_t i = 0; i < hf_images_count(images); i++) {
		const struct hf_image *image = hf_images_at(images, i);
		for (uint32_t s = 0; s < image->n_segments; s++) {
			const struct hf_segment *segment = &image->segments[s];
			if (segment->end > segment->start &&
				!hf_walk_range(&g->cuts, hf_align_down(segment->start, HF_PAGE),
					hf_align_up(segment->end, HF_PAGE)))
				return false;
		}
	}
	return true;
}

/* Live stacks of threads: what lies between the stack pointer and the thread's TLS. */
static bool cut_stacks(struct glibc *g)
{
	for (size_t i = 0; i < g->walk->n_threads; i++) {
		const struct hf_walk_thread *thread = &g->walk->threads[i];
		const struct hf_walk_range *span = thread->sp ? glibc_span_of(g, thread->sp) : NULL;
		if (!span || thread->tp <= thread->sp || thread->tp >= span->end)
			continue;
		if (!hf_walk_range(&g->cuts, hf_align_down(thread->sp, HF_PAGE),
			    hf_align_up(thread->tp + 1, HF_PAGE)))
			return false;
	}
	return true;
}

bool glibc_spans_init(struct glibc *g)
{
	/* A heap may span several mappings (huge pages, memory policies, names): merge neighbours.
	 */
	const struct hf_maps *maps = g->walk->maps;
	struct hf_walk_range *last = NULL;
	for (size_t i = 0; i < hf_maps_count(maps); i++) {
		const struct hf_map *map = hf_maps_at(maps, i);
		if (!is_candidate(map))
			continue;
		if (last && last->end == map->start) {
			last->end = map->end;
			continue;
		}
		last = hf_vec_push(&g->spans);
		if (!last)
			return false;
		*last = (struct hf_walk_range){map->start, map->end};
	}
	for (size_t i = 0; i < g->walk->n_own; i++) {
		if (g->walk->own[i].end > g->walk->own[i].start &&
			!hf_walk_range(&g->cuts, g->walk->own[i].start, g->walk->own[i].end))
			return false;
	}
	return cut_images(g) && cut_stacks(g);
}

const struct hf_walk_range *glibc_span_of(const struct glibc *g, uint64_t addr)
{
	size_t lo = 0, hi = g->spans.n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct hf_walk_range *span = hf_vec_at(&g->spans, mid);
		if (addr < span->start)
			hi = mid;
		else if (addr >= span->end)
			lo = mid + 1;
		else
			return span;
	}
	return NULL;
}

uint64_t glibc_unbroken(const struct glibc *g, uint64_t addr)
{
	const struct hf_maps *maps = g->walk->maps;
	const struct hf_map *map = hf_maps_find(maps, addr);
	const struct hf_map *last =
		hf_maps_count(maps) ? hf_maps_at(maps, hf_maps_count(maps) - 1) : NULL;
	for (; map && is_private(map); map = map < last && map[1].start == addr ? map + 1 : NULL)
		addr = map->end;
	return addr;
}

static bool is_stack(const struct glibc *g, const struct hf_walk_range *cut)
{
	for (size_t i = 0; i < g->walk->n_threads; i++) {
		const struct hf_walk_thread *thread = &g->walk->threads[i];
		if (thread->sp >= cut->start && thread->tp > thread->sp && thread->tp < cut->end)
			return true;
	}
	return false;
}

uint64_t glibc_unbroken_unclaimed(const struct glibc *g, uint64_t addr)
{
	uint64_t end = glibc_unbroken(g, addr);
	for (size_t i = 0; i < g->cuts.n; i++) {
		const struct hf_walk_range *cut = hf_vec_at(&g->cuts, i);
		if (cut->start >= end)
			break;
		if (cut->start >= addr && !is_stack(g, cut))
			return cut->start;
	}
	return end;
}

void glibc_claim(struct glibc *g, uint64_t start, uint64_t end)
{
	if (end > start && !hf_walk_range(&g->cuts, start, end))
		g->incomplete = true;
}

bool glibc_unclaimed(struct glibc *g, struct hf_vec *ret)
{
	hf_sort(g->cuts.data, g->cuts.n, g->cuts.elem, by_start);
	ret->n = 0;
	size_t c = 0;
	for (size_t i = 0; i < g->spans.n; i++) {
		const struct hf_walk_range *span = hf_vec_at(&g->spans, i);
		uint64_t at = span->start;
		/* Cuts may overlap each other and reach over several spans. */
		for (; c < g->cuts.n; c++) {
			const struct hf_walk_range *cut = hf_vec_at(&g->cuts, c);
			if (cut->start >= span->end)
				break;
			if (cut->start > at && !hf_walk_range(ret, at, cut->start))
				return false;
			at = glibc_max(at, cut->end);
			if (cut->end > span->end)
				break;
		}
		if (at < span->end && !hf_walk_range(ret, at, span->end))
			return false;
	}
	return true;
}

bool glibc_may_waste(struct glibc *g, uint64_t n)
{
	bool before = g->wasted > GLIBC_MAX_WASTED;
	g->wasted += n;
	if (!before && g->wasted > GLIBC_MAX_WASTED) {
		g->incomplete = true;
		hf_walk_finding(g->walk, HF_PARTIAL, 0,
			"glibc: too much memory looks like a heap and is none; stopped looking for "
			"scattered heaps and mapped chunks");
	}
	return g->wasted <= GLIBC_MAX_WASTED;
}
