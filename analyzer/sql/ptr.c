#include "base/fmt.h"
#include "sql/object_at.h"
#include "sql/query.h"

/* ptr(addr): '0x…'; NULL for NULL. */
static void ptr(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
	char text[24];
	if (sqlite3_value_type(argv[0]) == SQLITE_NULL)
		return;
	size_t n = hf_fmt(
		text, sizeof(text), "0x%llx", (unsigned long long)sqlite3_value_int64(argv[0]));
	sqlite3_result_text(ctx, text, (int)n, SQLITE_TRANSIENT);
}

/* object_at(addr): id of the object that contains addr (an integer, or text as '0x…'), or NULL. */
static void object_at(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
	sqlite3 *db = sqlite3_context_db_handle(ctx);
	sqlite3_stmt *stmt = NULL;
	sqlite3_int64 addr;
	if (!hf_sql_address(argv[0], &addr))
		return;
	if (sqlite3_prepare_v2(db, HF_SQL_OBJECT_AT("?1"), -1, &stmt, NULL) != SQLITE_OK) {
		sqlite3_result_error(ctx, sqlite3_errmsg(db), -1);
		return;
	}
	sqlite3_bind_int64(stmt, 1, addr);
	int rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		sqlite3_result_int64(ctx, sqlite3_column_int64(stmt, 0));
	else if (rc != SQLITE_DONE)
		sqlite3_result_error(ctx, sqlite3_errmsg(db), -1);
	sqlite3_finalize(stmt);
}

int hf_sql_ptr_register(sqlite3 *db)
{
	int rc = sqlite3_create_function(
		db, "ptr", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL, ptr, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_create_function(
			db, "object_at", 1, SQLITE_UTF8, NULL, object_at, NULL, NULL);
	return rc;
}
