/*
 * Finding glibc's malloc without symbols.
 *
 * main_arena by its bins: 127 consecutive list heads in a module's writable data, of which the
 * empty ones point to themselves and the others to chunks that point back. mp_ lies near it, in the
 * same object file's data; its fields must make sense. The version comes from the banner text in
 * the same module's read-only data, and where that cannot be read (a core file without file pages)
 * from the shape.
 */
#include <string.h>

#include "base/checked.h"
#include "base/fmt.h"
#include "base/path.h"
#include "walk/glibc.h"

enum {
	MAX_HITS = 16,
	MAX_BAD_BINS = 4, /* damaged, or caught in the middle of an insertion */
	MP_DISTANCE = 64 << 10,
	VERSION_BUF = 64 << 10,
	VERSION_OVERLAP = 256,
};

struct hit {
	uint64_t bins, system_mem;
	int64_t image;
	uint64_t segment_start, segment_end;
};

struct hits {
	struct hit at[MAX_HITS];
	size_t n;
};

/* Is there a bins[] array at `bins`? */
static bool is_bins(struct glibc *g, uint64_t bins)
{
	uint64_t pairs[GLIBC_BINS][2];
	if (!hf_reader_copy(&g->probe, bins, pairs, sizeof(pairs)))
		return false;
	unsigned bad = 0;
	for (unsigned i = 0; i < GLIBC_BINS && bad <= MAX_BAD_BINS; i++) {
		uint64_t self = bins + 16ull * i - 16, back;
		if (pairs[i][0] == self && pairs[i][1] == self)
			continue;
		bool linked = (hf_reader_u64(&g->probe, pairs[i][0] + 24, &back) && back == self) ||
			      (hf_reader_u64(&g->probe, pairs[i][1] + 16, &back) && back == self);
		bad += !linked;
	}
	return bad <= MAX_BAD_BINS;
}

/* The last pair belongs to a bin that is never used, so it points to itself in every arena. */
static void scan_segment(
	struct glibc *g, struct hits *hits, int64_t image, uint64_t start, uint64_t end)
{
	struct hf_reader *r = &g->reader;
	for (uint64_t at = hf_align_up(start, 8); at < end;) {
		bool resident = hf_reader_seek(r, at);
		uint64_t stop = glibc_min(r->win.end, end);
		for (; resident && at + 8 <= stop; at += 8) {
			uint64_t v;
			memcpy(&v, r->win.data + (at - r->win.start), 8);
			if (__builtin_expect(v != at - 16, 1))
				continue;
			uint64_t bins = at - (GLIBC_BINS - 1) * 16, system_mem = 0;
			if (bins < start || hits->n == MAX_HITS || !is_bins(g, bins))
				continue;
			hf_reader_u64(&g->probe, bins + GLIBC_SYSTEM_MEM_FROM_BINS, &system_mem);
			/* With a few bad bins allowed, earlier pairs of the same array pass too:
			 * the last one that does is right. */
			struct hit *last = hits->n ? &hits->at[hits->n - 1] : NULL;
			if (!last || bins - last->bins >= GLIBC_BINS * 16)
				last = &hits->at[hits->n++];
			*last = (struct hit){bins, system_mem, image, start, end};
		}
		at = hf_align_up(stop, 8);
	}
}

static void scan_images(struct glibc *g, struct hits *hits)
{
	for (size_t i = 0; i < hf_images_count(g->walk->images); i++) {
		const struct hf_image *image = hf_images_at(g->walk->images, i);
		for (uint32_t s = 0; s < image->n_segments; s++) {
			const struct hf_segment *segment = &image->segments[s];
			if (segment->perms & HF_PERM_W)
				scan_segment(g, hits, (int64_t)i, segment->start, segment->end);
		}
	}
	if (hits->n)
		return;
	/* A module whose headers are damaged: writable file mappings. */
	for (size_t i = 0; i < hf_maps_count(g->walk->maps); i++) {
		const struct hf_map *map = hf_maps_at(g->walk->maps, i);
		const uint32_t rw = HF_PERM_R | HF_PERM_W;
		if (map->inode && (map->perms & (rw | HF_PERM_SHARED)) == rw)
			scan_segment(g, hits, -1, map->start, map->end);
	}
}

