/*
 * The chunk loop. Every chunk of a region gets a start in the index; its life is told by the
 * PREV_INUSE bit of the chunk behind it, so the loop marks the chunk before the one at hand and
 * reads 16 bytes a chunk.
 *
 * What the loop does not like (glibc_region's fences, a header that cannot be, a footer that does
 * not agree) goes to fix(), which knows the states that an operation under way leaves behind and
 * finds the chain again after damage. Progress is always forward, so damage costs a scan of what it
 * covers, not more.
 */
#include "walk/glibc_chunks.h"

enum {
	TRANSIENT_CHUNKS = 4, /* that must parse where only a footer disagrees */
	MAX_FENCES = 3,
	GUESS_BUDGET = 1 << 24, /* header reads a region */
	PREFETCH_BYTES = 2048,
};

static inline struct hf_index_cell *cell_at(
	const struct chunk_walk *w, uint64_t chunk, uint64_t *ret_bit)
{
	uint64_t granule = (chunk - w->region->start) / HF_GRANULE;
	*ret_bit = 1ull << (granule % 64);
	return &w->cells[granule / 64];
}

static void mark_start(struct chunk_walk *w, uint64_t chunk)
{
	uint64_t bit;
	if (w->pieces)
		glibc_pieces_undo(w, chunk);
	struct hf_index_cell *cell = cell_at(w, chunk, &bit);
	cell->starts |= bit;
}

static void mark_life(struct chunk_walk *w, uint64_t chunk, bool live)
{
	uint64_t bit;
	struct hf_index_cell *cell = cell_at(w, chunk, &bit);
	cell->live = live ? cell->live | bit : cell->live & ~bit;
}

/* A chunk of size bytes starts at w->at; the chunk before it is closed. */
static void open_chunk(struct chunk_walk *w, uint64_t size)
{
	const struct hf_glibc_layout *layout = w->g->layout;
	mark_start(w, w->at);
	if (size >= layout->tcache_chunk[0] && size <= layout->tcache_chunk[1]) {
		uint64_t *slot = hf_vec_push(w->tcache_like);
		if (slot)
			*slot = w->at + GLIBC_HEADER;
	}
	w->prev = w->at;
	w->at += size;
}

void glibc_close_chunk(struct chunk_walk *w, bool live)
{
	if (!w->prev)
		return;
	uint64_t size = w->at - w->prev;
	mark_life(w, w->prev, live);
	w->counts.n_chunks++;
	w->counts.chunk_bytes += size;
	if (!live) {
		w->counts.n_free++;
		w->counts.free_bytes += size;
	}
	w->prev = 0;
}

enum glibc_stop glibc_run(struct chunk_walk *w)
{
	struct hf_reader *r = w->reader;
	const uint64_t until = w->until, limit = w->region->limit, base = w->region->start;
	const uint64_t cached = w->g->layout->tcache_chunk[0],
		       spread = w->g->layout->tcache_chunk[1] - cached;
	struct hf_index_cell *const cells = w->cells;
	uint64_t at = w->at, prev = w->prev;
	uint64_t n_chunks = 0, n_free = 0, free_bytes = 0;
	const uint64_t first = at;
	enum glibc_stop stop = STOP_UNTIL;

