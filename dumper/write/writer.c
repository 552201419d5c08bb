#include "write/writer.h"

#include <string.h>
#include <zlib.h>

#include "base/checked.h"
#include "base/crc32c.h"
#include "base/page_alloc.h"
#include "write/state.h"

enum {
	SAMPLE = 2048, /* bytes */
	N_SAMPLES = 4,
	SAMPLE_TABLE = 2048,
	MIN_HITS_PERCENT = 45,
};

static void *zlib_alloc(void *opaque, unsigned n, unsigned size)
{
	struct hf_writer *w = opaque;
	uint64_t bytes;
	if (!hf_mul_u64(n, size, &bytes) || bytes > ZLIB_SIZE)
		return NULL;
	bytes = hf_align_up(bytes, 64);
	if (bytes > (uint64_t)(w->zlib_end - w->zlib_next))
		return NULL;
	void *ptr = w->zlib_next;
	w->zlib_next += bytes;
	return ptr;
}

static void zlib_free(void *opaque, void *ptr)
{
	(void)opaque;
	(void)ptr; /* goes with the writer */
}

static void put(struct hf_writer *w, const void *data, size_t size)
{
	if (w->err.status != HF_OK)
		return;
	struct hf_err err = {0};
	enum hf_status status = w->sink->write(w->sink, data, size, &err);
	if (status != HF_OK) {
		w->err = err;
		w->err.status = status;
		return;
	}
	w->bytes += size;
}

size_t hf_writer_memory_size(void)
{
	return hf_align_up(sizeof(struct hf_writer), 64) + MAIN_SIZE + EDGE_SIZE + MODREF_SIZE +
	       NOTE_SIZE + INDEX_SIZE + OUT_SIZE + ZLIB_SIZE;
}

static uint8_t *take(uint8_t **at, size_t size)
{
	uint8_t *memory = *at;
	*at += size;
	return memory;
}

static void write_file_header(struct hf_writer *w, const struct hf_writer_options *options)
{
	struct hf_file_header header = {
		.magic = HF_FORMAT_MAGIC,
		.major = HF_FORMAT_MAJOR,
		.minor = HF_FORMAT_MINOR,
		.header_size = sizeof(header),
		.byte_order = HF_FORMAT_LITTLE_ENDIAN,
		.pointer_size = 8,
		.time_ns = options->time_ns,
	};
	memcpy(header.token, options->token, sizeof(header.token));
	header.crc = hf_crc32c(0, &header, sizeof(header));
	put(w, &header, sizeof(header));
}

enum hf_status hf_writer_create(struct hf_sink *sink, const struct hf_writer_options *options,
	struct hf_writer **ret, struct hf_err *err)
{
	size_t size = hf_writer_memory_size();
	void *pages = options->memory ? NULL : hf_page_alloc(size);
	uint8_t *at = options->memory ? options->memory : pages;
	if (!at)
		return hf_err_set(
			err, HF_E_NOMEM, "no memory for the dump writer (%zu bytes)", size);
	struct hf_writer *w = (struct hf_writer *)take(&at, hf_align_up(sizeof(*w), 64));
	*w = (struct hf_writer){.sink = sink, .codec = options->codec, .pages = pages};
	w->main = (struct hf_block){.memory = take(&at, MAIN_SIZE), .size = MAIN_SIZE};
	w->edge = (struct hf_block){.memory = take(&at, EDGE_SIZE), .size = EDGE_SIZE};
	w->modref = (struct hf_block){.memory = take(&at, MODREF_SIZE), .size = MODREF_SIZE};
	w->note = (struct hf_block){.memory = take(&at, NOTE_SIZE), .size = NOTE_SIZE};
	w->index = (struct hf_block){.memory = take(&at, INDEX_SIZE), .size = INDEX_SIZE};
	hf_block_open(&w->edge, HF_SECTION_EDGE);
	hf_block_open(&w->modref, HF_SECTION_MODREF);
	hf_block_open(&w->index, HF_SECTION_INDEX);
	w->out = take(&at, OUT_SIZE);
	w->zlib_next = take(&at, ZLIB_SIZE);
	w->zlib_end = at;
	w->z = (z_stream){.zalloc = zlib_alloc, .zfree = zlib_free, .opaque = w};
	if (w->codec == HF_CODEC_ZLIB) {
		int z = deflateInit2(&w->z, 1, Z_DEFLATED, 15, ZLIB_MEM_LEVEL, Z_DEFAULT_STRATEGY);
		if (z != Z_OK) {
			hf_writer_destroy(w);
			return hf_err_set(err, HF_E_FAILED,
				"zlib cannot start (%d); it may need more than %d bytes", z,
				ZLIB_SIZE);
		}
	}
	write_file_header(w, options);
	if (w->err.status != HF_OK) {
		enum hf_status status = w->err.status;
		if (err)
			*err = w->err;
		hf_writer_destroy(w);
		return status;
	}
	*ret = w;
	return HF_OK;
}

