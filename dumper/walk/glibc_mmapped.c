/*
 * Chunks with a mapping of their own. malloc keeps no list of them, only their number and size, so
 * the pages of anonymous memory that is nothing else are looked at: a header at the start of a page
 * with nothing but IS_MMAPPED set, a size of whole pages that fits.
 *
 * memalign() moves the header to where the aligned object is and leaves the old one behind, stale;
 * realloc() may then resize the mapping, so that the stale header's size is wrong too. The true
 * header is the one whose prev_size leads back to the start of the mapping.
 *
 * Memory that a program maps for itself may look the same by chance (a JVM's metaspace does).
 * malloc knows how many there are and how much they are together: if some are too many, and it can
 * only be certain ones, these are left out.
 */
#include "base/checked.h"
#include "walk/glibc.h"

struct mmapped {
	uint64_t chunk, start, end, usable;
};

enum {
	MAX_STRANGERS = 8,
	MAX_CHOICES = 1 << 22, /* tens of milliseconds */
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

/* Bytes of data, of n, before the first 16 that are not all `fill`. */
static uint64_t filled(const uint8_t *data, uint64_t n, uint8_t fill)
{
	const uint64_t pattern = fill * 0x0101010101010101u;
	uint64_t at = 0, words[2];
	for (; at + sizeof(words) <= n; at += sizeof(words)) {
		memcpy(words, data + at, sizeof(words));
		if (words[0] != pattern || words[1] != pattern)
			break;
	}
	return at;
}

/* The moved header of the mapping at `start`, before `end`, if there is one. Nobody has written
 * between the old header and it: there is what mmap() gave, zeros, or what M_PERTURB fills memory
 * with. So it is the first that is anything else. Pages that a core does not have count as either.
 */
static bool find_moved(
	struct glibc *g, uint64_t start, uint64_t end, uint64_t limit, struct mmapped *ret)
{
	uint8_t fill = 0;
	glibc_peek(g, start + GLIBC_HEADER, &fill, 1);
	for (uint64_t at = start + GLIBC_HEADER; at < end;) {
		if (!hf_reader_seek(&g->probe, at)) {
			/* What is missing may end within a page, in a core that was cut. */
			at = hf_align_up(g->probe.win.end, GLIBC_HEADER);
			continue;
		}
		const struct hf_window *win = &g->probe.win;
		const uint64_t n = glibc_min(win->end, end) - at;
		const uint64_t same = filled(win->data + (at - win->start), n, fill);
		at += same;
		if (same != n)
			return try_moved(g, start, at, limit, ret);
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

static bool note(struct glibc *g, struct hf_vec *found, const struct mmapped *m)
{
	struct mmapped *place = hf_vec_push(found);
	if (!place)
		return false;
	*place = *m;
	g->n_mmapped++;
	g->mmapped_bytes += m->end - m->start;
	return true;
}

/* Are `bytes`, of whole pages, what malloc says? From 2.43 on its figure drifts with each mremap.
 */
static bool is_counted(const struct glibc *g, uint64_t bytes)
{
	const uint64_t drift = g->layout->mmapped_size_like_heap ? HF_PAGE / 2 - 1 : 0;
	return bytes + drift - g->mmapped_mem <= 2 * drift;
}

/* Where a thread may be about to count one, or to unmap one that it no longer counts, that one may
 * stand for another of its size. */
static bool all_found(const struct glibc *g)
{
	return g->mp && !g->busy && g->n_mmapped == g->n_mmaps && is_counted(g, g->mmapped_bytes);
}

/* *end: of the last chunk, which may reach over the stack of a thread into further ranges. */
static bool scan_range(
	struct glibc *g, const struct hf_walk_range *range, uint64_t *end, struct hf_vec *chunks)
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
		if (!note(g, chunks, &found))
			return false;
		if (all_found(g))
			return true;
		page = *end = found.end;
	}
	return true;
}

/* The next choice of k of n in order, as ascending indexes. False: it was the last. */
static bool next_choice(size_t *choice, size_t k, size_t n)
{
	for (size_t i = k; i-- > 0;) {
		if (choice[i] + (k - i) >= n)
			continue;
		choice[i]++;
		for (size_t j = i + 1; j < k; j++)
			choice[j] = choice[j - 1] + 1;
		return true;
	}
	return false;
}

/* The only k suspects (struct mmapped *) without which the others are as many bytes as malloc says.
 * False: there are none, several, or it would take too long to know. */
static bool only_choice(
	const struct glibc *g, const struct hf_vec *suspects, size_t k, struct mmapped **ret)
{
	size_t choice[MAX_STRANGERS];
	unsigned n_right = 0, n_tried = 0;
	if (suspects->n < k)
		return false;
	for (size_t i = 0; i < k; i++)
		choice[i] = i;
	do {
		struct mmapped *chosen[MAX_STRANGERS];
		uint64_t left = g->mmapped_bytes;
		for (size_t i = 0; i < k; i++) {
			chosen[i] = *(struct mmapped **)hf_vec_at(suspects, choice[i]);
			left -= chosen[i]->end - chosen[i]->start;
		}
		if (!is_counted(g, left))
			continue;
		n_right++;
		memcpy(ret, chosen, k * sizeof(*ret));
	} while (n_right < 2 && n_tried++ < MAX_CHOICES && next_choice(choice, k, suspects->n));
	return n_right == 1 && n_tried <= MAX_CHOICES;
}

/* In the midst of a mapping, next to no other chunk? */
static bool is_lonely(const struct glibc *g, const struct hf_vec *chunks, size_t i)
{
	const struct mmapped *m = hf_vec_at(chunks, i);
	const struct mmapped *before = i > 0 ? hf_vec_at(chunks, i - 1) : NULL;
	const struct mmapped *after = i + 1 < chunks->n ? hf_vec_at(chunks, i + 1) : NULL;
	const struct hf_map *map = hf_maps_find(g->walk->maps, m->start);
	return map && map->start != m->start && !(before && before->end == m->start) &&
	       !(after && after->start == m->end);
}

static bool choose_strangers(const struct glibc *g, const struct hf_vec *chunks, bool lonely,
	size_t k, struct mmapped **ret)
{
	struct hf_vec suspects;
	hf_vec_init(&suspects, sizeof(struct mmapped *));
	bool ok = true;
	for (size_t i = 0; ok && i < chunks->n; i++) {
		if (lonely && !is_lonely(g, chunks, i))
			continue;
		struct mmapped **suspect = hf_vec_push(&suspects);
		ok = suspect;
		if (ok)
			*suspect = hf_vec_at(chunks, i);
	}
	ok = ok && only_choice(g, &suspects, k, ret);
	hf_vec_deinit(&suspects);
	return ok;
}

static void leave_out_strangers(struct glibc *g, const struct hf_vec *chunks)
{
	struct mmapped *strangers[MAX_STRANGERS];
	uint64_t k = g->n_mmapped - g->n_mmaps;
	if (!g->mp || g->n_mmapped <= g->n_mmaps || k > MAX_STRANGERS)
		return;
	const bool lonely_first = !g->busy;
	if (!(lonely_first && choose_strangers(g, chunks, true, k, strangers)) &&
		!choose_strangers(g, chunks, false, k, strangers))
		return;
	for (size_t i = 0; i < k; i++) {
		g->n_mmapped--;
		g->mmapped_bytes -= strangers[i]->end - strangers[i]->start;
		strangers[i]->usable = 0;
	}
}

static bool record(struct glibc *g, const struct hf_vec *chunks)
{
	for (size_t i = 0; i < chunks->n; i++) {
		const struct mmapped *m = hf_vec_at(chunks, i);
		if (!m->usable) /* a stranger */
			continue;
		if (!hf_index_add_single(
			    g->walk->index, m->chunk + GLIBC_HEADER, m->usable, g->mmapped_id) ||
			!hf_walk_range(&g->walk->heaps, m->start, m->end))
			return false;
		g->mmapped_usable += m->usable;
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
	struct hf_vec ranges, chunks;
	hf_vec_init(&ranges, sizeof(struct hf_walk_range));
	hf_vec_init(&chunks, sizeof(struct mmapped));
	bool ok = glibc_unclaimed(g, &ranges);
	uint64_t end = 0;
	for (size_t i = 0; ok && i < ranges.n && !all_found(g); i++)
		ok = scan_range(g, hf_vec_at(&ranges, i), &end, &chunks);
	if (ok)
		leave_out_strangers(g, &chunks);
	ok = record(g, &chunks) && ok;
	hf_vec_deinit(&chunks);
	hf_vec_deinit(&ranges);
	return ok;
}
