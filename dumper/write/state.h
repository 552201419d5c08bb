/* The writer's and the batches' own state. Inside the module write only. */
#pragma once
#include "write/batch.h"
#include "write/block.h"
#include "write/writer.h"

/* Memory, bytes. A block is as large as compression and reading in parallel like it; the records of
 * notes (counters, findings, process keys) are few but have strings. */
enum {
	MAIN_SIZE = 384 << 10, /* the section that is written at present */
	NOTE_SIZE = 160 << 10,
	INDEX_SIZE = 48 << 10,
	OUT_SIZE =
		385 << 10, /* the largest of them finished; and of INDEX, which may come between */
	INDEX_OUT_SIZE = 49 << 10,
	/* of a batch */
	ROWS_SIZE = 512 << 10, /* objects or edges */
	MODREF_SIZE = 256 << 10,
	BATCH_OUT_SIZE = 1 << 20, /* finished blocks */
};

/* A place in the order of a section's records. */
struct hf_place {
	uint64_t row, word; /* object (its address, or its id), word in it */
};

static inline bool hf_place_before(struct hf_place a, struct hf_place b)
{
	return a.row < b.row || (a.row == b.row && a.word < b.word);
}

enum hf_bulk { BULK_OBJECT, BULK_EDGE, BULK_MODREF, N_BULK };

/* Finished blocks that come next to each other in the file. */
struct hf_batch_output {
	uint8_t *blocks; /* BATCH_OUT_SIZE bytes */
	size_t size;     /* used */
	/* The first record, and the first place that one more may have. */
	struct {
		bool any;
		struct hf_place first, next;
	} order[N_BULK];
	struct hf_err err; /* of our caller: records out of order */
};

struct hf_batch {
	struct hf_writer *writer;
	void (*turn)(void *ctx);
	void *ctx;
	struct hf_block rows, modrefs;
	struct hf_packer packer;
	struct hf_batch_output out;
};

struct hf_writer {
	struct hf_sink *sink;
	struct hf_err err; /* the first error; status HF_OK: none */
	bool partial, finished;
	char reason[HF_WRITER_REASON];    /* why partial, the first one */
	uint64_t bytes;                   /* written */
	uint64_t n_items[HF_SECTION_END]; /* in blocks that were written */
	uint64_t index_offset;            /* of the last INDEX block */
	struct hf_block main, note, index;
	uint8_t *out, *index_out;     /* OUT_SIZE and INDEX_OUT_SIZE bytes */
	struct hf_place next[N_BULK]; /* the first place that one more record may have */
	struct hf_batch batch;        /* of the thread that has the writer */
	uint64_t next_site_object;
	void *pages; /* to free; NULL: the caller's memory */
};

/* Write the block's records, if there are any, and empty it. */
void hf_writer_flush(struct hf_writer *writer, struct hf_block *block);
/* Write finished blocks. */
void hf_writer_append(struct hf_writer *writer, struct hf_batch_output *output);

/* Bytes behind the struct that hf_batch_init() takes. */
size_t hf_batch_memory_size(void);
void hf_batch_init(
	struct hf_batch *batch, struct hf_writer *writer, enum hf_codec codec, uint8_t *memory);
