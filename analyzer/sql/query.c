#include "sql/query.h"

#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"

struct table {
	sqlite3_vtab base;
	sqlite3 *db;
	const struct hf_sql_query *query;
};

struct cursor {
	sqlite3_vtab_cursor base;
	sqlite3_stmt *stmt;
	sqlite3_int64 row;
	int eof;
};

int hf_sql_address(sqlite3_value *value, sqlite3_int64 *ret)
{
	int type = sqlite3_value_type(value);
	if (type == SQLITE_INTEGER) {
		*ret = sqlite3_value_int64(value);
		return 1;
	}
	const char *text = type == SQLITE_TEXT ? (const char *)sqlite3_value_text(value) : NULL;
	uint64_t v;
	if (!text || !hf_parse_u64(&text, &v) || *text)
		return 0;
	*ret = (sqlite3_int64)v;
	return 1;
}

int hf_sql_best_index(sqlite3_index_info *info, int first_arg, int n_args)
{
	int given[8] = {0};
	for (int i = 0; i < info->nConstraint; i++) {
		const struct sqlite3_index_constraint *c = &info->aConstraint[i];
		int arg = c->iColumn - first_arg;
		if (arg < 0 || arg >= n_args || c->op != SQLITE_INDEX_CONSTRAINT_EQ)
			continue;
		if (c->usable)
			given[arg] = i + 1;
		else if (!given[arg])
			given[arg] = -1;
	}
	if (given[0] <= 0)
		return SQLITE_CONSTRAINT; /* another plan may have it; none: no query */
	int n = 0;
	info->idxNum = 0;
	for (int arg = 0; arg < n_args; arg++) {
		if (given[arg] < 0)
			return SQLITE_CONSTRAINT;
		if (!given[arg])
			continue;
		info->aConstraintUsage[given[arg] - 1].argvIndex = ++n;
		info->aConstraintUsage[given[arg] - 1].omit = 1;
		info->idxNum |= 1 << arg;
	}
	info->estimatedCost = 1000;
	info->estimatedRows = 100;
	return SQLITE_OK;
}

static int table_connect(sqlite3 *db, void *aux, int argc, const char *const *argv,
	sqlite3_vtab **ret, char **ret_error)
{
	const struct hf_sql_query *query = aux;
	char sql[1000];
	hf_fmt(sql, sizeof(sql), "CREATE TABLE x(%s)", query->columns);
	int rc = sqlite3_declare_vtab(db, sql);
	if (rc != SQLITE_OK)
		return rc;
	struct table *table = sqlite3_malloc(sizeof(*table));
	if (!table)
		return SQLITE_NOMEM;
	*table = (struct table){.db = db, .query = query};
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
	const struct hf_sql_query *query = ((struct table *)base)->query;
	return hf_sql_best_index(info, query->n_columns, query->n_args);
}

static int cursor_open(sqlite3_vtab *base, sqlite3_vtab_cursor **ret)
{
	struct cursor *cursor = sqlite3_malloc(sizeof(*cursor));
	if (!cursor)
		return SQLITE_NOMEM;
	memset(cursor, 0, sizeof(*cursor));
	*ret = &cursor->base;
	return SQLITE_OK;
}

static int cursor_close(sqlite3_vtab_cursor *base)
{
	struct cursor *cursor = (struct cursor *)base;
	sqlite3_finalize(cursor->stmt);
	sqlite3_free(cursor);
	return SQLITE_OK;
}

static int cursor_next(sqlite3_vtab_cursor *base)
{
	struct cursor *cursor = (struct cursor *)base;
	int rc = sqlite3_step(cursor->stmt);
	cursor->row++;
	cursor->eof = rc != SQLITE_ROW;
	if (rc == SQLITE_ROW || rc == SQLITE_DONE)
		return SQLITE_OK;
	struct table *table = (struct table *)base->pVtab;
	sqlite3_free(base->pVtab->zErrMsg);
	base->pVtab->zErrMsg =
		sqlite3_mprintf("%s: %s", table->query->name, sqlite3_errmsg(table->db));
	return rc;
}

static int bind(struct cursor *cursor, const struct hf_sql_query *query, int which, int argc,
	sqlite3_value **argv)
{
	int n = 0;
	for (int arg = 0; arg < query->n_args && n < argc; arg++) {
		if (!(which >> arg & 1))
			continue;
		sqlite3_value *value = argv[n++];
		sqlite3_int64 addr;
		int rc = arg == 0 && query->takes_address && hf_sql_address(value, &addr)
				 ? sqlite3_bind_int64(cursor->stmt, 1, addr)
				 : sqlite3_bind_value(cursor->stmt, arg + 1, value);
		if (rc != SQLITE_OK)
			return rc;
	}
	return SQLITE_OK;
}

static int cursor_filter(
	sqlite3_vtab_cursor *base, int which, const char *unused, int argc, sqlite3_value **argv)
{
	struct cursor *cursor = (struct cursor *)base;
	struct table *table = (struct table *)base->pVtab;
	cursor->row = 0;
	cursor->eof = 1;
	if (!cursor->stmt) {
		int rc = sqlite3_prepare_v2(table->db, table->query->sql, -1, &cursor->stmt, NULL);
		if (rc != SQLITE_OK) {
			sqlite3_free(base->pVtab->zErrMsg);
			base->pVtab->zErrMsg = sqlite3_mprintf("%s: not a Holdfast database? %s",
				table->query->name, sqlite3_errmsg(table->db));
			return rc;
		}
	}
	sqlite3_reset(cursor->stmt);
	sqlite3_clear_bindings(cursor->stmt);
	int rc = bind(cursor, table->query, which, argc, argv);
	return rc == SQLITE_OK ? cursor_next(base) : rc;
}

static int cursor_eof(sqlite3_vtab_cursor *base)
{
	return ((struct cursor *)base)->eof;
}

static int cursor_column(sqlite3_vtab_cursor *base, sqlite3_context *ctx, int column)
{
	struct cursor *cursor = (struct cursor *)base;
	const struct hf_sql_query *query = ((struct table *)base->pVtab)->query;
	if (column < query->n_columns)
		sqlite3_result_value(ctx, sqlite3_column_value(cursor->stmt, column));
	return SQLITE_OK;
}

static int cursor_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *ret)
{
	*ret = ((struct cursor *)base)->row;
	return SQLITE_OK;
}

int hf_sql_query_register(sqlite3 *db, const struct hf_sql_query *query)
{
	static const sqlite3_module module = {
		.xConnect = table_connect, /* no xCreate: there without CREATE VIRTUAL TABLE */
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
	return sqlite3_create_module(db, query->name, &module, (void *)query);
}
