/*
 * The page writer against SQLite itself: the same rows by INSERT and by pages give the same
 * answers, every file passes integrity_check, and stays an ordinary database that takes changes.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "store/btree.h"

static char dir[] = "/tmp/hf_btree_XXXXXX";
static char path[64];

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

static void exec(sqlite3 *db, const char *sql)
{
	char *msg = NULL;
	if (sqlite3_exec(db, sql, NULL, NULL, &msg) != SQLITE_OK)
		fail_msg("%s: %s", sql, msg);
}

/* The first column of the first row, as text in a static buffer. */
static const char *ask(sqlite3 *db, const char *sql)
{
	static char answer[4000];
	sqlite3_stmt *stmt = NULL;
	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	snprintf(answer, sizeof(answer), "%s", (const char *)sqlite3_column_text(stmt, 0));
	sqlite3_finalize(stmt);
	return answer;
}

static sqlite3 *open_db(const char *name)
{
	sqlite3 *db = NULL;
	assert_int_equal(sqlite3_open(name, &db), SQLITE_OK);
	return db;
}

/* A table, an index on it, and a table without rowid; all of one list of rows. */
static const char *const SCHEMA =
	"CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, c DEFAULT 7, d DEFAULT NULL);"
	"CREATE INDEX t_b ON t (b);"
	"CREATE TABLE w (x, y, z, PRIMARY KEY (x, y)) WITHOUT ROWID;"
	"CREATE TABLE note (text)";

static uint32_t make_empty(unsigned page_size)
{
	unlink(path);
	sqlite3 *db = open_db(path);
	char sql[64];
	snprintf(sql, sizeof(sql), "PRAGMA page_size = %u", page_size);
	exec(db, sql);
	exec(db, SCHEMA);
	exec(db, "INSERT INTO note VALUES ('by SQL')");
	sqlite3_close(db);
	return 0;
}

static uint32_t root_of(const char *name)
{
	sqlite3 *db = open_db(path);
	char sql[100];
	snprintf(sql, sizeof(sql), "SELECT rootpage FROM sqlite_schema WHERE name = '%s'", name);
	uint32_t root = (uint32_t)atoi(ask(db, sql));
	sqlite3_close(db);
	return root;
}

/* Values of every width and sign; seed 0 keeps them small. */
static int64_t value(uint64_t seed, uint64_t i)
{
	uint64_t r = mix(seed * 1000003 + i);
	if (!seed)
		return (int64_t)(r % 300);
	unsigned bits = r % 64;
	int64_t v = (int64_t)(mix(r) >> (63 - bits));
	if (v == HF_BTREE_NULL)
		v = 0;
	return r & 0x10000 ? ~v : v;
}

struct rows {
	uint64_t seed, n;
	int64_t first_rowid;
	uint64_t *by_b; /* row numbers in order of (b, rowid) */
};

static int64_t rowid(const struct rows *r, uint64_t i)
{
	return r->first_rowid + (int64_t)(i * 3);
}

static int64_t column_b(const struct rows *r, uint64_t i)
{
	return i % 5 == 4 ? HF_BTREE_NULL : value(r->seed, 2 * i + 1);
}

/* Columns c and d are left to their DEFAULT in some rows. */
static void row_t(void *ctx, uint64_t i, struct hf_btree_row *row)
{
	const struct rows *r = ctx;
	row->rowid = rowid(r, i);
	row->n = i % 3 ? 3 : 5;
	row->value[0] = HF_BTREE_NULL;
	row->value[1] = value(r->seed, 2 * i);
	row->value[2] = column_b(r, i);
	row->value[3] = (int64_t)i;
	row->value[4] = -(int64_t)i;
}

static void row_t_b(void *ctx, uint64_t i, struct hf_btree_row *row)
{
	const struct rows *r = ctx;
	uint64_t of = r->by_b[i];
	row->n = 2;
	row->value[0] = column_b(r, of);
	row->value[1] = rowid(r, of);
}

static void row_w(void *ctx, uint64_t i, struct hf_btree_row *row)
{
	const struct rows *r = ctx;
	row->n = 3;
	row->value[0] = (int64_t)(i / 4);
	row->value[1] = (int64_t)(i % 4 * 100);
	row->value[2] = value(r->seed, i);
}

static const struct rows *sorting;
static int by_b(const void *pa, const void *pb)
{
	uint64_t a = *(const uint64_t *)pa, b = *(const uint64_t *)pb;
	int64_t va = column_b(sorting, a), vb = column_b(sorting, b);
	if (va != vb) /* NULL sorts first, and HF_BTREE_NULL is the least integer */
		return va < vb ? -1 : 1;
	return a < b ? -1 : a > b;
}

