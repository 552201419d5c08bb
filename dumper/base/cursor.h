/*
 * A bounds-checked reader over bytes that came from a stranger (a file, another process).
 *
 * Once a read fails, the cursor stays failed and every later read gives 0: check once at the end of
 * a record. All integers are little-endian.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/varint.h"

struct hf_cursor {
	const uint8_t *start, *at, *end;
	bool failed;
	uint64_t base; /* offset of start in the file or address space, for messages */
};

static inline struct hf_cursor hf_cursor_make(const void *data, size_t size, uint64_t base)
{
	const uint8_t *p = data;
	return (struct hf_cursor){p, p, p + size, false, base};
}

static inline uint64_t hf_cursor_offset(const struct hf_cursor *c)
{
	return c->base + (uint64_t)(c->at - c->start);
}

static inline size_t hf_cursor_left(const struct hf_cursor *c)
{
	return (size_t)(c->end - c->at);
}

/* size bytes in place, or NULL. */
static inline const uint8_t *hf_cursor_bytes(struct hf_cursor *c, uint64_t size)
{
	if (c->failed || size > hf_cursor_left(c)) {
		c->failed = true;
		return NULL;
	}
	const uint8_t *p = c->at;
	c->at += size;
	return p;
}

#define HF_CURSOR_INT(name, type)                                                                  \
	static inline type hf_cursor_##name(struct hf_cursor *c)                                   \
	{                                                                                          \
		type v = 0;                                                                        \
		const uint8_t *p = hf_cursor_bytes(c, sizeof(v));                                  \
		if (p)                                                                             \
			memcpy(&v, p, sizeof(v));                                                  \
		return v;                                                                          \
	}
HF_CURSOR_INT(u8, uint8_t)
HF_CURSOR_INT(u16, uint16_t)
HF_CURSOR_INT(u32, uint32_t)
HF_CURSOR_INT(u64, uint64_t)
#undef HF_CURSOR_INT

static inline uint64_t hf_cursor_varint(struct hf_cursor *c)
{
	uint64_t v = 0;
	const uint8_t *p = c->failed ? NULL : hf_varint_get(c->at, c->end, &v);
	if (!p) {
		c->failed = true;
		return 0;
	}
	c->at = p;
	return v;
}
