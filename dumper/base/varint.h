/*
 * LEB128 variable-length integers, as protobuf and DWARF use them: 7 bits a byte, least significant
 * first, the top bit says that more follow. Signed values are zigzag coded first.
 * Thread and signal safety: pure functions.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { HF_VARINT_MAX = 10 }; /* bytes of the longest 64-bit varint */

/* Write v at out, which has room for HF_VARINT_MAX bytes; returns the byte after it. */
static inline uint8_t *hf_varint_put(uint8_t *out, uint64_t v)
{
	while (v >= 0x80) {
		*out++ = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	*out++ = (uint8_t)v;
	return out;
}

/* The same without branches, for v < 2^56: the length of what follows in a column can hardly be
 * predicted. Writes eight bytes, of which the later ones may be rubbish. */
static inline uint8_t *hf_varint_put_56(uint8_t *out, uint64_t v)
{
	unsigned bits = 64 - (unsigned)__builtin_clzll(v | 1);
	unsigned n = (bits * 9 + 64) / 64; /* ⌈bits / 7⌉ for 1 … 56 */
	/* seven bits a byte, by halves */
	v = (v & 0x000000000fffffff) | (v & 0x00fffffff0000000) << 4;
	v = (v & 0x00003fff00003fff) | (v & 0x0fffc0000fffc000) << 2;
	v = (v & 0x007f007f007f007f) | (v & 0x3f803f803f803f80) << 1;
	v |= 0x8080808080808080 & ((1ull << (8 * (n - 1))) - 1);
	memcpy(out, &v, sizeof(v));
	return out + n;
}

static inline uint64_t hf_zigzag(int64_t v)
{
	return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}

static inline int64_t hf_unzigzag(uint64_t v)
{
	return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

/* Read a varint at in, not past end; returns the byte after it and sets *ret, or NULL (and leaves
 * *ret untouched) if it is cut off or longer than 64 bits. */
static inline const uint8_t *hf_varint_get(const uint8_t *in, const uint8_t *end, uint64_t *ret)
{
	uint64_t v = 0;
	for (unsigned shift = 0; shift < 64; shift += 7) {
		if (in == end)
			return NULL;
		uint8_t b = *in++;
		if (shift == 63 && b > 1)
			return NULL;
		v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80)) {
			*ret = v;
			return in;
		}
	}
	return NULL;
}
