/*
 * The whole graph of a database in memory, for the functions that a walk by SQL cannot answer. It
 * is read from object, edge, root and variable when it is first asked for, once a connection, and
 * kept until that is closed. Inside sql/ only.
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
};

/* The graph of db, which is the connection of the call; owned by the cache. */
struct hf_sql_graph_cache {
	int refs; /* modules that use it */
	struct hf_sql_graph *graph;
};

enum hf_status hf_sql_graph_get(struct hf_sql_graph_cache *cache, sqlite3 *db,
	struct hf_sql_graph **ret, struct hf_err *err);
/* A new cache with refs references; each module gives one back by hf_sql_graph_unref. */
struct hf_sql_graph_cache *hf_sql_graph_cache_create(int refs);
void hf_sql_graph_unref(void *cache);
