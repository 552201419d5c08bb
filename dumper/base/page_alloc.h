/*
 * Memory without malloc: pages straight from the kernel, and a bump pool over them.
 *
 * Code that runs inside a target gets every byte from here. A pool hands out pieces that live until
 * the pool is destroyed; a vec is a growable array. Both may be started on memory that was reserved
 * earlier, so that they work when the kernel gives no more.
 * Our own mappings are fenced by guard pages: the kernel would otherwise merge them with a heap
 * mapping next to them, and a walker could take one for the other.
 * Thread and signal safety: async-signal-safe; a pool or vec belongs to one thread.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HF_PAGE = 4096 };

/* Zeroed, fenced, private memory of at least size bytes, or NULL. Free it with the same size. */
void *hf_page_alloc(size_t size);
/* The same for what can be done without: not from the reserve. */
void *hf_page_alloc_spare(size_t size);
void hf_page_free(void *ptr, size_t size);

/* Keep size bytes for the time when the kernel gives no more: hf_page_alloc() takes from them what
 * it cannot map. Once, at start-up. False: not even that can be had. */
bool hf_page_reserve(size_t size);
/* In a forked copy, whose other threads are gone: nobody is in the middle of taking from it. */
void hf_page_reserve_forked(void);

/* Have [start, end), which the caller maps itself, told as ours; until hf_page_disown(). False: too
 * many ranges. */
bool hf_page_own(uint64_t start, uint64_t end);
void hf_page_disown(uint64_t start);

/* Every range that hf_page_alloc holds at present, so that scanners can leave it out. Calls fn for
 * each [start, end), guard pages included. At most HF_PAGE_RANGES are remembered (alloc fails past
 * it). */
enum { HF_PAGE_RANGES = 512 };
void hf_page_each(void (*fn)(void *ctx, uint64_t start, uint64_t end), void *ctx);

struct hf_pool_block;
struct hf_pool {
	uint8_t *next, *end;          /* free part of the current block */
	struct hf_pool_block *blocks; /* blocks to give back */
	size_t reserved, used;        /* bytes, for the peak figures */
};

/* The same list as it lies in memory, for a dumper that looks at this process from outside: it is
 * found by its magic in the library's data. */
#define HF_PAGE_TABLE_MAGIC "holdfast pages 1" /* 16 bytes, no NUL */
struct hf_page_table {
	char magic[16];
	struct hf_page_range {
		uint64_t start, end; /* 0: free slot */
	} ranges[HF_PAGE_RANGES];
};

/* A pool over memory of the caller (may be NULL, 0); it grows by pages when that is used up. */
void hf_pool_init(struct hf_pool *pool, void *memory, size_t size);
void hf_pool_deinit(struct hf_pool *pool);
/* size zeroed bytes aligned to 16, or NULL. */
void *hf_pool_alloc(struct hf_pool *pool, size_t size);
/* A NUL-terminated copy of n bytes, or NULL. */
char *hf_pool_strndup(struct hf_pool *pool, const char *s, size_t n);

/* A growable array of fixed-size elements in pages of its own. */
struct hf_vec {
	void *data;
	size_t n, cap;       /* elements */
	size_t elem, mapped; /* bytes */
};
void hf_vec_init(struct hf_vec *vec, size_t elem_size);
void hf_vec_deinit(struct hf_vec *vec);
/* Room for at least cap elements in all. */
bool hf_vec_reserve(struct hf_vec *vec, size_t cap);
/* A pointer to a new zeroed element at the end, or NULL. Earlier pointers become invalid. */
void *hf_vec_push(struct hf_vec *vec);
static inline void *hf_vec_at(const struct hf_vec *vec, size_t i)
{
	return (char *)vec->data + i * vec->elem;
}

/* Sort n elements of size bytes (≤ 128) in place without recursion, allocation or libc; heapsort.
 */
void hf_sort(void *base, size_t n, size_t size, int (*cmp)(const void *a, const void *b));
