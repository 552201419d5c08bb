#include "scan/scan.h"

#include <immintrin.h>

#include "base/checked.h"

/*
 * Regions are read from end to end, objects, free chunks and all, since the reading is the cheap
 * part: a vector compare throws out the words that cannot be pointers, and only for those that are
 * left is it asked whose they are. They are gathered in batches, so that the index cells that the
 * targets need are on their way from memory while others are looked at.
 */
enum { BATCH = 512, VECTOR = 8 /* words a step of the filter */ };

struct scanner {
	const struct hf_index *index;
	const struct hf_images *images;
	struct hf_writer *writer; /* NULL: only count */
	struct hf_reader reader;
	uint64_t lo, span;               /* of everything that is looked for */
	uint64_t module_lo, module_span; /* of modules */
	bool has_avx512, has_avx2;
	const struct hf_index_region *src; /* being read */
	/* The extent [src_start, src_end) of one start of it, and the object it is; batches go up.
	 */
	uint64_t src_start, src_end;
	int64_t src_id;
	const struct hf_index_region *hint; /* last target */
	uint32_t n;
	/* The batch: where a word was, the word, and the region that it points into, or NULL. */
	uint64_t at[BATCH + VECTOR], word[BATCH + VECTOR];
	const struct hf_index_region *region[BATCH + VECTOR];
	struct hf_scan_totals totals;
};

static void visit_module_word(struct scanner *s, uint32_t src, uint64_t src_offset, uint64_t word)
{
	int64_t image = hf_images_find(s->images, word);
	if (image < 0)
		return;
	s->totals.n_modrefs++;
	if (s->writer)
		hf_write_modref(s->writer, src, src_offset, (uint32_t)image,
			word - hf_images_at(s->images, (size_t)image)->base);
}

static void visit(
	struct scanner *s, uint64_t at, uint64_t word, const struct hf_index_region *region)
{
	uint64_t dst_start;
	if (at >= s->src_end)
		s->src_id = hf_index_extent(s->src, at, &s->src_start, &s->src_end);
	int64_t src = s->src_id;
	if (src == HF_NO_OBJECT)
		return;
	int64_t dst = region ? hf_index_find_in(region, word, &dst_start) : HF_NO_OBJECT;
	if (dst != HF_NO_OBJECT) {
		s->totals.n_edges++;
		if (s->writer)
			hf_write_edge(s->writer, (uint32_t)src, at - s->src_start, (uint32_t)dst,
				word - dst_start);
	} else if (word - s->module_lo < s->module_span) {
		visit_module_word(s, (uint32_t)src, at - s->src_start, word);
	}
}

static void flush(struct scanner *s)
{
	for (uint32_t i = 0; i < s->n; i++) {
		uint64_t word = s->word[i];
		const struct hf_index_region *region =
			hf_index_find_region(s->index, word, s->hint);
		s->region[i] = region;
		if (!region)
			continue;
		s->hint = region;
		if (region->cells)
			__builtin_prefetch(&region->cells[(word - region->start) / HF_CELL_BYTES]);
	}
	for (uint32_t i = 0; i < s->n; i++)
		visit(s, s->at[i], s->word[i], s->region[i]);
	s->n = 0;
}

static inline void add(struct scanner *s, uint64_t at, uint64_t word)
{
	s->at[s->n] = at;
	s->word[s->n++] = word;
}

/* Each filter looks at n words, n a multiple of VECTOR, from data, which is the memory at `at`.
 * Words that may be pointers are added; a batch is flushed when it is full. */

static void filter_plain(struct scanner *s, uint64_t at, const uint8_t *data, uint64_t n)
{
	for (; n; n--, at += 8, data += 8) {
		uint64_t word;
		memcpy(&word, data, 8);
		if (word - s->lo < s->span) {
			add(s, at, word);
			if (s->n >= BATCH)
				flush(s);
		}
	}
}

static inline void add_masked(struct scanner *s, uint64_t at, const uint8_t *data, unsigned mask)
{
	for (; mask; mask &= mask - 1) {
		unsigned i = (unsigned)__builtin_ctz(mask);
		uint64_t word;
		memcpy(&word, data + 8 * i, 8);
		add(s, at + 8 * i, word);
	}
	if (s->n >= BATCH)
		flush(s);
}

/* Compressed in registers and stored whole, with room for VECTOR words past the batch: vpcompressq
 * to memory is slow on some CPUs, and a loop over the mask's bits is mispredicted. */
