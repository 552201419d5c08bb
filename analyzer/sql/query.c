#include "sql/query.h"

#include "base/fmt.h"
#include "sql/function.h"

struct cursor {
	struct hf_sql_cursor c;
	sqlite3_stmt *stmt;
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

static void query_close(struct hf_sql_cursor *c)
{
	sqlite3_finalize(((struct cursor *)c)->stmt);
}

static int query_next(struct hf_sql_cursor *c)
{
	int rc = sqlite3_step(((struct cursor *)c)->stmt);
	c->eof = rc != SQLITE_ROW;
	if (rc == SQLITE_ROW || rc == SQLITE_DONE)
		return SQLITE_OK;
	hf_sql_fail(c, sqlite3_errmsg(c->db));
	return rc;
}

static int bind(sqlite3_stmt *stmt, const struct hf_sql_query *query, int which, int argc,
	sqlite3_value **argv)
{
	int n = 0;
	for (int arg = 0; arg < query->n_args && n < argc; arg++) {
		if (!(which >> arg & 1))
			continue;
		sqlite3_value *value = argv[n++];
		sqlite3_int64 addr;
		int rc = arg == 0 && query->takes_address && hf_sql_address(value, &addr)
				 ? sqlite3_bind_int64(stmt, 1, addr)
				 : sqlite3_bind_value(stmt, arg + 1, value);
		if (rc != SQLITE_OK)
			return rc;
	}
	return SQLITE_OK;
}

static int query_filter(struct hf_sql_cursor *c, int which, int argc, sqlite3_value **argv)
{
	const struct hf_sql_query *query = c->aux;
	sqlite3_stmt **stmt = &((struct cursor *)c)->stmt;
	if (!*stmt) {
		int rc = sqlite3_prepare_v2(c->db, query->sql, -1, stmt, NULL);
		if (rc != SQLITE_OK) {
			char *why = sqlite3_mprintf(
				"not a Holdfast database? %s", sqlite3_errmsg(c->db));
			hf_sql_fail(c, why ? why : "no memory");
			sqlite3_free(why);
			return rc;
		}
	}
	sqlite3_reset(*stmt);
	sqlite3_clear_bindings(*stmt);
	int rc = bind(*stmt, query, which, argc, argv);
	return rc == SQLITE_OK ? query_next(c) : rc;
}

static int query_column(struct hf_sql_cursor *c, sqlite3_context *ctx, int column)
{
	sqlite3_result_value(ctx, sqlite3_column_value(((struct cursor *)c)->stmt, column));
	return SQLITE_OK;
}

int hf_sql_query_register(sqlite3 *db, const struct hf_sql_query *query)
{
	const struct hf_sql_function function = {
		.name = query->name,
		.columns = query->columns,
		.n_columns = query->n_columns,
		.n_args = query->n_args,
		.cursor_size = sizeof(struct cursor),
		.filter = query_filter,
		.next = query_next,
		.column = query_column,
		.close = query_close,
	};
	return hf_sql_function_register(db, &function, (void *)query, NULL);
}
