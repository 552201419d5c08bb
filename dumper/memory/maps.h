/*
 * The mappings of a process, as the kernel lists them in /proc/PID/maps (proc_pid_maps(5)).
 * Async-signal-safe; a list belongs to one thread.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/page_alloc.h"

enum hf_perm {
	HF_PERM_R = 1,
	HF_PERM_W = 2,
	HF_PERM_X = 4,
	HF_PERM_SHARED = 8,
};

/* No device: the inode is a mere number for the path (maps made up from a core file). */
#define HF_DEV_NONE UINT32_MAX

struct hf_map {
	uint64_t start, end;
	uint64_t offset;  /* in the file, bytes */
	uint64_t inode;   /* 0: no file */
	uint32_t dev;     /* major << 20 | minor; HF_DEV_NONE */
	uint32_t perms;   /* enum hf_perm bits */
	bool silent;      /* the server of its file system does not answer: what is not in memory
			     cannot be had */
	const char *path; /* as listed, "" for none; in the pool */
};

struct hf_maps {
	struct hf_vec maps; /* of struct hf_map, by address */
};

/* Read the list of a process: proc_dir is "/proc/self", "/proc/1234" …. Paths go into pool.
 * HF_E_PERM, HF_E_NOTFOUND (no such process, no /proc), HF_E_NOMEM, HF_E_IO. */
enum hf_status hf_maps_read(
	struct hf_maps *maps, const char *proc_dir, struct hf_pool *pool, struct hf_err *err);
void hf_maps_deinit(struct hf_maps *maps);

static inline size_t hf_maps_count(const struct hf_maps *maps)
{
	return maps->maps.n;
}

static inline struct hf_map *hf_maps_at(const struct hf_maps *maps, size_t i)
{
	return hf_vec_at(&maps->maps, i);
}

/* The mapping that contains addr, or NULL. */
struct hf_map *hf_maps_find(const struct hf_maps *maps, uint64_t addr);
/* Index of the first mapping that ends after addr; the count if there is none. */
size_t hf_maps_lower(const struct hf_maps *maps, uint64_t addr);

/* Is it memory that a program can store pointers in, with no regular file behind it? */
bool hf_map_is_anonymous(const struct hf_map *map);
