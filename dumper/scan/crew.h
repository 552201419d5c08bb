/*
 * A team (base/team.h) that goes through the heap piece by piece and writes what it finds there,
 * each member into a batch of its own. Inside the module scan only.
 */
#pragma once
#include "base/team.h"
#include "index/index.h"
#include "write/batch.h"

enum { CREW_SPARES = 2 };

struct crew;

struct crew_member {
	struct crew *crew;
	size_t number;
	struct hf_index_piece piece; /* at hand */
	struct hf_batch *batch;      /* NULL: nothing is written */
	void *own;                   /* the caller's */
};

struct crew {
	struct hf_team team;
	const struct hf_index *index;
	struct hf_writer *writer;
	/* The part of a piece that is in one region. */
	void (*work)(struct crew_member *member, const struct hf_index_region *region,
		uint64_t from, uint64_t to);
	/* The piece is done, and flushed next. NULL: there is nothing to do then. */
	void (*end)(struct crew_member *member);
	struct hf_index_piece piece; /* taken last */
	struct crew_member members[HF_TEAM_MAX];
	/* What was done before its turn. */
	struct hf_batch_output *spare[CREW_SPARES];
	bool in_use[CREW_SPARES];
	int8_t kept[HF_TEAM_KEPT]; /* number of the spare; -1: nothing was made */
};

/* As many members as there can be; each has a batch, unless writer is NULL. own(ctx, number) makes
 * what it has besides; NULL from it is one member less. HF_E_NOMEM if there is not even one. The
 * fields above are the caller's to fill before. */
enum hf_status crew_muster(
	struct crew *crew, void *(*own)(void *ctx, size_t number), void *ctx, struct hf_err *err);
/* Go through the whole index. Stops early where the writer has failed. */
void crew_run(struct crew *crew);
/* Gives back the batches. */
void crew_dismiss(struct crew *crew);
