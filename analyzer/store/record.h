/*
 * SQLite's record format for rows of integers: varints (big-endian, 9 bytes at most, unlike those
 * of base/varint.h), serial types, cells. Used by the page writer alone.
 *
 *     record = header size, a serial type a column, then the values, big-endian
 *     serial types: 0 NULL; 1 … 6 integers of 1, 2, 3, 4, 6, 8 bytes; 8 and 9 the values 0 and 1
 *
 * Thread rule: pure functions.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "store/btree.h"

enum {
	HF_RECORD_MAX_VARINT = 9,
	/* Payload size and rowid, header, values; and room for the last value's store of 8 bytes.
	 */
	HF_RECORD_MAX_CELL = 2 * HF_RECORD_MAX_VARINT + 1 + 9 * HF_BTREE_MAX_COLUMNS + 8,
};

static inline void hf_record_put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline uint32_t hf_record_get16(const uint8_t *p)
{
	uint32_t v = (uint32_t)p[0] << 8 | p[1];
	return v;
}

static inline void hf_record_put32(uint8_t *p, uint32_t v)
{
	v = __builtin_bswap32(v);
	memcpy(p, &v, sizeof(v));
}

static inline uint32_t hf_record_get32(const uint8_t *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof(v));
	return __builtin_bswap32(v);
}

/* Write v as a varint at out; its size. */
static inline uint32_t hf_record_varint(uint8_t *out, uint64_t v)
{
	if (v < 0x80) {
		out[0] = (uint8_t)v;
		return 1;
	}
	if (v >> 56) {
		out[8] = (uint8_t)v;
		v >>= 8;
		for (int i = 7; i >= 0; i--, v >>= 7)
			out[i] = (uint8_t)(v | 0x80);
		return 9;
	}
	uint32_t n = (70 - (uint32_t)__builtin_clzll(v)) / 7;
	for (uint32_t i = n; i-- > 0; v >>= 7)
		out[i] = (uint8_t)(v | 0x80);
	out[n - 1] &= 0x7f;
	return n;
}

/* How an integer is stored. */
struct hf_record_width {
	uint8_t type, size;
};

static inline struct hf_record_width hf_record_width(int64_t v)
{
#define HF_W8(type, size)                                                                          \
	{type, size}, {type, size}, {type, size}, {type, size}, {type, size}, {type, size},        \
		{type, size},                                                                      \
	{                                                                                          \
		type, size                                                                         \
	}
	/* By the highest bit that differs from the sign. */
	static const struct hf_record_width by_bit[72] = {{1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1},
		{1, 1}, {1, 1}, HF_W8(2, 2), HF_W8(3, 3), HF_W8(4, 4), HF_W8(5, 6), HF_W8(5, 6),
		HF_W8(6, 8), HF_W8(6, 8), HF_W8(6, 8)};
#undef HF_W8
	uint64_t magnitude = (uint64_t)(v ^ (v >> 63));
	struct hf_record_width w = by_bit[63 - __builtin_clzll(magnitude | 1)];
	/* No branch: which values are 0 or 1 is hard to guess. */
	bool is_bit = __builtin_expect_with_probability((uint64_t)v <= 1, 1, 0.5);
	w.type = is_bit ? (uint8_t)(8 + v) : w.type;
	w.size = is_bit ? 0 : w.size;
	return w;
}

/* Write the record of row->value at out, which has 8 bytes to spare; its size. */
static inline uint32_t hf_record_put(uint8_t *out, const struct hf_btree_row *row)
{
	uint8_t *type = out + 1, *body = out + 1 + row->n;
	out[0] = (uint8_t)(1 + row->n);
	for (uint32_t i = 0; i < row->n; i++) {
		int64_t v = row->value[i];
		if (v == HF_BTREE_NULL) {
			*type++ = 0;
			continue;
		}
		struct hf_record_width w = hf_record_width(v);
		/* Of 0 and 1 nothing stays. */
		uint64_t big = __builtin_bswap64((uint64_t)v << ((64 - 8 * w.size) & 63));
		memcpy(body, &big, sizeof(big));
		body += w.size;
		*type++ = w.type;
	}
	return (uint32_t)(body - out);
}

enum {
	HF_RECORD_MAX_BACK = 7, /* columns of hf_record_index_cell_back() */
	HF_RECORD_MAX_BACK_CELL = 2 + 9 * HF_RECORD_MAX_BACK + 8, /* with what is spoilt below it */
};

/* Write the leaf cell of an index entry of HF_RECORD_MAX_BACK columns at most so that it ends at
 * end; its size. From back to front a value need not be shifted: what its 8 bytes have too much is
 * overwritten by what comes before it. So the 8 bytes below the cell are spoilt. */
static inline uint32_t hf_record_index_cell_back(uint8_t *end, const struct hf_btree_row *row)
{
	uint8_t *at = end;
	uint64_t types = 0;
	for (uint32_t i = row->n; i-- > 0;) {
		int64_t v = row->value[i];
		struct hf_record_width w = {0, 0};
		if (__builtin_expect(v != HF_BTREE_NULL, 1))
			w = hf_record_width(v);
		uint64_t big = __builtin_bswap64((uint64_t)v);
		memcpy(at - sizeof(big), &big, sizeof(big));
		at -= w.size;
		types = types << 8 | w.type;
	}
	/* The size of the header and its types are the upper bytes of a word. */
	types = (types << 8 | (1 + row->n)) << (56 - 8 * row->n);
	memcpy(at - sizeof(types), &types, sizeof(types));
	at -= 1 + row->n;
	uint32_t size = (uint32_t)(end - at); /* < 0x80 */
	*--at = (uint8_t)size;
	return 1 + size;
}

/* Write the leaf cell of a table row; its size. */
static inline uint32_t hf_record_table_cell(uint8_t *out, const struct hf_btree_row *row)
{
	/* The size of the record comes first, so guess that it takes one byte. */
	uint8_t rowid[HF_RECORD_MAX_VARINT];
	uint32_t n_rowid = hf_record_varint(rowid, (uint64_t)row->rowid);
	memcpy(out + 1, rowid, sizeof(rowid));
	uint32_t size = hf_record_put(out + 1 + n_rowid, row);
	if (size < 0x80) {
		out[0] = (uint8_t)size;
		return 1 + n_rowid + size;
	}
	memmove(out + 2, out + 1, n_rowid + size);
	return hf_record_varint(out, size) + n_rowid + size;
}

/* Write the leaf cell of an index entry; its size. */
static inline uint32_t hf_record_index_cell(uint8_t *out, const struct hf_btree_row *row)
{
	uint32_t size = hf_record_put(out + 1, row);
	if (size < 0x80) {
		out[0] = (uint8_t)size;
		return 1 + size;
	}
	memmove(out + 2, out + 1, size);
	return hf_record_varint(out, size) + size;
}
