#include "source/dump/blocks.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/fmt.h"

enum {
	SEARCH_CHUNK = 1 << 20,
	/* Bytes of checksums that a search for sound blocks may cost, beside four times the file.
	 */
	SEARCH_ALLOWANCE = 64 << 20,
	MAX_DEFLATE_RATIO = 1040,
	MAX_LZ4_RATIO = 255,
};

void problem_add(
	struct problems *problems, uint64_t offset, unsigned section, const char *format, ...)
{
	problems->total++;
	if (problems->n >= problems->max)
		return;
	if (problems->n == problems->cap) {
		size_t cap = problems->cap ? problems->cap * 2 : 8;
		struct hf_dump_problem *grown =
			reallocarray(problems->at, cap, sizeof(*problems->at));
		if (!grown)
			return; /* counted, at least */
		problems->at = grown;
		problems->cap = cap;
	}
	struct hf_dump_problem *problem = &problems->at[problems->n++];
	problem->offset = offset;
	problem->section = section;
	va_list ap;
	va_start(ap, format);
	hf_vfmt(problem->text, sizeof(problem->text), format, ap);
	va_end(ap);
}

static struct dump_block *list_push(struct block_list *list)
{
	if (list->n == list->cap) {
		size_t cap = list->cap ? list->cap * 2 : 64;
		struct dump_block *grown = reallocarray(list->at, cap, sizeof(*grown));
		if (!grown)
			return NULL;
		list->at = grown;
		list->cap = cap;
	}
	struct dump_block *block = &list->at[list->n++];
	*block = (struct dump_block){0};
	return block;
}

void block_list_free(struct block_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->at[i].wide);
	free(list->at);
	*list = (struct block_list){0};
}

static enum hf_status no_memory(struct hf_err *err)
{
	return hf_err_set(err, HF_E_NOMEM, "no memory for the list of blocks");
}

/* Is this a block's header at all, ending before end? Without it there is no way to go on. */
static bool is_header(const struct hf_block_header *h, uint64_t offset, uint64_t end)
{
	return h->magic == HF_FORMAT_BLOCK_MAGIC && h->stored_size <= HF_FORMAT_MAX_BLOCK &&
	       h->stored_size <= end - offset - sizeof(*h);
}

/* What is wrong with a block's header; NULL: nothing. */
static const char *header_problem(const struct hf_block_header *h)
{
	if (h->flags || h->reserved)
		return "reserved fields are not zero";
	if (!h->n_items || h->n_items > HF_FORMAT_MAX_BLOCK_ITEMS)
		return "bad number of records";
	if (h->raw_size > HF_FORMAT_MAX_BLOCK)
		return "too large";
	if (h->first_item > UINT64_MAX - h->n_items)
		return "bad number of its first record";
	if (!hf_format_columns(h->section))
		return NULL; /* of a later version: skipped by length */
	if (h->n_columns > HF_FORMAT_MAX_COLUMNS ||
		h->n_columns < hf_format_least_columns(h->section))
		return "bad number of columns";
	/* a value takes a byte or more: no claim on memory that the file does not back */
	if (h->raw_size < 4ull * h->n_columns + (uint64_t)h->n_items * h->n_columns)
		return "shorter than its records";
	switch (h->codec) {
	case HF_CODEC_NONE:
		return h->stored_size == h->raw_size ? NULL : "its two sizes differ";
	case HF_CODEC_ZLIB:
		return h->raw_size <= (uint64_t)h->stored_size * MAX_DEFLATE_RATIO
			       ? NULL
			       : "its sizes cannot be";
	case HF_CODEC_LZ4:
		return h->raw_size <= (uint64_t)h->stored_size * MAX_LZ4_RATIO
			       ? NULL
			       : "its sizes cannot be";
	default:
		return "compressed in a way that this version does not know";
	}
}

static void block_set(struct dump_block *block, const struct hf_block_header *h, uint64_t offset)
{
	*block = (struct dump_block){
		.offset = offset,
		.first_item = h->first_item,
		.n_items = h->n_items,
		.raw_size = h->raw_size,
		.stored_size = h->stored_size,
		.section = h->section,
		.codec = h->codec,
		.n_columns = h->n_columns,
		.problem = header_problem(h),
	};
}

static bool read_header(const struct dump_file *file, uint64_t offset, struct hf_block_header *ret)
{
	return offset <= file->blocks_end && file->blocks_end - offset >= sizeof(*ret) &&
	       dump_file_read(file, offset, ret, sizeof(*ret)) &&
	       is_header(ret, offset, file->blocks_end);
}

static uint64_t block_end(const struct dump_block *block)
{
	return block->offset + sizeof(struct hf_block_header) + block->stored_size;
}

/* --- by the index --- */

struct index_entry {
	uint64_t section, offset, n_items, first_item;
};

struct index_chain {
	struct index_entry *at; /* last block first */
	size_t n, cap;
};

