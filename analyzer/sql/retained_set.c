#include <stdlib.h>
#include <string.h>

#include "sql/graph_cache.h"
#include "sql/query.h"

/*
 *     SELECT * FROM retained_set('[17, 4711]')
 *
 * One row: what would go if all these objects went together, exactly; members is their number. The
 * ids may come from a query: retained_set((SELECT json_group_array(id) FROM object WHERE …)).
 */
enum { COLUMN_SIZE, COLUMN_COUNT, COLUMN_MEMBERS, N_COLUMNS };

struct table {
	sqlite3_vtab base;
	sqlite3 *db;
	struct hf_sql_graph_cache *cache;
};

struct cursor {
	sqlite3_vtab_cursor base;
	struct hf_graph_sum sum;
	size_t members;
	int eof;
};

static int table_connect(sqlite3 *db, void *aux, int argc, const char *const *argv,
	sqlite3_vtab **ret, char **ret_error)
{
	int rc = sqlite3_declare_vtab(db, "CREATE TABLE x(retained_size INTEGER, retained_count "
					  "INTEGER, members INTEGER, ids HIDDEN)");
	if (rc != SQLITE_OK)
		return rc;
	struct table *table = sqlite3_malloc(sizeof(*table));
	if (!table)
		return SQLITE_NOMEM;
	*table = (struct table){.db = db, .cache = aux};
	*ret = &table->base;
	return SQLITE_OK;
}

static int table_disconnect(sqlite3_vtab *base)
{
	sqlite3_free(base);
	return SQLITE_OK;
}

static int table_best_index(sqlite3_vtab *base, sqlite3_index_info *info)
{
	return hf_sql_best_index(info, N_COLUMNS, 1);
}

static int cursor_open(sqlite3_vtab *base, sqlite3_vtab_cursor **ret)
{
	struct cursor *c = sqlite3_malloc(sizeof(*c));
	if (!c)
		return SQLITE_NOMEM;
	memset(c, 0, sizeof(*c));
	*ret = &c->base;
	return SQLITE_OK;
}

static int cursor_close(sqlite3_vtab_cursor *base)
{
	sqlite3_free(base);
	return SQLITE_OK;
}

static int fail(sqlite3_vtab_cursor *base, const char *why)
{
	sqlite3_free(base->pVtab->zErrMsg);
	base->pVtab->zErrMsg = sqlite3_mprintf("retained_set: %s", why);
	return SQLITE_ERROR;
}

/* The ids of a JSON array as nodes, each once. An array for free(), or NULL with *ret_why set. */
static uint32_t *read_ids(
	sqlite3 *db, sqlite3_value *json, uint32_t n_objects, size_t *ret_n, const char **ret_why)
{
	sqlite3_stmt *stmt = NULL;
	uint32_t *nodes = NULL;
	size_t n = 0, cap = 0;
	*ret_why = NULL;
	if (sqlite3_prepare_v2(db, "SELECT DISTINCT value FROM json_each(?1)", -1, &stmt, NULL) !=
		SQLITE_OK)
		*ret_why = "json_each() is missing from this SQLite";
	else
		sqlite3_bind_value(stmt, 1, json);
	int rc = SQLITE_DONE;
	while (!*ret_why && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		sqlite3_int64 id = sqlite3_column_int64(stmt, 0);
		if (n == cap) {
			cap = cap ? 2 * cap : 64;
			uint32_t *more = realloc(nodes, cap * sizeof(*more));
			if (!more) {
				*ret_why = "no memory";
				break;
			}
			nodes = more;
		}
		if (sqlite3_column_type(stmt, 0) != SQLITE_INTEGER || id < 1 || id > n_objects)
			*ret_why = "an element of the array is no object's id";
		else
			nodes[n++] = (uint32_t)(id - 1);
	}
	if (!*ret_why && rc != SQLITE_DONE)
		*ret_why = "the argument is not a JSON array of object ids";
	sqlite3_finalize(stmt);
	if (*ret_why) {
		free(nodes);
		return NULL;
	}
	*ret_n = n;
	return nodes ? nodes : malloc(1);
}

static int cursor_filter(
	sqlite3_vtab_cursor *base, int which, const char *unused, int argc, sqlite3_value **argv)
{
	struct cursor *c = (struct cursor *)base;
	struct table *table = (struct table *)base->pVtab;
	struct hf_err err;
	struct hf_sql_graph *graph;
	c->eof = 1;
	if (sqlite3_value_type(argv[0]) == SQLITE_NULL)
		return SQLITE_OK;
	if (hf_sql_graph_get(table->cache, table->db, &graph, &err))
		return fail(base, err.msg);
	const char *why;
	uint32_t *nodes = read_ids(table->db, argv[0], graph->g.n_objects, &c->members, &why);
	if (!nodes)
		return fail(base, why ? why : "no memory");
	enum hf_status status =
		hf_graph_retained_set(&graph->holders, nodes, c->members, &c->sum, &err);
	free(nodes);
	if (status)
		return fail(base, err.msg);
	c->eof = 0;
	return SQLITE_OK;
}

static int cursor_next(sqlite3_vtab_cursor *base)
{
	((struct cursor *)base)->eof = 1;
	return SQLITE_OK;
}

static int cursor_eof(sqlite3_vtab_cursor *base)
{
	return ((struct cursor *)base)->eof;
}

static int cursor_column(sqlite3_vtab_cursor *base, sqlite3_context *ctx, int column)
{
	struct cursor *c = (struct cursor *)base;
	uint64_t values[] = {c->sum.size, c->sum.count, c->members};
	if (column < N_COLUMNS)
		sqlite3_result_int64(ctx, (sqlite3_int64)values[column]);
	return SQLITE_OK;
}

static int cursor_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *ret)
{
	*ret = 1;
	return SQLITE_OK;
}

int hf_sql_retained_set_register(sqlite3 *db, struct hf_sql_graph_cache *cache)
{
	static const sqlite3_module module = {
		.xConnect = table_connect,
		.xBestIndex = table_best_index,
		.xDisconnect = table_disconnect,
		.xOpen = cursor_open,
		.xClose = cursor_close,
		.xFilter = cursor_filter,
		.xNext = cursor_next,
		.xEof = cursor_eof,
		.xColumn = cursor_column,
		.xRowid = cursor_rowid,
	};
	return sqlite3_create_module_v2(db, "retained_set", &module, cache, hf_sql_graph_unref);
}
