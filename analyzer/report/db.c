#include "report/db.h"

#include <stdarg.h>
#include <string.h>

enum hf_status hf_db_error(sqlite3 *db, struct hf_err *err, const char *doing)
{
	switch (sqlite3_errcode(db)) {
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return hf_err_set(err, HF_E_CORRUPT, "%s: %s: load the dump again", doing,
			sqlite3_errmsg(db));
	case SQLITE_NOMEM:
		return hf_err_set(err, HF_E_NOMEM, "%s: no memory", doing);
	case SQLITE_INTERRUPT:
		return hf_err_set(err, HF_E_FAILED, "%s: interrupted", doing);
	default:
		return hf_err_set(err, HF_E_FAILED, "%s: %s", doing, sqlite3_errmsg(db));
	}
}

static void bind_all(sqlite3_stmt *stmt, const char *types, va_list ap)
{
	for (int i = 0; types[i]; i++) {
		if (types[i] == 'i')
			sqlite3_bind_int64(stmt, i + 1, va_arg(ap, int64_t));
		else
			sqlite3_bind_text(
				stmt, i + 1, va_arg(ap, const char *), -1, SQLITE_TRANSIENT);
	}
}

enum hf_status hf_query(sqlite3 *db, sqlite3_stmt **ret, struct hf_err *err, const char *sql,
	const char *types, ...)
{
	sqlite3_stmt *stmt = NULL;
	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
		return hf_db_error(db, err, "reading the database");
	va_list ap;
	va_start(ap, types);
	bind_all(stmt, types, ap);
	va_end(ap);
	*ret = stmt;
	return HF_OK;
}

void hf_rebind(sqlite3_stmt *stmt, const char *types, ...)
{
	sqlite3_reset(stmt);
	va_list ap;
	va_start(ap, types);
	bind_all(stmt, types, ap);
	va_end(ap);
}

bool hf_row(sqlite3_stmt *stmt, enum hf_status *status, struct hf_err *err)
{
	if (*status != HF_OK)
		return false;
	int rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		return true;
	if (rc != SQLITE_DONE)
		*status = hf_db_error(sqlite3_db_handle(stmt), err, "reading the database");
	return false;
}

void hf_stmt_done(sqlite3_stmt **stmt)
{
	sqlite3_finalize(*stmt);
	*stmt = NULL;
}

struct hf_cell hf_column_cell(sqlite3_stmt *stmt, int c)
{
	switch (sqlite3_column_type(stmt, c)) {
	case SQLITE_INTEGER:
		return hf_cell_int(sqlite3_column_int64(stmt, c));
	case SQLITE_FLOAT:
		return hf_cell_real(sqlite3_column_double(stmt, c));
	case SQLITE_TEXT:
		return hf_cell_text((const char *)sqlite3_column_text(stmt, c));
	default:
		return hf_cell_null();
	}
}

int64_t hf_column_int(sqlite3_stmt *stmt, int c)
{
	return sqlite3_column_int64(stmt, c);
}

const char *hf_column_text(sqlite3_stmt *stmt, int c)
{
	const char *s = (const char *)sqlite3_column_text(stmt, c);
	return s ? s : "";
}

bool hf_column_null(sqlite3_stmt *stmt, int c)
{
	return sqlite3_column_type(stmt, c) == SQLITE_NULL;
}

enum hf_status hf_query_int(
	sqlite3 *db, int64_t *ret, struct hf_err *err, const char *sql, const char *types, ...)
{
	_cleanup_stmt_ sqlite3_stmt *stmt = NULL;
	enum hf_status status = hf_query(db, &stmt, err, sql, "");
	if (status != HF_OK)
		return status;
	va_list ap;
	va_start(ap, types);
	bind_all(stmt, types, ap);
	va_end(ap);
	int64_t value = hf_row(stmt, &status, err) ? hf_column_int(stmt, 0) : 0;
	if (status == HF_OK)
		*ret = value;
	return status;
}
