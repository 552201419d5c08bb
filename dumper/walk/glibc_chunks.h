/*
 * The chunk loop and who runs it. Internal to walk/: glibc_chunks.c and glibc_pieces.c.
 */
#pragma once
#include "walk/glibc.h"

enum { GLIBC_RESYNC_CHUNKS = 12 /* that must parse behind a doubtful one */ };

struct glibc_chunk_counts {
	uint64_t n_chunks, chunk_bytes, n_free, free_bytes;
};

struct glibc_pieces;

struct chunk_walk {
	struct glibc *g;
	struct glibc_arena *arena;
	const struct glibc_region *region;
	struct hf_index_cell *cells;
	struct hf_reader *reader, *probe; /* of the loop, and of what looks ahead */
	struct hf_vec *tcache_like;
	struct glibc_chunk_counts counts;
	uint64_t until;  /* the loop ends with the first chunk that does not start below */
	uint64_t at;     /* the chunk at hand */
	uint64_t prev;   /* the chunk that ends at `at`; 0: none */
	bool ended;      /* by a fence before the limit */
	uint64_t budget; /* header reads left for guesses inside damaged chunks */
	struct glibc_pieces *pieces; /* that others have walked already; NULL: none */
};

enum glibc_stop {
	STOP_UNTIL,  /* at >= until */
	STOP_DOUBT,  /* the header at `at` is not what it should be */
	STOP_ABSENT, /* it is not resident */
};

/* From w->at on, while headers and footers agree. */
enum glibc_stop glibc_run(struct chunk_walk *w);
/* Do n chunks parse from at on, with flags and footers that agree, or all up to the limit? The
 * chain must go past `past` and not meet it. */
bool glibc_chain_holds(struct chunk_walk *w, uint64_t at, unsigned n, uint64_t past);
/* The chunk at w->prev ends at w->at: count it. */
void glibc_close_chunk(struct chunk_walk *w, bool live);

/*
 * A large region in pieces, by several threads (glibc_pieces.c): each looks for a chain of chunks
 * behind the start of its piece and follows it to the end. The walk then goes from piece to piece:
 * if it comes to the very chunk that a piece was begun with, all in it is what the walk would have
 * found; if not, what was marked there is undone, and the walk goes through it itself. So the
 * result is always that of one thread.
 */
/* Walk what can be. NULL: there is nothing to gain, or no memory. */
struct glibc_pieces *glibc_pieces_walk(const struct chunk_walk *w);
void glibc_pieces_free(struct glibc_pieces *p);
/* Go on through all pieces that w->at has come to, and set w->until to where the next one begins.
 */
void glibc_pieces_take(struct chunk_walk *w);
/* The walk is about to mark something at this address itself: what lies up to there is its own. */
void glibc_pieces_undo(struct chunk_walk *w, uint64_t addr);
