/*
 * What the recorder remembers, in one piece of memory without pointers into itself: the stacks
 * (sites), what each allocated in total, the objects that live, and the modules that the stacks
 * name. So it can be copied, or lie in a mapped file, which the kernel keeps when the process dies
 * of whatever (profile=FILE); such a file is read by mapping it again.
 *
 *     header  modules[]  stack index[]  sites[]  pcs[]  workers[]  memos[]  area
 *
 * Each part has a fixed place in a span of addresses that nobody else uses, and its greatest size.
 * Of the span only the beginning of each part is mapped, as far as it was asked for
 * (hf_store_room()): a store takes little address space until much is recorded, and where the
 * kernel gives no more it is full. The live objects lie in the area (live.h); what points into it
 * is an offset from the start of the store.
 *
 * Thread and signal safety: see stacks.h and live.h.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum {
	HF_SITE_VERSION = 6,
	HF_SITE_MAX_FRAMES = 64,
	HF_SITE_MAX_MODULES = 1024,
	HF_SITE_ID_BITS = 20,                     /* of a site id; ids start at 1 */
	HF_SITE_MAX_SITES = 1 << HF_SITE_ID_BITS, /* the last id is not a site's (live.c) */
	HF_SITE_INDEX_FIRST = 1 << 12, /* slots of the first table; each next has 8 times as many */
	HF_SITE_INDEX = HF_SITE_INDEX_FIRST * (1 + 8 + 64 + 512),
	HF_SITE_MAX_PCS = 24 * HF_SITE_MAX_SITES,
	HF_SITE_STRIPES = 4,
	HF_SITE_FRACTION = 16, /* fractional bits of a count: a sample weighs 1/p */
	HF_SITE_WORKERS = 4096,
	HF_SITE_MEMO_BITS = 8,
	HF_SITE_MEMOS = 1 << HF_SITE_MEMO_BITS, /* of a thread */
	HF_SITE_MEMO_WORDS = 72,
	HF_SITE_MEMO_THREADS = 256, /* the first workers have memos */
	HF_SITE_ADDRESS_BITS = 47,
	HF_SITE_REGION_BITS = 23,                                         /* of an address: 8 MiB */
	HF_SITE_GROUP_BITS = 11,                                          /* 2 KiB */
	HF_SITE_GROUPS = 1 << (HF_SITE_REGION_BITS - HF_SITE_GROUP_BITS), /* of a region */
	HF_SITE_REALM_BITS = 34,                                          /* 16 GiB */
	HF_SITE_REALM = 1 << (HF_SITE_REALM_BITS - HF_SITE_REGION_BITS),  /* its regions */
	HF_SITE_REALMS = 1 << (HF_SITE_ADDRESS_BITS - HF_SITE_REALM_BITS),
	HF_SITE_CLASSES = 14, /* of blocks (blocks.h); 0 is none */
	HF_SITE_TAIL = 64,    /* bytes after what is used of the area: keys are read sixteen at
				 a time */
	HF_SITE_PATH_MAX = 256,
	HF_SITE_BUILD_ID_MAX = 64,
};

#define HF_SITE_MAGIC "HFSITES"
static const uint64_t HF_SITE_AREA = 3ull << 30; /* for 200 million objects */

/* What is mapped apart. */
enum hf_site_part {
	HF_SITE_HEADER,
	HF_SITE_PART_MODULES,
	HF_SITE_PART_INDEX,
	HF_SITE_PART_SITES,
	HF_SITE_PART_PCS,
	HF_SITE_PART_WORKERS,
	HF_SITE_PART_MEMOS,
	HF_SITE_PART_AREA,
	HF_SITE_PARTS,
};

/* An executable segment that a stack goes through. */
struct hf_site_module {
	uint64_t start, end;  /* addresses */
	uint64_t file_offset; /* of start */
	uint32_t build_id_size;
	uint8_t build_id[HF_SITE_BUILD_ID_MAX];
	char path[HF_SITE_PATH_MAX];
};

struct hf_site_total {
	uint64_t count; /* objects, with HF_SITE_FRACTION fractional bits */
	uint64_t bytes;
};

struct hf_site_record {
	uint64_t hash;
	uint32_t first_pc;     /* index into pcs: return addresses, innermost first */
	uint32_t n_pcs;        /* 0: no site (it lost a race to the same stack) */
	uint64_t period_bytes; /* that its objects were sampled with */
	/* allocated since the start; a thread adds to one of these, so that threads seldom meet */
	struct hf_site_total totals[HF_SITE_STRIPES];
};

/* A stack that a thread saw before: if all the words that led the unwinder from (pc, sp, bp) are
 * the same again, so is the stack (unwind.h). */
struct hf_site_memo {
	_Alignas(64) uint64_t pc;
	uint64_t sp, bp;
	uint32_t site; /* 0: empty */
	uint16_t n_words;
	bool bp_used; /* the value of bp mattered */
	uint32_t generation;
	/* allocations that are not yet in the totals of the site */
	uint64_t pending_count; /* with HF_SITE_FRACTION fractional bits */
	uint64_t pending_bytes;
	uint32_t offset[HF_SITE_MEMO_WORDS]; /* from sp, bytes */
	_Alignas(16) uint64_t word[HF_SITE_MEMO_WORDS];
};

