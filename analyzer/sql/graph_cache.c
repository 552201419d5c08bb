#include "sql/graph_cache.h"

#include <stdlib.h>

#include "base/cleanup.h"

static void stmt_done(sqlite3_stmt **stmt)
{
	sqlite3_finalize(*stmt);
}

enum hf_status hf_sql_graph_failed(sqlite3 *db, const char *what, int rc, struct hf_err *err)
{
	if (rc == SQLITE_DONE || rc == SQLITE_ROW)
		return hf_err_set(
			err, HF_E_CORRUPT, "the %s of this database do not fit together", what);
	if (rc == SQLITE_INTERRUPT)
		return hf_err_set(err, HF_E_FAILED, "interrupted");
	return hf_err_set(err, HF_E_FAILED, "reading the %s: %s", what, sqlite3_errmsg(db));
}

enum hf_status hf_sql_graph_n_objects(sqlite3 *db, uint32_t *ret, struct hf_err *err)
{
	_cleanup_(stmt_done) sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(db, "SELECT coalesce(max(id), 0) FROM object", -1, &stmt, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	sqlite3_int64 n = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : -1;
	if (n < 0 || n > HF_GRAPH_MAX_NODES)
		return hf_sql_graph_failed(db, "objects", rc, err);
	*ret = (uint32_t)n;
	return HF_OK;
}

enum hf_status hf_sql_graph_finish(struct hf_sql_graph *s, struct hf_err *err)
{
	enum hf_status status = hf_graph_check(&s->g, err);
	if (!status)
		status = hf_graph_transpose_init(&s->referrers, &s->g, true, err);
	if (!status)
		status = hf_graph_holders_init(
			&s->holders, &s->g, &s->referrers, &s->reach, &s->heads, &s->held, err);
	return status;
}

static void graph_destroy(struct hf_sql_graph *s)
{
	if (!s)
		return;
	hf_graph_holders_deinit(&s->holders);
	hf_graph_transpose_deinit(&s->referrers);
	hf_graph_held_deinit(&s->held);
	hf_graph_heads_deinit(&s->heads);
	hf_graph_reach_deinit(&s->reach);
	free(s->size);
	free(s->offset);
	free(s->dst);
	free(s->roots);
	free(s->object_id);
	free(s->root_id);
	free(s->src_offset);
	free(s);
}

/* Is it cheaper to read the whole graph? A row that is looked up costs some twenty of a scan. */
static enum hf_status take_whole(const struct hf_sql_graph_cache *cache, sqlite3 *db,
	const uint32_t *ids, size_t n, bool *ret, struct hf_err *err)
{
	enum { LOOK_UP = 20, SMALL = 20000 };
	uint32_t n_objects;
	enum hf_status status = hf_sql_graph_n_objects(db, &n_objects, err);
	if (status)
		return status;
	uint64_t limit = cache->whole_from, sum = 0;
	if (!limit)
		limit = n_objects / LOOK_UP > SMALL ? n_objects / LOOK_UP : SMALL;
	_cleanup_(stmt_done) sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(
		db, "SELECT held_count FROM object WHERE id = ?1", -1, &stmt, NULL);
	if (rc != SQLITE_OK)
		return hf_sql_graph_failed(db, "objects", rc, err);
	for (size_t i = 0; i < n && sum < limit; i++) {
		sqlite3_reset(stmt);
		sqlite3_bind_int64(stmt, 1, ids[i]);
		rc = sqlite3_step(stmt);
		if (rc != SQLITE_ROW)
			return hf_sql_graph_failed(db, "objects", rc, err);
		sum += (uint64_t)sqlite3_column_int64(stmt, 0);
	}
	*ret = sum >= limit;
	return HF_OK;
}

enum hf_status hf_sql_graph_get(struct hf_sql_graph_cache *cache, sqlite3 *db, const uint32_t *ids,
	size_t n, struct hf_sql_graph **ret, struct hf_err *err)
{
	bool whole = cache->whole;
	enum hf_status status = whole ? HF_OK : take_whole(cache, db, ids, n, &whole, err);
	if (status)
		return status;
	if (cache->whole) {
		*ret = cache->whole;
		return HF_OK;
	}
	struct hf_sql_graph *s = calloc(1, sizeof(*s));
	if (!s)
		return hf_err_set(err, HF_E_NOMEM, "no memory");
	status = whole ? hf_sql_graph_whole(s, db, err) : hf_sql_graph_part(s, db, ids, n, err);
	if (status) {
		graph_destroy(s);
		return status;
	}
	if (whole)
		cache->whole = s;
	*ret = s;
	return HF_OK;
}

void hf_sql_graph_put(struct hf_sql_graph_cache *cache, struct hf_sql_graph *graph)
{
	if (graph != cache->whole)
		graph_destroy(graph);
}

uint32_t hf_sql_graph_node(const struct hf_sql_graph *graph, uint32_t id)
{
	if (!graph->object_id)
		return id - 1;
	uint32_t low = 0, high = graph->g.n_objects;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		if (graph->object_id[mid] < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct hf_sql_graph_cache *hf_sql_graph_cache_create(int refs)
{
	struct hf_sql_graph_cache *cache = calloc(1, sizeof(*cache));
	if (cache)
		cache->refs = refs;
	return cache;
}

void hf_sql_graph_unref(void *p)
{
	struct hf_sql_graph_cache *cache = p;
	if (--cache->refs > 0)
		return;
	graph_destroy(cache->whole);
	free(cache);
}