bool glibc_read_arena(struct glibc *g, uint64_t bins, struct glibc_arena *ret)
{
	uint64_t lock;
	struct glibc_header top;
	*ret = (struct glibc_arena){.addr = bins - g->layout->bins, .bins = bins};
	if (!hf_reader_u64(&g->probe, ret->addr, &lock) ||
		!hf_reader_u64(&g->probe, bins - 16, &ret->top) ||
		!hf_reader_u64(&g->probe, bins + GLIBC_SYSTEM_MEM_FROM_BINS, &ret->system_mem))
		return false;
	ret->mutex = (uint32_t)lock;
	ret->flags = (uint32_t)(lock >> 32);
	if (ret->top != bins - 16 && ret->top % 16 == 0 &&
		glibc_read_header(&g->probe, ret->top, &top))
		ret->top_size = glibc_chunk_size(top.head);
	return true;
}

/* Does the ring of arenas close if malloc_state's bins are at this offset? */
static bool ring_closes(struct glibc *g, uint64_t offset)
{
	uint64_t start = g->main_bins - offset, at = start;
	for (unsigned i = 0; i < GLIBC_MAX_ARENAS; i++) {
		if (!hf_reader_u64(&g->probe, at + offset + GLIBC_NEXT_FROM_BINS, &at) || at % 8)
			return false;
		if (at == start)
			return true;
	}
	return false;
}

/* "GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36." in n bytes; 0: not there. */
static unsigned parse_banner(const char *buf, size_t n)
{
	static const char banner[] = "GNU C Library ", release[] = " release version 2.";
	const char *at = memmem(buf, n, banner, sizeof(banner) - 1);
	if (!at)
		return 0;
	size_t left = n - (size_t)(at - buf);
	at = memmem(
		at, left < VERSION_OVERLAP ? left : VERSION_OVERLAP, release, sizeof(release) - 1);
	if (!at)
		return 0;
	unsigned minor = 0;
	const char *end = buf + n;
	for (at += sizeof(release) - 1; at < end && *at >= '0' && *at <= '9' && minor < 1000; at++)
		minor = minor * 10 + (unsigned)(*at - '0');
	return minor;
}

static unsigned version_in(struct glibc *g, uint64_t start, uint64_t end, char *buf)
{
	for (uint64_t at = start; at < end; at += VERSION_BUF - VERSION_OVERLAP) {
		size_t n = (size_t)glibc_min(VERSION_BUF, end - at);
		if (hf_mem_read(g->walk->mem, at, buf, n, NULL))
			continue;
		unsigned minor = parse_banner(buf, n);
		if (minor)
			return minor;
	}
	return 0;
}

static unsigned find_version(struct glibc *g)
{
	char *buf = g->image < 0 ? NULL : hf_pool_alloc(g->walk->pool, VERSION_BUF);
	if (!buf)
		return 0;
	const struct hf_image *image = hf_images_at(g->walk->images, (size_t)g->image);
	/* Read-only data first, then text, where some linkers put it. */
	for (unsigned pass = 0; pass < 2; pass++) {
		for (uint32_t s = 0; s < image->n_segments; s++) {
			const struct hf_segment *segment = &image->segments[s];
			if ((segment->perms & HF_PERM_W) ||
				((segment->perms & HF_PERM_X) != 0) != (pass == 1))
				continue;
			unsigned minor = version_in(g, segment->start, segment->end, buf);
			if (minor)
				return minor;
		}
	}
	return 0;
}

static bool power_of_two_or_zero(uint64_t v)
{
	return !(v & (v - 1));
}

struct mp {
	uint64_t mmap_threshold, thp_pagesize, hp_pagesize;
	int32_t n_mmaps, n_mmaps_max, max_n_mmaps, no_dyn_threshold;
	uint64_t mmapped_mem, max_mmapped_mem, sbrk_base;
	uint64_t tcache_bins, tcache_max_bytes, tcache_count;
};

