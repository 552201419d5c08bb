/*
 * The memory of a dead process: a core file, and for read-only file pages that a core leaves out,
 * the files they were mapped from, if these are still the same (by build id, or else by their first
 * page).
 *
 * Not for use inside a target. One thread.
 */
#pragma once
#include "memory/core_file.h"
#include "memory/memory.h"

enum hf_mem_core_file {
	HF_CORE_FILE_SAME,
	HF_CORE_FILE_UNVERIFIED, /* used, but nothing in the core tells whether it is the same */
	HF_CORE_FILE_MISSING,
	HF_CORE_FILE_OTHER, /* another file has that name by now; not used */
	HF_CORE_FILE_NEWER, /* as UNVERIFIED, and the file has changed since the core was written */
};

/* maps are hf_core_maps(). Files are looked for below root_dir (a copy of the file system that the
 * process saw), where it is not ""; and in our own view. */
enum hf_status hf_mem_core(const struct hf_core *core, const struct hf_maps *maps,
	const char *root_dir, struct hf_pool *pool, struct hf_mem **ret, struct hf_err *err);
/* Visit the ELF files that the process had mapped. */
void hf_mem_core_each_file(struct hf_mem *mem,
	void (*fn)(void *ctx, const char *path, enum hf_mem_core_file state), void *ctx);
