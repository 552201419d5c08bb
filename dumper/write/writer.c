#include "write/writer.h"

#include <string.h>

#include "base/checked.h"
#include "base/crc32c.h"
#include "base/page_alloc.h"
#include "write/state.h"

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
	return hf_align_up(sizeof(struct hf_writer), 64) + MAIN_SIZE + NOTE_SIZE + INDEX_SIZE +
	       OUT_SIZE + INDEX_OUT_SIZE + hf_batch_memory_size();
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
	*w = (struct hf_writer){.sink = sink, .pages = pages};
	w->main = (struct hf_block){.memory = take(&at, MAIN_SIZE), .size = MAIN_SIZE};
	w->note = (struct hf_block){.memory = take(&at, NOTE_SIZE), .size = NOTE_SIZE};
	w->index = (struct hf_block){.memory = take(&at, INDEX_SIZE), .size = INDEX_SIZE};
	w->out = take(&at, OUT_SIZE);
	w->index_out = take(&at, INDEX_OUT_SIZE);
	hf_block_open(&w->index, HF_SECTION_INDEX);
	hf_batch_init(&w->batch, w, options->codec, at);
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

const char *hf_writer_partial_reason(const struct hf_writer *w)
{
	return w->reason;
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

/* Number a finished block, which comes next in the file, and list it. Returns its bytes. */
static size_t place(struct hf_writer *w, uint8_t *block, uint64_t offset)
{
	struct hf_block_header header;
	memcpy(&header, block, sizeof(header));
	size_t size = sizeof(header) + header.stored_size;
	header.first_item = w->n_items[header.section];
	header.crc = 0;
	memcpy(block, &header, sizeof(header));
	header.crc = hf_crc32c(0, block, size);
	memcpy(block, &header, sizeof(header));
	w->n_items[header.section] += header.n_items;
	index_add(w, &header, offset);
	return size;
}

/* An index is a block itself, the first that the next one lists. */
static void write_index(struct hf_writer *w)
{
	hf_block_pack(&w->index, &w->batch.packer, w->index_out);
	put(w, w->index_out, place(w, w->index_out, w->bytes));
}

/* Finished blocks, in as few pieces as can be. */
static void write_blocks(struct hf_writer *w, uint8_t *blocks, size_t size)
{
	uint8_t *from = blocks, *at = blocks, *const end = blocks + size;
	while (at < end) {
		if (!hf_block_has_room(&w->index)) {
			put(w, from, (size_t)(at - from));
			write_index(w);
			from = at;
		}
		at += place(w, at, w->bytes + (uint64_t)(at - from));
	}
	put(w, from, (size_t)(end - from));
}

void hf_writer_flush(struct hf_writer *w, struct hf_block *block)
{
	if (block->n_items)
		write_blocks(w, w->out, hf_block_pack(block, &w->batch.packer, w->out));
}

void hf_writer_append(struct hf_writer *w, struct hf_batch_output *o)
{
	if (o->err.status && !w->err.status)
		w->err = o->err;
	for (unsigned kind = 0; kind < N_BULK; kind++) {
		if (!o->order[kind].any)
			continue;
		if (hf_place_before(o->order[kind].first, w->next[kind]) && !w->err.status)
			hf_err_set(&w->err, HF_E_FAILED,
				"parts of the heap out of order at 0x%lx: a defect of the dumper",
				o->order[kind].first.row);
		w->next[kind] = o->order[kind].next;
	}
	if (w->main.section < HF_SECTION_OBJECT)
		hf_writer_flush(w, &w->main);
	write_blocks(w, o->blocks, o->size);
}

enum hf_status hf_writer_finish(struct hf_writer *w, struct hf_err *err)
{
	if (!w->finished) {
		w->finished = true;
		struct hf_block *const blocks[] = {&w->main, &w->note, &w->index};
		hf_batch_flush(&w->batch);
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