struct hf_site_memos {
	/* a bit for each that ever held a stack: the pages of the others stay untouched */
	uint64_t used[HF_SITE_MEMOS / 64];
	uint16_t latest[HF_SITE_MEMOS]; /* number of a memo by (pc, sp) */
	struct hf_site_memo memos[HF_SITE_MEMOS];
};

/* What a thread has of its own. One whose thread has ended goes to the next that asks; the first is
 * shared by those that get none. */
struct hf_site_worker {
	_Alignas(128) int32_t owner; /* tid, 0: nobody */
	int32_t lock;                /* of the first */
	uint64_t group;              /* that it holds or waits for, as an offset; 0: none */
	uint64_t chunk, chunk_end;   /* unused memory for blocks, offsets */
	uint64_t chunk_size;
	uint64_t n_samples;             /* recorded allocations, but for those of exact mode */
	uint32_t free[HF_SITE_CLASSES]; /* lists of free blocks */
	uint8_t n_free[HF_SITE_CLASSES];
};

struct hf_site_store {
	char magic[8];
	uint32_t version, ready;
	uint64_t store_size;   /* sizeof(struct hf_site_store) */
	uint64_t size;         /* of the span, with the area */
	uint64_t period_bytes; /* at present; 0: nothing is recorded */
	uint64_t start_realtime_ns;
	uint32_t start_seconds, start_nsec; /* of CLOCK_MONOTONIC_COARSE */
	int32_t pid;
	bool in_file; /* it is a mapped file's, shared with whoever maps it */
	/* what changes often is apart from the above, which every allocation reads */
	_Alignas(64) uint32_t n_modules;
	uint32_t n_sites, n_pcs, n_workers;
	/* what could not be recorded: no room for its stack, for the object, or in the middle of
	 * recording another (a signal handler) */
	uint32_t lost_stacks, lost_objects, lost_nested;
	uint64_t used;                         /* of the area: offset of what is free of it */
	uint64_t free_blocks[HF_SITE_CLASSES]; /* lists that all share: a counter, then the block */
	_Alignas(64) uint64_t mapped[HF_SITE_PARTS]; /* bytes of each part, from its start on */
	int32_t growing;                             /* lock of these */
	uint32_t n_refused; /* since the kernel gave no more memory: how often it was asked for */
	uint32_t realms[HF_SITE_REALMS]; /* page of the list of a realm's tables, 0: none */
	_Alignas(4096) struct hf_site_module modules[HF_SITE_MAX_MODULES];
	_Alignas(4096) uint32_t index[HF_SITE_INDEX];
	_Alignas(4096) struct hf_site_record sites[HF_SITE_MAX_SITES];
	_Alignas(4096) uint64_t pcs[HF_SITE_MAX_PCS];
	_Alignas(4096) struct hf_site_worker workers[HF_SITE_WORKERS];
	_Alignas(4096) struct hf_site_memos memos[HF_SITE_MEMO_THREADS];
	_Alignas(4096) uint8_t area[];
};

/* Make an empty store: in private memory, or, with a path, in a new file (mode 0600, never through
 * a symbolic link, never one that exists) that is mapped shared. */
enum hf_status hf_store_create(
	const char *path, uint64_t period_bytes, struct hf_site_store **ret, struct hf_err *err);
/* Map the file of a process that has died, or lives; to be read only, and checked: a stranger's
 * bytes. The store is sound as far as the readers of this module need. */
enum hf_status hf_store_open(const char *path, struct hf_site_store **ret, struct hf_err *err);
/* A zeroed store of that size, to be filled by the caller, checked, and closed. NULL: no memory. */
struct hf_site_store *hf_store_blank(uint64_t size);
/* Is what lies in memory of that size a store that the readers of this module may read? All of the
 * span must be mapped. */
bool hf_store_is_sound(const struct hf_site_store *store, uint64_t size);
/* Where a part lies in the store. */
void hf_store_part(enum hf_site_part part, uint64_t *ret_offset, uint64_t *ret_size);
/* Of a created store, and of an opened one. NULL is fine. The file stays. */
void hf_store_destroy(struct hf_site_store *store);
void hf_store_close(struct hf_site_store *store);

/* Are the first so many bytes of a part there, or can they be made? */
bool hf_store_grow(struct hf_site_store *store, enum hf_site_part part, uint64_t size);
static inline bool hf_store_room(struct hf_site_store *store, enum hf_site_part part, uint64_t size)
{
	return __builtin_expect(
		       size <= __atomic_load_n(&store->mapped[part], __ATOMIC_ACQUIRE), 1) ||
	       hf_store_grow(store, part, size);
}

/* A private copy of what is in use of a store, while other threads go on changing it; NULL: no
 * memory. No worker of the copy has anything. */
struct hf_site_store *hf_store_copy(const struct hf_site_store *store);
/* Move the copy to where the store is, in a process with one thread (a forked child). */
bool hf_store_replace(struct hf_site_store *store, struct hf_site_store *copy);
