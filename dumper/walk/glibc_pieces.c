#include "base/checked.h"
#include "base/team.h"
#include "walk/glibc_chunks.h"

enum {
	PIECE_BYTES = 8 << 20,
	SEARCH_BYTES = 256 << 10, /* in which a piece's first chunk is looked for */
};

struct piece {
	uint64_t first; /* the chunk that it was begun with; 0: none was found */
	uint64_t at, prev;
	struct glibc_chunk_counts counts;
	size_t like_first, like_end; /* of the member's tcache_like */
	uint32_t member;
};

struct member {
	struct glibc_pieces *all;
	uint32_t number;
	size_t piece;
	struct hf_mem *mem;
	struct hf_reader reader, probe;
	struct hf_vec tcache_like;
};

struct glibc_pieces {
	struct hf_team team;
	const struct chunk_walk *walk;
	uint64_t base, bytes; /* piece i starts at base + i * bytes, which is the start of a cell */
	size_t n, next;       /* next: while they are walked the next to take, then to go to */
	struct piece *pieces;
	size_t pieces_size;
	struct member members[HF_TEAM_MAX];
};

static uint64_t start_of(const struct glibc_pieces *p, size_t i)
{
	return p->base + i * p->bytes;
}

static bool take(void *list, void *ptr)
{
	struct glibc_pieces *p = list;
	((struct member *)ptr)->piece = p->next;
	return p->next < p->n && ++p->next;
}

/* A chunk behind one that is in use, from which a chain goes on; 0 if there is none near. */
static uint64_t find_first(struct chunk_walk *w, uint64_t from)
{
	const uint64_t to = glibc_min(w->until, from + SEARCH_BYTES);
	for (uint64_t at = from; at < to; at += HF_GRANULE) {
		struct glibc_header h;
		if (!glibc_read_header(w->probe, at, &h))
			return 0;
		if ((h.head & GLIBC_PREV_INUSE) && glibc_chain_holds(w, at, GLIBC_RESYNC_CHUNKS, 0))
			return at;
	}
	return 0;
}

static void work(void *ptr)
{
	struct member *m = ptr;
	const struct glibc_pieces *p = m->all;
	struct piece *piece = &p->pieces[m->piece];
	struct chunk_walk w = *p->walk;
	w.reader = &m->reader;
	w.probe = &m->probe;
	w.tcache_like = &m->tcache_like;
	w.until = m->piece + 1 < p->n ? start_of(p, m->piece + 1) : p->walk->region->limit;
	w.at = m->piece ? find_first(&w, start_of(p, m->piece)) : p->walk->at;
	*piece = (struct piece){.first = w.at, .like_first = m->tcache_like.n, .member = m->number};
	if (w.at)
		glibc_run(&w);
	if (!w.prev)
		piece->first = 0;
	piece->at = w.at;
	piece->prev = w.prev;
	piece->counts = w.counts;
	piece->like_end = m->tcache_like.n;
}

static void dismiss(struct glibc_pieces *p, struct hf_mem *mem)
{
	for (size_t i = 0; i < p->team.n_members; i++) {
		struct member *m = &p->members[i];
		hf_reader_deinit(&m->reader);
		hf_reader_deinit(&m->probe);
		hf_vec_deinit(&m->tcache_like);
		hf_mem_destroy_twin(m->mem, mem);
	}
}

static void muster(struct glibc_pieces *p, struct hf_mem *mem)
{
	const size_t size = hf_team_size();
	p->team = (struct hf_team){.take = take, .work = work, .list = p};
	for (size_t i = 0; i < size; i++) {
		struct member *m = &p->members[i];
		struct hf_mem *own = i ? hf_mem_twin(mem) : mem;
		if (!own)
			break;
		*m = (struct member){.all = p, .number = (uint32_t)i, .mem = own};
		hf_reader_init(&m->reader, own);
		hf_reader_init(&m->probe, own);
		hf_vec_init(&m->tcache_like, sizeof(uint64_t));
		p->team.members[p->team.n_members++] = m;
	}
}

struct glibc_pieces *glibc_pieces_walk(const struct chunk_walk *w)
{
	const struct hf_walk *walk = w->g->walk;
	const struct glibc_region *region = w->region;
	const uint64_t bytes = walk->piece_bytes ? walk->piece_bytes : PIECE_BYTES;
	if (region->limit - region->start < 2 * bytes || (!walk->piece_bytes && hf_team_size() < 2))
		return NULL;
	const size_t n = (region->limit - region->start) / bytes;
	const size_t size = sizeof(struct glibc_pieces) + n * sizeof(struct piece);
	struct glibc_pieces *p = hf_page_alloc_spare(size);
	if (!p)
		return NULL;
	p->base = region->start;
	p->bytes = bytes;
	p->n = n;
	p->walk = w;
	p->pieces = (struct piece *)(p + 1);
	p->pieces_size = size;
	muster(p, walk->mem);
	hf_team_run(&p->team);
	p->next = 0;
	return p;
}

void glibc_pieces_free(struct glibc_pieces *p)
{
	if (!p)
		return;
	dismiss(p, p->walk->g->walk->mem);
	hf_page_free(p, p->pieces_size);
}

static void accept(struct chunk_walk *w, const struct piece *piece)
{
	const struct hf_vec *like = &w->pieces->members[piece->member].tcache_like;
	glibc_close_chunk(w, true);
	w->at = piece->at;
	w->prev = piece->prev;
	w->counts.n_chunks += piece->counts.n_chunks;
	w->counts.chunk_bytes += piece->counts.chunk_bytes;
	w->counts.n_free += piece->counts.n_free;
	w->counts.free_bytes += piece->counts.free_bytes;
	for (size_t i = piece->like_first; i < piece->like_end; i++) {
		uint64_t *slot = hf_vec_push(w->tcache_like);
		if (slot)
			*slot = *(uint64_t *)hf_vec_at(like, i);
	}
}

/* What piece i has marked: from its first chunk on, below the start of the next piece. */
static void undo(struct chunk_walk *w, size_t i)
{
	const struct glibc_pieces *p = w->pieces;
	const uint64_t limit = i + 1 < p->n ? start_of(p, i + 1) : w->region->limit;
	const uint64_t granule = (p->pieces[i].first - p->base) / HF_GRANULE;
	const uint64_t end = (limit - p->base + HF_CELL_BYTES - 1) / HF_CELL_BYTES;
	uint64_t kept = ~(~0ull << granule % 64);
	for (uint64_t k = granule / 64; k < end; k++, kept = 0) {
		w->cells[k].starts &= kept;
		w->cells[k].live &= kept;
	}
}

/* The first piece that was walked of those to come is where the walk stops next. */
static void stop_at_next(struct chunk_walk *w)
{
	struct glibc_pieces *p = w->pieces;
	while (p->next < p->n && !p->pieces[p->next].first)
		p->next++;
	w->until = p->next < p->n ? p->pieces[p->next].first : w->region->limit;
}

void glibc_pieces_take(struct chunk_walk *w)
{
	struct glibc_pieces *p = w->pieces;
	for (stop_at_next(w); p->next < p->n && w->at >= w->until; stop_at_next(w)) {
		const size_t i = p->next++;
		if (w->at == p->pieces[i].first)
			accept(w, &p->pieces[i]);
		else
			undo(w, i);
	}
}

void glibc_pieces_undo(struct chunk_walk *w, uint64_t addr)
{
	struct glibc_pieces *p = w->pieces;
	for (stop_at_next(w); p->next < p->n && addr >= w->until; stop_at_next(w))
		undo(w, p->next++);
}
