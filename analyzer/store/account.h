/*
 * Every resident byte of the process by what it is: the rows of memory_account.
 *
 * What is known exactly is the resident size of each mapping and where each object lies. The rules:
 *   - An object counts as resident as far as its mapping has resident bytes: live bytes of a
 * mapping are its objects' usable bytes, at most its resident ones. So an untouched or swapped
 * block does not count, but within a mapping it is not known which pages are resident: live bytes
 *     are an upper bound there, and the note says so.
 *   - What is left of the heap mappings is allocator metadata, then free memory, each at most what
 *     the allocator says it has; the rest is slack of the heap mappings.
 *   - Every other mapping is one thing by its kind.
 * So the rows sum to the resident bytes of all mappings, and a last row shows what the process's
 * own figure has beyond them. No row is negative.
 *
 * Where it is not known what was resident (a core file), the rows have sizes alone.
 *
 * Thread rule: pure functions over read-only arrays.
 */
#pragma once
#include "source/heap.h"

struct hf_account_row {
	const char *category;  /* static */
	const char *name;      /* static, or of the heap: the allocator */
	const char *note;      /* static, or NULL */
	uint64_t resident;     /* bytes */
	uint64_t resident_min; /* of them, certain to be what the row says */
	uint64_t size;         /* bytes mapped or handed out, resident or not */
};

struct hf_account {
	struct hf_account_row *row; /* owned */
	size_t n;
	uint64_t resident; /* sum over the rows: the process's resident bytes */
	bool unknown;      /* what is resident: all such figures are 0 */
};

/* Does the dump say what was resident? */
bool hf_account_resident_known(const struct hf_heap *heap);

enum hf_status hf_account_init(
	struct hf_account *ret, const struct hf_heap *heap, struct hf_err *err);
void hf_account_deinit(struct hf_account *account);
