/*
 * Chunks that look allocated but are free: those in fastbins and in threads' tcaches. The lists are
 * followed while they make sense; a cycle shows as a chunk that is dead already.
 */
#include <string.h>

#include "walk/glibc.h"

enum {
	TLS_MAX = 1 << 20, /* bytes of static TLS that are looked at */
	ARENA_NEAR = 64,   /* `thread_arena` lies behind `tcache` in libc's TLS */
	MAX_BAD_LISTS = GLIBC_TCACHE_MAX_BINS / 4,
	MAX_TCACHE = 65535, /* entries of a list: its count has 16 bits */
};

static const struct hf_index_region *region_of(const struct glibc *g, uint64_t addr)
{
	const struct hf_index *index = g->walk->index;
	size_t lo = 0, hi = index->regions.n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct hf_index_region *region = hf_vec_at(&index->regions, mid);
		if (region->start <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	const struct hf_index_region *region = lo ? hf_vec_at(&index->regions, lo - 1) : NULL;
	return region && addr < region->end ? region : NULL;
}

/* Granules from a start to the next one; there is one behind every chunk. */
static uint64_t granules_to_next(const struct hf_index_region *region, uint64_t granule)
{
	uint64_t n = (region->end - region->start) / HF_GRANULE, cell = granule / 64;
	uint64_t above =
		granule % 64 == 63 ? 0 : region->cells[cell].starts & ~0ull << (granule % 64 + 1);
	while (!above && (cell + 1) * 64 < n)
		above = region->cells[++cell].starts;
	uint64_t next = above ? cell * 64 + (uint64_t)__builtin_ctzll(above) : n;
	return next - granule;
}

bool glibc_live_chunk(struct glibc *g, uint64_t user, uint64_t *ret_size, uint32_t *ret_arena)
{
	const struct hf_index_region *region = user % HF_GRANULE ? NULL : region_of(g, user);
	if (!region)
		return false;
	*ret_arena = region->arena;
	if (!region->cells) {
		*ret_size = region->end - region->start + 8;
		return region->start == user && region->live;
	}
	uint64_t granule = (user - region->start) / HF_GRANULE;
	if (!(region->cells[granule / 64].live >> granule % 64 & 1))
		return false;
	*ret_size = granules_to_next(region, granule) * HF_GRANULE;
	return true;
}

/* Arenas are listed one after the other. NULL: the mapped chunks' */
static struct glibc_arena *arena_by_id(struct glibc *g, uint32_t id)
{
	uint32_t i = id - (g->arenas.n ? glibc_arena_at(g, 0)->id : 0);
	return i < g->arenas.n ? glibc_arena_at(g, i) : NULL;
}

static void walk_fastbin(struct glibc *g, struct glibc_arena *arena, unsigned bin)
{
	uint64_t at, size = GLIBC_MIN_CHUNK + 16ull * bin;
	if (!glibc_peek(g, arena->addr + g->layout->fastbins + 8ull * bin, &at, 8))
		return;
	/* Each step takes a live chunk, so the list ends. */
	while (at) {
		uint64_t found, link;
		uint32_t id;
		if (at % 16 || !glibc_live_chunk(g, at + GLIBC_HEADER, &found, &id) ||
			found != size || id != arena->id ||
			!glibc_peek(g, at + GLIBC_HEADER, &link, 8)) {
			hf_walk_finding(g->walk, HF_WARNING, at,
				"glibc arena %u: fastbin of %lu bytes breaks at 0x%lx after %lu "
				"chunks",
				arena->id, size, at, arena->n_fast);
			arena->n_transient++;
			return;
		}
		hf_index_kill_any(g->walk->index, at + GLIBC_HEADER);
		arena->n_fast++;
		arena->fast_bytes += size;
		at = glibc_reveal(g, at + GLIBC_HEADER, link);
	}
}

/* tcache_perthread_struct as it was read. */
struct tcache {
	uint64_t addr;
	uint16_t counts[GLIBC_TCACHE_MAX_BINS];
	uint64_t entries[GLIBC_TCACHE_MAX_BINS];
};

static bool is_tcache_chunk(struct glibc *g, uint64_t user, uint64_t *ret_size)
{
	uint32_t arena;
	return glibc_live_chunk(g, user, ret_size, &arena) &&
	       *ret_size >= g->layout->tcache_chunk[0] && *ret_size <= g->layout->tcache_chunk[1];
}

static bool read_tcache(struct glibc *g, uint64_t user, struct tcache *ret)
{
	unsigned n = g->layout->tcache_bins;
	ret->addr = user;
	return glibc_peek(g, user, ret->counts, n * 2) &&
	       glibc_peek(g, user + g->layout->tcache_entries, ret->entries, n * 8);
}

/* How many chunks list `bin` says it has; MAX_TCACHE if that is not known. */
static uint64_t list_count(struct glibc *g, const struct tcache *t, unsigned bin)
{
	if (!g->layout->tcache_counts_free_slots)
		return t->counts[bin];
	if (!g->mp || t->counts[bin] > g->tcache_count)
		return MAX_TCACHE;
	return g->tcache_count - t->counts[bin];
}

static bool size_fits_bin(uint64_t size, unsigned bin)
{
	if (bin < GLIBC_TCACHE_SMALL_BINS)
		return size == GLIBC_MIN_CHUNK + 16ull * bin;
	return size > GLIBC_MIN_CHUNK + 16ull * (GLIBC_TCACHE_SMALL_BINS - 1);
}

/* Has the chain of chunks passed by this one, whose header fits the list all the same? It has where
 * a chunk before it was in the middle of an operation, or has a damaged size. */
static bool is_passed_by(struct glibc *g, uint64_t user, unsigned bin)
{
	uint64_t head;
	return user % GLIBC_HEADER == 0 && glibc_peek(g, user - 8, &head, 8) &&
	       !(head & (8 | GLIBC_MMAPPED)) && size_fits_bin(glibc_chunk_size(head), bin);
}

/* Follow list `bin`; kill its chunks if told to, also behind one that the chain passed by. Returns
 * how many are sound; *ret_broken is where it stops being so, 0 if nowhere. The count may be off by
 * one when an operation is under way. */
static uint64_t follow_list(
	struct glibc *g, const struct tcache *t, unsigned bin, bool kill, uint64_t *ret_broken)
{
	uint64_t at = t->entries[bin], n = 0, n_sound = 0, most = list_count(g, t, bin) + 1;
	*ret_broken = 0;
	for (; at; n++) {
		uint64_t size, link;
		uint32_t id;
		bool sound = glibc_live_chunk(g, at, &size, &id) && size_fits_bin(size, bin);
		if (!sound && !*ret_broken)
			*ret_broken = at;
		if (n > most || !glibc_peek(g, at, &link, 8) ||
			(!sound && !(kill && is_passed_by(g, at, bin)))) {
			*ret_broken = *ret_broken ? *ret_broken : at;
			break;
		}
		n_sound += !*ret_broken;
		if (kill && sound) {
			struct glibc_arena *arena = arena_by_id(g, id);
			hf_index_kill_any(g->walk->index, at);
			if (arena) {
				arena->n_cached++;
				arena->cached_bytes += size;
			} else {
				g->n_mmapped_cached++;
				g->mmapped_cached_bytes += size;
			}
		}
		at = glibc_reveal(g, at, link);
	}
	if (!*ret_broken && !g->layout->tcache_counts_free_slots && n + 1 < t->counts[bin])
		*ret_broken = t->addr;
	return n_sound;
}

/* Number of lists that are sound and not empty, and of those that are not sound. */
static void judge(struct glibc *g, const struct tcache *t, unsigned *ret_good, unsigned *ret_bad)
{
	*ret_good = *ret_bad = 0;
	/* Most chunks of this size are the program's: leave those early. */
	for (unsigned bin = 0; bin < g->layout->tcache_bins && *ret_bad <= MAX_BAD_LISTS; bin++) {
		uint64_t broken;
		uint64_t n = follow_list(g, t, bin, false, &broken);
		*ret_good += !broken && n;
		*ret_bad += broken != 0;
	}
}

static bool is_listed(struct glibc *g, uint64_t user)
{
	for (size_t i = 0; i < g->tcaches.n; i++) {
		if (((struct glibc_tcache *)hf_vec_at(&g->tcaches, i))->addr == user)
			return true;
	}
	return false;
}

static bool list_tcache(struct glibc *g, uint64_t user, bool by_tls)
{
	struct glibc_tcache *slot = hf_vec_push(&g->tcaches);
	if (slot)
		*slot = (struct glibc_tcache){user, by_tls};
	return slot != NULL;
}

static bool points_to_arena(struct glibc *g, uint64_t slot)
{
	for (uint64_t at = slot + 8; at <= slot + ARENA_NEAR; at += 8) {
		uint64_t value;
		if (!hf_reader_u64(&g->reader, at, &value))
			return false;
		for (size_t i = 0; i < g->arenas.n; i++) {
			if (glibc_arena_at(g, i)->addr == value)
				return true;
		}
	}
	return false;
}

static uint64_t static_tls_size(const struct glibc *g)
{
	uint64_t size = HF_PAGE;
	for (size_t i = 0; i < hf_images_count(g->walk->images); i++) {
		const struct hf_image *image = hf_images_at(g->walk->images, i);
		size += glibc_min(image->tls_size, TLS_MAX) + glibc_min(image->tls_align, HF_PAGE);
	}
	return glibc_min(size, TLS_MAX);
}

/* A word of a thread's static TLS that points to a chunk of the right size, whose lists hold
 * together; if all are empty, a pointer to an arena must lie near it. */
static void look_in_tls(struct glibc *g, uint64_t tp)
{
	uint64_t start = tp % 8 || tp < TLS_MAX ? tp : tp - static_tls_size(g);
	for (uint64_t at = start; at < tp; at += 8) {
		uint64_t user, size;
		struct tcache t;
		unsigned good, bad;
		if (!hf_reader_u64(&g->reader, at, &user) || user % 16 || !user ||
			!is_tcache_chunk(g, user, &size) || !read_tcache(g, user, &t))
			continue;
		judge(g, &t, &good, &bad);
		/* Of an empty one there is nothing to see but where it is pointed to from. */
		bool near_arena =
			size <= g->layout->tcache_chunk[0] + 16u && points_to_arena(g, at);
		if (bad > good + near_arena || (!good && !near_arena))
			continue;
		hf_walk_range(&g->walk->excluded, at, at + 8);
		if (!is_listed(g, user))
			list_tcache(g, user, true);
	}
}

/* Structs of threads that are not known, or are no more (after fork): by content alone. */
static void look_in_chunks(struct glibc *g)
{
	for (size_t i = 0; i < g->tcache_like.n; i++) {
		uint64_t user = *(uint64_t *)hf_vec_at(&g->tcache_like, i), size;
		struct tcache t;
		unsigned good, bad;
		if (!is_tcache_chunk(g, user, &size) || !read_tcache(g, user, &t))
			continue;
		judge(g, &t, &good, &bad);
		if (good && bad * 4 <= good && !is_listed(g, user))
			list_tcache(g, user, false);
	}
}

static void kill_tcache(struct glibc *g, uint64_t user)
{
	struct tcache t;
	uint64_t size;
	uint32_t id;
	if (!read_tcache(g, user, &t))
		return;
	for (unsigned bin = 0; bin < g->layout->tcache_bins; bin++) {
		uint64_t broken;
		uint64_t n = follow_list(g, &t, bin, true, &broken);
		if (broken)
			hf_walk_finding(g->walk, HF_WARNING, broken,
				"glibc: thread cache 0x%lx: list %u breaks at 0x%lx after %lu "
				"chunks; "
				"free chunks may show as objects",
				user, bin, broken, n);
	}
	if (!glibc_live_chunk(g, user, &size, &id))
		return;
	struct glibc_arena *arena = arena_by_id(g, id);
	hf_index_kill_any(g->walk->index, user);
	hf_walk_range(&g->walk->tcaches, user, user + size - 8);
	if (arena) {
		arena->n_tcache_structs++;
		arena->tcache_struct_bytes += size;
	}
}

bool glibc_walk_caches(struct glibc *g)
{
	for (size_t i = 0; i < g->arenas.n; i++) {
		for (unsigned bin = 0; g->layout->fastbins && bin < GLIBC_FASTBINS; bin++)
			walk_fastbin(g, glibc_arena_at(g, i), bin);
	}
	for (size_t i = 0; i < g->walk->n_threads; i++)
		look_in_tls(g, g->walk->threads[i].tp);
	look_in_chunks(g);
	for (size_t i = 0; i < g->tcaches.n; i++)
		kill_tcache(g, ((struct glibc_tcache *)hf_vec_at(&g->tcaches, i))->addr);
	return true;
}
