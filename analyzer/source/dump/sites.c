/* What was recorded of allocations: site, requested size, age and thread of some objects. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "source/dump/reader.h"

enum { AGE_COLUMN = 3, TID_COLUMN = 4, N_COLUMNS_1_1 = 5 };

/* A record of a block that is not yet known to be sound as a whole. */
struct site_row {
	uint64_t size;
	uint32_t object; /* or HF_NONE: it is lost */
	uint32_t site, age, tid;
};

/* The columns into rows[block->n_items]. */
static const char *decode(struct reader *reader, const struct block_buffer *buffer,
	const struct dump_block *block, bool ages, struct site_row *rows)
{
	struct column object_c = buffer->columns[0], site_c = buffer->columns[1],
		      size_c = buffer->columns[2], age_c = {0}, tid_c = {0};
	if (ages) {
		age_c = buffer->columns[AGE_COLUMN];
		tid_c = buffer->columns[TID_COLUMN];
	}
	uint64_t last = 0;
	for (uint32_t i = 0; i < block->n_items; i++) {
		if (!column_more(&object_c) || !column_more(&site_c) || !column_more(&size_c) ||
			(ages && (!column_more(&age_c) || !column_more(&tid_c))))
			return "a column is cut off";
		uint64_t id = column_d(&object_c), site = column_u(&site_c);
		if (i && id <= last)
			return "its objects are out of order";
		if (site > UINT32_MAX)
			return "a site is out of range";
		last = id;
		rows[i] = (struct site_row){.size = column_u(&size_c),
			.object = ids_get(&reader->ids[HF_SECTION_OBJECT], id),
			.site = (uint32_t)site};
		if (ages) {
			uint64_t age = column_u(&age_c), tid = column_u(&tid_c);
			rows[i].age = age < HF_NONE ? (uint32_t)age : HF_NONE - 1;
			rows[i].tid = tid < HF_NONE ? (uint32_t)tid : 0;
		}
	}
	bool done = column_done(&object_c) && column_done(&site_c) && column_done(&size_c) &&
		    (!ages || (column_done(&age_c) && column_done(&tid_c)));
	return done ? NULL : "a column is damaged";
}

static uint64_t take(struct hf_heap *heap, const struct site_row *rows, uint32_t n, bool ages)
{
	uint64_t n_dropped = 0;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t object = rows[i].object;
		if (object == HF_NONE) {
			n_dropped++;
			continue;
		}
		heap->site[object] = rows[i].site;
		/* a recorder that missed a free may tell of an object that was here before */
		if (rows[i].size <= heap->usable[object])
			heap->requested[object] = rows[i].size;
		if (ages) {
			heap->age[object] = rows[i].age;
			heap->tid[object] = rows[i].tid;
		}
	}
	return n_dropped;
}

static const char *read_block(struct reader *reader, struct block_buffer *buffer,
	struct dump_block *block, struct site_row *rows)
{
	struct id_map *ids = &reader->ids[HF_SECTION_SITE];
	const char *problem = block_load(buffer, &reader->file, block);
	bool ages = !problem && buffer->n_columns >= N_COLUMNS_1_1;
	if (!problem)
		problem = decode(reader, buffer, block, ages, rows);
	if (!problem)
		problem = ids_add(ids, block, ids->kept);
	if (!problem)
		reader->dropped[HF_SECTION_SITE] += take(reader->heap, rows, block->n_items, ages);
	return problem;
}

static enum hf_status make_columns(
	struct hf_heap *heap, const struct dump_block *block, struct hf_err *err)
{
	enum hf_status status = heap->site ? HF_OK : hf_heap_alloc_sites(heap, err);
	if (!status && !heap->age && block->n_columns >= N_COLUMNS_1_1)
		status = hf_heap_alloc_ages(heap, err);
	return status;
}

enum hf_status read_sites(struct reader *reader, struct hf_err *err)
{
	struct block_buffer buffer = {0};
	_cleanup_(hf_freep) struct site_row *rows = NULL;
	enum hf_status status = HF_OK;
	for (size_t i = 0; i < reader->blocks.n && status == HF_OK; i++) {
		struct dump_block *block = &reader->blocks.at[i];
		if (block->section != HF_SECTION_SITE || block->problem)
			continue;
		status = make_columns(reader->heap, block, err);
		if (!status && !rows && !(rows = malloc(HF_FORMAT_MAX_BLOCK_ITEMS * sizeof(*rows))))
			status = hf_err_set(
				err, HF_E_NOMEM, "%s: no memory for sites", reader->file.name);
		if (!status)
			block->problem = read_block(reader, &buffer, block, rows);
		if (block->problem == block_no_memory)
			status = hf_err_set(
				err, HF_E_NOMEM, "%s: no memory to decode it", reader->file.name);
	}
	block_buffer_free(&buffer);
	return status;
}
