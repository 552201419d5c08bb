/* Shared by the files of this module only: bitmaps, guards, prefetch, progress, the spanning
 * forest. */
#pragma once
#include <stdlib.h>

#include "base/cleanup.h"
#include "graph/graph.h"

static inline void hf_graph_freep(void *p)
{
	free(*(void **)p);
}
#define _cleanup_free_ _cleanup_(hf_graph_freep)

enum {
	HF_GRAPH_PREFETCH = 16,  /* how far ahead a pass asks for what it reads at random */
	HF_GRAPH_TICK = 1 << 20, /* steps between two calls of the progress hook */
};

static inline uint64_t bitmap_words(uint64_t n)
{
	return n / 64 + 1;
}

static inline void bit_set(uint64_t *bitmap, uint64_t i)
{
	bitmap[i / 64] |= 1ull << (i % 64);
}

static inline void bit_clear(uint64_t *bitmap, uint64_t i)
{
	bitmap[i / 64] &= ~(1ull << (i % 64));
}

/* Set the bit; was it clear before? */
static inline bool bit_claim(uint64_t *bitmap, uint64_t i)
{
	uint64_t mask = 1ull << (i % 64), old = bitmap[i / 64];
	bitmap[i / 64] = old | mask;
	return !(old & mask);
}

void hf_graph_prefer_huge_pages(void *p, size_t bytes);

enum hf_status hf_graph_nomem(struct hf_err *err, const char *stage);

/* HF_OK to go on. */
enum hf_status hf_graph_tick(const struct hf_graph *g, const char *stage, uint64_t done,
	uint64_t total, struct hf_err *err);

/* The indices of all root words, best first: by rank, then by index. NULL if there is no memory. */
uint32_t *hf_graph_roots_by_rank(const struct hf_graph *g);

/*
 * A spanning forest that grows breadth first, one group of starts after the other: what an earlier
 * group reached is never taken away. Within a group an object is reached over as few doubtful edges
 * as possible (if they are told apart), then over as few edges as possible, then from the earliest
 * start, then from the parent that was reached first. To tell doubtful edges apart, the starts of a
 * group must come in ascending order of their tags.
 */
struct hf_graph_wait {
	uint32_t object, up; /* the target, and the position of the source in order */
};

struct hf_graph_forest {
	const struct hf_graph *g;
	const char *stage;
	bool by_doubt;              /* tell doubtful edges apart */
	bool by_rank;               /* tags are root words, and groups came by their ranks */
	uint64_t *seen;             /* bitmap over objects */
	struct hf_graph_link *link; /* [n_objects] */
	uint32_t *order;            /* [n_objects] objects in the order they were reached */
	uint32_t n;                 /* objects reached so far */
	uint32_t head;              /* how many of them were looked at */
	uint64_t *queued;           /* bitmap: target of a doubtful edge that waits */
	struct hf_graph_wait *wait; /* [n_objects] */
	uint32_t wait_head, wait_tail;
};

/* seen, link and order belong to the caller; seen must be clear, link need not be set. */
enum hf_status hf_graph_forest_init(struct hf_graph_forest *f, const struct hf_graph *g,
	const char *stage, bool by_doubt, struct hf_err *err);
void hf_graph_forest_deinit(struct hf_graph_forest *f);
/* A start of the coming group; ignored if the object was reached already. */
void hf_graph_forest_start(struct hf_graph_forest *f, uint32_t object, uint32_t tag);
/* Reach what the starts added since the last call reach without doubtful edges; those wait. */
enum hf_status hf_graph_forest_grow_certain(struct hf_graph_forest *f, struct hf_err *err);
/* Reach all that the starts so far reach: over one doubtful edge what was not reached without, then
 * over two, and so on; within that by the order of the groups. */
enum hf_status hf_graph_forest_grow(struct hf_graph_forest *f, struct hf_err *err);
