/* The embedded schema applies, every view compiles, and foreign databases are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "store/schema.h"

static sqlite3 *open_memory(void)
{
	sqlite3 *db = NULL;
	assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
	return db;
}

static void test_apply(void **state)
{
	sqlite3 *db = open_memory();
	struct hf_err err = {0};
	assert_int_equal(hf_schema_apply(db, &err), HF_OK);
	assert_int_equal(hf_schema_check(db, "x.hfdb", &err), HF_OK);

	sqlite3_stmt *names = NULL;
	assert_int_equal(sqlite3_prepare_v2(db,
				 "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')",
				 -1, &names, NULL),
		SQLITE_OK);
	unsigned n = 0;
	for (; sqlite3_step(names) == SQLITE_ROW; n++) {
		char sql[200];
		snprintf(sql, sizeof(sql), "SELECT * FROM %s", sqlite3_column_text(names, 0));
		sqlite3_stmt *stmt = NULL;
		if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
			fail_msg("%s: %s", sql, sqlite3_errmsg(db));
		/* all are empty but the table of constants */
		bool constants = !strcmp((const char *)sqlite3_column_text(names, 0), "origin");
		assert_int_equal(sqlite3_step(stmt), constants ? SQLITE_ROW : SQLITE_DONE);
		sqlite3_finalize(stmt);
	}
	assert_true(n > 25);
	sqlite3_finalize(names);
	sqlite3_close(db);
}

static void test_refuse(void **state)
{
	sqlite3 *db = open_memory();
	struct hf_err err = {0};
	assert_int_equal(hf_schema_check(db, "x.db", &err), HF_E_UNSUPPORTED);
	assert_non_null(strstr(err.msg, "x.db is not a Holdfast database"));

	assert_int_equal(hf_schema_apply(db, &err), HF_OK);
	sqlite3_exec(db, "PRAGMA user_version = 99", NULL, NULL, NULL);
	assert_int_equal(hf_schema_check(db, "x.hfdb", &err), HF_E_UNSUPPORTED);
	assert_non_null(strstr(err.msg, "version 99"));
	assert_non_null(strstr(err.msg, "reads version 1"));
	sqlite3_close(db);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_apply),
		cmocka_unit_test(test_refuse),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
