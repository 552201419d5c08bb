/* For tests of dump files: a sink in memory, blocks made by hand, files that need no disk, and a
 * check of everything that source/heap.h promises. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "source/dump/dump.h"
#include "write/writer.h"

struct kit_bytes {
	struct hf_sink sink; /* appends */
	uint8_t *data;
	size_t n, cap;
	size_t room; /* the sink fails with HF_E_IO past so many bytes; 0: never */
};

void kit_bytes_init(struct kit_bytes *bytes);
void kit_bytes_deinit(struct kit_bytes *bytes);
void kit_append(struct kit_bytes *bytes, const void *data, size_t size);

/* A file header of this version; a tail, index_offset 0: none. */
void kit_header(struct kit_bytes *bytes);
void kit_tail(struct kit_bytes *bytes, uint64_t index_offset);
/* A block of one section whose columns are given as n_columns arrays of n_items values, taken as U
 * varints (a writer of D, Z and E columns codes the values itself). Uncompressed. */
void kit_block(struct kit_bytes *bytes, unsigned section, uint64_t first_item, uint32_t n_items,
	unsigned n_columns, const uint64_t *const *columns);
/* Put the right checksum into the block at offset, after a change. */
void kit_seal_block(struct kit_bytes *bytes, size_t offset);
/* The same for the file's header. */
void kit_seal_header(struct kit_bytes *bytes);
/* Offset of the n-th block of a section, or of any (section 0); SIZE_MAX: there is none. */
size_t kit_find_block(const struct kit_bytes *bytes, unsigned section, unsigned n);

/* A random heap of n_objects that uses every field and extreme values, and the dump of a heap. */
void kit_model(struct hf_heap *ret, uint64_t seed, uint32_t n_objects);
void kit_write_model(struct hf_writer *writer, const struct hf_heap *heap);
/* The whole file of it. */
void kit_dump(struct kit_bytes *bytes, const struct hf_heap *heap, enum hf_codec codec);

/* A path under which the bytes can be read; one at a time. */
const char *kit_path(const void *data, size_t size);
/* hf_dump_read() of bytes. */
enum hf_status kit_read(const struct kit_bytes *bytes, struct hf_heap *ret, struct hf_err *err);
/* Problems that hf_dump_verify() finds, or UINT64_MAX if it cannot read the file. */
uint64_t kit_verify(const struct kit_bytes *bytes);

/* Fails the test if the heap breaks a promise of source/heap.h. */
void kit_check_heap(const struct hf_heap *heap);
/* Fails the test unless both are the same but for lost, partial, reasons and findings. */
void kit_check_equal(const struct hf_heap *a, const struct hf_heap *b);
/* Everything in it as text. */
void kit_print(FILE *out, const struct hf_heap *heap);
