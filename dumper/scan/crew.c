#include "scan/crew.h"

enum { PIECE_BYTES = 4 << 20 /* of heap */ };

static bool take(void *list, void *ptr)
{
	struct crew *crew = list;
	struct crew_member *member = ptr;
	if (crew->writer && hf_writer_failed(crew->writer))
		return false;
	bool more = hf_index_next_piece(crew->index, PIECE_BYTES, &crew->piece);
	member->piece = crew->piece;
	return more;
}

static void work(void *ptr)
{
	struct crew_member *member = ptr;
	struct crew *crew = member->crew;
	const struct hf_index_piece *piece = &member->piece;
	for (size_t i = piece->first; i <= piece->last; i++) {
		const struct hf_index_region *region = hf_vec_at(&crew->index->regions, i);
		crew->work(member, region, hf_index_piece_start(piece, region, i),
			hf_index_piece_end(piece, region, i));
	}
	if (crew->end)
		crew->end(member);
	if (member->batch)
		hf_batch_flush(member->batch);
}

static void wait_for_turn(void *ptr)
{
	struct crew_member *member = ptr;
	hf_team_turn(&member->crew->team, member->number);
}

enum hf_status crew_muster(
	struct crew *crew, void *(*own)(void *ctx, size_t number), void *ctx, struct hf_err *err)
{
	struct hf_team *team = &crew->team;
	*team = (struct hf_team){.take = take, .work = work, .list = crew};
	crew->piece = (struct hf_index_piece){0};
	for (size_t i = 0, size = hf_team_size(); i < size; i++) {
		struct crew_member *member = &crew->members[i];
		*member = (struct crew_member){.crew = crew, .number = i};
		if (crew->writer &&
			hf_batch_create(crew->writer, wait_for_turn, member, &member->batch, err)) {
			if (i)
				break;
			/* There is hardly any memory: one alone needs no batch of its own. */
			member->batch = hf_batch_of_writer(crew->writer);
			size = 1;
		}
		if (own && !(member->own = own(ctx, i))) {
			hf_batch_destroy(member->batch);
			break;
		}
		team->members[team->n_members++] = member;
	}
	return team->n_members ? HF_OK : hf_err_set(err, HF_E_NOMEM, "no memory to scan the heap");
}

void crew_run(struct crew *crew)
{
	hf_team_run(&crew->team);
}

void crew_dismiss(struct crew *crew)
{
	for (size_t i = 0; i < crew->team.n_members; i++)
		hf_batch_destroy(crew->members[i].batch);
}
