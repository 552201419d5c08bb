/*
 * Synthetic dumps for tests and benchmarks: the heap of a program that never ran, shaped like real
 * ones (few object types in repeating patterns, neighbours that point at each other, hubs, a few
 * far pointers, pointer arrays, vtables), through the ordinary writer.
 *
 * Everything about object i is a function of (seed, i), so memory does not grow with n_objects and
 * the same options give the same dump. The dump is sound: it passes every check of the reader.
 */
#pragma once
#include <stdint.h>

#include "write/writer.h"

struct gen_options {
	uint64_t n_objects;      /* < 2^32 - 1 */
	double edges_per_object; /* about; 3 is usual */
	uint64_t seed;
};

struct gen_totals {
	uint64_t n_objects, n_edges, n_modrefs, n_roots, usable_bytes;
};

/* Write all sections; the caller creates the writer before and finishes it after. ret may be NULL.
 */
void gen_dump(struct hf_writer *writer, const struct gen_options *options, struct gen_totals *ret);

/* All of it: a file. */
enum hf_status gen_dump_file(const char *path, const struct gen_options *options,
	struct gen_totals *ret, struct hf_err *err);
