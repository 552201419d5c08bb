#include "sql/function.h"

#include <string.h>

#include "base/fmt.h"

struct module {
	struct hf_sql_function fn;
	void *aux;
	void (*unref)(void *aux);
};

struct table {
	sqlite3_vtab base;
	sqlite3 *db;
	const struct module *module;
};

static const struct hf_sql_function *function_of(struct hf_sql_cursor *c)
{
	return &((struct table *)c->base.pVtab)->module->fn;
}

int hf_sql_fail(struct hf_sql_cursor *c, const char *why)
{
	sqlite3_free(c->base.pVtab->zErrMsg);
	c->base.pVtab->zErrMsg = sqlite3_mprintf("%s: %s", function_of(c)->name, why);
	return SQLITE_ERROR;
}

static int table_connect(sqlite3 *db, void *aux, int argc, const char *const *argv,
	sqlite3_vtab **ret, char **ret_error)
{
	const struct module *module = aux;
	char sql[1000];
	hf_fmt(sql, sizeof(sql), "CREATE TABLE x(%s)", module->fn.columns);
	int rc = sqlite3_declare_vtab(db, sql);
	if (rc != SQLITE_OK)
		return rc;
	struct table *table = sqlite3_malloc(sizeof(*table));
	if (!table)
		return SQLITE_NOMEM;
	*table = (struct table){.db = db, .module = module};
	*ret = &table->base;
	return SQLITE_OK;
}

static int table_disconnect(sqlite3_vtab *base)
{
	sqlite3_free(base);
	return SQLITE_OK;
}

/* The hidden columns, of which the first must be given, become the arguments of xFilter in their
 * order; idxNum says by bits which. */
static int table_best_index(sqlite3_vtab *base, sqlite3_index_info *info)
{
	enum { MAX_ARGS = 8 };
	const struct hf_sql_function *fn = &((struct table *)base)->module->fn;
	int given[MAX_ARGS] = {0};
	for (int i = 0; i < info->nConstraint; i++) {
		const struct sqlite3_index_constraint *c = &info->aConstraint[i];
		int arg = c->iColumn - fn->n_columns;
		if (arg < 0 || arg >= fn->n_args || c->op != SQLITE_INDEX_CONSTRAINT_EQ)
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
	for (int arg = 0; arg < fn->n_args; arg++) {
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

static int cursor_open(sqlite3_vtab *base, sqlite3_vtab_cursor **ret)
{
	const struct table *table = (const struct table *)base;
	struct hf_sql_cursor *c = sqlite3_malloc64(table->module->fn.cursor_size);
	if (!c)
		return SQLITE_NOMEM;
	memset(c, 0, table->module->fn.cursor_size);
	c->db = table->db;
	c->aux = table->module->aux;
	*ret = &c->base;
	return SQLITE_OK;
}

static int cursor_close(sqlite3_vtab_cursor *base)
{
	struct hf_sql_cursor *c = (struct hf_sql_cursor *)base;
	if (function_of(c)->close)
		function_of(c)->close(c);
	sqlite3_free(c);
	return SQLITE_OK;
}

static int cursor_filter(
	sqlite3_vtab_cursor *base, int which, const char *unused, int argc, sqlite3_value **argv)
{
	struct hf_sql_cursor *c = (struct hf_sql_cursor *)base;
	c->row = 0;
	c->eof = 1;
	return function_of(c)->filter(c, which, argc, argv);
}

static int cursor_next(sqlite3_vtab_cursor *base)
{
	struct hf_sql_cursor *c = (struct hf_sql_cursor *)base;
	c->row++;
	return function_of(c)->next(c);
}

static int cursor_eof(sqlite3_vtab_cursor *base)
{
	return ((struct hf_sql_cursor *)base)->eof;
}

static int cursor_column(sqlite3_vtab_cursor *base, sqlite3_context *ctx, int column)
{
	struct hf_sql_cursor *c = (struct hf_sql_cursor *)base;
	return column < function_of(c)->n_columns ? function_of(c)->column(c, ctx, column)
						  : SQLITE_OK;
}

static int cursor_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *ret)
{
	*ret = ((struct hf_sql_cursor *)base)->row;
	return SQLITE_OK;
}

static void module_destroy(void *p)
{
	struct module *module = p;
	if (module->unref)
		module->unref(module->aux);
	sqlite3_free(module);
}

int hf_sql_function_register(
	sqlite3 *db, const struct hf_sql_function *function, void *aux, void (*unref)(void *aux))
{
	static const sqlite3_module methods = {
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
	struct module *module = sqlite3_malloc(sizeof(*module));
	if (!module) {
		if (unref)
			unref(aux);
		return SQLITE_NOMEM;
	}
	*module = (struct module){*function, aux, unref};
	return sqlite3_create_module_v2(db, function->name, &methods, module, module_destroy);
}
