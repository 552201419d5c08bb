/*
 * One section's open block: its columns as they grow. Inside the module write only.
 *
 * A buffer has memory for one block; the columns share it out by the weights of the section. The
 * limit of a column leaves room for one more value of any size, so a record is appended without
 * checks once hf_block_has_room() said yes.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/varint.h"
#include "holdfast/format.h"

struct hf_column {
	uint8_t *start, *at, *limit;
	uint64_t previous; /* of D and Z */
};

struct hf_block {
	uint8_t *memory;
	uint32_t size;    /* bytes of memory */
	uint16_t section; /* 0: none yet */
	uint8_t n_columns;
	uint32_t n_items, max_items;
	struct hf_column columns[HF_FORMAT_MAX_COLUMNS];
};

/* Lay an empty block out for a section. */
void hf_block_open(struct hf_block *block, enum hf_section section);
/* Empty the block again after it was written; the layout stays. */
void hf_block_reset(struct hf_block *block);
/* Bytes of the payload, column sizes included. */
uint32_t hf_block_raw_size(const struct hf_block *block);

static inline bool hf_block_has_room(const struct hf_block *block)
{
	if (block->n_items >= block->max_items)
		return false;
	for (unsigned c = 0; c < block->n_columns; c++) {
		if (block->columns[c].at > block->columns[c].limit)
			return false;
	}
	return true;
}

static inline void hf_column_u(struct hf_column *column, uint64_t v)
{
	column->at = hf_varint_put(column->at, v);
}

static inline void hf_column_d(struct hf_column *column, uint64_t v)
{
	column->at = hf_varint_put(column->at, v - column->previous);
	column->previous = v;
}

static inline void hf_column_z(struct hf_column *column, uint64_t v)
{
	column->at = hf_varint_put(column->at, hf_zigzag((int64_t)(v - column->previous)));
	column->previous = v;
}

static inline void hf_column_e(struct hf_column *column, uint64_t v, uint64_t column_0)
{
	column->at = hf_varint_put(column->at, hf_zigzag((int64_t)(v - column_0)));
}

/* size ≤ HF_FORMAT_MAX_STRING */
void hf_column_s(struct hf_column *column, const void *bytes, size_t size);
