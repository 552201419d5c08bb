#include "scan/scan.h"

#include "base/checked.h"

struct scanner {
	const struct hf_index *index;
	const struct hf_images *images;
	struct hf_writer *writer;
	struct hf_reader reader;
	uint64_t lo, span;               /* of objects */
	uint64_t module_lo, module_span; /* of modules */
	struct hf_scan_totals totals;
};

static void visit_module_word(struct scanner *s, uint32_t src, uint64_t src_offset, uint64_t word)
{
	int64_t image = hf_images_find(s->images, word);
	if (image < 0)
		return;
	hf_write_modref(s->writer, src, src_offset, (uint32_t)image,
		word - hf_images_at(s->images, (size_t)image)->base);
	s->totals.n_modrefs++;
}

static inline void visit_word(struct scanner *s, uint32_t src, uint64_t src_offset, uint64_t word)
{
	if (word - s->lo < s->span) {
		uint64_t start;
		int64_t dst = hf_index_find(s->index, word, &start);
		if (dst != HF_NO_OBJECT) {
			hf_write_edge(s->writer, src, src_offset, (uint32_t)dst, word - start);
			s->totals.n_edges++;
			return;
		}
	}
	if (word - s->module_lo < s->module_span)
		visit_module_word(s, src, src_offset, word);
}

static void scan_object(struct scanner *s, const struct hf_object *object)
{
	uint64_t end = object->addr + object->usable;
	for (uint64_t at = object->addr; at + 8 <= end;) {
		if (!hf_reader_seek(&s->reader, at)) {
			/* Not resident: it has never been written. Window ends are page ends. */
			at = hf_align_up(s->reader.win.end, 8);
			continue;
		}
		const struct hf_window *win = &s->reader.win;
		uint64_t stop = (win->end < end ? win->end : end) & ~7ull;
		const uint8_t *data = win->data + (at - win->start);
		s->totals.scanned_bytes += stop - at;
		for (; at < stop; at += 8, data += 8) {
			uint64_t word;
			memcpy(&word, data, 8);
			visit_word(s, object->id, at - object->addr, word);
		}
		if (at + 8 > end)
			break;
	}
}

static void module_span(struct scanner *s)
{
	uint64_t hi = 0;
	s->module_lo = UINT64_MAX;
	for (size_t i = 0; i < hf_images_count(s->images); i++) {
		const struct hf_image *image = hf_images_at(s->images, i);
		s->module_lo = image->base < s->module_lo ? image->base : s->module_lo;
		hi = image->end > hi ? image->end : hi;
	}
	s->module_span = hi > s->module_lo ? hi - s->module_lo : 0;
}

void hf_scan_objects(struct hf_mem *mem, const struct hf_index *index,
	const struct hf_images *images, struct hf_writer *writer, struct hf_scan_totals *ret)
{
	struct scanner s = {.index = index,
		.images = images,
		.writer = writer,
		.lo = index->lo,
		.span = index->hi - index->lo};
	hf_reader_init(&s.reader, mem);
	module_span(&s);
	struct hf_index_iter iter;
	struct hf_object object;
	hf_index_iter_init(&iter, index);
	while (hf_index_next(&iter, &object)) {
		if ((object.id & 0xffff) == 0 && hf_writer_failed(writer))
			break;
		scan_object(&s, &object);
	}
	hf_reader_deinit(&s.reader);
	*ret = s.totals;
}