void hf_writer_destroy(struct hf_writer *w)
{
	/* zlib holds nothing outside our memory */
	if (w && w->pages)
		hf_page_free(w->pages, hf_writer_memory_size());
}

uint64_t hf_writer_bytes(const struct hf_writer *w)
{
	return w->bytes;
}

bool hf_writer_failed(const struct hf_writer *w)
{
	return w->err.status != HF_OK;
}

bool hf_writer_partial(const struct hf_writer *w)
{
	return w->partial;
}

/* Does the column repeat itself? Looks for four bytes that were there before, in a few samples. */
static bool repeats(const struct hf_column *column)
{
	uint16_t seen[SAMPLE_TABLE] = {0};
	size_t size = (size_t)(column->at - column->start), n_hits = 0, n = 0;
	for (size_t at = 0; at + SAMPLE <= size; at += size / N_SAMPLES) {
		for (size_t i = at; i + 4 <= at + SAMPLE; i++, n++) {
			uint32_t word;
			memcpy(&word, column->start + i, sizeof(word));
			uint32_t slot = word * 2654435761u >> 21;
			uint16_t mark = (uint16_t)(word * 40503u >> 8 | 1);
			n_hits += seen[slot] == mark;
			seen[slot] = mark;
		}
	}
	return n_hits * 100 >= n * MIN_HITS_PERCENT;
}

/* Columns full of repetitions are quick to compress. Looking for matches in others (the targets of
 * edges of an irregular heap) takes twice the time and saves 4 % of the file; they get Huffman
 * codes only. Measured: docs/format.md. */
static int column_strategy(const struct hf_column *column)
{
	return repeats(column) ? Z_DEFAULT_STRATEGY : Z_HUFFMAN_ONLY;
}

static bool compress_piece(struct hf_writer *w, const void *data, uint32_t size, int flush)
{
	w->z.next_in = (Bytef *)data;
	w->z.avail_in = size;
	int z = deflate(&w->z, flush);
	return flush == Z_FINISH ? z == Z_STREAM_END
				 : (z == Z_OK || (z == Z_BUF_ERROR && !size)) && !w->z.avail_in;
}

/* Compress the payload into out, behind the header. Returns its size, or 0 if it would not become
 * smaller than raw_size. */
static uint32_t compress_payload(
	struct hf_writer *w, const struct hf_block *block, const uint32_t *sizes, uint32_t raw_size)
{
	uint32_t room = OUT_SIZE - sizeof(struct hf_block_header);
	if (room > raw_size - 1)
		room = raw_size - 1;
	w->z.next_out = w->out + sizeof(struct hf_block_header);
	w->z.avail_out = room;
	w->z.avail_in = 0;
	if (deflateReset(&w->z) != Z_OK ||
		!compress_piece(w, sizes, 4u * block->n_columns, Z_NO_FLUSH))
		return 0;
	for (unsigned c = 0; c < block->n_columns; c++) {
		/* it may end a deflate block; without room for that it fails */
		if (deflateParams(&w->z, 1, column_strategy(&block->columns[c])) != Z_OK)
			break;
		int flush = c + 1u == block->n_columns ? Z_FINISH : Z_NO_FLUSH;
		if (!compress_piece(w, block->columns[c].start, sizes[c], flush))
			break;
		if (flush == Z_FINISH)
			return room - w->z.avail_out;
	}
	return 0;
}

