/*
 * What the parts of the glibc walker share. Internal to walk/.
 *
 * Order of a walk: find (the structures, by shape), chunks (every region from first chunk to top or
 * fence), mmapped (chunks with a mapping of their own), cache (what is in fastbins and tcaches is
 * free), check (the allocator's own counters against the walk).
 *
 * Thread and signal safety: async-signal-safe; one thread.
 */
#pragma once
#include "walk/glibc_layout.h"
#include "walk/walk.h"

enum {
	GLIBC_MAX_ARENAS = 4096,
	GLIBC_MAX_HEAPS = 1 << 20,  /* of all arenas: 64 TiB */
	GLIBC_FINDINGS_A_KIND = 16, /* then they are only counted */
	GLIBC_MAX_WASTED = 1 << 26, /* reads for what turned out to be no heap */
};

/* One arena: its struct as it was read, and what the walk found. All sizes in bytes. */
struct glibc_arena {
	uint64_t addr, bins, top, top_size, system_mem;
	uint32_t flags, mutex;
	uint32_t id; /* index in walk->arenas */
	bool is_main, broken;

	uint64_t spans;                  /* memory of its regions, headers of heaps included */
	uint64_t free_bytes, n_free;     /* free by the chunk headers, top included */
	uint64_t fast_bytes, n_fast;     /* in fastbins */
	uint64_t cached_bytes, n_cached; /* in tcaches */
	uint64_t n_tcache_structs, tcache_struct_bytes;
	uint64_t n_chunks;    /* all chunks that were walked, top left out */
	uint64_t chunk_bytes; /* theirs */
	uint64_t n_resyncs, skipped_bytes;
	uint64_t n_transient; /* chunks in a state that only an operation under way leaves */
};

struct glibc_tcache {
	uint64_t addr; /* of the struct, a user address */
	bool by_tls;
};

struct glibc {
	struct hf_walk *walk;
	const struct hf_glibc_layout *layout;
	unsigned minor; /* 0: unknown */
	const char *name;
	int64_t image; /* that holds main_arena */
	uint64_t main_bins, main_arena;
	uint64_t mp; /* 0: not found */
	uint32_t n_mmaps;
	uint64_t mmapped_mem, sbrk_base, hp_pagesize, tcache_count;

	struct hf_reader reader; /* of the chunk loop */
	struct hf_reader probe;  /* of everything else */

	struct hf_vec arenas;      /* of struct glibc_arena; the main arena first */
	struct hf_vec spans;       /* of struct hf_walk_range: anonymous writable memory */
	struct hf_vec cuts;        /* of struct hf_walk_range: what is no candidate for a heap */
	struct hf_vec tcache_like; /* of uint64_t: user addresses of chunks of a tcache's size */
	struct hf_vec tcaches;     /* of struct glibc_tcache */

	uint32_t mmapped_id; /* index in walk->arenas */
	uint64_t n_mmapped, mmapped_bytes, mmapped_usable;
	uint64_t n_mmapped_cached, mmapped_cached_bytes;
	uint64_t wasted; /* reads for what turned out to be no heap */
	bool incomplete; /* a part could not be walked */
	bool lost; /* main_arena is not there (a cut core) or not to be known: heaps are found by
		    * shape
		    */
	bool busy; /* a thread may be inside malloc */
	bool lockless; /* the only thread, which takes no locks, may be inside malloc */
};

/* walk_glibc.c: the struct itself; nothing is read. */
void glibc_init(struct glibc *g, struct hf_walk *walk);
void glibc_deinit(struct glibc *g);

static inline struct glibc_arena *glibc_arena_at(struct glibc *g, size_t i)
{
	return hf_vec_at(&g->arenas, i);
}

/* Is a thread at work on the arena, as far as can be told? Then what does not fit together may be
 * an operation under way. */
static inline bool glibc_at_work(const struct glibc *g, const struct glibc_arena *arena)
{
	return arena->mutex || g->lockless;
}

static inline uint64_t glibc_max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static inline uint64_t glibc_min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

struct glibc_header {
	uint64_t prev_size, head;
};

