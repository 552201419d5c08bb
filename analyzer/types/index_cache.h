/*
 * Indexes of large modules, kept for the next load: a file each in a directory of the user's, by
 * the build id of the module and the size of the file that has its DWARF.
 *
 *     offset  size  of the header
 *          0     8  "HFINDEX" and 0
 *          8     4  version, HF_INDEX_CACHE_VERSION; another one is not read, but made anew
 *         12     4  CRC-32C of all that follows
 *         16     4  size of the build id, 20 at most 64
 *         20    64  build id, zeros behind it
 *         88     8  size of the file with the DWARF
 *         96    40  n of scopes, definitions, functions, variables, bytes of text
 *        136     8  1: is_c
 *
 * Then scopes (begin, end, hash: 8 bytes each; name in the text, parent << 1 | function: 4 each),
 * definitions and functions (hash, place), variables (addr, place with bit 61 for tls), text. Byte
 * order is the machine's.
 *
 * The directory is 0700 and files 0600; a file that is not the user's own, that others may write,
 * or that does not add up, is not read. Files appear by renaming. Of more than HF_INDEX_CACHE_MAX
 * bytes the ones that were not used for longest go. Nothing here is an error: without a cache the
 * index is made.
 */
#pragma once
#include "types/index.h"

enum {
	HF_INDEX_CACHE_VERSION = 2,
	HF_INDEX_CACHE_WORTH =
		20000, /* entries below which an index is made as fast as it is read */
	HF_INDEX_CACHE_MAX = 512 << 20,
};

/* Fill an index whose `dwarf` is there; false: it is not in the cache. */
bool hf_index_cache_load(struct hf_types *types, uint32_t module, struct hf_type_index *index);
void hf_index_cache_save(
	struct hf_types *types, uint32_t module, const struct hf_type_index *index);
/* $XDG_CACHE_HOME/holdfast, or else $HOME/.cache/holdfast, malloc'ed; NULL: there is none, or
 * $HOLDFAST_NO_CACHE is set. */
char *hf_index_cache_dir(void);
