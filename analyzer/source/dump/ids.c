#include <stdlib.h>

#include "source/dump/reader.h"

const char *ids_add(struct id_map *map, const struct dump_block *block, uint64_t to)
{
	if (block->first_item < map->end)
		return "its records have the numbers of others";
	struct id_range *last = map->n ? &map->at[map->n - 1] : NULL;
	if (last && last->first + last->n == block->first_item && last->to + last->n == to) {
		last->n += block->n_items;
	} else {
		if (map->n == map->cap) {
			size_t cap = map->cap ? map->cap * 2 : 4;
			struct id_range *grown = reallocarray(map->at, cap, sizeof(*grown));
			if (!grown)
				return block_no_memory;
			map->at = grown;
			map->cap = cap;
		}
		map->at[map->n++] = (struct id_range){block->first_item, block->n_items, to};
	}
	map->kept += block->n_items;
	map->end = block->first_item + block->n_items;
	return NULL;
}

/* The first range that ends after id; map->n: none. */
static size_t range_after(const struct id_map *map, uint64_t id)
{
	size_t low = 0, high = map->n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (map->at[mid].first + map->at[mid].n <= id)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

uint32_t ids_get_slow(const struct id_map *map, uint64_t id)
{
	size_t i = range_after(map, id);
	if (i == map->n || id < map->at[i].first)
		return HF_NONE;
	return (uint32_t)(map->at[i].to + (id - map->at[i].first));
}

uint64_t ids_rank_slow(const struct id_map *map, uint64_t id)
{
	size_t i = range_after(map, id);
	if (i == map->n)
		return map->kept;
	return id < map->at[i].first ? map->at[i].to : map->at[i].to + (id - map->at[i].first);
}
