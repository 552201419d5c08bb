#include "scan/crew.h"
#include "scan/scan.h"

struct rows {
	uint32_t n;
	uint64_t addr[HF_BATCH_ROWS], usable[HF_BATCH_ROWS];
};

static void flush(struct crew_member *member, struct rows *rows, uint32_t arena)
{
	hf_batch_objects(
		member->batch, &(struct hf_objects){rows->n, rows->addr, rows->usable, arena});
	rows->n = 0;
}

/* The live objects that start in a cell: each ends where the next extent starts. */
static void list_cell(const struct hf_index_region *region, uint64_t number, struct rows *rows)
{
	const struct hf_index_cell *cell = &region->cells[number];
	const uint64_t base = region->start + number * HF_CELL_BYTES;
	for (uint64_t live = cell->live; live; live &= live - 1) {
		const unsigned bit = (unsigned)__builtin_ctzll(live);
		const uint64_t above = cell->starts & ~0ull << bit & ~(1ull << bit);
		const uint64_t addr = base + bit * HF_GRANULE;
		const uint64_t end = above ? base + (unsigned)__builtin_ctzll(above) * HF_GRANULE
					   : hf_index_extent_end(region, number, bit);
		rows->addr[rows->n] = addr;
		rows->usable[rows->n++] = end - region->tail_bytes - addr;
	}
}

static void list(struct crew_member *member, const struct hf_index_region *region, uint64_t from,
	uint64_t to)
{
	enum { CELL_MAX = HF_CELL_BYTES / HF_GRANULE };
	struct rows rows;
	rows.n = 0;
	if (!region->cells) {
		rows.addr[0] = region->start;
		rows.usable[0] = region->end - region->start;
		rows.n = from == region->start && region->live;
	} else {
		const uint64_t end = (to - region->start + HF_CELL_BYTES - 1) / HF_CELL_BYTES;
		for (uint64_t i = (from - region->start) / HF_CELL_BYTES; i < end; i++) {
			if (rows.n + CELL_MAX > HF_BATCH_ROWS)
				flush(member, &rows, region->arena);
			list_cell(region, i, &rows);
		}
	}
	flush(member, &rows, region->arena);
}

enum hf_status hf_scan_list(
	const struct hf_index *index, struct hf_writer *writer, struct hf_err *err)
{
	struct crew crew = {.index = index, .writer = writer, .work = list};
	enum hf_status status = crew_muster(&crew, NULL, NULL, err);
	if (!status)
		crew_run(&crew);
	crew_dismiss(&crew);
	return status;
}
