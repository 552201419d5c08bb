/* From dump to database: the pipeline, the cache beside the dump, loads that are killed. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "analyzer/analyze.h"
#include "gen_dump.h"
#include "store_util.h"

static char messages[2000];

static void on_message(void *ctx, const char *text)
{
	strcat(messages, text);
	strcat(messages, "\n");
}

static void make_dump(const char *path, uint64_t n, uint64_t seed)
{
	struct hf_err err = {0};
	struct gen_options options = {.n_objects = n, .edges_per_object = 3, .seed = seed};
	unlink(path);
	check_ok(gen_dump_file(path, &options, NULL, &err), &err);
}

static sqlite3 *open_input(const char *path)
{
	struct hf_analyze_options options = {.message = on_message};
	struct hf_err err = {0};
	sqlite3 *db = NULL;
	messages[0] = 0;
	check_ok(hf_open_input(path, &options, &db, &err), &err);
	return db;
}

static ino_t inode(const char *path)
{
	struct stat st;
	return stat(path, &st) ? 0 : st.st_ino;
}

static void test_load(void **state)
{
	struct hf_err err = {0};
	const char *dump = temp_path("load.hfd"), *path = temp_path("out.hfdb");
	make_dump(dump, 5000, 1);
	struct hf_analyze_result result;
	check_ok(hf_analyze(dump, path, NULL, &result, &err), &err);
	assert_int_equal(result.n_objects, 5000);
	assert_false(result.partial);
	sqlite3 *db = db_open(path);
	char *check = db_text(db, "PRAGMA integrity_check");
	assert_string_equal(check, "ok");
	free(check);
	assert_int_equal(db_int(db, "SELECT count(*) FROM object"), 5000);
	assert_int_equal(db_int(db, "SELECT count(*) FROM edge"), result.n_edges);
	assert_int_equal(db_int(db, "SELECT count(*) FROM meta WHERE key = 'token'"), 1);
	assert_int_equal(db_int(db, "SELECT value FROM meta WHERE key = 'partial'"), 0);
	sqlite3_close(db);
}

static void test_cache_path(void **state)
{
	static const char *const cases[][2] = {
		{"a.hfd", "a.hfdb"},
		{"/x/core.17", "/x/core.17.hfdb"},
		{".hfd", ".hfd.hfdb"},
		{"/x/.hfd", "/x/.hfd.hfdb"},
		{"b", "b.hfdb"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char *path = hf_analyze_cache_path(cases[i][0]);
		assert_string_equal(path, cases[i][1]);
		free(path);
	}
}

static void test_cached(void **state)
{
	const char *dump = temp_path("c.hfd"), *cache = temp_path("c.hfdb");
	make_dump(dump, 1000, 1);
	sqlite3 *db = open_input(dump);
	assert_int_equal(db_int(db, "SELECT count(*) FROM object"), 1000);
	assert_int_not_equal(sqlite3_exec(db, "DELETE FROM meta", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	ino_t first = inode(cache);
	assert_int_not_equal(first, 0);
	sqlite3_close(open_input(dump));
	assert_int_equal(inode(cache), first);
	sqlite3_close(open_input(cache));

	/* A newer dump, another dump of an older time, an older version: all are loaded again. */
	struct timespec later[2] = {{.tv_sec = time(NULL) + 10}, {.tv_sec = time(NULL) + 10}};
	assert_int_equal(utimensat(AT_FDCWD, dump, later, 0), 0);
	sqlite3_close(open_input(dump));
	ino_t second = inode(cache);
	assert_int_not_equal(second, first);
	make_dump(dump, 1200, 2);
	struct timespec before[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
	assert_int_equal(utimensat(AT_FDCWD, dump, before, 0), 0);
	db = open_input(dump);
	assert_int_equal(db_int(db, "SELECT count(*) FROM object"), 1200);
	sqlite3_close(db);
	db = db_open(cache);
	db_exec(db, "PRAGMA user_version = 99");
	sqlite3_close(db);
	sqlite3_close(open_input(dump));
	db = db_open(cache);
	assert_int_not_equal(db_int(db, "PRAGMA user_version"), 99);
	sqlite3_close(db);
	/* what the load advises, nothing of the cache */
	assert_int_equal(strncmp(messages, "synthetic is not on this machine", 32), 0);
}