static bool read_mp(
	struct glibc *g, const struct hf_glibc_layout *layout, uint64_t at, struct mp *ret)
{
	uint8_t raw[256];
	*ret = (struct mp){0};
	if (!hf_reader_copy(&g->probe, at, raw, layout->mp_size))
		return false;
	memcpy(&ret->mmap_threshold, raw + 16, 8);
	if (layout->mp_thp_pagesize)
		memcpy(&ret->thp_pagesize, raw + layout->mp_thp_pagesize, 16);
	memcpy(&ret->n_mmaps, raw + layout->mp_n_mmaps, 16);
	memcpy(&ret->mmapped_mem, raw + layout->mp_mmapped_mem, 48);
	return true;
}

/* Threads that are about to map a chunk have counted it before they set the maximum. */
static bool is_below_maximum(const struct mp *mp)
{
	return mp->n_mmaps <= mp->max_n_mmaps && mp->mmapped_mem <= mp->max_mmapped_mem;
}

/* The start of the heap is mapped, or so it is in a core that has it all: what is found by that is
 * sure. */
static bool mp_makes_sense(
	struct glibc *g, const struct glibc_arena *main, const struct mp *mp, bool sure)
{
	if (mp->mmap_threshold > GLIBC_HEAP_MAX || mp->n_mmaps < 0 || mp->max_n_mmaps < 0 ||
		mp->n_mmaps_max < 0 || (mp->no_dyn_threshold & ~1) ||
		!power_of_two_or_zero(mp->hp_pagesize) || !power_of_two_or_zero(mp->thp_pagesize) ||
		mp->tcache_bins < 1 || mp->tcache_bins > GLIBC_TCACHE_SMALL_BINS ||
		mp->tcache_max_bytes > PTRDIFF_MAX || mp->tcache_count > UINT16_MAX)
		return false;
	bool used = main->top != main->bins - 16;
	if (used != (mp->sbrk_base != 0))
		return false;
	if (!used)
		return !sure || is_below_maximum(mp);
	bool contiguous = !(main->flags & GLIBC_NONCONTIGUOUS);
	if (contiguous && mp->sbrk_base > main->top)
		return false;
	return sure ? hf_maps_find(g->walk->maps, mp->sbrk_base) != NULL
		    : contiguous && is_below_maximum(mp);
}

/* mp_ at `at` would share bytes with main_arena. */
static bool in_main_arena(const struct glibc *g, uint64_t at)
{
	uint64_t end = g->main_bins + GLIBC_STATE_FROM_BINS;
	return at + g->layout->mp_size > g->main_arena && at < end;
}

/* static: both are data of malloc.o, so that they lie together. Closest first, below before above.
 */
static bool find_mp_if(
	struct glibc *g, const struct hit *hit, const struct glibc_arena *main, bool sure)
{
	for (uint64_t d = 8; d <= MP_DISTANCE; d += 8) {
		for (int side = 0; side < 2; side++) {
			uint64_t at = side ? g->main_bins + d : g->main_bins - d;
			struct mp mp;
			if (at < hit->segment_start || at >= hit->segment_end ||
				in_main_arena(g, at) || !read_mp(g, g->layout, at, &mp) ||
				!mp_makes_sense(g, main, &mp, sure))
				continue;
			g->mp = at;
			g->n_mmaps = (uint32_t)mp.n_mmaps;
			g->mmapped_mem = mp.mmapped_mem;
			g->sbrk_base = mp.sbrk_base;
			g->hp_pagesize = mp.hp_pagesize;
			g->tcache_count = mp.tcache_count;
			return true;
		}
	}
	return false;
}

static bool find_mp(struct glibc *g, const struct hit *hit, const struct glibc_arena *main)
{
	return find_mp_if(g, hit, main, true) || find_mp_if(g, hit, main, false);
}

/* Rows whose shape is that of the memory, newest first. A thread's arena lies behind its heap_info.
 */
static bool shape_fits(struct glibc *g, const struct hf_glibc_layout *layout, bool ring)
{
	uint64_t next;
	if (ring && !ring_closes(g, layout->bins))
		return false;
	if (!hf_reader_u64(&g->probe, g->main_bins + GLIBC_NEXT_FROM_BINS, &next))
		return false;
	return !ring || next == g->main_bins - layout->bins || next % HF_PAGE == layout->heap_info;
}

static bool try_layout(struct glibc *g, const struct hit *hit, const struct hf_glibc_layout *layout)
{
	struct glibc_arena main;
	g->layout = layout;
	g->main_arena = g->main_bins - layout->bins;
	g->mp = 0;
	return glibc_read_arena(g, g->main_bins, &main) && find_mp(g, hit, &main);
}

