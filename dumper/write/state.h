/* The writer's own state. Inside the module write only. */
#pragma once
#include <zlib.h>

#include "write/block.h"
#include "write/writer.h"

/* Memory, bytes. A block is as large as compression and reading in parallel like it; the records of
 * notes (counters, findings, process keys) are few but have strings. */
enum {
	MAIN_SIZE = 512 << 10, /* the section that is written at present */
	EDGE_SIZE = 512 << 10,
	MODREF_SIZE = 256 << 10,
	NOTE_SIZE = 160 << 10,
	INDEX_SIZE = 48 << 10,
	OUT_SIZE = 512 << 10,  /* a compressed block */
	ZLIB_SIZE = 512 << 10, /* zlib 1.2.13 takes 268 KiB of it, others more */
	ZLIB_MEM_LEVEL = 8,
};

/* The place of the last edge or module reference, to check their order. */
struct hf_reference {
	uint32_t src;
	uint64_t unit; /* source offset / 8 */
	bool any;      /* there was one */
};

struct hf_writer {
	struct hf_sink *sink;
	struct hf_err err; /* the first error; status HF_OK: none */
	bool partial, finished;
	enum hf_codec codec;
	uint64_t bytes;                   /* written */
	uint64_t n_items[HF_SECTION_END]; /* in blocks that were written */
	uint64_t index_offset;            /* of the last INDEX block */
	struct hf_block main, edge, modref, note, index;
	struct hf_reference last_edge, last_modref;
	uint64_t last_object_end, next_site_object;
	z_stream z;
	uint8_t *zlib_next, *zlib_end;
	uint8_t *out; /* struct hf_block_header, then the payload */
	void *pages;  /* to free; NULL: the caller's memory */
};

/* Write the block's records, if there are any, and empty it. */
void hf_writer_flush(struct hf_writer *writer, struct hf_block *block);
