/*
 * Decoding columns. Inside source/dump only.
 *
 * A column lies in a buffer that has COLUMN_SLACK readable bytes after its end, so a varint is read
 * without looking at the end; reading past the end shows afterwards: at > end.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/varint.h"

enum { COLUMN_SLACK = 32 };

struct column {
	const uint8_t *at, *end;
	uint64_t previous;
	bool bad; /* a varint of more than 64 bits, or a sum that wrapped */
};

static inline uint64_t column_u(struct column *c)
{
	const uint8_t *p = c->at;
	if (p[0] < 0x80) {
		c->at = p + 1;
		return p[0];
	}
	uint64_t w;
	memcpy(&w, p, sizeof(w));
	uint64_t stop = ~w & 0x8080808080808080;
	if (__builtin_expect(!stop, 0)) {
		uint64_t v = 0;
		const uint8_t *next = hf_varint_get(p, p + HF_VARINT_MAX, &v);
		c->bad |= !next;
		c->at = next ? next : p + 1;
		return v;
	}
	c->at = p + __builtin_ctzll(stop) / 8 + 1;
	/* the bytes of the value, then their 7 bits pushed together: by pairs, fours, eights */
	w &= stop ^ (stop - 1);
	w = (w & 0x007f007f007f007f) | (w & 0x7f007f007f007f00) >> 1;
	w = (w & 0x00003fff00003fff) | (w & 0x3fff00003fff0000) >> 2;
	return (w & 0x000000000fffffff) | (w & 0x0fffffff00000000) >> 4;
}

static inline uint64_t column_d(struct column *c)
{
	c->bad |= __builtin_add_overflow(c->previous, column_u(c), &c->previous);
	return c->previous;
}

static inline uint64_t column_z(struct column *c)
{
	c->previous += (uint64_t)hf_unzigzag(column_u(c));
	return c->previous;
}

static inline uint64_t column_e(struct column *c, uint64_t column_0)
{
	return column_0 + (uint64_t)hf_unzigzag(column_u(c));
}

/* size bytes in place; NULL (and bad): not there. */
static inline const uint8_t *column_s(struct column *c, uint64_t *ret_size)
{
	uint64_t size = column_u(c);
	if (c->at > c->end || size > (uint64_t)(c->end - c->at)) {
		c->bad = true;
		c->at = c->end;
		return NULL;
	}
	const uint8_t *bytes = c->at;
	c->at += size;
	*ret_size = size;
	return bytes;
}

/* May another value be read? */
static inline bool column_more(const struct column *c)
{
	return c->at < c->end;
}

/* After the last value: was everything read, and sound? */
static inline bool column_done(const struct column *c)
{
	return c->at == c->end && !c->bad;
}
