/*
 * Chunks with a mapping of their own. malloc keeps no list of them, only their number and size, so
 * the pages of anonymous memory that is nothing else are looked at: a header at the start of a page
 * with nothing but IS_MMAPPED set, a size of whole pages that fits.
 *
 * memalign() moves the header to where the aligned object is and leaves the old one behind, stale;
 * realloc() may then resize the mapping, so that the stale header's size is wrong too. The true
 * header is the one whose prev_size leads back to the start of the mapping.
 */
#include "base/checked.h"
#include "walk/glibc.h"

struct mmapped {
	uint64_t chunk, start, end, usable;
};

static bool is_mmapped_head(uint64_t head)
{
	return (head & (GLIBC_FLAGS | 8)) == GLIBC_MMAPPED &&
	       glibc_chunk_size(head) >= GLIBC_MIN_CHUNK;
}

/* A chunk at `chunk` in a mapping that starts at `start`: does its size end on a page before limit?
 */
static bool fits(const struct glibc *g, uint64_t start, uint64_t chunk,
	const struct glibc_header *h, uint64_t limit, struct mmapped *ret)
{
	uint64_t like_heap = g->layout->mmapped_size_like_heap ? GLIBC_HEADER : 0;
	uint64_t size = glibc_chunk_size(h->head), end;
	if (!is_mmapped_head(h->head) || !hf_add_u64(chunk, size, &end) ||
		!hf_add_u64(end, like_heap, &end) || end % HF_PAGE || end > limit)
		return false;
	*ret = (struct mmapped){chunk, start, end, size - (like_heap ? 8 : GLIBC_HEADER)};
	return true;
}

static bool try_moved(
	struct glibc *g, uint64_t start, uint64_t chunk, uint64_t limit, struct mmapped *ret)
{
	const uint64_t huge = g->layout->mmapped_size_like_heap ? 1 : 0;
	struct glibc_header h;
	return glibc_read_header(&g->probe, chunk, &h) && (h.prev_size & ~huge) == chunk - start &&
	       fits(g, start, chunk, &h, limit, ret);
}

/* The moved header of the mapping at `start`, before `end`, if there is one. With alignments up to
 * a page it is in the first page; with larger ones, 16 bytes before a later page. */
static bool find_moved(
	struct glibc *g, uint64_t start, uint64_t end, uint64_t limit, struct mmapped *ret)
{
	uint64_t first = glibc_min(start + HF_PAGE, end);
	for (uint64_t at = start + GLIBC_HEADER; at < first; at += GLIBC_HEADER) {
		if (try_moved(g, start, at, limit, ret))
			return true;
	}
	for (uint64_t page = start + 2 * HF_PAGE; page < end; page += HF_PAGE) {
		uint64_t at = page - GLIBC_HEADER;
		if (!hf_reader_seek(&g->probe, at)) {
			/* What is missing may end within the page, in a core that was cut. */
			uint64_t next = hf_align_down(g->probe.win.end, HF_PAGE);
			page = next > page ? next : page;
			continue;
		}
		if (try_moved(g, start, at, limit, ret))
			return true;
	}
	return false;
}

/* A mmapped chunk whose mapping starts at this page? */
static bool chunk_at_page(struct glibc *g, uint64_t page, struct mmapped *ret)
{
	const uint64_t huge = g->layout->mmapped_size_like_heap ? 1 : 0;
	struct glibc_header h;
	if (!glibc_read_header(&g->reader, page, &h) || (h.prev_size & ~huge) ||
		!is_mmapped_head(h.head))
		return false;
	const uint64_t limit = glibc_unbroken_unclaimed(g, page);
	bool whole = fits(g, page, page, &h, limit, ret);
	uint64_t size = glibc_chunk_size(h.head);
	uint64_t end = whole ? ret->end : size < limit - page ? page + size : limit;
	struct mmapped moved;
	if (find_moved(g, page, end, limit, &moved)) {
		*ret = moved;
		return true;
	}
	if (!whole)
		glibc_may_waste(g, (end - page) / HF_PAGE);
	return whole;
}

static bool record(struct glibc *g, const struct mmapped *m)
{
	if (!hf_index_add_single(
		    g->walk->index, m->chunk + GLIBC_HEADER, m->usable, g->mmapped_id) ||
		!hf_walk_range(&g->walk->heaps, m->start, m->end))
		return false;
	g->n_mmapped++;
	g->mmapped_bytes += m->end - m->start;
	g->mmapped_usable += m->usable;
	return true;
}

static bool all_found(const struct glibc *g)
{
	return g->mp && g->n_mmapped == g->n_mmaps &&
	       (g->layout->mmapped_size_like_heap || g->mmapped_bytes == g->mmapped_mem);
}

/* *end: of the last chunk, which may reach over the stack of a thread into further ranges. */
static bool scan_range(struct glibc *g, const struct hf_walk_range *range, uint64_t *end)
{
	const uint64_t start = range->start > *end ? range->start : *end;
	for (uint64_t page = hf_align_up(start, HF_PAGE); page < range->end;) {
		if (!hf_reader_seek(&g->reader, page)) {
			page = hf_align_up(g->reader.win.end, HF_PAGE);
			continue;
		}
		struct mmapped found;
		if (!chunk_at_page(g, page, &found)) {
			page += HF_PAGE;
			if (!glibc_may_waste(g, 0))
				return true;
			continue;
		}
		if (!record(g, &found))
			return false;
		if (all_found(g))
			return true;
		page = *end = found.end;
	}
	return true;
}

bool glibc_walk_mmapped(struct glibc *g)
{
	struct hf_walk_arena *out = hf_vec_push(&g->walk->arenas);
	if (!out)
		return false;
	*out = (struct hf_walk_arena){.allocator = g->name, .kind = HF_ARENA_MMAPPED};
	g->mmapped_id = (uint32_t)g->walk->arenas.n - 1;
	struct hf_vec ranges;
	hf_vec_init(&ranges, sizeof(struct hf_walk_range));
	bool ok = glibc_unclaimed(g, &ranges);
	uint64_t end = 0;
	for (size_t i = 0; ok && i < ranges.n && !all_found(g); i++)
		ok = scan_range(g, hf_vec_at(&ranges, i), &end);
	hf_vec_deinit(&ranges);
	return ok;
}