/* List a block that was written; there is room. */
static void index_add(struct hf_writer *w, const struct hf_block_header *header, uint64_t offset)
{
	if (header->section == HF_SECTION_INDEX)
		w->index_offset = offset;
	struct hf_column *columns = w->index.columns;
	hf_column_u(&columns[0], header->section);
	hf_column_d(&columns[1], offset);
	hf_column_u(&columns[2], header->n_items);
	hf_column_u(&columns[3], header->first_item);
	w->index.n_items++;
}

static void write_block(struct hf_writer *w, struct hf_block *block)
{
	uint32_t sizes[HF_FORMAT_MAX_COLUMNS];
	for (unsigned c = 0; c < block->n_columns; c++)
		sizes[c] = (uint32_t)(block->columns[c].at - block->columns[c].start);
	struct hf_block_header header = {
		.magic = HF_FORMAT_BLOCK_MAGIC,
		.section = block->section,
		.n_columns = block->n_columns,
		.first_item = w->n_items[block->section],
		.n_items = block->n_items,
		.raw_size = hf_block_raw_size(block),
	};
	uint64_t offset = w->bytes;
	uint32_t packed = w->codec == HF_CODEC_ZLIB && w->err.status == HF_OK
				  ? compress_payload(w, block, sizes, header.raw_size)
				  : 0;
	header.codec = packed ? HF_CODEC_ZLIB : HF_CODEC_NONE;
	header.stored_size = packed ? packed : header.raw_size;
	uint32_t crc = hf_crc32c(0, &header, sizeof(header));
	if (packed) {
		header.crc = hf_crc32c(crc, w->out + sizeof(header), packed);
		memcpy(w->out, &header, sizeof(header));
		put(w, w->out, sizeof(header) + packed);
	} else {
		crc = hf_crc32c(crc, sizes, 4u * block->n_columns);
		for (unsigned c = 0; c < block->n_columns; c++)
			crc = hf_crc32c(crc, block->columns[c].start, sizes[c]);
		header.crc = crc;
		put(w, &header, sizeof(header));
		put(w, sizes, 4u * block->n_columns);
		for (unsigned c = 0; c < block->n_columns; c++)
			put(w, block->columns[c].start, sizes[c]);
	}
	w->n_items[block->section] += block->n_items;
	hf_block_reset(block);
	index_add(w, &header, offset);
}

/* A full index is a block itself, the first that the next one lists. */
static void write_listed(struct hf_writer *w, struct hf_block *block)
{
	if (block != &w->index && !hf_block_has_room(&w->index))
		write_block(w, &w->index);
	write_block(w, block);
}

void hf_writer_flush(struct hf_writer *w, struct hf_block *block)
{
	if (!block->n_items)
		return;
	/* objects go before the edges between them */
	bool reference = block == &w->edge || block == &w->modref;
	if (reference && w->main.n_items && w->main.section < block->section)
		write_listed(w, &w->main);
	write_listed(w, block);
}

enum hf_status hf_writer_finish(struct hf_writer *w, struct hf_err *err)
{
	if (!w->finished) {
		w->finished = true;
		struct hf_block *const blocks[] = {
			&w->edge, &w->modref, &w->main, &w->note, &w->index};
		for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++)
			hf_writer_flush(w, blocks[i]);
		struct hf_file_tail tail = {
			.index_offset = w->index_offset, .magic = HF_FORMAT_TAIL_MAGIC};
		tail.crc = hf_crc32c(0, &tail, sizeof(tail));
		put(w, &tail, sizeof(tail));
	}
	if (w->err.status != HF_OK && err)
		*err = w->err;
	return w->err.status;
}
