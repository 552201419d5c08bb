#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "source/dump/reader.h"

enum { MAX_FINDINGS = 32 }; /* of the reader itself; the rest is summed up */

static const uint16_t before_objects[] = {HF_SECTION_PROCESS, HF_SECTION_MODULE, HF_SECTION_MAPPING,
	HF_SECTION_THREAD, HF_SECTION_ARENA, HF_SECTION_COUNTER, HF_SECTION_FINDING};
static const uint16_t after_objects[] = {HF_SECTION_REGISTER, HF_SECTION_STACK_WORD,
	HF_SECTION_VARIABLE, HF_SECTION_ROOT, HF_SECTION_LABEL};

enum hf_status reader_open(struct reader *reader, const char *path,
	const struct hf_dump_options *options, size_t max_problems, struct hf_heap *heap,
	struct hf_err *err)
{
	*reader = (struct reader){.heap = heap, .problems = {.max = max_problems}};
	if (options)
		reader->options = *options;
	enum hf_status status =
		dump_file_open(&reader->file, path, reader->options.ignore_checksums, err);
	if (status != HF_OK)
		return status;
	const struct hf_file_header *header = &reader->file.header;
	hf_fmt(heap->format, sizeof(heap->format), "holdfast %u.%u", header->major, header->minor);
	heap->file_bytes = reader->file.size;
	if (reader->file.header_damaged) {
		problem_add(&reader->problems, 0, 0,
			"checksum of the header differs: the time and the tie to the heap profile "
			"are not to be trusted");
	} else {
		heap->time_ns = header->time_ns;
		heap->has_token = true;
		memcpy(heap->token, header->token, sizeof(heap->token));
	}
	return block_list_read(&reader->blocks, &reader->file, &reader->problems, err);
}

void reader_close(struct reader *reader)
{
	dump_file_close(&reader->file);
	block_list_free(&reader->blocks);
	free(reader->problems.at);
	for (size_t i = 0; i < HF_SECTION_END; i++)
		free(reader->ids[i].at);
}

static enum hf_status check_claims(const struct reader *reader, struct hf_err *err)
{
	uint64_t n = 0;
	for (size_t i = 0; i < reader->blocks.n; i++)
		n += reader->blocks.at[i].problem ? 0 : reader->blocks.at[i].n_items;
	if (reader->options.max_records && n > reader->options.max_records)
		return hf_err_set(err, HF_E_UNSUPPORTED,
			"%s: claims %lu records, more than the limit of %lu", reader->file.name, n,
			reader->options.max_records);
	return HF_OK;
}

/* Of the dump's own words: what makes it partial. */
static enum hf_status collect_reasons(struct hf_heap *heap, struct hf_err *err)
{
	for (size_t i = 0; i < heap->findings.n; i++) {
		const struct hf_heap_finding *finding = &heap->findings.at[i];
		if (finding->severity < HF_PARTIAL)
			continue;
		heap->partial = true;
		const char **reason = hf_heap_push(&heap->reasons);
		if (!reason)
			return hf_err_set(err, HF_E_NOMEM, "no memory for the findings");
		*reason = finding->text;
	}
	for (size_t i = 0; i < heap->counters.n; i++) {
		const struct hf_heap_counter *counter = &heap->counters.at[i];
		if (counter->must_match && counter->allocator != counter->walked)
			hf_heap_finding(heap, HF_PARTIAL, 0,
				"cross-check failed: %s: the allocator says %lu, the walk found "
				"%lu",
				counter->name, counter->allocator, counter->walked);
	}
	return HF_OK;
}

/* Records of a section that are known to be missing from the heap. */
static uint64_t count_lost(const struct reader *reader, unsigned section)
{
	uint64_t end = reader->ids[section].end;
	if (end < reader->blocks.n_listed[section])
		end = reader->blocks.n_listed[section];
	return end - reader->ids[section].kept;
}

/* The same for a section whose records were not read: those of its damaged blocks. */
static uint64_t count_lost_unread(const struct reader *reader, unsigned section)
{
	uint64_t there = 0, sound = 0;
	for (size_t i = 0; i < reader->blocks.n; i++) {
		const struct dump_block *block = &reader->blocks.at[i];
		if (block->section != section)
			continue;
		there += block->n_items;
		sound += block->problem ? 0 : block->n_items;
	}
	if (there < reader->blocks.n_listed[section])
		there = reader->blocks.n_listed[section];
	return there - sound;
}

static bool is_read_in_summary(unsigned section)
{
	for (size_t i = 0; i < sizeof(before_objects) / sizeof(before_objects[0]); i++)
		if (before_objects[i] == section)
			return true;
	return false;
}

