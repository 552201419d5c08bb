#include "sql/graph_cache.h"

#include "base/cleanup.h"

static void stmt_done(sqlite3_stmt **stmt)
{
	sqlite3_finalize(*stmt);
}

static enum hf_status ask(sqlite3 *db, const char *sql, uint64_t *ret, struct hf_err *err)
{
	_cleanup_(stmt_done) sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	if (rc != SQLITE_ROW)
		return hf_sql_graph_failed(db, "tables", rc, err);
	*ret = (uint64_t)sqlite3_column_int64(stmt, 0);
	return HF_OK;
}

/* An id as an index below n; NULL gives HF_GRAPH_NONE. */
static int read_index(sqlite3_stmt *stmt, int column, uint64_t n, uint32_t *ret)
{
	if (sqlite3_column_type(stmt, column) == SQLITE_NULL) {
		*ret = HF_GRAPH_NONE;
		return 1;
	}
	sqlite3_int64 id = sqlite3_column_int64(stmt, column);
	if (id < 1 || (uint64_t)id > n)
		return 0;
	*ret = (uint32_t)(id - 1);
	return 1;
}

static enum hf_status allocate(struct hf_sql_graph *s, sqlite3 *db, struct hf_err *err)
{
	uint64_t n = 0, highest = 0, m = 0, roots = 0, variables = 0;
	enum hf_status status = ask(db, "SELECT count(*) FROM object", &n, err);
	if (!status)
		status = ask(db, "SELECT coalesce(max(id), 0) FROM object", &highest, err);
	if (!status)
		status = ask(db, "SELECT count(*) FROM edge", &m, err);
	if (!status)
		status = ask(db, "SELECT coalesce(max(id), 0) FROM root", &roots, err);
	if (!status)
		status = ask(db, "SELECT coalesce(max(id), 0) FROM variable", &variables, err);
	if (status)
		return status;
	if (n != highest || n + variables > HF_GRAPH_MAX_NODES || roots >= UINT32_MAX)
		return hf_sql_graph_failed(db, "ids", SQLITE_DONE, err);
	s->g = (struct hf_graph){.n_objects = (uint32_t)n,
		.n_variables = (uint32_t)variables,
		.n_roots = (uint32_t)roots};
	s->g.size = s->size = hf_graph_alloc(n + 1, sizeof(*s->size));
	s->g.offset = s->offset = hf_graph_zalloc(n + 2, sizeof(*s->offset));
	s->g.dst = s->dst = hf_graph_alloc(m + 1, sizeof(*s->dst));
	s->g.roots = s->roots = hf_graph_zalloc(roots + 1, sizeof(*s->roots));
	s->reach.reachable = hf_graph_zalloc(n / 64 + 1, sizeof(*s->reach.reachable));
	s->heads.head = hf_graph_zalloc(n / 64 + 1, sizeof(*s->heads.head));
	s->held.link = hf_graph_alloc(n + 1, sizeof(*s->held.link));
	s->held.size = hf_graph_alloc(n + 1, sizeof(*s->held.size));
	s->held.count = hf_graph_alloc(n + 1, sizeof(*s->held.count));
	s->held.root = hf_graph_zalloc(roots + 1, sizeof(*s->held.root));
	s->held.variable = hf_graph_zalloc(variables + 1, sizeof(*s->held.variable));
	if (!s->size || !s->offset || !s->dst || !s->roots || !s->reach.reachable ||
		!s->heads.head || !s->held.link || !s->held.size || !s->held.count ||
		!s->held.root || !s->held.variable)
		return hf_err_set(err, HF_E_NOMEM, "no memory for the graph of %llu objects",
			(unsigned long long)n);
	return HF_OK;
}

static enum hf_status read_objects(struct hf_sql_graph *s, sqlite3 *db, struct hf_err *err)
{
	_cleanup_(stmt_done) sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(db,
		"SELECT size, reachable, holder_id, holder_root_id, held_size, held_count FROM "
		"object "
		"ORDER BY id",
		-1, &stmt, NULL);
	if (rc != SQLITE_OK)
		return hf_sql_graph_failed(db, "objects", rc, err);
	uint32_t i = 0;
	for (; (rc = sqlite3_step(stmt)) == SQLITE_ROW && i < s->g.n_objects; i++) {
		struct hf_graph_link *link = &s->held.link[i];
		int ok = read_index(stmt, 2, s->g.n_objects, &link->parent) &&
			 read_index(stmt, 3, s->g.n_roots, &link->root);
		int reachable = sqlite3_column_int(stmt, 1);
		if (!ok || (reachable && link->root == HF_GRAPH_NONE))
			return hf_sql_graph_failed(db, "objects", rc, err);
		link->depth = 0;
		s->size[i] = (uint64_t)sqlite3_column_int64(stmt, 0);
		s->held.size[i] = (uint64_t)sqlite3_column_int64(stmt, 4);
		s->held.count[i] = (uint32_t)sqlite3_column_int64(stmt, 5);
		s->reach.total_bytes += s->size[i];
		if (reachable) {
			s->reach.reachable[i / 64] |= 1ull << (i % 64);
			s->reach.n_reachable++;
			s->reach.reachable_bytes += s->size[i];
		} else if (link->parent == HF_GRAPH_NONE) {
			s->heads.head[i / 64] |= 1ull << (i % 64);
			s->heads.n++;
		}
	}
	return rc == SQLITE_DONE && i == s->g.n_objects
		       ? HF_OK
		       : hf_sql_graph_failed(db, "objects", rc, err);
}

