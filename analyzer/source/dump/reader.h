/* The state of one reading of a dump. Inside source/dump only. */
#pragma once
#include "source/dump/blocks.h"

/* Which records of a section are in the heap, and where. In a sound file that is one range from 0.
 */
struct id_range {
	uint64_t first, n; /* in the file */
	uint64_t to;       /* the first one's index in the heap */
};

struct id_map {
	struct id_range *at;
	size_t n, cap;
	uint64_t kept; /* records in the heap */
	uint64_t end;  /* the file has, or had, no record from here on, as far as known */
};

struct reader {
	struct hf_dump_options options;
	struct dump_file file;
	struct block_list blocks;
	struct problems problems;
	struct id_map ids[HF_SECTION_END];
	uint64_t dangling[HF_SECTION_END]; /* references of its records to what is not there */
	uint64_t dropped[HF_SECTION_END];  /* records that made no sense without it */
	uint64_t done_bytes;
	struct hf_heap *heap;
};

/* Note that the records first … first + n - 1 of a section stand in the heap from `to`. NULL, or
 * the problem: they cannot be at this place of the file. */
const char *ids_add(struct id_map *map, const struct dump_block *block, uint64_t to);
/* How many records stand before the record id. */
uint64_t ids_rank_slow(const struct id_map *map, uint64_t id);
uint32_t ids_get_slow(const struct id_map *map, uint64_t id);

/* A record's index in the heap, or HF_NONE: it is not there. */
static inline uint32_t ids_get(const struct id_map *map, uint64_t id)
{
	if (map->n == 1 && !map->at[0].first)
		return id < map->at[0].n ? (uint32_t)id : HF_NONE;
	return ids_get_slow(map, id);
}

/* Decode one block into the heap. NULL, or the problem: then it left nothing behind. Decoders of
 * objects, edges and modrefs run on several threads, and write at the block's slot. */
typedef const char *decode_fn(
	struct reader *reader, struct block_buffer *buffer, struct dump_block *block);
decode_fn decode_small; /* any other section */
decode_fn decode_object, decode_edge, decode_modref;

/* Decode every block of the sections in the mask (1 << section; objects, edges, modrefs) that has
 * no problem yet, on several threads; afterwards each has its problem or none. HF_E_NOMEM. */
enum hf_status decode_all(struct reader *reader, uint32_t sections, struct hf_err *err);

/* Everything of some sections; damage goes to the blocks' problem fields. */
enum hf_status read_small(
	struct reader *reader, const uint16_t *sections, size_t n_sections, struct hf_err *err);
enum hf_status read_objects(struct reader *reader, struct hf_err *err);
enum hf_status read_references(struct reader *reader, struct hf_err *err);
enum hf_status read_sites(struct reader *reader, struct hf_err *err);
enum hf_status read_contents(struct reader *reader, struct hf_err *err);

/* Steps of hf_dump_read() that the summary and the verification share. */
enum hf_status reader_open(struct reader *reader, const char *path,
	const struct hf_dump_options *options, size_t max_problems, struct hf_heap *heap,
	struct hf_err *err);
/* Look at the checksums of blocks that reader_read() does not read: of the index and of sections
 * that are not known; for a summary of all but the index, whose damage the list of blocks tells. */
enum hf_status reader_check_blocks(struct reader *reader, bool summary, struct hf_err *err);
enum hf_status reader_read(struct reader *reader, bool summary, struct hf_err *err);
void reader_close(struct reader *reader);
