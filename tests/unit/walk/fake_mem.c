#include "fake_mem.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

static struct fake_map *find(struct fake_mem *fake, uint64_t addr)
{
	for (size_t i = 0; i < fake->n; i++) {
		if (addr - fake->at[i].start < fake->at[i].size)
			return &fake->at[i];
	}
	return NULL;
}

static bool in_hole(const struct fake_map *map, uint64_t addr)
{
	return addr >= map->hole_start && addr < map->hole_end;
}

static enum hf_status fake_read(
	struct hf_mem *mem, uint64_t addr, void *buf, size_t size, struct hf_err *err)
{
	struct fake_map *map = find((struct fake_mem *)mem, addr);
	if (!map || size > map->start + map->size - addr)
		return hf_err_set(err, HF_E_CORRUPT, "no %zu bytes at 0x%lx", size, addr);
	memcpy(buf, map->bytes + (addr - map->start), size);
	return HF_OK;
}

static void fake_window(struct hf_reader *r, uint64_t addr)
{
	struct fake_mem *fake = (struct fake_mem *)r->mem;
	struct fake_map *map = find(fake, addr);
	if (!map) {
		uint64_t next = UINT64_MAX;
		for (size_t i = 0; i < fake->n; i++) {
			if (fake->at[i].start > addr && fake->at[i].start < next)
				next = fake->at[i].start;
		}
		r->win = (struct hf_window){addr, next, NULL};
	} else if (in_hole(map, addr)) {
		r->win = (struct hf_window){addr, map->hole_end, NULL};
	} else {
		uint64_t start = map->start, end = map->start + map->size;
		if (map->hole_end && addr < map->hole_start)
			end = map->hole_start;
		else if (map->hole_end)
			start = map->hole_end;
		r->win = (struct hf_window){start, end, map->bytes + (start - map->start)};
	}
}

static void fake_destroy(struct hf_mem *mem)
{
	(void)mem;
}

static struct hf_mem *fake_twin(struct hf_mem *mem)
{
	return mem;
}

static const struct hf_mem_ops fake_ops = {
	.read = fake_read, .window = fake_window, .destroy = fake_destroy, .twin = fake_twin};

void fake_mem_init(struct fake_mem *fake)
{
	*fake = (struct fake_mem){.mem = {.ops = &fake_ops, .maps = &fake->maps}};
	hf_vec_init(&fake->maps.maps, sizeof(struct hf_map));
}

void fake_mem_deinit(struct fake_mem *fake)
{
	for (size_t i = 0; i < fake->n; i++)
		free(fake->at[i].bytes);
	hf_maps_deinit(&fake->maps);
}

void fake_map(
	struct fake_mem *fake, uint64_t start, uint64_t size, uint32_t perms, const char *path)
{
	assert(fake->n < FAKE_MAX_MAPS && size % HF_PAGE == 0 && start % HF_PAGE == 0);
	assert(!fake->n || start >= fake->at[fake->n - 1].start + fake->at[fake->n - 1].size);
	struct fake_map *map = &fake->at[fake->n++];
	*map = (struct fake_map){.start = start, .size = size, .bytes = calloc(1, size)};
	struct hf_map *listed = hf_vec_push(&fake->maps.maps);
	assert(map->bytes && listed);
	*listed = (struct hf_map){.start = start,
		.end = start + size,
		.perms = perms,
		.path = path,
		.inode = path[0] == '/' ? 77 : 0};
}

void *fake_at(struct fake_mem *fake, uint64_t addr, size_t size)
{
	struct fake_map *map = find(fake, addr);
	assert(map && size <= map->start + map->size - addr);
	return map->bytes + (addr - map->start);
}

void fake_put(struct fake_mem *fake, uint64_t addr, uint64_t value)
{
	memcpy(fake_at(fake, addr, 8), &value, 8);
}

uint64_t fake_get(struct fake_mem *fake, uint64_t addr)
{
	uint64_t value;
	memcpy(&value, fake_at(fake, addr, 8), 8);
	return value;
}

void fake_hole(struct fake_mem *fake, uint64_t start, uint64_t end)
{
	struct fake_map *map = find(fake, start);
	assert(map);
	map->hole_start = start;
	map->hole_end = end;
}
