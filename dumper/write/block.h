/*
 * One section's open block: its columns as they grow, and what becomes of it in the file. Inside
 * the module write only.
 *
 * A block has memory for one payload; the columns share it out by the weights of the section. The
 * limit of a column leaves room for one more value of any size, so a record is appended without
 * checks once hf_block_has_room() said yes.
 */
#pragma once
#include <lz4.h>
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

/* What packing needs, for one thread. */
struct hf_packer {
	enum hf_codec codec;
	LZ4_stream_t lz4;
};

/* Lay an empty block out for a section. */
void hf_block_open(struct hf_block *block, enum hf_section section);
/* Most bytes that hf_block_pack() makes of the block as it is. */
uint32_t hf_block_packed_max(const struct hf_block *block);
/* The block as it stands in the file, header first, written to out, but for first_item and crc,
 * which the writer knows when it gets there. Returns the bytes; the block is empty afterwards. */
uint32_t hf_block_pack(struct hf_block *block, struct hf_packer *packer, uint8_t *out);

/* n values of a U column, for which there is room. */
void hf_column_u_many(struct hf_column *column, const uint64_t *values, uint32_t n);
/* How many records of integers there is room for, at least; 0: the block is full. */
uint32_t hf_block_room(const struct hf_block *block);

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

/* size ≤ HF_FORMAT_MAX_STRING */
void hf_column_s(struct hf_column *column, const void *bytes, size_t size);