static bool chain_push(struct index_chain *chain, const struct index_entry *entry)
{
	if (chain->n == chain->cap) {
		size_t cap = chain->cap ? chain->cap * 2 : 256;
		struct index_entry *grown = reallocarray(chain->at, cap, sizeof(*grown));
		if (!grown)
			return false;
		chain->at = grown;
		chain->cap = cap;
	}
	chain->at[chain->n++] = *entry;
	return true;
}

/* Append one INDEX block's entries, last first. */
static const char *chain_add(struct index_chain *chain, struct block_buffer *buffer, uint32_t n)
{
	size_t start = chain->n;
	struct column *c = buffer->columns;
	for (uint32_t i = 0; i < n; i++) {
		if (!column_more(&c[0]) || !column_more(&c[1]) || !column_more(&c[2]) ||
			!column_more(&c[3]))
			return "cut off";
		struct index_entry entry = {
			column_u(&c[0]), column_d(&c[1]), column_u(&c[2]), column_u(&c[3])};
		if (entry.section > UINT16_MAX || entry.n_items > HF_FORMAT_MAX_BLOCK_ITEMS ||
			entry.first_item > UINT64_MAX - entry.n_items)
			return "bad entry";
		if (!chain_push(chain, &entry))
			return block_no_memory;
	}
	for (unsigned k = 0; k < 4; k++) {
		if (!column_done(&c[k]))
			return "bad column";
	}
	for (size_t a = start, b = chain->n; a + 1 < b; a++) {
		struct index_entry swap = chain->at[a];
		chain->at[a] = chain->at[--b];
		chain->at[b] = swap;
	}
	return NULL;
}

/* Follow the chain of INDEX blocks from the tail to the first. */
static const char *chain_read(
	struct index_chain *chain, const struct dump_file *file, struct block_buffer *buffer)
{
	uint64_t offset = file->index_offset, end = file->blocks_end;
	for (;;) {
		struct hf_block_header header;
		struct dump_block block;
		if (offset < file->header.header_size || !read_header(file, offset, &header))
			return "no block where it should be";
		block_set(&block, &header, offset);
		if (block.problem)
			return block.problem;
		if (block.section != HF_SECTION_INDEX || block_end(&block) > end)
			return "not where it should be";
		const char *problem = block_load(buffer, file, &block);
		if (problem)
			return problem;
		struct index_entry own = {
			HF_SECTION_INDEX, offset, block.n_items, block.first_item};
		if (!chain->n && !chain_push(chain, &own))
			return block_no_memory;
		problem = chain_add(chain, buffer, block.n_items);
		if (problem)
			return problem;
		if (chain->n > file->size / sizeof(header))
			return "more entries than the file can hold";
		const struct index_entry *first = &chain->at[chain->n - 1];
		if (first->section != HF_SECTION_INDEX)
			return NULL;
		if (first->offset >= offset)
			return "its chain goes in circles";
		/* the next round lists this block's entries; itself it is listed already */
		end = offset;
		offset = first->offset;
	}
}

/* Offsets ascend from the first block to the last, with room for a header between them. */
static const char *chain_check(const struct index_chain *chain, const struct dump_file *file)
{
	uint64_t end = file->header.header_size;
	if (chain->at[chain->n - 1].offset != end)
		return "does not start at the first block";
	for (size_t i = chain->n; i-- > 0;) {
		if (chain->at[i].offset < end)
			return "its entries are out of order";
		end = chain->at[i].offset + sizeof(struct hf_block_header);
	}
	return end <= file->blocks_end ? NULL : "leads past the end of the file";
}

static enum hf_status list_from_chain(struct block_list *list, const struct index_chain *chain,
	const struct dump_file *file, struct problems *problems, struct hf_err *err)
{
	for (size_t i = chain->n; i-- > 0;) {
		const struct index_entry *entry = &chain->at[i];
		uint64_t end = i ? chain->at[i - 1].offset : file->blocks_end;
		struct dump_block *block = list_push(list);
		if (!block)
			return no_memory(err);
		struct hf_block_header header;
		const char *problem = NULL;
		if (!read_header(file, entry->offset, &header))
			problem = "its header is damaged";
		else
			block_set(block, &header, entry->offset);
		if (!problem &&
			(block->section != entry->section || block->n_items != entry->n_items ||
				block->first_item != entry->first_item || block_end(block) != end))
			problem = "its header differs from the index";
		if (problem)
			*block = (struct dump_block){.offset = entry->offset,
				.section = (uint16_t)entry->section,
				.n_items = (uint32_t)entry->n_items,
				.first_item = entry->first_item,
				.stored_size = (uint32_t)(end - entry->offset -
							  sizeof(struct hf_block_header)),
				.problem = problem};
		block->listed = true;
		if (entry->section < HF_SECTION_END) {
			uint64_t n = entry->first_item + entry->n_items;
			if (list->n_listed[entry->section] < n)
				list->n_listed[entry->section] = n;
		}
	}
	list->indexed = true;
	list->end = file->blocks_end;
	return HF_OK;
}

/* --- by walking --- */