static void note_lost(struct reader *reader, bool summary)
{
	struct hf_heap_lost *lost = &reader->heap->lost;
	lost->bytes = reader->blocks.bytes_lost;
	for (size_t i = 0; i < reader->blocks.n; i++) {
		const struct dump_block *block = &reader->blocks.at[i];
		if (!block->problem)
			continue;
		lost->blocks++;
		lost->bytes += sizeof(struct hf_block_header) + block->stored_size;
		problem_add(&reader->problems, block->offset, block->section, "%s", block->problem);
	}
	for (unsigned s = HF_SECTION_PROCESS; s < HF_SECTION_END; s++) {
		uint64_t n = s == HF_SECTION_INDEX               ? 0
			     : summary && !is_read_in_summary(s) ? count_lost_unread(reader, s)
								 : count_lost(reader, s);
		uint64_t *const count = s == HF_SECTION_OBJECT ? &lost->objects
					: s == HF_SECTION_EDGE ? &lost->edges
							       : &lost->others_dropped;
		*count += n;
		if (n)
			problem_add(&reader->problems, 0, s, "%lu records are lost", n);
	}
	lost->edges_dropped = reader->dropped[HF_SECTION_EDGE];
	lost->roots_dropped = reader->dropped[HF_SECTION_ROOT];
	for (unsigned s = HF_SECTION_PROCESS; s < HF_SECTION_END; s++) {
		if (s != HF_SECTION_EDGE && s != HF_SECTION_ROOT)
			lost->others_dropped += reader->dropped[s];
		if (reader->dropped[s])
			problem_add(&reader->problems, 0, s,
				"%lu records are left out: they refer to records that are not in "
				"the file",
				reader->dropped[s]);
		else if (reader->dangling[s])
			problem_add(&reader->problems, 0, s,
				"%lu times a module, thread, variable or arena is named that is "
				"not in the file",
				reader->dangling[s]);
	}
}

enum hf_status reader_read(struct reader *reader, bool summary, struct hf_err *err)
{
	enum hf_status status = check_claims(reader, err);
	if (status == HF_OK)
		status = read_small(reader, before_objects,
			sizeof(before_objects) / sizeof(before_objects[0]), err);
	if (status == HF_OK)
		status = collect_reasons(reader->heap, err);
	if (status == HF_OK && !summary) {
		status = read_objects(reader, err);
		if (status == HF_OK)
			status = read_references(reader, err);
		if (status == HF_OK)
			status = read_sites(reader, err);
		if (status == HF_OK)
			status = read_contents(reader, err);
		if (status == HF_OK)
			status = read_small(reader, after_objects,
				sizeof(after_objects) / sizeof(after_objects[0]), err);
	}
	if (status != HF_OK)
		return status;
	note_lost(reader, summary);
	for (size_t i = 0; i < reader->blocks.n; i++) {
		if (!reader->blocks.at[i].problem)
			reader->heap->decoded_bytes += reader->blocks.at[i].raw_size;
	}
	return HF_OK;
}

/* Is it only the index that is damaged, and nothing missing for it? */
static bool is_harmless(const struct reader *reader, const struct hf_dump_problem *problem)
{
	return problem->section == HF_SECTION_INDEX && !reader->blocks.indexed;
}

static void report_problems(const struct reader *reader)
{
	const struct problems *problems = &reader->problems;
	struct hf_heap *heap = reader->heap;
	for (size_t i = 0; i < problems->n; i++) {
		const struct hf_dump_problem *problem = &problems->at[i];
		const char *section = hf_format_section_name(problem->section);
		char where[64] = "";
		if (problem->offset)
			hf_fmt(where, sizeof(where), ", file offset 0x%lx", problem->offset);
		hf_heap_finding(heap, is_harmless(reader, problem) ? HF_WARNING : HF_PARTIAL, 0,
			"%s%s: %s", section ? section : "dump file", where, problem->text);
	}
	if (problems->total > problems->n)
		hf_heap_finding(heap, HF_PARTIAL, 0, "%lu more problems with the dump file",
			problems->total - problems->n);
}

enum hf_status hf_dump_read(const char *path, const struct hf_dump_options *options,
	struct hf_heap *ret, struct hf_err *err)
{
	hf_heap_init(ret);
	struct reader reader;
	enum hf_status status = reader_open(&reader, path, options, MAX_FINDINGS, ret, err);
	if (status == HF_OK)
		status = reader_read(&reader, false, err);
	if (status == HF_OK)
		report_problems(&reader);
	else
		hf_heap_deinit(ret);
	reader_close(&reader);
	return status;
}

static void sum_sections(const struct reader *reader, struct hf_dump_info *info)
{
	bool whole = reader->file.has_tail;
	for (size_t i = 0; i < reader->blocks.n; i++) {
		const struct dump_block *block = &reader->blocks.at[i];
		unsigned s = block->section < HF_SECTION_END ? block->section : 0;
		whole &= !block->problem;
		if (block->problem)
			continue;
		info->sections[s].n_blocks++;
		info->sections[s].n_items += block->n_items;
		info->sections[s].stored_bytes += block->stored_size;
		info->sections[s].raw_bytes += block->raw_size;
	}
	info->complete = whole && !reader->blocks.bytes_lost;
	info->cut = reader->blocks.cut;
	info->end_offset = reader->blocks.end;
}

enum hf_status hf_dump_info(const char *path, const struct hf_dump_options *options,
	struct hf_dump_info *ret, struct hf_err *err)
{
	*ret = (struct hf_dump_info){0};
	struct reader reader;
	enum hf_status status = reader_open(&reader, path, options, MAX_FINDINGS, &ret->heap, err);
	if (status == HF_OK)
		status = reader_check_blocks(&reader, true, err);
	if (status == HF_OK)
		status = reader_read(&reader, true, err);
	if (status == HF_OK) {
		report_problems(&reader);
		sum_sections(&reader, ret);
		ret->major = reader.file.header.major;
		ret->minor = reader.file.header.minor;
		ret->time_ns = ret->heap.time_ns;
		memcpy(ret->token, ret->heap.token, sizeof(ret->token));
		ret->file_bytes = reader.file.size;
	} else {
		hf_heap_deinit(&ret->heap);
	}
	reader_close(&reader);
	return status;
}

void hf_dump_info_deinit(struct hf_dump_info *info)
{
	hf_heap_deinit(&info->heap);
}
