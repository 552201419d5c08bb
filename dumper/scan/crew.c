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
		hf_batch_close(member->batch);
}

static bool keep(void *ptr, uint32_t slot)
{
	struct crew_member *member = ptr;
	struct crew *crew = member->crew;
	crew->kept[slot] = -1;
	if (!member->batch)
		return true;
	for (int8_t i = 0; i < CREW_SPARES; i++) {
		if (!crew->spare[i] || __atomic_load_n(&crew->in_use[i], __ATOMIC_ACQUIRE))
			continue;
		crew->in_use[i] = true;
		crew->kept[slot] = i;
		hf_batch_detach(member->batch, crew->spare[i]);
		return true;
	}
	return false;
}

static void finish(void *ptr)
{
	struct crew_member *member = ptr;
	if (member->batch)
		hf_batch_flush(member->batch);
}

static void pass(void *list, uint32_t slot)
{
	struct crew *crew = list;
	const int8_t i = crew->kept[slot];
	if (i < 0)
		return;
	hf_batch_output_append(crew->spare[i], crew->writer);
	__atomic_store_n(&crew->in_use[i], false, __ATOMIC_RELEASE);
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
	*team = (struct hf_team){.take = take,
		.work = work,
		.keep = keep,
		.finish = finish,
		.pass = pass,
		.list = crew};
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
	for (size_t i = 0; i < CREW_SPARES && crew->writer && team->n_members > 1; i++)
		crew->spare[i] = hf_batch_output_create(); /* without, they wait */
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
	for (size_t i = 0; i < CREW_SPARES; i++)
		hf_batch_output_destroy(crew->spare[i]);
}
