#include "write/block.h"

#include <string.h>

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
	uint8_t *at = block->memory;
	for (unsigned c = 0; c < block->n_columns; c++) {
		uint32_t size = block->size / total * weight(section, c, encodings[c]);
		uint32_t longest =
			encodings[c] == 'S' ? HF_FORMAT_MAX_STRING + HF_VARINT_MAX : HF_VARINT_MAX;
		block->columns[c] = (struct hf_column){at, at, at + size - longest, 0};
		at += size;
	}
	block->n_items = 0;
}

void hf_block_reset(struct hf_block *block)
{
	for (unsigned c = 0; c < block->n_columns; c++) {
		block->columns[c].at = block->columns[c].start;
		block->columns[c].previous = 0;
	}
	block->n_items = 0;
}

uint32_t hf_block_raw_size(const struct hf_block *block)
{
	uint32_t size = 4u * block->n_columns;
	for (unsigned c = 0; c < block->n_columns; c++)
		size += (uint32_t)(block->columns[c].at - block->columns[c].start);
	return size;
}

void hf_column_s(struct hf_column *column, const void *bytes, size_t size)
{
	column->at = hf_varint_put(column->at, size);
	if (size)
		memcpy(column->at, bytes, size);
	column->at += size;
}
