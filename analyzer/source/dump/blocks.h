/*
 * The list of a file's blocks: from the index, or by walking from header to header and, after
 * damage, by looking for the next sound block. Inside source/dump only.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zlib.h>

#include "source/dump/column.h"
#include "source/dump/dump.h"
#include "source/dump/file.h"

struct dump_block {
	uint64_t offset;
	uint64_t first_item;
	uint32_t n_items, raw_size, stored_size;
	uint16_t section;
	uint8_t codec, n_columns;
	bool listed;         /* section, first_item and n_items are as the index has them */
	const char *problem; /* static text: not to be used; NULL: sound, as far as known */

	/* for the decoders */
	uint64_t slot;              /* place of its first record among those that are kept */
	uint64_t first[2], last[2]; /* keys of its first and last record, to check the order */
	uint64_t sum;               /* of usable sizes */
	uint32_t last_source;       /* object of its last edge */
	uint32_t n_dropped;         /* records that refer to what is not in the file */
	struct hf_heap_wide *wide;  /* indexes relative to slot */
	uint32_t n_wide, cap_wide;
};

/* Something that is wrong with the file. */
struct problems {
	struct hf_dump_problem *at;
	size_t n, cap, max;
	uint64_t total;
};

struct block_list {
	struct dump_block *at;
	size_t n, cap;
	bool indexed;                      /* by a sound index */
	bool cut;                          /* the file ends without its tail */
	uint64_t end;                      /* where the last whole block ends */
	uint64_t bytes_lost;               /* of the file that belong to no usable block */
	uint64_t n_listed[HF_SECTION_END]; /* records of a section by the index; 0: not known */
};

/* Buffers of one thread for one block at a time. */
struct block_buffer {
	uint8_t *stored, *raw;
	size_t stored_cap, raw_cap;
	z_stream z;
	bool z_ready;
	bool no_memory; /* something could not be had for lack of it */
	unsigned n_columns;
	struct column columns[HF_FORMAT_MAX_COLUMNS];
};

/* The problem of a block that could not be read for lack of memory: compare by pointer. */
extern const char block_no_memory[];

/* Find all blocks. HF_E_NOMEM is the only failure; damage goes to problems. */
enum hf_status block_list_read(struct block_list *list, const struct dump_file *file,
	struct problems *problems, struct hf_err *err);
void block_list_free(struct block_list *list);

/* Read, check and decompress a block and set up its columns. NULL, or the problem (static text). */
const char *block_load(
	struct block_buffer *buffer, const struct dump_file *file, const struct dump_block *block);
/* Read a block and check its checksum only. */
const char *block_check(
	struct block_buffer *buffer, const struct dump_file *file, const struct dump_block *block);
void block_buffer_free(struct block_buffer *buffer);

/* Note a problem; what does not fit max is only counted. */
void problem_add(struct problems *problems, uint64_t offset, unsigned section, const char *format,
	...) __attribute__((format(printf, 4, 5)));