static inline bool glibc_read_header(struct hf_reader *r, uint64_t chunk, struct glibc_header *ret)
{
	return hf_reader_u64(r, chunk, &ret->prev_size) && hf_reader_u64(r, chunk + 8, &ret->head);
}

static inline uint64_t glibc_chunk_size(uint64_t head)
{
	return head & ~(uint64_t)GLIBC_FLAGS;
}

/* A few bytes anywhere: without looking up what is resident around them, unless that is known. */
static inline bool glibc_peek(struct glibc *g, uint64_t addr, void *buf, size_t size)
{
	const struct hf_window *win = &g->probe.win;
	if (win->data && addr >= win->start && addr < win->end && size <= win->end - addr) {
		memcpy(buf, win->data + (addr - win->start), size);
		return true;
	}
	return !hf_mem_read(g->walk->mem, addr, buf, size, NULL);
}

/* A link of a list that is kept at address pos. */
static inline uint64_t glibc_reveal(const struct glibc *g, uint64_t pos, uint64_t link)
{
	return g->layout->safe_linking ? link ^ pos >> 12 : link;
}

/* glibc_find.c: main_arena, mp_, the version. HF_E_NOTFOUND without an initialised main_arena. */
enum hf_status glibc_find(struct glibc *g, struct hf_err *err);
/* Read the struct of an arena whose bins[] lies there. */
bool glibc_read_arena(struct glibc *g, uint64_t bins, struct glibc_arena *ret);

/* glibc_spans.c: the anonymous memory, and pieces of it. */
bool glibc_spans_init(struct glibc *g);
/* The span that contains addr, or NULL. */
const struct hf_walk_range *glibc_span_of(const struct glibc *g, uint64_t addr);
/* [start, end) is accounted for: nobody looks there for a heap again. */
void glibc_claim(struct glibc *g, uint64_t start, uint64_t end);
/* Spans without what was cut out and claimed, into ret (initialised, emptied first). */
bool glibc_unclaimed(struct glibc *g, struct hf_vec *ret);
/* How far private anonymous memory goes on from addr, whatever its protection: a program may have
 * protected pages of what malloc gave it. addr itself where there is none. */
uint64_t glibc_unbroken(const struct glibc *g, uint64_t addr);
/* As far as nobody has claimed it; the live stacks of threads do not count, which may be on memory
 * from malloc. Behind glibc_unclaimed() only. */
uint64_t glibc_unbroken_unclaimed(const struct glibc *g, uint64_t addr);

/* Count reads that led to nothing; false when there were too many (a finding says so, once). Memory
 * full of what looks like heaps could otherwise cost its square. */
bool glibc_may_waste(struct glibc *g, uint64_t n);

/* glibc_chunks.c: walk one region of chunks. */
struct glibc_region {
	struct glibc_arena *arena;
	uint64_t start; /* first chunk */
	uint64_t limit; /* the top chunk, or the last fence: no chunk goes past it */
	uint64_t end;   /* of the memory; top chunk included */
	bool ends_in_top;
	bool gaps; /* fences with foreign memory behind them may be inside */
};
bool glibc_walk_region(struct glibc *g, const struct glibc_region *region);
/* Follow chunks from start, without recording, to the fence or the top that ends them: true and
 * *ret_end is the address of the fence's first header or of the top. False if it breaks: *ret_end
 * is where. */
bool glibc_follow(struct glibc *g, const struct glibc_arena *arena, uint64_t start, uint64_t limit,
	uint64_t *ret_end);

/* glibc_heaps.c: all regions of all arenas. */
bool glibc_walk_heaps(struct glibc *g);
/* glibc_mmapped.c */
bool glibc_walk_mmapped(struct glibc *g);
/* glibc_cache.c: after hf_index_sort_regions. */
bool glibc_walk_caches(struct glibc *g);
/* A live chunk of an arena at this user address? Its size, and the arena's index, else false. */
bool glibc_live_chunk(struct glibc *g, uint64_t user, uint64_t *ret_size, uint32_t *ret_arena);
/* glibc_check.c: whether a thread may be inside malloc; once the arenas are listed. */
void glibc_find_busy(struct glibc *g);
void glibc_check(struct glibc *g);