static void write_pages(struct rows *r)
{
	r->by_b = malloc((r->n + 1) * sizeof(*r->by_b));
	assert_non_null(r->by_b);
	for (uint64_t i = 0; i < r->n; i++)
		r->by_b[i] = i;
	sorting = r;
	qsort(r->by_b, r->n, sizeof(*r->by_b), by_b);

	uint32_t t = root_of("t"), t_b = root_of("t_b"), w = root_of("w");
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	struct hf_btree_file file;
	struct hf_err err = {0};
	assert_int_equal(hf_btree_file_init(&file, fd, &err), HF_OK);
	assert_int_equal(hf_btree_write_table(&file, t, r->n, row_t, r, &err), HF_OK);
	assert_int_equal(hf_btree_write_index(&file, t_b, r->n, row_t_b, r, &err), HF_OK);
	assert_int_equal(hf_btree_write_index(&file, w, r->n, row_w, r, &err), HF_OK);
	assert_int_equal(hf_btree_file_finish(&file, &err), HF_OK);
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, (uint64_t)file.n_pages * file.page_size);
	hf_btree_file_deinit(&file);
	close(fd);
	free(r->by_b);
}

static void bind(sqlite3_stmt *stmt, int at, int64_t v)
{
	if (v == HF_BTREE_NULL)
		sqlite3_bind_null(stmt, at);
	else
		sqlite3_bind_int64(stmt, at, v);
}

/* The oracle: the same rows by SQL, in a database in memory. */
static sqlite3 *insert_rows(struct rows *r)
{
	sqlite3 *db = open_db(":memory:");
	exec(db, SCHEMA);
	exec(db, "INSERT INTO note VALUES ('by SQL'); BEGIN");
	sqlite3_stmt *s3, *s5, *sw;
	sqlite3_prepare_v2(db, "INSERT INTO t (id, a, b) VALUES (?, ?, ?)", -1, &s3, NULL);
	sqlite3_prepare_v2(db, "INSERT INTO t VALUES (?, ?, ?, ?, ?)", -1, &s5, NULL);
	sqlite3_prepare_v2(db, "INSERT INTO w VALUES (?, ?, ?)", -1, &sw, NULL);
	struct hf_btree_row row = {0};
	for (uint64_t i = 0; i < r->n; i++) {
		row_t(r, i, &row);
		sqlite3_stmt *s = row.n == 3 ? s3 : s5;
		sqlite3_bind_int64(s, 1, row.rowid);
		for (uint32_t c = 1; c < row.n; c++)
			bind(s, (int)c + 1, row.value[c]);
		assert_int_equal(sqlite3_step(s), SQLITE_DONE);
		sqlite3_reset(s);
		row_w(r, i, &row);
		for (uint32_t c = 0; c < row.n; c++)
			bind(sw, (int)c + 1, row.value[c]);
		assert_int_equal(sqlite3_step(sw), SQLITE_DONE);
		sqlite3_reset(sw);
	}
	sqlite3_finalize(s3);
	sqlite3_finalize(s5);
	sqlite3_finalize(sw);
	exec(db, "COMMIT");
	return db;
}

/* Rows by scan, by the index alone, and by seeks through both trees. */
static const char *const QUESTIONS[] = {
	"SELECT count(*) || ' ' || total(a % 1000) || ' ' || total(c) || ' ' || total(d) FROM t",
	"SELECT count(*) || ' ' || total(b % 1000 * (id % 17)) FROM t INDEXED BY t_b WHERE b > -99",
	"SELECT count(*) || ' ' || total(z % 1000 * (x % 13)) FROM w",
	"SELECT coalesce(group_concat(id || ':' || a || ':' || ifnull(b, '-')), '')"
	" FROM (SELECT * FROM t WHERE id % 1009 < 3 LIMIT 100)",
	"SELECT coalesce(group_concat(b || ':' || id), '')"
	" FROM (SELECT b, id FROM t WHERE b < 1000 ORDER BY b DESC, id DESC LIMIT 50)",
	"SELECT count(*) FROM t u WHERE EXISTS (SELECT 1 FROM t v WHERE v.id = u.id + 3)",
	"SELECT count(*) FROM t u WHERE EXISTS (SELECT 1 FROM t v WHERE v.b = u.b AND v.id <> "
	"u.id)",
	"SELECT total(w.z % 100) FROM (SELECT id / 7 AS k FROM t WHERE id > 0) JOIN w ON w.x = k",
	"SELECT text FROM note",
};

static void compare(unsigned page_size, uint64_t n, uint64_t seed, int64_t first_rowid)
{
	struct rows r = {.seed = seed, .n = n, .first_rowid = first_rowid};
	make_empty(page_size);
	write_pages(&r);
	sqlite3 *db = open_db(path), *oracle = insert_rows(&r);
	const char *check = ask(db, "PRAGMA integrity_check");
	if (strcmp(check, "ok") != 0)
		fail_msg("page size %u, %llu rows: %s", page_size, (unsigned long long)n, check);
	for (size_t i = 0; i < sizeof(QUESTIONS) / sizeof(*QUESTIONS); i++) {
		char *expected = strdup(ask(oracle, QUESTIONS[i]));
		assert_string_equal(ask(db, QUESTIONS[i]), expected);
		free(expected);
	}
	/* It takes changes like any other database. */
	exec(db, "UPDATE t SET a = zeroblob(100), b = id % 11 WHERE id % 5 = 0");
	exec(db, "DELETE FROM t WHERE id % 7 = 1; DELETE FROM w WHERE y = 200");
	exec(db, "INSERT INTO w SELECT x, 250, hex(zeroblob(30)) FROM w WHERE y = 0");
	exec(db, "INSERT INTO t (a, b) VALUES (1, 2); INSERT INTO note VALUES ('more')");
	assert_string_equal(ask(db, "PRAGMA integrity_check"), "ok");
	sqlite3_close(db);
	sqlite3_close(oracle);
}

