/*
 * Writes the database: every table of the schema, from a heap and the results over its graph.
 *
 * The steps are calls of their own, so that the edges can be written while the graph is still being
 * worked on, and the objects while the summaries are (summaries.h):
 *
 *     init → edges → edge index → objects → tables → commit; deinit always
 *
 * The file gets its name at commit; before that nothing is there under it. The bytes depend on the
 * input alone (and on the version of SQLite): no time of the load, no addresses, no random numbers.
 *
 * Thread rule: a store belongs to one thread at a time; its input is only read.
 */
#pragma once
#include "graph/reach.h"
#include "output/output.h"
#include "store/btree.h"
#include "store/rows.h"

struct hf_store_options {
	uint32_t page_size; /* bytes, a power of two from 512 to 65536; 0: the default */
	bool by_sql;        /* write the big tables by prepared INSERT: for tests and comparison */
	/* May be NULL: called now and then with the bytes written so far; false cancels. */
	bool (*progress)(void *ctx, uint64_t bytes);
	void *progress_ctx;
};

/* A line of meta. */
struct hf_store_figure {
	const char *key;
	uint64_t value;
};

/* All of one heap: root word i of the graph is that of the heap, and so are objects, edges and
 * variables. */
struct hf_store_input {
	const struct hf_heap *heap;
	const struct hf_graph *graph;
	const struct hf_graph_reach *reach;
	const struct hf_graph_heads *heads;
	const struct hf_graph_dominators *dominators;
	const struct hf_graph_held *held;
	const struct hf_names *names; /* or NULL */
	const struct hf_store_figure *figures;
	size_t n_figures;
};

struct hf_summaries; /* summaries.h */

struct hf_store {
	struct hf_output output;
	struct hf_store_options options;
	struct hf_btree_file pages;
	uint32_t root_object, root_object_far_idom, root_object_leak, root_edge, root_edge_dst;
};

/* About how large the database of a heap will be, in bytes; rather more than less. */
uint64_t hf_store_estimate(const struct hf_heap *heap, const struct hf_names *names);

/* Create the file beside path, with the schema. HF_E_EXISTS: path is a file that is not a Holdfast
 * database; HF_E_PERM: the directory may not be written. */
enum hf_status hf_store_init(struct hf_store *ret, const char *path,
	const struct hf_store_options *options, struct hf_err *err);
void hf_store_deinit(struct hf_store *store);

/* Table edge. names may be NULL. Afterwards nothing reads heap->edge_dst_off any more. */
enum hf_status hf_store_edges(struct hf_store *store, const struct hf_heap *heap,
	const struct hf_names *names, struct hf_err *err);
/* The index of edge by target. */
enum hf_status hf_store_edge_index(
	struct hf_store *store, const struct hf_heap *heap, struct hf_err *err);
/* Table object. */
enum hf_status hf_store_objects(
	struct hf_store *store, const struct hf_store_input *input, struct hf_err *err);
/* The indexes of object, and everything else. */
enum hf_status hf_store_tables(struct hf_store *store, const struct hf_store_input *input,
	struct hf_summaries *summaries, struct hf_err *err);
/* Sync and rename. */
enum hf_status hf_store_commit(struct hf_store *store, struct hf_err *err);

/* All steps. */
enum hf_status hf_store_write(const char *path, const struct hf_store_input *input,
	const struct hf_store_options *options, struct hf_err *err);