	struct hf_index_cell dummy = {0}, *prev_cell = &dummy;
	unsigned prev_bit = 0;
	if (prev) {
		prev_cell = &cells[(prev - base) / HF_CELL_BYTES];
		prev_bit = (prev - base) / HF_GRANULE % 64;
	}
	uint64_t closed_bytes = prev ? at - prev : 0;
	while (at < until) {
		if (!hf_reader_seek(r, at) || r->win.end - at < GLIBC_HEADER) {
			stop = STOP_ABSENT;
			break;
		}
		const uint8_t *data = r->win.data;
		const uint64_t start = r->win.start;
		const uint64_t end = glibc_min(until, r->win.end - (GLIBC_HEADER - 1));
		bool doubt = false;
		while (at < end) {
			uint64_t prev_size, head;
			/* The next chunk's header is where this one says; the ones after it are
			 * fetched meanwhile. */
			__builtin_prefetch(data + (at - start) + PREFETCH_BYTES);
			memcpy(&prev_size, data + (at - start), 8);
			memcpy(&head, data + (at - start) + 8, 8);
			uint64_t size = glibc_chunk_size(head);
			bool free_before = !(head & GLIBC_PREV_INUSE);
			if (__builtin_expect((head & (8 | GLIBC_MMAPPED)) ||
						     size < GLIBC_MIN_CHUNK || size > limit - at ||
						     (free_before & (prev_size != at - prev)),
				    0)) {
				doubt = true;
				break;
			}
			prev_cell->live |= (head & GLIBC_PREV_INUSE) << prev_bit;
			n_free += free_before;
			free_bytes += free_before ? prev_size : 0;
			uint64_t granule = (at - base) / HF_GRANULE;
			prev_cell = &cells[granule / 64];
			prev_bit = granule % 64;
			prev_cell->starts |= 1ull << prev_bit;
			if (__builtin_expect(size - cached <= spread, 0)) {
				uint64_t *slot = hf_vec_push(w->tcache_like);
				if (slot)
					*slot = at + GLIBC_HEADER;
			}
			n_chunks++;
			prev = at;
			at += size;
		}
		if (doubt) {
			stop = STOP_DOUBT;
			break;
		}
	}
	/* The chunk at prev is still open; those before it are closed. */
	if (n_chunks) {
		w->counts.n_chunks += n_chunks - (w->prev ? 0 : 1);
		w->counts.chunk_bytes += closed_bytes + (prev - first);
		w->counts.n_free += n_free;
		w->counts.free_bytes += free_bytes;
		w->prev = prev;
		w->at = at;
	}
	return stop;
}

static bool plausible(const struct glibc_header *h, uint64_t room)
{
	uint64_t size = glibc_chunk_size(h->head);
	return !(h->head & (8 | GLIBC_MMAPPED)) && size >= GLIBC_MIN_CHUNK && size <= room;
}

static bool is_fence(uint64_t head)
{
	return (head & ~(uint64_t)GLIBC_PREV_INUSE) == GLIBC_HEADER;
}

/* Two fence headers, or the rest of a top chunk too small to be freed before them. */
static bool is_main_fence(struct hf_reader *r, uint64_t at, uint64_t limit)
{
	struct glibc_header a, b;
	return limit - at >= 2 * GLIBC_HEADER && glibc_read_header(r, at, &a) && is_fence(a.head) &&
	       glibc_read_header(r, at + GLIBC_HEADER, &b) &&
	       b.head == (GLIBC_HEADER | GLIBC_PREV_INUSE);
}

bool glibc_chain_holds(struct chunk_walk *w, uint64_t at, unsigned n, uint64_t past)
{
	const struct glibc_region *region = w->region;
	const uint64_t non_main = region->arena->is_main ? 0 : GLIBC_NON_MAIN;
	uint64_t prev = 0, prev_head = 0;
	bool prev_was_free = false;
	for (unsigned i = 0; i < n || at <= past; i++) {
		struct glibc_header h;
		if (past && w->budget)
			w->budget--;
		if (at == past || (past && !w->budget) || at > region->limit ||
			!glibc_read_header(w->probe, at, &h))
			return false;
		bool in_use = h.head & GLIBC_PREV_INUSE;
		if (prev && !in_use && (h.prev_size != at - prev || prev_was_free))
			return false;
		if (prev && in_use && (prev_head & GLIBC_NON_MAIN) != non_main)
			return false;
		if (at == region->limit)
			return i > 0 && at > past;
		if (region->gaps && i > 0 && is_main_fence(w->probe, at, region->limit))
			return at > past;
		if (!plausible(&h, region->limit - at))
			return false;
		prev_was_free = !in_use;
		prev = at;
		prev_head = h.head;
		at += glibc_chunk_size(h.head);
	}
	return true;
}

static void finding(struct chunk_walk *w, enum hf_severity severity, uint64_t at, const char *what,
	uint64_t head, uint64_t to)
{
	if (w->arena->n_resyncs > GLIBC_FINDINGS_A_KIND)
		return;
	hf_walk_finding(w->g->walk, severity, at,
		"glibc arena %u: %s at 0x%lx (size field 0x%lx); went on at 0x%lx", w->arena->id,
		what, at, head, to);
}

