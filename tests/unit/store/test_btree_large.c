/* A file of more than 1 GiB: the lock-byte page lies inside it. Label long. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/btree.h"
#include "store_util.h"

enum { ROWS = 20000000 };

static void row(void *ctx, uint64_t i, struct hf_btree_row *ret)
{
	ret->rowid = (int64_t)i + 1;
	ret->n = 7;
	ret->value[0] = HF_BTREE_NULL;
	for (unsigned c = 1; c < 7; c++)
		ret->value[c] = (int64_t)((i * 0x9e3779b97f4a7c15) >> c);
}

static void test_lock_page(void **state)
{
	const char *path = temp_path("large.db");
	sqlite3 *db = NULL;
	struct hf_btree_file file;
	struct hf_err err;
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	db_exec(db, "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, c, d, e, f)");
	sqlite3_close(db);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	check_ok(hf_btree_file_init(&file, fd, &err), &err);
	check_ok(hf_btree_write_table(&file, 2, ROWS, row, NULL, &err), &err);
	check_ok(hf_btree_file_finish(&file, &err), &err);
	assert_true((uint64_t)file.n_pages * file.page_size > (1ull << 30) + (64 << 20));
	hf_btree_file_deinit(&file);
	close(fd);
	db = db_open(path);
	char *check = db_text(db, "PRAGMA integrity_check");
	assert_string_equal(check, "ok");
	free(check);
	assert_int_equal(db_int(db, "SELECT count(*) FROM t WHERE f IS NOT NULL"), ROWS);
	sqlite3_close(db);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_lock_page)};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	temp_done();
	return failed;
}
