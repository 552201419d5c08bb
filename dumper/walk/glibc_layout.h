/*
 * Layouts of glibc's malloc (ptmalloc) on LP64, a row a range of versions.
 *
 * Only what differs between versions is here. Constant since 2.26: malloc_state begins with a
 * 4-byte lock and 4 bytes of flags; relative to its bins[] array, `top` lies at -16 and
 * `system_mem` 88 bytes behind `next`; heap_info begins with ar_ptr, prev, size, mprotect_size.
 *
 * Sources: malloc/malloc.c and malloc/arena.c of the releases named in glibc_layout.c.
 * Thread and signal safety: constants.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum {
	/* malloc_chunk: prev_size, size | flags, then the user's bytes. */
	GLIBC_HEADER = 16,
	GLIBC_MIN_CHUNK = 32,
	GLIBC_PREV_INUSE = 1,
	GLIBC_MMAPPED = 2,
	GLIBC_NON_MAIN = 4,
	GLIBC_FLAGS = 7,
	/* malloc_state */
	GLIBC_NONCONTIGUOUS = 2, /* bit of flags */
	GLIBC_BINS = 127,        /* pairs in bins[] */
	GLIBC_FASTBINS = 10,
	GLIBC_NEXT_FROM_BINS = GLIBC_BINS * 16 + 16, /* over binmap */
	GLIBC_SYSTEM_MEM_FROM_BINS = GLIBC_NEXT_FROM_BINS + 24,
	GLIBC_STATE_FROM_BINS = GLIBC_SYSTEM_MEM_FROM_BINS + 16, /* end of the struct */
	GLIBC_HEAP_MAX = 64 << 20,
	GLIBC_TCACHE_MAX_BINS = 76,
	GLIBC_TCACHE_SMALL_BINS = 64,
};

struct hf_glibc_layout {
	uint16_t first_minor, last_minor; /* of glibc 2.x */
	uint16_t bins;                    /* offset in malloc_state */
	uint16_t fastbins;                /* offset in malloc_state; 0: there are none */
	uint16_t heap_info;               /* sizeof(heap_info) */
	uint16_t mp_size;                 /* sizeof(struct malloc_par) */
	uint16_t mp_thp_pagesize;         /* hp_pagesize follows; 0: neither */
	uint16_t mp_n_mmaps;              /* n_mmaps_max, max_n_mmaps follow */
	uint16_t mp_mmapped_mem;  /* max_mmapped_mem, sbrk_base, tcache_bins, tcache_max_bytes,
				     tcache_count, tcache_unsorted_limit follow */
	uint16_t tcache_bins;     /* lists in tcache_perthread_struct */
	uint16_t tcache_entries;  /* offset of entries[], behind u16 counts[] */
	uint16_t tcache_chunk[2]; /* least and most bytes of the chunk that holds it: a rest that is
				     too small for a chunk stays with it */
	bool tcache_counts_free_slots; /* counts[] says how many more fit */
	bool safe_linking;             /* list links are next ^ (address of the link >> 12) */
	bool mmapped_size_like_heap;   /* size of a mmapped chunk leaves out its first header,
					  so that usable = size - 8 */
};

/* The row for glibc 2.minor; NULL before the first row. The last row stands for what comes after
 * it. */
const struct hf_glibc_layout *hf_glibc_layout_for(unsigned minor);
/* Row i, newest first; NULL past the last. */
const struct hf_glibc_layout *hf_glibc_layout_at(unsigned i);
