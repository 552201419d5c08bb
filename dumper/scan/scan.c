#include "scan/scan.h"

#include "base/checked.h"
#include "base/page_alloc.h"
#include "scan/crew.h"
#include "scan/filter.h"

/*
 * Regions are read from end to end, objects, free chunks and all, since the reading is the cheap
 * part: a vector compare throws out the words that cannot be pointers (scan/filter.c). What is left
 * goes through arrays, a step at a time: whose word is it, which region does it point into, which
 * object; so that the index cells of all targets of a batch are on their way from memory while the
 * steps before are done.
 */
/* Words that may become edges, a field an array; `n` of each. */
struct candidates {
	uint32_t n;
	uint64_t src[HF_FILTER_MAX], word_index[HF_FILTER_MAX], word[HF_FILTER_MAX];
	const struct hf_index_region *region[HF_FILTER_MAX]; /* that the word points into */
};

struct scanner {
	const struct hf_index *index;
	const struct hf_images *images;
	struct hf_batch *batch; /* NULL: only count */
	struct hf_reader reader;
	uint64_t module_lo, module_span;    /* of modules */
	const struct hf_index_region *src;  /* being read */
	const struct hf_index_region *hint; /* last target */
	struct hf_filter filter;
	struct candidates heap, module; /* module: region is not set */
	uint64_t dst[HF_FILTER_MAX], dst_offset[HF_FILTER_MAX];
	struct hf_scan_totals totals;
};

/* The object of the region being read that the word at `at` is in. */
static inline bool look_source(
	const struct hf_index_region *region, uint64_t at, uint64_t *ret_id, uint64_t *ret_start)
{
	if (region->cells)
		return hf_index_look(region, at, ret_id, ret_start);
	*ret_id = region->first_id;
	*ret_start = region->start;
	return region->live;
}

/* Words of no live object fall away; the others go where they point to. */
static void sort_out(struct scanner *s)
{
	const struct hf_filter *f = &s->filter;
	struct candidates *heap = &s->heap, *module = &s->module;
	uint32_t n_heap = 0, n_module = 0;
	for (uint32_t i = 0; i < f->n; i++) {
		uint64_t id, start, word = f->word[i], at = f->at[i];
		const bool live = look_source(s->src, at, &id, &start);
		const struct hf_index_region *region =
			hf_index_find_region(s->index, word, s->hint);
		const uint64_t word_index = (at - start) / 8;
		if (region) {
			s->hint = region;
			if (region->cells)
				__builtin_prefetch(hf_index_cell_of(region, word));
		}
		heap->src[n_heap] = module->src[n_module] = id;
		heap->word_index[n_heap] = module->word_index[n_module] = word_index;
		heap->word[n_heap] = module->word[n_module] = word;
		heap->region[n_heap] = region;
		n_heap += live & (region != NULL);
		n_module += live & !region & (word - s->module_lo < s->module_span);
	}
	heap->n = n_heap;
	module->n = n_module;
}

/* The words that point into live objects stay, as edges. */
static void resolve(struct scanner *s)
{
	struct candidates *c = &s->heap;
	uint32_t n = 0;
	for (uint32_t i = 0; i < c->n; i++) {
		uint64_t start, word = c->word[i];
		const bool live = look_source(c->region[i], word, &s->dst[n], &start);
		c->src[n] = c->src[i];
		c->word_index[n] = c->word_index[i];
		s->dst_offset[n] = word - start;
		n += live;
	}
	c->n = n;
}

static void write_modrefs(struct scanner *s)
{
	const struct candidates *c = &s->module;
	for (uint32_t i = 0; i < c->n; i++) {
		int64_t image = hf_images_find(s->images, c->word[i]);
		if (image < 0)
			continue;
		s->totals.n_modrefs++;
		if (s->batch)
			hf_batch_modref(s->batch, (uint32_t)c->src[i], c->word_index[i] * 8,
				(uint32_t)image,
				c->word[i] - hf_images_at(s->images, (size_t)image)->base);
	}
}

static void flush(struct scanner *s)
{
	sort_out(s);
	resolve(s);
	s->totals.n_edges += s->heap.n;
	if (s->batch)
		hf_batch_edges(s->batch, &(struct hf_edges){s->heap.n, s->heap.src,
						 s->heap.word_index, s->dst, s->dst_offset});
	write_modrefs(s);
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