/* A start that is no object: what was skipped, fences. */
static void mark_dead(struct chunk_walk *w, uint64_t chunk)
{
	if (chunk < w->region->limit) {
		mark_start(w, chunk);
		mark_life(w, chunk, false);
	}
}

/* The size of the chunk before a header that cannot be is damaged if, from somewhere inside it, a
 * chain of chunks goes past that header without meeting it. (Old headers inside a chunk that was
 * merged from smaller ones do meet it.) */
static bool shorten(struct chunk_walk *w, const struct glibc_header *h)
{
	uint64_t bad = w->at;
	if (!w->prev)
		return false;
	for (uint64_t q = w->prev + GLIBC_MIN_CHUNK; q < bad && w->budget; q += HF_GRANULE) {
		w->budget--;
		if (!hf_reader_seek(w->probe, q)) {
			q = glibc_min(w->g->probe.win.end, bad) - HF_GRANULE;
			continue;
		}
		struct glibc_header first;
		if (!glibc_read_header(w->probe, q, &first) ||
			!plausible(&first, w->region->limit - q) ||
			(!(first.head & GLIBC_PREV_INUSE) && first.prev_size != q - w->prev) ||
			!glibc_chain_holds(w, q, GLIBC_RESYNC_CHUNKS, bad))
			continue;
		w->arena->n_resyncs++;
		finding(w, HF_WARNING, w->prev, "damaged chunk size", h->head, q);
		w->at = q;
		glibc_close_chunk(w, first.head & GLIBC_PREV_INUSE);
		return true;
	}
	return false;
}

/* Does the chunk at q say that a free chunk ends there which starts at the header that cannot be,
 * or at the chunk before it? So it is when a free chunk is being split or merged. */
static bool footer_names(const struct chunk_walk *w, uint64_t q, const struct glibc_header *h)
{
	return !(h->head & GLIBC_PREV_INUSE) &&
	       (h->prev_size == q - w->at || (w->prev && h->prev_size == q - w->prev));
}

/* The chunk behind the free one that is being split or merged at w->at; 0 if there is none. */
static uint64_t find_footer(struct chunk_walk *w)
{
	struct hf_reader *r = w->probe;
	const uint64_t limit = w->region->limit;
	for (uint64_t q = w->at + HF_GRANULE; q < limit && w->budget; w->budget--) {
		struct glibc_header h;
		if (!hf_reader_seek(r, q)) {
			q = glibc_min(r->win.end, limit);
			continue;
		}
		if (glibc_read_header(r, q, &h) && footer_names(w, q, &h) &&
			plausible(&h, limit - q) && glibc_chain_holds(w, q, TRANSIENT_CHUNKS, 0))
			return q;
		q += HF_GRANULE;
	}
	return 0;
}

/* free() merges a chunk of the least size with one behind it and clears the nextsize links of what
 * it makes of them: they lie where the header behind the first was. The new size and the footer are
 * yet to be written. */
static bool header_was_cleared(const struct chunk_walk *w, const struct glibc_header *h)
{
	return glibc_at_work(w->g, w->arena) && w->prev && w->at - w->prev == GLIBC_MIN_CHUNK &&
	       !h->head && !h->prev_size;
}

/* The next place from which chunks agree with each other; the limit if there is none. behind_free:
 * what is before it may be a free chunk that has no footer yet. */
static uint64_t find_chain(struct chunk_walk *w, bool behind_free)
{
	struct hf_reader *r = w->probe;
	const uint64_t limit = w->region->limit;
	uint64_t q = w->at + HF_GRANULE;
	while (q < limit) {
		struct glibc_header h;
		if (!hf_reader_seek(r, q)) {
			q = r->win.end;
			continue;
		}
		if (glibc_read_header(r, q, &h) && (behind_free || (h.head & GLIBC_PREV_INUSE)) &&
			plausible(&h, limit - q) && glibc_chain_holds(w, q, GLIBC_RESYNC_CHUNKS, 0))
			return q;
		q += HF_GRANULE;
	}
	return limit;
}

