/*
 * The ELF images (executable, shared libraries, vdso left out) that are mapped into a process:
 * where they lie, their writable segments, thread-local segments and build ids. Found from the list
 * of mappings and the program headers in memory; the dynamic loader's own lists are not needed, so
 * static and damaged processes work too.
 *
 * Sources: ELF gABI; System V psABI for x86-64.
 * Thread and signal safety: async-signal-safe; a list belongs to one thread.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/build_id.h"
#include "base/err.h"
#include "base/page_alloc.h"
#include "memory/maps.h"
#include "memory/memory.h"

enum {
	HF_IMAGE_MAX_SEGMENTS = 16,
};

struct hf_segment {
	uint64_t start, end; /* addresses in the process, page alignment not added */
	uint32_t perms;      /* HF_PERM_* of the program header */
};

struct hf_image {
	const char *path; /* as mapped; " (deleted)" cut off and remembered in deleted */
	bool deleted;
	bool silent;        /* as in struct hf_map: its file is not opened */
	uint64_t base, end; /* first mapped byte, end of the last segment */
	uint64_t head_end;  /* end of the mapping that starts at base */
	uint64_t bias;      /* address in the process - address in the file */
	struct hf_segment segments[HF_IMAGE_MAX_SEGMENTS]; /* PT_LOAD */
	uint32_t n_segments;
	/* PT_TLS, 0 if none: address of the initial contents, sizes in bytes */
	uint64_t tls_image, tls_file_size, tls_size, tls_align;
	uint64_t dynamic; /* address of PT_DYNAMIC, 0 if none */
	uint8_t build_id[HF_BUILD_ID_MAX];
	uint32_t build_id_size;
	uint64_t inode; /* of the mapped file, and its device: to open the right one */
	uint32_t dev;
};

struct hf_images {
	struct hf_vec images; /* of struct hf_image, by base */
};

/* Find the images. Broken ones are left out and counted in *ret_broken (may be NULL). */
enum hf_status hf_images_read(struct hf_images *images, struct hf_mem *mem, struct hf_pool *pool,
	uint32_t *ret_broken, struct hf_err *err);
void hf_images_deinit(struct hf_images *images);

static inline size_t hf_images_count(const struct hf_images *images)
{
	return images->images.n;
}

static inline struct hf_image *hf_images_at(const struct hf_images *images, size_t i)
{
	return hf_vec_at(&images->images, i);
}

/* The image one of whose segments contains addr: its index, or -1. */
int64_t hf_images_find(const struct hf_images *images, uint64_t addr);
