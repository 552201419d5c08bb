#include "scan/scan.h"

#include "base/checked.h"
#include "base/page_alloc.h"
#include "index/look.h"
#include "scan/crew.h"
#include "scan/filter.h"

/*
 * Regions are read from end to end, objects, free chunks and all, since the reading is the cheap
 * part: a vector compare throws out the words that cannot be pointers (scan/filter.c). What is left
 * goes through arrays, a step at a time: whose word is it, which region does it point into, which
 * object; so that the index cells of all targets of a batch are on their way from memory while the
 * steps before are done.
 */

/* Room for a batch, and for a step more of the vector code. */
typedef uint64_t array[HF_FILTER_MAX];

struct scanner {
	const struct hf_index *index;
	const struct hf_images *images;
	struct hf_batch *batch; /* NULL: only count */
	struct hf_reader reader;
	uint64_t module_lo, module_span;   /* of modules */
	const struct hf_index_region *src; /* being read */
	struct hf_index_region hint;       /* last target */
	struct hf_filter filter;
	array cell, rest; /* what is being looked up */
	array kept;       /* numbers of those that were found */
	/* The words of live objects: whose, how far inside, and the word. Then those of them that
	 * point into regions, then those that point into objects: the edges. */
	array src_id, src_offset, word;
	array dst, dst_offset;
	struct hf_scan_totals totals;
};

/* Words of live objects stay. Returns how many. */
static uint32_t find_sources(struct scanner *s)
{
	const struct hf_filter *f = &s->filter;
	uint32_t n = hf_index_look_run(s->src, f->at, f->n, s->kept, s->src_id, s->src_offset);
	for (uint32_t i = 0; i < n; i++)
		s->word[i] = f->word[s->kept[i]];
	return n;
}

static void visit_module_word(struct scanner *s, uint32_t i)
{
	int64_t image = hf_images_find(s->images, s->word[i]);
	if (image < 0)
		return;
	s->totals.n_modrefs++;
	if (s->batch)
		hf_batch_modref(s->batch, (uint32_t)s->src_id[i], s->src_offset[i], (uint32_t)image,
			s->word[i] - hf_images_at(s->images, (size_t)image)->base);
}

/* Words that point into a region stay, and the cells that they need come from memory meanwhile;
 * words that point into modules are done with. */
static uint32_t find_regions(struct scanner *s, uint32_t n)
{
	const struct hf_index_places places = {s->cell, s->rest};
	struct hf_index_region last = s->hint; /* a copy, for registers */
	uint32_t n_kept = 0;
	for (uint32_t i = 0; i < n; i++) {
		const uint64_t word = s->word[i];
		if (__builtin_expect(word - last.start >= last.end - last.start, 0)) {
			const struct hf_index_region *region =
				hf_index_search_region(s->index, word);
			if (!region) {
				if (word - s->module_lo < s->module_span)
					visit_module_word(s, i);
				continue;
			}
			last = *region;
		}
		hf_index_place(&last, word, &places, n_kept);
		const char *cell = (const char *)s->cell[n_kept];
		__builtin_prefetch(cell);
		__builtin_prefetch(cell + sizeof(struct hf_index_cell) - 1);
		s->src_id[n_kept] = s->src_id[i];
		s->src_offset[n_kept] = s->src_offset[i];
		n_kept++;
	}
	s->hint = last;
	return n_kept;
}

/* Words that point into live objects stay. */
static uint32_t find_targets(struct scanner *s, uint32_t n)
{
	const struct hf_index_places places = {s->cell, s->rest};
	n = hf_index_look_many(&places, n, s->kept, s->dst, s->dst_offset);
	for (uint32_t i = 0; i < n; i++) {
		s->src_id[i] = s->src_id[s->kept[i]];
		s->src_offset[i] = s->src_offset[s->kept[i]] / 8;
	}
	return n;
}