/* A free chunk being split holds no object; other skipped memory may. */
static void report_resync(
	struct chunk_walk *w, uint64_t from, uint64_t head, uint64_t to, bool transient)
{
	const bool at_work = glibc_at_work(w->g, w->arena);
	enum hf_severity severity = HF_PARTIAL;
	const char *what = "damaged chunk header";
	if (transient) {
		severity = at_work ? HF_INFO : HF_WARNING;
		what = at_work ? "a thread was inside malloc, splitting or merging a chunk"
			       : "chunk being split or merged";
	} else if (w->arena->mutex) {
		severity = HF_WARNING;
		what = "a thread was inside malloc, or damage: chunk header that cannot be";
	}
	if (severity == HF_PARTIAL)
		w->g->incomplete = true;
	finding(w, severity, from, what, head, to);
}

/* Find the chain again behind w->at. A footer is the surest sign; without one, the size of the
 * chunk before is doubted, then the header itself. */
static void resync(struct chunk_walk *w, const struct glibc_header *bad)
{
	const uint64_t from = w->at;
	uint64_t q = find_footer(w);
	const bool merging = !q && header_was_cleared(w, bad);
	const bool transient = q || merging;
	if (!transient && shorten(w, bad))
		return;
	if (!q)
		q = find_chain(w, merging);
	w->arena->n_resyncs++;
	w->arena->skipped_bytes += q - from;
	report_resync(w, from, bad->head, q, transient);
	glibc_close_chunk(w, !merging);
	mark_dead(w, from);
	w->at = q;
	struct glibc_header h;
	if (q < w->region->limit && glibc_read_header(w->probe, q, &h))
		open_chunk(w, glibc_chunk_size(h.head));
}

/* Behind a fence of the main arena: memory of others who called sbrk, then the next stretch of
 * chunks, or the top. */
static void skip_gap(struct chunk_walk *w)
{
	struct hf_reader *r = w->probe;
	const uint64_t limit = w->region->limit;
	uint64_t q = w->at;
	while (q < limit) {
		struct glibc_header h;
		if (!hf_reader_seek(r, q)) {
			q = glibc_min(r->win.end, limit);
			continue;
		}
		if (glibc_read_header(r, q, &h) && plausible(&h, limit - q) &&
			(h.head & GLIBC_FLAGS) == GLIBC_PREV_INUSE &&
			glibc_chain_holds(w, q, GLIBC_RESYNC_CHUNKS, 0))
			break;
		q += HF_GRANULE;
	}
	w->at = glibc_min(q, limit);
}

/* A fence at w->at? Then go past it. */
static bool pass_fence(struct chunk_walk *w, const struct glibc_header *h)
{
	const struct glibc_region *region = w->region;
	if (region->gaps && is_main_fence(w->probe, w->at, region->limit)) {
		glibc_close_chunk(w, h->head & GLIBC_PREV_INUSE);
		for (unsigned i = 0; i < MAX_FENCES && w->at < region->limit; i++) {
			struct glibc_header fence;
			if (!glibc_read_header(w->probe, w->at, &fence) || !is_fence(fence.head))
				break;
			mark_dead(w, w->at);
			w->at += GLIBC_HEADER;
		}
		mark_dead(w, w->at);
		skip_gap(w);
		return true;
	}
	/* The end of a thread's heap whose top was too small to be freed: a header of 32 bytes that
	 * belongs to no arena, then the last fence. */
	if (!region->arena->is_main && !region->ends_in_top &&
		w->at == region->limit - GLIBC_HEADER &&
		glibc_chunk_size(h->head) == GLIBC_MIN_CHUNK && !(h->head & GLIBC_NON_MAIN)) {
		glibc_close_chunk(w, h->head & GLIBC_PREV_INUSE);
		mark_dead(w, w->at);
		w->ended = true;
		return true;
	}
	return false;
}

/* The chunk crosses into the top: it is being cut from the top or freed into it, and its size still
 * or already reaches to the end of the memory. */
