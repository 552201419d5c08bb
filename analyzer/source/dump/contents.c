/* The bytes of objects, of dumps that have them: checked, and not kept. */
#include "source/dump/reader.h"

/* The end of what was read before, so that pieces come in order. */
struct last {
	bool any;
	uint64_t object, end;
};

static const char *check_piece(
	struct reader *reader, struct last *last, uint64_t id, uint64_t offset, uint64_t size)
{
	if (last->any && (id < last->object || (id == last->object && offset < last->end)))
		return "its pieces are out of order";
	if (offset > UINT64_MAX - size)
		return "a piece is out of range";
	*last = (struct last){true, id, offset + size};
	uint32_t object = ids_get(&reader->ids[HF_SECTION_OBJECT], id);
	if (object == HF_NONE)
		reader->dropped[HF_SECTION_CONTENT]++;
	else if (offset + size > reader->heap->usable[object])
		return "a piece is longer than its object";
	return size ? NULL : "a piece is empty";
}

static const char *read_block(
	struct reader *reader, struct block_buffer *buffer, struct dump_block *block)
{
	const char *problem = block_load(buffer, &reader->file, block);
	if (problem)
		return problem;
	struct column object = buffer->columns[0], offset = buffer->columns[1],
		      bytes = buffer->columns[2];
	struct last last = {0};
	for (uint32_t i = 0; i < block->n_items; i++) {
		uint64_t size;
		if (!column_more(&object) || !column_more(&offset) || !column_more(&bytes))
			return "a column is cut off";
		if (!column_s(&bytes, &size))
			return "a column is damaged";
		problem = check_piece(reader, &last, column_d(&object), column_u(&offset), size);
		if (problem)
			return problem;
	}
	if (!column_done(&object) || !column_done(&offset) || !column_done(&bytes))
		return "a column is damaged";
	struct id_map *ids = &reader->ids[HF_SECTION_CONTENT];
	return ids_add(ids, block, ids->kept);
}

enum hf_status read_contents(struct reader *reader, struct hf_err *err)
{
	struct block_buffer buffer = {0};
	enum hf_status status = HF_OK;
	for (size_t i = 0; i < reader->blocks.n && status == HF_OK; i++) {
		struct dump_block *block = &reader->blocks.at[i];
		if (block->section != HF_SECTION_CONTENT || block->problem)
			continue;
		block->problem = read_block(reader, &buffer, block);
		if (block->problem == block_no_memory)
			status = hf_err_set(
				err, HF_E_NOMEM, "%s: no memory to decode it", reader->file.name);
	}
	block_buffer_free(&buffer);
	return status;
}