/* Is there a sound block at this offset? Costs a checksum of it. */
static bool sound_at(const struct dump_file *file, struct block_buffer *buffer, uint64_t offset,
	uint64_t *allowance)
{
	struct hf_block_header header;
	struct dump_block block;
	if (!read_header(file, offset, &header) || header_problem(&header))
		return false;
	if (header.stored_size > *allowance)
		return false;
	*allowance -= header.stored_size;
	block_set(&block, &header, offset);
	return !block_check(buffer, file, &block);
}

/* The first sound block at or after offset; 0: none, or the search became too long. */
static uint64_t search(const struct dump_file *file, struct block_buffer *buffer, uint64_t offset,
	uint64_t *allowance)
{
	static const uint32_t magic = HF_FORMAT_BLOCK_MAGIC;
	uint64_t most = file->blocks_end - offset;
	uint8_t *chunk = malloc(most < SEARCH_CHUNK ? most + 1 : SEARCH_CHUNK);
	uint64_t found = 0;
	buffer->no_memory |= !chunk;
	while (chunk && !found && offset < file->blocks_end) {
		uint64_t left = file->blocks_end - offset;
		size_t size = left < SEARCH_CHUNK ? left : SEARCH_CHUNK;
		if (size < sizeof(struct hf_block_header) ||
			!dump_file_read(file, offset, chunk, size))
			break;
		const uint8_t *at = chunk, *end = chunk + size;
		while (!found && (at = memmem(at, (size_t)(end - at), &magic, sizeof(magic)))) {
			if (sound_at(file, buffer, offset + (uint64_t)(at - chunk), allowance))
				found = offset + (uint64_t)(at - chunk);
			at++;
		}
		offset += size - (sizeof(magic) - 1);
	}
	free(chunk);
	return found;
}

/* Where to search from, after no header was found at offset: perhaps the block before it lied
 * about its size. */
static uint64_t search_start(struct block_list *list, const struct dump_file *file,
	struct block_buffer *buffer, uint64_t offset)
{
	if (!list->n)
		return offset;
	struct dump_block *last = &list->at[list->n - 1];
	if (block_end(last) != offset)
		return offset;
	if (!last->problem)
		last->problem = block_check(buffer, file, last);
	return last->problem ? last->offset + sizeof(uint32_t) : offset;
}

static enum hf_status list_by_walking(struct block_list *list, const struct dump_file *file,
	struct block_buffer *buffer, struct problems *problems, struct hf_err *err)
{
	uint64_t offset = file->header.header_size;
	uint64_t allowance = file->size * 4 + SEARCH_ALLOWANCE;
	list->end = offset;
	while (offset < file->blocks_end) {
		struct hf_block_header header;
		if (read_header(file, offset, &header)) {
			struct dump_block *block = list_push(list);
			if (!block)
				return no_memory(err);
			block_set(block, &header, offset);
			offset = block_end(block);
			list->end = offset;
			continue;
		}
		uint64_t next =
			search(file, buffer, search_start(list, file, buffer, offset), &allowance);
		if (!next) {
			if (file->has_tail)
				problem_add(problems, offset, 0,
					"%lu bytes are damaged, up to the end",
					file->blocks_end - offset);
			list->bytes_lost += file->blocks_end - offset;
			break;
		}
		/* what the block before claimed may overlap what was found */
		uint64_t from = next < offset ? list->at[list->n - 1].offset : offset;
		problem_add(problems, from, 0, "%lu bytes are damaged", next - from);
		if (next < offset)
			list->n--;
		list->bytes_lost += next - from;
		offset = next;
	}
	return HF_OK;
}

/* A cut file ends in the middle of a block: which is no block, then. */
static void note_cut(
	struct block_list *list, const struct dump_file *file, struct problems *problems)
{
	if (file->has_tail)
		return;
	list->cut = true;
	problem_add(problems, list->end, 0,
		"the file is cut off: it ends at 0x%lx, %lu bytes after its last whole block, "
		"without the end mark of a complete dump",
		file->size, file->size - list->end);
}

enum hf_status block_list_read(struct block_list *list, const struct dump_file *file,
	struct problems *problems, struct hf_err *err)
{
	struct block_buffer buffer = {0};
	struct index_chain chain = {0};
	*list = (struct block_list){0};
	enum hf_status status = HF_OK;
	const char *problem = NULL;
	if (file->has_tail && file->index_offset) {
		problem = chain_read(&chain, file, &buffer);
		if (!problem)
			problem = chain_check(&chain, file);
	}
	if (problem == block_no_memory)
		status = no_memory(err);
	else if (file->has_tail && file->index_offset && !problem)
		status = list_from_chain(list, &chain, file, problems, err);
	else
		status = list_by_walking(list, file, &buffer, problems, err);
	if (status == HF_OK && buffer.no_memory)
		status = no_memory(err);
	if (status == HF_OK && problem)
		problem_add(problems, file->index_offset, HF_SECTION_INDEX,
			"%s; the blocks were found without it", problem);
	if (status == HF_OK)
		note_cut(list, file, problems);
	free(chain.at);
	block_buffer_free(&buffer);
	if (status != HF_OK)
		block_list_free(list);
	return status;
}