/* Do the links of the first thread's tcache (mostly the first chunk of the main heap) make sense as
 * this layout writes them? 1 yes, -1 no, 0 there are none to tell by. */
static int links_fit(struct glibc *g, const struct hf_glibc_layout *layout)
{
	uint64_t tcache = hf_align_up(g->sbrk_base, GLIBC_HEADER) + GLIBC_HEADER;
	int votes = 0;
	for (unsigned bin = 0; bin < layout->tcache_bins; bin++) {
		uint64_t entry, link;
		if (!hf_reader_u64(
			    &g->probe, tcache + layout->tcache_entries + 8ull * bin, &entry) ||
			!entry || entry % 16 || !hf_reader_u64(&g->probe, entry, &link))
			continue;
		uint64_t next = glibc_reveal(g, entry, link);
		bool good = !next || (next % 16 == 0 && hf_maps_find(g->walk->maps, next));
		votes += good ? 1 : -1;
	}
	return (votes > 0) - (votes < 0);
}

static bool choose_by_shape(struct glibc *g, const struct hit *hit, bool ring)
{
	const struct hf_glibc_layout *layout, *fallback = NULL;
	for (unsigned i = 0; (layout = hf_glibc_layout_at(i)); i++) {
		uint64_t head = 0;
		if (!shape_fits(g, layout, ring))
			continue;
		if (!try_layout(g, hit, layout))
			continue;
		if (!fallback)
			fallback = layout;
		/* The first thread's tcache is mostly the first chunk of the main arena. */
		if (hf_reader_u64(&g->probe, hf_align_up(g->sbrk_base, 16) + 8, &head) &&
			glibc_chunk_size(head) == layout->tcache_chunk[0] &&
			links_fit(g, layout) >= 0)
			return true;
	}
	if (!fallback)
		return false;
	return try_layout(g, hit, fallback);
}

static enum hf_status choose_layout(struct glibc *g, const struct hit *hit, struct hf_err *err)
{
	struct hf_walk *walk = g->walk;
	bool ring = ring_closes(g, 112) || ring_closes(g, 24);
	if (!ring)
		hf_walk_finding(walk, HF_PARTIAL, g->main_bins,
			"glibc: the list of arenas is damaged; arenas are looked for by their "
			"shape");
	g->minor = find_version(g);
	const struct hf_glibc_layout *layout = g->minor ? hf_glibc_layout_for(g->minor) : NULL;
	if (g->minor && !layout)
		return hf_err_set(err, HF_E_UNSUPPORTED,
			"glibc 2.%u is older than what can be walked (2.31)", g->minor);
	if (layout && g->minor > layout->last_minor)
		hf_walk_finding(walk, HF_WARNING, g->main_bins,
			"glibc 2.%u is newer than this version knows; walked like 2.%u", g->minor,
			layout->last_minor);
	if (layout && shape_fits(g, layout, ring)) {
		if (!try_layout(g, hit, layout))
			hf_walk_finding(walk, HF_PARTIAL, g->main_bins,
				"glibc: malloc's parameters (mp_) were not found; objects with "
				"mappings of their own cannot be counted");
		return HF_OK;
	}
	if (layout)
		hf_walk_finding(walk, HF_WARNING, g->main_bins,
			"glibc says it is 2.%u, but its malloc does not look so; going by its "
			"shape",
			g->minor);
	if (!choose_by_shape(g, hit, ring))
		return hf_err_set(err, HF_E_UNSUPPORTED,
			"a malloc like glibc's is at 0x%lx, but of an unknown layout",
			g->main_bins);
	/* Static programs carry no banner. */
	hf_walk_finding(walk, HF_INFO, g->main_bins,
		"glibc's version could not be read; by its shape it is 2.%u to 2.%u",
		g->layout->first_minor, g->layout->last_minor);
	return HF_OK;
}

static void set_name(struct glibc *g)
{
	char name[32];
	if (g->minor)
		hf_fmt(name, sizeof(name), "glibc 2.%u", g->minor);
	else
		hf_fmt(name, sizeof(name), "glibc");
	g->name = hf_pool_strndup(g->walk->pool, name, strlen(name));
	if (!g->name)
		g->name = "glibc";
}

