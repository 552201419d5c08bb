#include "types/bump.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK_SIZE = 256 << 10 };

struct hf_bump_chunk {
	struct hf_bump_chunk *next;
	uint64_t bytes[];
};

void hf_bump_deinit(struct hf_bump *pool)
{
	for (struct hf_bump_chunk *c = pool->chunks, *next; c; c = next) {
		next = c->next;
		free(c);
	}
	*pool = (struct hf_bump){0};
}

void *hf_bump_alloc(struct hf_bump *pool, size_t size_bytes)
{
	if (size_bytes > SIZE_MAX / 2)
		return NULL;
	size_bytes = (size_bytes + 7) & ~(size_t)7;
	if (size_bytes > pool->left) {
		size_t size = size_bytes > CHUNK_SIZE ? size_bytes : CHUNK_SIZE;
		struct hf_bump_chunk *c = calloc(1, sizeof(*c) + size);
		if (!c)
			return NULL;
		c->next = pool->chunks;
		pool->chunks = c;
		pool->at = (char *)c->bytes;
		pool->left = size;
	}
	void *p = pool->at;
	pool->at += size_bytes;
	pool->left -= size_bytes;
	return p;
}

const char *hf_bump_text(struct hf_bump *pool, const char *text, size_t n)
{
	char *copy = hf_bump_alloc(pool, n + 1);
	if (copy)
		memcpy(copy, text, n);
	return copy;
}

void hf_map_deinit(struct hf_map *map)
{
	free(map->at);
	*map = (struct hf_map){0};
}

static struct hf_map_entry *slot(const struct hf_map *map, uint64_t key)
{
	uint64_t h = key * 0x9e3779b97f4a7c15u;
	size_t i = (size_t)(h >> 20) & (map->cap - 1);
	while (map->at[i].key && map->at[i].key != key)
		i = (i + 1) & (map->cap - 1);
	return &map->at[i];
}

uint32_t hf_map_get(const struct hf_map *map, uint64_t key)
{
	return map->cap ? slot(map, key)->value : 0;
}

static bool map_grow(struct hf_map *map)
{
	struct hf_map grown = {.n = map->n, .cap = map->cap ? map->cap * 2 : 1024};
	grown.at = calloc(grown.cap, sizeof(*grown.at));
	if (!grown.at)
		return false;
	for (size_t i = 0; i < map->cap; i++) {
		if (map->at[i].key)
			*slot(&grown, map->at[i].key) = map->at[i];
	}
	free(map->at);
	*map = grown;
	return true;
}

uint32_t *hf_map_put(struct hf_map *map, uint64_t key)
{
	if (map->n * 3 >= map->cap * 2 && !map_grow(map))
		return NULL;
	struct hf_map_entry *e = slot(map, key);
	if (!e->key) {
		e->key = key;
		map->n++;
	}
	return &e->value;
}

bool hf_grow(void **at, size_t n, size_t *cap, size_t elem)
{
	if (n < *cap)
		return true;
	size_t grown = *cap ? *cap * 2 : 64;
	void *p = reallocarray(*at, grown, elem);
	if (!p)
		return false;
	*at = p;
	*cap = grown;
	return true;
}
