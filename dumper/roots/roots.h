/*
 * The GC-root-like words of a process: every resident word of static data, TLS, live stacks,
 * registers, registered and other writable memory that points to or into a live object; and the
 * variables that they belong to, named by the symbol tables. Thread and signal safety:
 * async-signal-safe; one thread.
 */
#pragma once
#include "image/symbols.h"
#include "roots/layout.h"
#include "write/writer.h"

struct hf_roots {
	struct hf_vec words;     /* of struct hf_root_record; by area, then address */
	struct hf_vec variables; /* of struct hf_variable_record; names in the pool */
	struct hf_pool *pool;
	uint32_t n_unnamed_images; /* images with root words whose symbols could not be had */
};

/* Scan all areas of the layout. files: see hf_symbols_open(). */
enum hf_status hf_roots_find(struct hf_roots *roots, const struct hf_layout *layout,
	const struct hf_index *index, struct hf_pool *pool, const struct hf_image_files *files,
	struct hf_err *err);
void hf_roots_deinit(struct hf_roots *roots);