static void test_in_the_way(void **state)
{
	const char *dump = temp_path("w.hfd"), *cache = temp_path("w.hfdb");
	make_dump(dump, 1000, 1);
	assert_int_equal(mkdir(cache, 0700), 0);
	sqlite3 *db = open_input(dump);
	assert_non_null(strstr(messages, "w.hfdb is in the way"));
	assert_int_equal(db_int(db, "SELECT count(*) FROM object"), 1000);
	sqlite3_close(db);
	assert_int_equal(rmdir(cache), 0);

	if (geteuid() == 0)
		return; /* root may write anywhere */
	assert_int_equal(chmod(temp_dir(), 0500), 0);
	db = open_input(dump);
	assert_int_equal(chmod(temp_dir(), 0700), 0);
	assert_non_null(strstr(messages, "cannot be written"));
	sqlite3_close(db);
}

static void test_refuse(void **state)
{
	struct hf_err err = {0};
	sqlite3 *db = NULL;
	const char *path = temp_path("text.txt");
	FILE *f = fopen(path, "w");
	fputs("just a text, long enough to be read as a header of anything at all, one would think",
		f);
	fclose(f);
	assert_int_equal(hf_open_input(path, NULL, &db, &err), HF_E_UNSUPPORTED);
	assert_int_equal(hf_open_input(temp_path("none"), NULL, &db, &err), HF_E_NOTFOUND);
	const char *other = temp_path("other.db");
	assert_int_equal(sqlite3_open(other, &db), SQLITE_OK);
	db_exec(db, "CREATE TABLE t (a)");
	sqlite3_close(db);
	assert_int_equal(hf_open_input(other, NULL, &db, &err), HF_E_UNSUPPORTED);
	assert_non_null(strstr(err.msg, "is not a Holdfast database"));
	db = db_open(other);
	db_exec(db, "PRAGMA application_id = 1212564546; PRAGMA user_version = 2");
	sqlite3_close(db);
	assert_int_equal(hf_open_input(other, NULL, &db, &err), HF_E_UNSUPPORTED);
	assert_non_null(strstr(err.msg, "schema version 2"));
	assert_non_null(strstr(err.msg, "reads version 1"));
}

static bool stop_at(void *ctx, const char *stage, uint64_t done, uint64_t total)
{
	return strcmp(stage, ctx) != 0;
}

static void test_cancel(void **state)
{
	static const char *const stages[] = {
		"reading", "shortest paths", "dominators", "holders", "writing objects"};
	const char *dump = temp_path("x.hfd"), *path = temp_path("x.hfdb");
	make_dump(dump, 20000, 1);
	for (size_t i = 0; i < sizeof(stages) / sizeof(*stages); i++) {
		struct hf_analyze_options options = {.progress = stop_at, .ctx = (void *)stages[i]};
		struct hf_err err = {0};
		assert_int_equal(hf_analyze(dump, path, &options, NULL, &err), HF_E_FAILED);
		assert_non_null(strstr(err.msg, "cancelled"));
		assert_int_equal(inode(path), 0);
		assert_int_equal(inode(temp_path("x.hfdb.tmp")), 0);
	}
}

/* kill -9 at any moment: nothing under the final name, and the next load works. */
static void test_kill(void **state)
{
	const char *dump = temp_path("k.hfd"), *path = temp_path("k.hfdb");
	make_dump(dump, 60000, 1);
	unsigned killed = 0;
	srand(7);
	for (unsigned i = 0; i < 40; i++) {
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (!pid)
			_exit(hf_analyze(dump, path, NULL, NULL, NULL));
		usleep((useconds_t)(rand() % 300) * 1000);
		kill(pid, SIGKILL);
		int how;
		assert_int_equal(waitpid(pid, &how, 0), pid);
		if (WIFSIGNALED(how)) {
			killed++;
		} else {
			assert_int_equal(WEXITSTATUS(how), 0);
			assert_int_not_equal(inode(path), 0);
		}
		if (inode(path)) {
			sqlite3 *db = db_open(path);
			char *check = db_text(db, "PRAGMA quick_check");
			assert_string_equal(check, "ok");
			free(check);
			sqlite3_close(db);
			unlink(path);
		}
	}
	assert_true(killed > 5);
	sqlite3_close(open_input(dump));
	assert_int_equal(inode(temp_path("k.hfdb.tmp")), 0);
	assert_int_equal(inode(temp_path("k.hfdb.tmp1")), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_cache_path),
		cmocka_unit_test(test_cached),
		cmocka_unit_test(test_in_the_way),
		cmocka_unit_test(test_refuse),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_kill),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	temp_done();
	return failed;
}
