/*
 * The bulk of a dump (objects, edges, module references) from several threads at once.
 *
 * A batch takes the records of a stretch of the heap, encodes and compresses them into finished
 * blocks, and hands these to its writer. Each thread has one of its own. What must happen in the
 * order of the file is only the handing over: before it, a batch calls `turn`, which returns when
 * all that belongs before it has been handed over. So the file does not depend on how many threads
 * there are.
 *
 * Thread and signal safety: async-signal-safe; a batch belongs to one thread.
 */
#pragma once
#include "write/writer.h"

struct hf_batch; /* opaque; lives in pages */

/* For records of this writer. turn(ctx) may be NULL where one thread is all there is. HF_E_NOMEM.
 */
enum hf_status hf_batch_create(struct hf_writer *writer, void (*turn)(void *ctx), void *ctx,
	struct hf_batch **ret, struct hf_err *err);
/* The writer's own, for one thread that can have no other; hf_batch_destroy() leaves it alone. */
struct hf_batch *hf_batch_of_writer(struct hf_writer *writer);
/* What was not flushed is lost. NULL is fine. */
void hf_batch_destroy(struct hf_batch *batch);
/* Close the open blocks; then hand everything to the writer. */
void hf_batch_close(struct hf_batch *batch);
void hf_batch_flush(struct hf_batch *batch);

/* What a batch has finished, to be handed over later, by any thread, in its turn; the batch goes on
 * meanwhile. */
struct hf_batch_output; /* opaque */
/* NULL without memory; the reserve is left alone. */
struct hf_batch_output *hf_batch_output_create(void);
/* Once all batches that were detached into it have come to their end: the memory is exchanged. NULL
 * is fine. */
void hf_batch_output_destroy(struct hf_batch_output *output);
/* Of a closed batch. What was in *ret has been handed over. */
void hf_batch_detach(struct hf_batch *batch, struct hf_batch_output *ret);
void hf_batch_output_append(struct hf_batch_output *output, struct hf_writer *writer);

void hf_batch_object(struct hf_batch *b, uint64_t addr, uint64_t usable_bytes, uint32_t arena);
/* src_offset is a multiple of 8. */
void hf_batch_edge(
	struct hf_batch *b, uint32_t src, uint64_t src_offset, uint32_t dst, uint64_t dst_offset);
void hf_batch_modref(struct hf_batch *b, uint32_t src, uint64_t src_offset, uint32_t module,
	uint64_t module_offset);

/* Many at once, a column an array of n ≤ HF_BATCH_ROWS. */
enum { HF_BATCH_ROWS = 1024 };
struct hf_objects {
	uint32_t n;
	const uint64_t *addr, *usable_bytes;
	uint32_t arena; /* of all */
};
void hf_batch_objects(struct hf_batch *b, const struct hf_objects *objects);
/* Source object, word in it (its offset / 8), target object, offset in that. Ascending by (src,
 * word). */
struct hf_edges {
	uint32_t n;
	const uint64_t *src, *word, *dst, *dst_offset;
};
void hf_batch_edges(struct hf_batch *b, const struct hf_edges *edges);