/* Of several: the one with more memory. Only the first C library of a process may use brk, and it
 * is the program's: another one, which takes 1 MiB at least, must have much more to be of interest.
 */
static uint64_t weight(struct glibc *g, const struct hit *hit)
{
	enum { FIRST = 8, TOP_BEFORE_BINS = 16 };
	uint64_t top = 0;
	hf_reader_u64(&g->probe, hit->bins - TOP_BEFORE_BINS, &top);
	const struct hf_map *map = hf_maps_find(g->walk->maps, top);
	bool first = map && strcmp(map->path, "[heap]") == 0;
	return hit->system_mem / FIRST * (first ? FIRST : 1);
}

static bool is_libc(const struct hf_image *image)
{
	const char *name = hf_base_name(image->path);
	return strncmp(name, "libc.so", 7) == 0 || strncmp(name, "libc-2.", 7) == 0;
}

/* Is nothing of the module's writable data there? */
static bool data_is_missing(struct glibc *g, const struct hf_image *image)
{
	for (uint32_t i = 0; i < image->n_segments; i++) {
		const struct hf_segment *segment = &image->segments[i];
		for (uint64_t at = segment->start;
			(segment->perms & HF_PERM_W) && at < segment->end; at = g->probe.win.end) {
			if (hf_reader_seek(&g->probe, at))
				return false;
		}
	}
	return true;
}

/* The row whose tcache some anonymous memory begins with, as the main heap does; newest first. */
static const struct hf_glibc_layout *layout_by_heap(struct glibc *g)
{
	const struct hf_glibc_layout *layout;
	for (unsigned row = 0; (layout = hf_glibc_layout_at(row)); row++) {
		for (size_t i = 0; i < hf_maps_count(g->walk->maps); i++) {
			const struct hf_map *map = hf_maps_at(g->walk->maps, i);
			struct glibc_header h;
			if (hf_map_is_anonymous(map) && (map->perms & HF_PERM_W) &&
				glibc_read_header(&g->probe, map->start, &h) && !h.prev_size &&
				h.head == (layout->tcache_chunk[0] | GLIBC_PREV_INUSE))
				return layout;
		}
	}
	return NULL;
}

/* The end of a core is often missing, and the C library's data with it, which lies high; the heaps
 * lie low. A core that is cut before its list of files does not even show that there is a library.
 */
static bool find_lost(struct glibc *g)
{
	for (size_t i = 0; i < hf_images_count(g->walk->images) && !g->layout; i++) {
		const struct hf_image *image = hf_images_at(g->walk->images, i);
		if (!data_is_missing(g, image))
			continue;
		g->image = is_libc(image) ? (int64_t)i : -1;
		g->minor = find_version(g);
		g->layout = g->minor ? hf_glibc_layout_for(g->minor) : NULL;
	}
	if (!g->layout)
		g->layout = layout_by_heap(g);
	g->lost = g->layout != NULL;
	return g->lost;
}

enum hf_status glibc_find(struct glibc *g, struct hf_err *err)
{
	struct hits hits = {.n = 0};
	scan_images(g, &hits);
	if (!hits.n && find_lost(g)) {
		set_name(g);
		return HF_OK;
	}
	if (!hits.n)
		return hf_err_set(err, HF_E_NOTFOUND, "no initialised glibc malloc");
	struct hit *best = &hits.at[0];
	for (size_t i = 1; i < hits.n; i++) {
		if (weight(g, &hits.at[i]) > weight(g, best))
			best = &hits.at[i];
	}
	for (size_t i = 0; i < hits.n; i++) {
		if (&hits.at[i] == best)
			continue;
		hf_walk_finding(g->walk, HF_PARTIAL, hits.at[i].bins,
			"a second glibc malloc (%s, %lu bytes from the system) is not walked",
			hits.at[i].image < 0
				? "unknown module"
				: hf_images_at(g->walk->images, (size_t)hits.at[i].image)->path,
			hits.at[i].system_mem);
	}
	g->main_bins = best->bins;
	g->image = best->image;
	enum hf_status status = choose_layout(g, best, err);
	if (!status)
		set_name(g);
	return status;
}
