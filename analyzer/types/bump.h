/*
 * Memory that is freed as one, for many small things of the same lifetime; and a hash table from 64
 * to 32 bits. Not thread safe.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hf_bump_chunk; /* opaque */

struct hf_bump {
	struct hf_bump_chunk *chunks;
	char *at;
	size_t left;
};

void hf_bump_deinit(struct hf_bump *pool);
/* Zeroed, aligned to 8; NULL: no memory. */
void *hf_bump_alloc(struct hf_bump *pool, size_t size_bytes);
/* A copy of n bytes, NUL-terminated. */
const char *hf_bump_text(struct hf_bump *pool, const char *text, size_t n);

/* Keys other than 0 to values other than 0. Start with {0}. */
struct hf_map {
	struct hf_map_entry {
		uint64_t key;
		uint32_t value;
	} * at;
	size_t n, cap; /* cap: a power of two */
};

void hf_map_deinit(struct hf_map *map);
/* 0: not there. */
uint32_t hf_map_get(const struct hf_map *map, uint64_t key);
/* A place for the key's value, 0 if it is new; NULL: no memory. Valid until the next call. */
uint32_t *hf_map_put(struct hf_map *map, uint64_t key);

/* FNV-1a, to go on from hash; start with HF_HASH_START. */
static const uint64_t HF_HASH_START = 0xcbf29ce484222325u;
static inline uint64_t hf_hash_byte(uint64_t hash, unsigned char c)
{
	return (hash ^ c) * 0x100000001b3u;
}

/* Make room for one element more in an array that doubles; false: no memory. */
bool hf_grow(void **at, size_t n, size_t *cap, size_t elem);