static enum hf_status read_edges(struct hf_sql_graph *s, sqlite3 *db, struct hf_err *err)
{
	_cleanup_(stmt_done) sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(
		db, "SELECT src_id, dst_id FROM edge ORDER BY src_id, src_offset", -1, &stmt, NULL);
	if (rc != SQLITE_OK)
		return hf_sql_graph_failed(db, "edges", rc, err);
	uint64_t m = 0;
	uint32_t at = 0;
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		uint32_t src, dst;
		if (!read_index(stmt, 0, s->g.n_objects, &src) ||
			!read_index(stmt, 1, s->g.n_objects, &dst) || src == HF_GRAPH_NONE ||
			dst == HF_GRAPH_NONE)
			return hf_sql_graph_failed(db, "edges", rc, err);
		while (at < src)
			s->offset[++at] = m;
		s->dst[m++] = dst;
	}
	while (at < s->g.n_objects)
		s->offset[++at] = m;
	return rc == SQLITE_DONE ? HF_OK : hf_sql_graph_failed(db, "edges", rc, err);
}

static enum hf_status read_roots(struct hf_sql_graph *s, sqlite3 *db, struct hf_err *err)
{
	_cleanup_(stmt_done) sqlite3_stmt *stmt = NULL;
	/* Ranked by kind, as they are when holders are chosen: it orders what is shown. */
	int rc = sqlite3_prepare_v2(db,
		"SELECT id, object_id, variable_id, CASE kind WHEN 'global' THEN 0 WHEN 'static' "
		"THEN 0 "
		"WHEN 'tls' THEN 1 WHEN 'registered' THEN 2 WHEN 'stack' THEN 4 WHEN 'register' "
		"THEN 6 "
		"ELSE 5 END FROM root ORDER BY id",
		-1, &stmt, NULL);
	if (rc != SQLITE_OK)
		return hf_sql_graph_failed(db, "roots", rc, err);
	uint32_t n = 0;
	for (; (rc = sqlite3_step(stmt)) == SQLITE_ROW && n < s->g.n_roots; n++) {
		struct hf_graph_root *root = &s->roots[n];
		if (sqlite3_column_int64(stmt, 0) != n + 1ll ||
			!read_index(stmt, 1, s->g.n_objects, &root->object) ||
			root->object == HF_GRAPH_NONE ||
			!read_index(stmt, 2, s->g.n_variables, &root->variable))
			return hf_sql_graph_failed(db, "roots", rc, err);
		root->rank = (uint8_t)sqlite3_column_int(stmt, 3);
	}
	if (rc != SQLITE_DONE || n != s->g.n_roots)
		return hf_sql_graph_failed(db, "roots", rc, err);
	/* What root words and variables hold: the tops of the holder tree. */
	for (uint32_t i = 0; i < s->g.n_objects; i++) {
		const struct hf_graph_link *link = &s->held.link[i];
		if (link->parent != HF_GRAPH_NONE || !hf_graph_bit(s->reach.reachable, i))
			continue;
		uint32_t v = s->roots[link->root].variable;
		struct hf_graph_sum *sums[] = {&s->held.root[link->root],
			v == HF_GRAPH_NONE ? &s->held.bare : &s->held.variable[v]};
		for (int k = 0; k < 2; k++) {
			sums[k]->size += s->held.size[i];
			sums[k]->count += s->held.count[i];
		}
	}
	return HF_OK;
}

enum hf_status hf_sql_graph_whole(struct hf_sql_graph *s, sqlite3 *db, struct hf_err *err)
{
	enum hf_status status = allocate(s, db, err);
	if (!status)
		status = read_objects(s, db, err);
	if (!status)
		status = read_edges(s, db, err);
	if (!status)
		status = read_roots(s, db, err);
	return status ? status : hf_sql_graph_finish(s, err);
}