static bool cut_at_top(struct chunk_walk *w, const struct glibc_header *h)
{
	const struct glibc_region *region = w->region;
	uint64_t size = glibc_chunk_size(h->head);
	if (!region->ends_in_top || (h->head & (8 | GLIBC_MMAPPED)) || w->at >= region->limit ||
		size <= region->limit - w->at || size != region->end - w->at)
		return false;
	glibc_close_chunk(w, h->head & GLIBC_PREV_INUSE);
	open_chunk(w, region->limit - w->at);
	w->arena->n_transient++;
	return true;
}

static void fix(struct chunk_walk *w)
{
	struct glibc_header h = {0};
	bool read = glibc_read_header(w->probe, w->at, &h);
	if (read && (pass_fence(w, &h) || cut_at_top(w, &h)))
		return;
	if (read && plausible(&h, w->region->limit - w->at) &&
		glibc_chain_holds(w, w->at, TRANSIENT_CHUNKS, 0)) {
		/* Only the footer of the free chunk before it disagrees: it is being freed or
		 * taken, or somebody wrote to freed memory. The headers are sound. */
		bool live = h.head & GLIBC_PREV_INUSE;
		if (w->prev && !live && h.prev_size != w->at - w->prev)
			w->arena->n_transient++;
		glibc_close_chunk(w, live);
		open_chunk(w, glibc_chunk_size(h.head));
		return;
	}
	resync(w, &h);
}

bool glibc_walk_region(struct glibc *g, const struct glibc_region *region)
{
	struct hf_index *index = g->walk->index;
	uint64_t end = region->limit + 2 * GLIBC_HEADER;
	int64_t handle =
		hf_index_add_region(index, region->start + GLIBC_HEADER, end, region->arena->id, 8);
	if (handle < 0) {
		g->incomplete = true;
		return false;
	}
	struct chunk_walk w = {.g = g,
		.arena = region->arena,
		.region = region,
		.cells = hf_index_region_at(index, handle)->cells,
		.reader = &g->reader,
		.probe = &g->probe,
		.tcache_like = &g->tcache_like,
		.until = region->limit,
		.at = region->start,
		.budget = GUESS_BUDGET};
	w.pieces = glibc_pieces_walk(&w);
	while (!w.ended && w.at < region->limit) {
		if (w.pieces)
			glibc_pieces_take(&w);
		if (glibc_run(&w) != STOP_UNTIL)
			fix(&w);
	}
	if (w.pieces)
		glibc_pieces_undo(&w, region->limit);
	glibc_pieces_free(w.pieces);
	if (!w.ended) {
		struct glibc_header h;
		bool read = glibc_read_header(&g->probe, region->limit, &h);
		/* Before a top there is no free chunk; its header may be yet to be written. */
		bool is_told =
			read && (!region->ends_in_top ||
					glibc_chunk_size(h.head) == region->end - region->limit);
		glibc_close_chunk(&w, !is_told || (h.head & GLIBC_PREV_INUSE));
	}
	region->arena->n_chunks += w.counts.n_chunks;
	region->arena->chunk_bytes += w.counts.chunk_bytes;
	region->arena->n_free += w.counts.n_free;
	region->arena->free_bytes += w.counts.free_bytes;
	uint64_t bit;
	cell_at(&w, region->limit, &bit)->starts |= bit;
	region->arena->spans += region->end - region->start;
	return true;
}

bool glibc_follow(struct glibc *g, const struct glibc_arena *arena, uint64_t start, uint64_t limit,
	uint64_t *ret_end)
{
	uint64_t at = start, prev = 0, n = 0;
	for (;; n++) {
		struct glibc_header h;
		*ret_end = at;
		if (at == arena->top)
			return true;
		if (at >= limit || !glibc_read_header(&g->probe, at, &h))
			break;
		if (is_fence(h.head)) {
			if (at > start && is_main_fence(&g->probe, at, limit))
				return true;
			break;
		}
		if (!plausible(&h, limit - at) || (h.head & GLIBC_NON_MAIN) ||
			(!(h.head & GLIBC_PREV_INUSE) && h.prev_size != at - prev))
			break;
		prev = at;
		at += glibc_chunk_size(h.head);
	}
	glibc_may_waste(g, n);
	return false;
}
