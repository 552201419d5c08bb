#include <string.h>

#include "field/field_sql.h"
#include "sql/graph_cache.h"
#include "sql/query.h"

/*
 *     SELECT * FROM also_holds(object_id)        or also_holds(object_id, max_steps)
 *
 * Why the object holds more than it retains: the words outside its holder tree that point to
 * objects inside it, most bytes first. reaches_size is what each of them would keep from being
 * freed with the object; exact = 0: a lower bound, because max_steps edges were looked at.
 */
enum column {
	COLUMN_KIND,
	COLUMN_OBJECT,
	COLUMN_ROOT,
	COLUMN_ADDR,
	COLUMN_OFFSET,
	COLUMN_NAME,
	COLUMN_TARGET,
	COLUMN_REACHES_SIZE,
	COLUMN_REACHES_COUNT,
	COLUMN_EXACT,
	N_COLUMNS,
};

struct table {
	sqlite3_vtab base;
	sqlite3 *db;
	struct hf_sql_graph_cache *cache;
};

struct cursor {
	sqlite3_vtab_cursor base;
	struct hf_graph_entries entries;
	size_t at;
	const struct hf_sql_graph *graph;
	sqlite3_stmt *word, *root; /* details of the row at hand */
	size_t asked;              /* row + 1 that they stand on */
};

static int table_connect(sqlite3 *db, void *aux, int argc, const char *const *argv,
	sqlite3_vtab **ret, char **ret_error)
{
	int rc = sqlite3_declare_vtab(db,
		"CREATE TABLE x(kind TEXT, object_id INTEGER, root_id INTEGER, addr INTEGER, "
		"offset INTEGER, name TEXT, target_id INTEGER, reaches_size INTEGER, "
		"reaches_count INTEGER, exact INTEGER, of INTEGER HIDDEN, max_steps INTEGER "
		"HIDDEN)");
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
	return hf_sql_best_index(info, N_COLUMNS, 2);
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
	struct cursor *c = (struct cursor *)base;
	hf_graph_entries_deinit(&c->entries);
	sqlite3_finalize(c->word);
	sqlite3_finalize(c->root);
	sqlite3_free(c);
	return SQLITE_OK;
}

static int fail(sqlite3_vtab_cursor *base, const char *why)
{
	sqlite3_free(base->pVtab->zErrMsg);
	base->pVtab->zErrMsg = sqlite3_mprintf("also_holds: %s", why);
	return SQLITE_ERROR;
}

static int cursor_filter(
	sqlite3_vtab_cursor *base, int which, const char *unused, int argc, sqlite3_value **argv)
{
	/* Enough for an exact answer on all but the largest objects, and a second or so there. */
	enum { MAX_STEPS = 50000000 };
	struct cursor *c = (struct cursor *)base;
	struct table *table = (struct table *)base->pVtab;
	struct hf_err err;
	struct hf_sql_graph *graph;
	hf_graph_entries_deinit(&c->entries);
	c->entries = (struct hf_graph_entries){0};
	c->at = c->asked = 0;
	if (hf_sql_graph_get(table->cache, table->db, &graph, &err))
		return fail(base, err.msg);
	c->graph = graph;
	sqlite3_int64 id = sqlite3_value_int64(argv[0]);
	if (id < 1 || id > (sqlite3_int64)graph->g.n_objects)
		return SQLITE_OK;
	uint64_t max_steps = which & 2 ? (uint64_t)sqlite3_value_int64(argv[1]) : MAX_STEPS;
	if (hf_graph_entries_init(
		    &c->entries, &graph->holders, (uint32_t)(id - 1), max_steps, &err))
		return fail(base, err.msg);
	return SQLITE_OK;
}

static int cursor_next(sqlite3_vtab_cursor *base)
{
	((struct cursor *)base)->at++;
	return SQLITE_OK;
}

static int cursor_eof(sqlite3_vtab_cursor *base)
{
	struct cursor *c = (struct cursor *)base;
	return c->at >= c->entries.n;
}

