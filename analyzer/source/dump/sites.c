/* What was recorded of allocations: site, requested size, age and thread of some objects. */
#include "source/dump/reader.h"

enum { AGE_COLUMN = 3, TID_COLUMN = 4, N_COLUMNS_1_1 = 5 };

/* Check a block, or take it over after that. */
static const char *decode_sites(struct reader *reader, const struct block_buffer *buffer,
	const struct dump_block *block, bool take, uint64_t *ret_n_dropped)
{
	struct hf_heap *heap = reader->heap;
	struct column object_c = buffer->columns[0], site_c = buffer->columns[1],
		      size_c = buffer->columns[2];
	/* 1.0 did not have these. */
	bool ages = buffer->n_columns >= N_COLUMNS_1_1;
	struct column age_c = {0}, tid_c = {0};
	if (ages) {
		age_c = buffer->columns[AGE_COLUMN];
		tid_c = buffer->columns[TID_COLUMN];
	}
	uint64_t last = 0;
	*ret_n_dropped = 0;
	for (uint32_t i = 0; i < block->n_items; i++) {
		if (!column_more(&object_c) || !column_more(&site_c) || !column_more(&size_c))
			return "a column is cut off";
		if (ages && (!column_more(&age_c) || !column_more(&tid_c)))
			return "a column is cut off";
		uint64_t id = column_d(&object_c), site = column_u(&site_c),
			 size = column_u(&size_c);
		uint64_t age = ages ? column_u(&age_c) : HF_NONE, tid = ages ? column_u(&tid_c) : 0;
		if (i && id <= last)
			return "its objects are out of order";
		if (site > UINT32_MAX)
			return "a site is out of range";
		last = id;
		uint32_t object = ids_get(&reader->ids[HF_SECTION_OBJECT], id);
		*ret_n_dropped += object == HF_NONE;
		if (!take || object == HF_NONE)
			continue;
		heap->site[object] = (uint32_t)site;
		/* a recorder that missed a free may tell of an object that was here before */
		if (size <= heap->usable[object])
			heap->requested[object] = size;
		if (ages) {
			heap->age[object] = age < HF_NONE ? (uint32_t)age : HF_NONE - 1;
			heap->tid[object] = tid < HF_NONE ? (uint32_t)tid : 0;
		}
	}
	if (ages && (!column_done(&age_c) || !column_done(&tid_c)))
		return "a column is damaged";
	return column_done(&object_c) && column_done(&site_c) && column_done(&size_c)
		       ? NULL
		       : "a column is damaged";
}

static const char *read_block(
	struct reader *reader, struct block_buffer *buffer, struct dump_block *block)
{
	struct id_map *ids = &reader->ids[HF_SECTION_SITE];
	uint64_t n_dropped;
	const char *problem = block_load(buffer, &reader->file, block);
	if (!problem)
		problem = decode_sites(reader, buffer, block, false, &n_dropped);
	if (!problem)
		problem = ids_add(ids, block, ids->kept);
	if (problem)
		return problem;
	decode_sites(reader, buffer, block, true, &n_dropped);
	reader->dropped[HF_SECTION_SITE] += n_dropped;
	return NULL;
}

enum hf_status read_sites(struct reader *reader, struct hf_err *err)
{
	struct block_buffer buffer = {0};
	enum hf_status status = HF_OK;
	for (size_t i = 0; i < reader->blocks.n && status == HF_OK; i++) {
		struct dump_block *block = &reader->blocks.at[i];
		if (block->section != HF_SECTION_SITE || block->problem)
			continue;
		if (!reader->heap->site)
			status = hf_heap_alloc_sites(reader->heap, err);
		if (status == HF_OK && !reader->heap->age && block->n_columns >= N_COLUMNS_1_1)
			status = hf_heap_alloc_ages(reader->heap, err);
		if (status == HF_OK)
			block->problem = read_block(reader, &buffer, block);
		if (block->problem == block_no_memory)
			status = hf_err_set(
				err, HF_E_NOMEM, "%s: no memory to decode it", reader->file.name);
	}
	block_buffer_free(&buffer);
	return status;
}
