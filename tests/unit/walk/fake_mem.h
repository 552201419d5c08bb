/*
 * Memory made of byte arrays, for tests: mappings at addresses of one's choice. Not resident holes
 * can be made; windows never cross a mapping, as in a real process.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memory/maps.h"
#include "memory/memory.h"

enum { FAKE_MAX_MAPS = 64 };

struct fake_map {
	uint64_t start, size;
	uint8_t *bytes;                /* malloc'ed */
	uint64_t hole_start, hole_end; /* not resident */
};

struct fake_mem {
	struct hf_mem mem;
	struct hf_maps maps;
	struct fake_map at[FAKE_MAX_MAPS];
	size_t n;
};

void fake_mem_init(struct fake_mem *fake);
void fake_mem_deinit(struct fake_mem *fake);
/* A mapping of zeros; start and size are whole pages, mappings come in the order of addresses. */
void fake_map(
	struct fake_mem *fake, uint64_t start, uint64_t size, uint32_t perms, const char *path);
/* The bytes at addr, which a mapping has; asserts it. */
void *fake_at(struct fake_mem *fake, uint64_t addr, size_t size);
void fake_put(struct fake_mem *fake, uint64_t addr, uint64_t value);
uint64_t fake_get(struct fake_mem *fake, uint64_t addr);
/* These pages are not resident. */
void fake_hole(struct fake_mem *fake, uint64_t start, uint64_t end);