__attribute__((target("avx512f,popcnt"))) static void filter_avx512(
	struct scanner *s, uint64_t at, const uint8_t *data, uint64_t n)
{
	const __m512i lo = _mm512_set1_epi64((long long)s->lo),
		      span = _mm512_set1_epi64((long long)s->span);
	const __m512i steps = _mm512_setr_epi64(0, 8, 16, 24, 32, 40, 48, 56);
	for (; n; n -= 8, at += 64, data += 64) {
		__m512i words = _mm512_loadu_si512(data);
		__mmask8 mask = _mm512_cmplt_epu64_mask(_mm512_sub_epi64(words, lo), span);
		if (!mask)
			continue;
		__m512i places = _mm512_add_epi64(_mm512_set1_epi64((long long)at), steps);
		_mm512_storeu_si512(&s->word[s->n], _mm512_maskz_compress_epi64(mask, words));
		_mm512_storeu_si512(&s->at[s->n], _mm512_maskz_compress_epi64(mask, places));
		s->n += (uint32_t)__builtin_popcount(mask);
		if (s->n >= BATCH)
			flush(s);
	}
}

__attribute__((target("avx2"))) static void filter_avx2(
	struct scanner *s, uint64_t at, const uint8_t *data, uint64_t n)
{
	/* There is no unsigned compare: shift both sides by 2^63. */
	const long long bias = (long long)(1ull << 63);
	const __m256i lo = _mm256_set1_epi64x((long long)(s->lo ^ (uint64_t)bias));
	const __m256i span = _mm256_set1_epi64x((long long)(s->span ^ (uint64_t)bias));
	for (; n; n -= 8, at += 64, data += 64) {
		__m256i a = _mm256_loadu_si256((const __m256i *)data);
		__m256i b = _mm256_loadu_si256((const __m256i *)(data + 32));
		a = _mm256_cmpgt_epi64(span, _mm256_sub_epi64(a, lo));
		b = _mm256_cmpgt_epi64(span, _mm256_sub_epi64(b, lo));
		unsigned mask = (unsigned)_mm256_movemask_pd((__m256d)a) |
				(unsigned)_mm256_movemask_pd((__m256d)b) << 4;
		if (mask)
			add_masked(s, at, data, mask);
	}
}

static void filter(struct scanner *s, uint64_t at, const uint8_t *data, uint64_t n)
{
	uint64_t vectors = n - n % VECTOR;
	if (s->has_avx512)
		filter_avx512(s, at, data, vectors);
	else if (s->has_avx2)
		filter_avx2(s, at, data, vectors);
	else
		filter_plain(s, at, data, vectors);
	filter_plain(s, at + vectors * 8, data + vectors * 8, n - vectors);
}

static void scan_region(struct scanner *s, const struct hf_index_region *region)
{
	uint64_t end = hf_align_down(region->end - region->tail_bytes, 8);
	if (!region->cells && !region->live)
		return;
	s->src = region;
	s->src_end = 0;
	for (uint64_t at = region->start; at < end;) {
		if (!hf_reader_seek(&s->reader, at)) {
			/* Not resident: it has never been written. */
			at = hf_align_up(s->reader.win.end, 8);
			continue;
		}
		const struct hf_window *win = &s->reader.win;
		uint64_t stop = (win->end < end ? win->end : end) & ~7ull;
		if (stop <= at)
			break;
		filter(s, at, win->data + (at - win->start), (stop - at) / 8);
		s->totals.scanned_bytes += stop - at;
		at = stop;
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
	s->lo = s->module_lo < s->index->lo ? s->module_lo : s->index->lo;
	s->span = (module_hi > s->index->hi ? module_hi : s->index->hi) - s->lo;
}

enum hf_status hf_scan_objects(struct hf_mem *mem, const struct hf_index *index,
	const struct hf_images *images, struct hf_writer *writer, struct hf_scan_totals *ret,
	struct hf_err *err)
{
	*ret = (struct hf_scan_totals){0};
	if (!index->regions.n)
		return HF_OK;
	struct scanner *s = hf_page_alloc(sizeof(*s));
	if (!s)
		return hf_err_set(err, HF_E_NOMEM, "no memory to scan for pointers");
	s->index = index;
	s->images = images;
	s->writer = writer;
	s->has_avx512 = __builtin_cpu_supports("avx512f");
	s->has_avx2 = __builtin_cpu_supports("avx2");
	hf_reader_init(&s->reader, mem);
	find_spans(s);
	for (size_t i = 0; i < index->regions.n && !(writer && hf_writer_failed(writer)); i++)
		scan_region(s, hf_vec_at(&index->regions, i));
	hf_reader_deinit(&s->reader);
	*ret = s->totals;
	hf_page_free(s, sizeof(*s));
	return HF_OK;
}