static void test_small(void **state)
{
	/* Every count around the first page breaks of small pages, where a last page may be empty.
	 */
	for (uint64_t n = 0; n < 130; n++)
		compare(512, n, 0, 1);
	for (uint64_t n = 560; n < 640; n++)
		compare(512, n, 0, 1);
}

static void test_sizes(void **state)
{
	static const unsigned page_sizes[] = {512, 1024, 4096, 16384, 65536};
	for (size_t i = 0; i < sizeof(page_sizes) / sizeof(*page_sizes); i++)
		for (uint64_t n = 1; n < 60000; n = n * 5 + i)
			compare(page_sizes[i], n, n + 1, n % 2 ? 1 : -1000);
	compare(4096, 1000, 9, INT64_MIN + 1);
	compare(4096, 1000, 9, INT64_MAX - 3000);
}

static void test_levels(void **state)
{
	/* 512-byte pages: four levels and more. */
	compare(512, 100000, 5, 1);
	for (uint64_t n = 12000; n < 12040; n++)
		compare(512, n, 3, 1);
}

/* The lock-byte page is left out; here it is moved to where a small file has it. SQLite, which does
 * not know, then misses exactly that page. */
static void test_lock_page(void **state)
{
	for (uint32_t lock = 10; lock < 14; lock++) {
		struct rows r = {.seed = 1, .n = 5000, .first_rowid = 1};
		make_empty(4096);
		uint32_t root = root_of("t");
		int fd = open(path, O_RDWR | O_CLOEXEC);
		struct hf_btree_file file;
		struct hf_err err = {0};
		assert_int_equal(hf_btree_file_init(&file, fd, &err), HF_OK);
		assert_int_equal(file.lock_page, 262145);
		file.lock_page = lock;
		assert_int_equal(hf_btree_write_table(&file, root, r.n, row_t, &r, &err), HF_OK);
		assert_int_equal(hf_btree_file_finish(&file, &err), HF_OK);
		assert_true(file.n_pages > lock + 5);
		hf_btree_file_deinit(&file);
		close(fd);
		sqlite3 *db = open_db(path);
		exec(db, "REINDEX");
		char expected[100];
		snprintf(expected, sizeof(expected),
			"*** in database main ***\nPage %u is never used", lock);
		assert_string_equal(ask(db, "PRAGMA integrity_check"), expected);
		assert_string_equal(ask(db, "SELECT count(*) FROM t"), "5000");
		sqlite3_close(db);
	}
}

static void row_bad(void *ctx, uint64_t i, struct hf_btree_row *row)
{
	row->rowid = i < 5 ? (int64_t)i : 4;
	row->n = 2;
}

static bool stop(void *ctx, uint64_t n_pages)
{
	return false;
}

static void test_refuse(void **state)
{
	struct hf_btree_file file;
	struct hf_err err = {0};
	make_empty(4096);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	uint32_t root = root_of("t");
	assert_int_equal(hf_btree_file_init(&file, fd, &err), HF_OK);
	assert_int_equal(hf_btree_write_table(&file, root, 9, row_bad, NULL, &err), HF_E_FAILED);
	assert_int_equal(hf_btree_write_table(&file, 1, 3, row_bad, NULL, &err), HF_E_FAILED);
	struct rows r = {.seed = 1, .n = 200000, .first_rowid = 1};
	file.progress = stop;
	assert_int_equal(hf_btree_write_table(&file, root, r.n, row_t, &r, &err), HF_E_FAILED);
	assert_string_equal(err.msg, "cancelled");
	hf_btree_file_deinit(&file);

	assert_int_equal(pwrite(fd, "X", 1, 0), 1);
	assert_int_equal(hf_btree_file_init(&file, fd, &err), HF_E_UNSUPPORTED);
	close(fd);

	unlink(path);
	sqlite3 *db = open_db(path);
	exec(db, "PRAGMA auto_vacuum = FULL; CREATE TABLE t (a)");
	sqlite3_close(db);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(hf_btree_file_init(&file, fd, &err), HF_E_UNSUPPORTED);
	close(fd);
}

int main(void)
{
	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/t.db", dir);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_small),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_lock_page),
		cmocka_unit_test(test_refuse),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	rmdir(dir);
	return failed;
}
