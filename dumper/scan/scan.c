#include "scan/scan.h"

#include "base/checked.h"
#include "base/page_alloc.h"
#include "index/look.h"
#include "scan/crew.h"
#include "scan/words.h"

/*
 * Regions are read from end to end, since the reading is the cheap part: words that cannot be
 * pointers, and those of free chunks, are passed by (scan/words.h). What is left goes through
 * arrays, a step at a time: which cell of the index is asked, and then, when the words behind have
 * been read and their cells asked for, and those of these have come from memory, which object.
 */

struct asked {
	struct hf_words words;
	hf_words_array cell, rest; /* their places; not of those that are still collected */
};

struct scanner {
	const struct hf_index *index;
	const struct hf_images *images;
	struct hf_batch *batch; /* NULL: only count */
	struct hf_reader reader;
	uint64_t module_lo, module_span; /* of modules */
	struct hf_index_region hint;     /* last target */
	struct asked asked[2];
	unsigned current;                     /* the one that is collected */
	uint16_t outside[HF_WORDS_MAX];       /* words that are in no region */
	hf_words_array target, target_offset; /* of those that point to objects: the edges */
	struct hf_scan_totals totals;
};

static void visit_module_word(struct scanner *s, const struct hf_words *w, uint32_t i)
{
	int64_t image = hf_images_find(s->images, w->word[i]);
	if (image < 0)
		return;
	s->totals.n_modrefs++;
	if (s->batch)
		hf_batch_modref(s->batch, (uint32_t)w->src[i], w->offset[i] * 8, (uint32_t)image,
			w->word[i] - hf_images_at(s->images, (size_t)image)->base);
}

static void ask(struct scanner *s, struct asked *a)
{
	const struct hf_words *w = &a->words;
	const struct hf_index_places places = {a->cell, a->rest};
	const uint32_t n_outside =
		hf_index_place_many(s->index, &s->hint, w->word, w->n, &places, s->outside);
	for (uint32_t i = 0; i < n_outside; i++) {
		if (w->word[s->outside[i]] - s->module_lo < s->module_span)
			visit_module_word(s, w, s->outside[i]);
	}
}

static void look(struct scanner *s, struct asked *a)
{
	struct hf_words *w = &a->words;
	const struct hf_index_places places = {a->cell, a->rest};
	const struct hf_index_answers answers = {s->target, s->target_offset, {w->src, w->offset}};
	const uint32_t n = hf_index_look_many(&places, w->n, &answers);
	s->totals.n_edges += n;
	if (s->batch)
		hf_batch_edges(s->batch,
			&(struct hf_edges){n, w->src, w->offset, s->target, s->target_offset});
	w->n = 0;
}

/* The collected words are asked for; those before are looked at. */
static void turn(struct scanner *s)
{
	ask(s, &s->asked[s->current]);
	s->current ^= 1;
	look(s, &s->asked[s->current]);
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
			struct hf_words *w = &s->asked[s->current].words;
			at = hf_words_take(w, region, at, stop, win->data + (at - win->start));
			if (w->n >= HF_WORDS_FULL)
				turn(s);
		}
	}
	turn(s);
	turn(s);
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
	const uint64_t hi = module_hi > s->index->hi ? module_hi : s->index->hi;
	for (unsigned i = 0; i < 2; i++)
		hf_words_init(&s->asked[i].words, lo, hi - lo);
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
