/*
 * The graph of a database in memory, for the functions that a walk by SQL cannot answer: a part of
 * it that is enough for a question (graph_part.c), or, if that would be a good part of the whole,
 * the whole (graph_whole.c), which is kept until the connection is closed. Inside sql/ only.
 */
#pragma once
#include "base/err.h"
#include "graph/holders.h"
#include "sql/api.h"

struct hf_sql_graph {
	struct hf_graph g;
	struct hf_graph_reach reach; /* link stays NULL */
	struct hf_graph_heads heads;
	struct hf_graph_held held; /* as the tables have it */
	struct hf_graph_transpose referrers;
	struct hf_graph_holders holders;
	/* of g; owned */
	uint64_t *size, *offset;
	uint32_t *dst;
	struct hf_graph_root *roots;
	/* Of a part; NULL of the whole, where ids are indexes + 1. Ascending; owned. */
	uint32_t *object_id, *root_id;
	uint64_t *src_offset; /* [edges] bytes into the source */
};

struct hf_sql_graph_cache {
	int refs;                   /* modules that use it */
	struct hf_sql_graph *whole; /* or NULL */
	/* The whole is read for questions about so many objects and more; 0: chosen by the size of
	 * the heap. */
	uint64_t whole_from;
};

/* A new cache with refs references; each module gives one back by hf_sql_graph_unref. */
struct hf_sql_graph_cache *hf_sql_graph_cache_create(int refs);
void hf_sql_graph_unref(void *cache);

/* Objects of the database of a connection; ids are 1 … *ret. */
enum hf_status hf_sql_graph_n_objects(sqlite3 *db, uint32_t *ret, struct hf_err *err);
/* A graph with all that the holder trees of n objects (ids) contain, and every word that leads into
 * them. db is the connection of the call. Give it back by hf_sql_graph_put(). */
enum hf_status hf_sql_graph_get(struct hf_sql_graph_cache *cache, sqlite3 *db, const uint32_t *ids,
	size_t n, struct hf_sql_graph **ret, struct hf_err *err);
void hf_sql_graph_put(struct hf_sql_graph_cache *cache, struct hf_sql_graph *graph);

/* Between ids of the tables and indexes of the graph. The object must be in it. */
uint32_t hf_sql_graph_node(const struct hf_sql_graph *graph, uint32_t id);
static inline sqlite3_int64 hf_sql_graph_object_id(const struct hf_sql_graph *graph, uint32_t node)
{
	return graph->object_id ? graph->object_id[node] : node + 1ll;
}
static inline sqlite3_int64 hf_sql_graph_root_id(const struct hf_sql_graph *graph, uint64_t root)
{
	return graph->root_id ? graph->root_id[root] : (sqlite3_int64)root + 1;
}

/* For graph_part.c and graph_whole.c. */
enum hf_status hf_sql_graph_part(
	struct hf_sql_graph *ret, sqlite3 *db, const uint32_t *ids, size_t n, struct hf_err *err);
enum hf_status hf_sql_graph_whole(struct hf_sql_graph *ret, sqlite3 *db, struct hf_err *err);
/* The arrays that are made of the others. */
enum hf_status hf_sql_graph_finish(struct hf_sql_graph *graph, struct hf_err *err);
/* The status of a statement that gave rc in place of a row: HF_E_CORRUPT if it gave none or a wrong
 * one. */
enum hf_status hf_sql_graph_failed(sqlite3 *db, const char *what, int rc, struct hf_err *err);
