#include "write/block.h"

#include <string.h>

/* In front of the columns there is room for their sizes, which the payload starts with. */
enum { SIZES = 4 * HF_FORMAT_MAX_COLUMNS };

/* Shares of the memory: what a column of real heaps needs, so that all fill up about together. */
static unsigned weight(enum hf_section section, unsigned column, char encoding)
{
	static const uint8_t object[] = {3, 3, 2}, edge[] = {2, 2, 6, 3},
			     root[] = {1, 2, 1, 1, 4, 4, 2};
	switch (section) {
	case HF_SECTION_OBJECT:
		return object[column];
	case HF_SECTION_EDGE:
	case HF_SECTION_MODREF:
		return edge[column];
	case HF_SECTION_ROOT:
		return root[column];
	default:
		return encoding == 'S' ? 8 : 2;
	}
}

void hf_block_open(struct hf_block *block, enum hf_section section)
{
	const char *encodings = hf_format_columns(section);
	block->section = section;
	block->n_columns = (uint8_t)strlen(encodings);
	block->max_items =
		section == HF_SECTION_INDEX ? HF_FORMAT_INDEX_ITEMS : HF_FORMAT_MAX_BLOCK_ITEMS;
	unsigned total = 0;
	for (unsigned c = 0; c < block->n_columns; c++)
		total += weight(section, c, encodings[c]);
	uint8_t *at = block->memory + SIZES;
	for (unsigned c = 0; c < block->n_columns; c++) {
		uint32_t size = (block->size - SIZES) / total * weight(section, c, encodings[c]);
		uint32_t longest =
			encodings[c] == 'S' ? HF_FORMAT_MAX_STRING + HF_VARINT_MAX : HF_VARINT_MAX;
		block->columns[c] = (struct hf_column){at, at, at + size - longest, 0};
		at += size;
	}
	block->n_items = 0;
}

static void reset(struct hf_block *block)
{
	for (unsigned c = 0; c < block->n_columns; c++) {
		block->columns[c].at = block->columns[c].start;
		block->columns[c].previous = 0;
	}
	block->n_items = 0;
}

static uint32_t column_size(const struct hf_block *block, unsigned c)
{
	return (uint32_t)(block->columns[c].at - block->columns[c].start);
}

static uint32_t raw_size(const struct hf_block *block)
{
	uint32_t size = 4u * block->n_columns;
	for (unsigned c = 0; c < block->n_columns; c++)
		size += column_size(block, c);
	return size;
}

uint32_t hf_block_packed_max(const struct hf_block *block)
{
	return (uint32_t)sizeof(struct hf_block_header) + raw_size(block);
}

/* Push the columns together behind their sizes: the payload. */
static const uint8_t *gather(struct hf_block *block)
{
	uint8_t *payload = block->columns[0].start - 4 * block->n_columns;
	uint8_t *at = block->columns[0].start;
	for (unsigned c = 0; c < block->n_columns; c++) {
		uint32_t size = column_size(block, c);
		memcpy(payload + 4 * c, &size, sizeof(size));
		memmove(at, block->columns[c].start, size);
		at += size;
	}
	return payload;
}

uint32_t hf_block_pack(struct hf_block *block, struct hf_packer *packer, uint8_t *out)
{
	struct hf_block_header header = {
		.magic = HF_FORMAT_BLOCK_MAGIC,
		.section = block->section,
		.codec = (uint8_t)packer->codec,
		.n_columns = block->n_columns,
		.n_items = block->n_items,
		.raw_size = raw_size(block),
	};
	const uint8_t *payload = gather(block);
	uint8_t *stored = out + sizeof(header);
	int n = 0;
	if (packer->codec == HF_CODEC_LZ4)
		n = LZ4_compress_fast_extState(&packer->lz4, (const char *)payload, (char *)stored,
			(int)header.raw_size, (int)header.raw_size - 1, 1);
	if (n <= 0) {
		header.codec = HF_CODEC_NONE;
		memcpy(stored, payload, header.raw_size);
		n = (int)header.raw_size;
	}
	header.stored_size = (uint32_t)n;
	memcpy(out, &header, sizeof(header));
	reset(block);
	return (uint32_t)sizeof(header) + header.stored_size;
}

uint32_t hf_block_room(const struct hf_block *block)
{
	uint64_t room = block->max_items - block->n_items;
	for (unsigned c = 0; c < block->n_columns; c++) {
		const struct hf_column *column = &block->columns[c];
		if (column->at > column->limit)
			return 0;
		uint64_t values = (uint64_t)(column->limit - column->at) / HF_VARINT_MAX + 1;
		room = values < room ? values : room;
	}
	return (uint32_t)room;
}

static uint8_t *put(uint8_t *at, uint64_t v)
{
	return v >> 56 ? hf_varint_put(at, v) : hf_varint_put_56(at, v);
}

void hf_column_u_many(struct hf_column *column, const uint64_t *values, uint32_t n)
{
	uint8_t *at = column->at;
	const uint64_t *v = values, *const end = values + n;
	for (; end - v >= 8; v += 8) {
		/* In most columns most values have one byte. */
		if ((v[0] | v[1] | v[2] | v[3] | v[4] | v[5] | v[6] | v[7]) < 0x80) {
			uint64_t bytes = v[0] | v[1] << 8 | v[2] << 16 | v[3] << 24 | v[4] << 32 |
					 v[5] << 40 | v[6] << 48 | v[7] << 56;
			memcpy(at, &bytes, sizeof(bytes));
			at += 8;
			continue;
		}
		for (unsigned i = 0; i < 8; i++)
			at = put(at, v[i]);
	}
	for (; v < end; v++)
		at = put(at, *v);
	column->at = at;
}

void hf_column_s(struct hf_column *column, const void *bytes, size_t size)
{
	column->at = hf_varint_put(column->at, size);
	if (size)
		memcpy(column->at, bytes, size);
	column->at += size;
}
