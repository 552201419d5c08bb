/*
 * What the recorder remembers, in one piece of memory without pointers into itself: the stacks
 * (sites), what each allocated in total, the objects that live, and the modules that the stacks
 * name. So it can be copied, or lie in a mapped file, which the kernel keeps when the process dies
 * of whatever (profile=FILE); such a file is read by mapping it again.
 *
 *     header  modules[]  stack index[]  sites[]  pcs[]  memos[]  shards[]  slots[shard][]
 *
 * All of it is reserved at start; only what is used takes memory.
 *
 * Thread and signal safety: see stacks.h and live.h.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum {
	HF_SITE_VERSION = 1,
	HF_SITE_MAX_FRAMES = 64,
	HF_SITE_MAX_MODULES = 1024,
	HF_SITE_ID_BITS = 20, /* of a site id; ids start at 1 */
	HF_SITE_MAX_SITES = 1 << HF_SITE_ID_BITS,
	HF_SITE_INDEX = 2 * HF_SITE_MAX_SITES,
	HF_SITE_MAX_PCS = 24 * HF_SITE_MAX_SITES,
	HF_SITE_STRIPES = 4,
	HF_SITE_SHARDS = 64,
	HF_SITE_TAIL = 512,    /* slots of a shard behind the last home */
	HF_SITE_FRACTION = 16, /* fractional bits of a count: a sample weighs 1/p */
	HF_SITE_MEMOS = 256,   /* of a thread */
	HF_SITE_MEMO_WORDS = 72,
	HF_SITE_MEMO_THREADS = 256, /* threads that have memos at a time */
	HF_SITE_PATH_MAX = 256,
	HF_SITE_BUILD_ID_MAX = 64,
};

#define HF_SITE_MAGIC "HFSITES"

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
	uint32_t first_pc; /* index into pcs: return addresses, innermost first */
	uint32_t n_pcs;    /* 0: no site (it lost a race to the same stack) */
	/* allocated since the start; a thread adds to one of these, so that threads seldom meet */
	struct hf_site_total totals[HF_SITE_STRIPES];
};

/* A stack that a thread saw before: if all the words that led the unwinder from (pc, sp, bp) are
 * the same again, so is the stack (unwind.h). */
struct hf_site_memo {
	uint64_t pc, sp, bp;
	uint32_t site; /* 0: empty */
	uint16_t n_words;
	bool bp_used; /* the value of bp mattered */
	uint32_t generation;
	uint32_t pending_count; /* exact mode: allocations not yet in the totals of the site */
	uint64_t pending_bytes;
	uint32_t offset[HF_SITE_MEMO_WORDS]; /* from sp, bytes */
	uint64_t word[HF_SITE_MEMO_WORDS];
};

struct hf_site_memos {
	int32_t owner; /* tid, 0: nobody yet */
	struct hf_site_memo memos[HF_SITE_MEMOS];
};

/* A live object: w0 = address/8 (44 bits) · size (20 bits), w1 = site (20) · tid (22) · seconds
 * since the start (22). w0 == 0: empty. A size that does not fit is all ones, and lies in a second
 * slot, of the address + 8 (where no other object can be), with site 0: 20 low bits in w0, the
 * others in w1. */
struct hf_site_slot {
	uint64_t w0, w1;
};

struct hf_site_shard {
	int32_t lock;
	uint32_t n;        /* slots in use */
	uint32_t capacity; /* homes; the tail comes on top */
	uint32_t moving;   /* the slots are being spread over a greater capacity */
	uint64_t pad[6];   /* a cache line each */
};
_Static_assert(sizeof(struct hf_site_shard) == 64, "a cache line");

struct hf_site_store {
	char magic[8];
	uint32_t version, ready;
	uint64_t store_size; /* sizeof(struct hf_site_store) */
	uint64_t size;       /* with the slots */
	uint64_t period_bytes;
	uint64_t start_realtime_ns, start_seconds; /* of CLOCK_MONOTONIC_COARSE */
	int32_t pid;
	uint32_t shard_slots; /* slots reserved for a shard */
	uint32_t n_modules, n_sites, n_pcs;
	/* what could not be recorded: no room for its stack, for the object, or in the middle of
	 * recording another (a signal handler) */
	uint32_t lost_stacks, lost_objects, lost_nested;
	uint64_t n_samples; /* recorded allocations; exact mode does not count them here */
	struct hf_site_module modules[HF_SITE_MAX_MODULES];
	uint32_t index[HF_SITE_INDEX];
	struct hf_site_record sites[HF_SITE_MAX_SITES];
	uint64_t pcs[HF_SITE_MAX_PCS];
	struct hf_site_memos memos[HF_SITE_MEMO_THREADS];
	struct hf_site_shard shards[HF_SITE_SHARDS];
	struct hf_site_slot slots[]; /* shard_slots of each shard */
};

/* Make an empty store: in private memory, or, with a path, in a new file (mode 0600, never through
 * a symbolic link, never one that exists) that is mapped shared. */
enum hf_status hf_store_create(
	const char *path, uint64_t period_bytes, struct hf_site_store **ret, struct hf_err *err);
/* Map the file of a process that has died, or lives; to be read only, and checked: a stranger's
 * bytes. The store is sound as far as the readers of this module need. */
enum hf_status hf_store_open(const char *path, struct hf_site_store **ret, struct hf_err *err);
/* Of a created store, and of an opened one. NULL is fine. The file stays. */
void hf_store_destroy(struct hf_site_store *store);
void hf_store_close(struct hf_site_store *store);

/* A private copy of what is in use of a store whose locks the caller holds; NULL: no memory. The
 * locks of the copy are free. */
struct hf_site_store *hf_store_copy(const struct hf_site_store *store);
/* Move the copy to where the store is, in a process with one thread (a forked child). */
bool hf_store_replace(struct hf_site_store *store, struct hf_site_store *copy);