/* The statement with kind, addr, offset and name of the word at hand, on its row; NULL: an error.
 */
static sqlite3_stmt *details(struct cursor *c, sqlite3 *db)
{
	const struct hf_graph_entry *e = &c->entries.entry[c->at];
	int by_root = e->src == HF_GRAPH_NONE;
	sqlite3_stmt **stmt = by_root ? &c->root : &c->word;
	if (c->asked == c->at + 1)
		return *stmt;
	/* The edge is known by its place among those of its source. */
	const char *sql =
		by_root ? "SELECT r.kind, r.addr, r.addr - v.addr, r.name FROM root r LEFT JOIN "
			  "variable v "
			  "ON v.id = r.variable_id WHERE r.id = ?1"
			: "SELECT 'object', (SELECT addr FROM object WHERE id = ?1), "
			  "e.src_offset, " HF_SQL_FIELD(
				  "f", "e.src_offset") " "
						       "FROM edge e LEFT JOIN field f ON f.id = "
						       "e.field_id WHERE e.src_id = ?1 "
						       "ORDER BY e.src_offset LIMIT 1 OFFSET ?2";
	if (!*stmt && sqlite3_prepare_v2(db, sql, -1, stmt, NULL) != SQLITE_OK)
		return NULL;
	sqlite3_reset(*stmt);
	if (by_root) {
		sqlite3_bind_int64(*stmt, 1, (sqlite3_int64)e->word + 1);
	} else {
		sqlite3_bind_int64(*stmt, 1, (sqlite3_int64)e->src + 1);
		sqlite3_bind_int64(*stmt, 2, (sqlite3_int64)(e->word - c->graph->g.offset[e->src]));
	}
	if (sqlite3_step(*stmt) != SQLITE_ROW)
		return NULL;
	c->asked = c->at + 1;
	return *stmt;
}

static int cursor_column(sqlite3_vtab_cursor *base, sqlite3_context *ctx, int column)
{
	static const int detail[] = {
		[COLUMN_KIND] = 0, [COLUMN_ADDR] = 1, [COLUMN_OFFSET] = 2, [COLUMN_NAME] = 3};
	struct cursor *c = (struct cursor *)base;
	const struct hf_graph_entry *e = &c->entries.entry[c->at];
	sqlite3_stmt *stmt;
	switch (column) {
	case COLUMN_OBJECT:
		if (e->src != HF_GRAPH_NONE)
			sqlite3_result_int64(ctx, (sqlite3_int64)e->src + 1);
		break;
	case COLUMN_ROOT:
		if (e->src == HF_GRAPH_NONE)
			sqlite3_result_int64(ctx, (sqlite3_int64)e->word + 1);
		break;
	case COLUMN_TARGET:
		sqlite3_result_int64(ctx, (sqlite3_int64)e->target + 1);
		break;
	case COLUMN_REACHES_SIZE:
		sqlite3_result_int64(ctx, (sqlite3_int64)e->reaches.size);
		break;
	case COLUMN_REACHES_COUNT:
		sqlite3_result_int64(ctx, (sqlite3_int64)e->reaches.count);
		break;
	case COLUMN_EXACT:
		sqlite3_result_int(ctx, e->exact);
		break;
	case COLUMN_KIND:
	case COLUMN_ADDR:
	case COLUMN_OFFSET:
	case COLUMN_NAME:
		stmt = details(c, ((struct table *)base->pVtab)->db);
		if (!stmt)
			return fail(base, "the word is not in the tables");
		sqlite3_result_value(ctx, sqlite3_column_value(stmt, detail[column]));
		break;
	}
	return SQLITE_OK;
}

static int cursor_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *ret)
{
	*ret = (sqlite3_int64)((struct cursor *)base)->at;
	return SQLITE_OK;
}

int hf_sql_also_holds_register(sqlite3 *db, struct hf_sql_graph_cache *cache)
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
	return sqlite3_create_module_v2(db, "also_holds", &module, cache, hf_sql_graph_unref);
}