static void flush(struct scanner *s)
{
	uint32_t n = find_sources(s);
	n = find_regions(s, n);
	n = find_targets(s, n);
	s->totals.n_edges += n;
	if (s->batch)
		hf_batch_edges(s->batch,
			&(struct hf_edges){n, s->src_id, s->src_offset, s->dst, s->dst_offset});
	s->filter.n = 0;
}

static void scan(struct crew_member *member, const struct hf_index_region *region, uint64_t from,
	uint64_t to)
{
	struct scanner *s = member->own;
	s->batch = member->batch;
	uint64_t end = hf_align_down(region->end - region->tail_bytes, 8);
	end = to < end ? to : end;
	if (!region->cells && !region->live)
		return;
	s->src = region;
	for (uint64_t at = from; at < end;) {
		if (!hf_reader_seek(&s->reader, at)) {
			/* Not resident: it has never been written. */
			at = hf_align_up(s->reader.win.end, 8);
			continue;
		}
		const struct hf_window *win = &s->reader.win;
		uint64_t stop = (win->end < end ? win->end : end) & ~7ull;
		if (stop <= at)
			break;
		s->totals.scanned_bytes += stop - at;
		while (at < stop) {
			at += 8 * hf_filter_words(&s->filter, at, win->data + (at - win->start),
					  (stop - at) / 8);
			if (s->filter.n >= HF_FILTER_FULL)
				flush(s);
		}
	}
	flush(s);
}

static void find_spans(struct scanner *s)
{
	uint64_t module_hi = 0;
	s->module_lo = UINT64_MAX;
	for (size_t i = 0; i < hf_images_count(s->images); i++) {
		const struct hf_image *image = hf_images_at(s->images, i);
		s->module_lo = image->base < s->module_lo ? image->base : s->module_lo;
		module_hi = image->end > module_hi ? image->end : module_hi;
	}
	s->module_span = module_hi > s->module_lo ? module_hi - s->module_lo : 0;
	uint64_t lo = s->module_lo < s->index->lo ? s->module_lo : s->index->lo;
	hf_filter_init(&s->filter, lo, (module_hi > s->index->hi ? module_hi : s->index->hi) - lo);
}

struct making {
	struct hf_mem *mem;
	const struct hf_index *index;
	const struct hf_images *images;
};

static void *make_scanner(void *ctx, size_t number)
{
	const struct making *making = ctx;
	struct hf_mem *mem = number ? hf_mem_twin(making->mem) : making->mem;
	struct scanner *s = mem ? hf_page_alloc(sizeof(*s)) : NULL;
	if (!s) {
		hf_mem_destroy_twin(mem, making->mem);
		return NULL;
	}
	s->index = making->index;
	s->images = making->images;
	find_spans(s);
	hf_reader_init(&s->reader, mem);
	return s;
}

static void destroy_scanner(struct scanner *s, const struct hf_mem *mem)
{
	struct hf_mem *own = s->reader.mem;
	hf_reader_deinit(&s->reader);
	hf_mem_destroy_twin(own, mem);
	hf_page_free(s, sizeof(*s));
}

enum hf_status hf_scan_objects(struct hf_mem *mem, const struct hf_index *index,
	const struct hf_images *images, struct hf_writer *writer, struct hf_scan_totals *ret,
	struct hf_err *err)
{
	struct crew crew = {.index = index, .writer = writer, .work = scan};
	struct making making = {mem, index, images};
	*ret = (struct hf_scan_totals){0};
	enum hf_status status = crew_muster(&crew, make_scanner, &making, err);
	if (!status)
		crew_run(&crew);
	for (size_t i = 0; i < crew.team.n_members; i++) {
		struct scanner *s = crew.members[i].own;
		ret->scanned_bytes += s->totals.scanned_bytes;
		ret->n_edges += s->totals.n_edges;
		ret->n_modrefs += s->totals.n_modrefs;
		destroy_scanner(s, mem);
	}
	crew_dismiss(&crew);
	return status;
}
