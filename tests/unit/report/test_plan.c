/*
 * Questions about one object are answered by searches, not by reading the heap: who, refs and tree
 * on a database whose path is the first argument. Statements of theirs that step through a table
 * without an index are found by SQLite's own counter.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "report/report.h"

/* Small tables (mappings, variables, threads, types) may be read whole. */
enum { SMALL_TABLE_ROWS = 40 };

static const char *path;
static int scans;

static int on_profile(unsigned kind, void *ctx, void *stmt, void *time)
{
	(void)ctx;
	(void)time;
	if (kind != SQLITE_TRACE_PROFILE)
		return 0;
	int steps = sqlite3_stmt_status(stmt, SQLITE_STMTSTATUS_FULLSCAN_STEP, 1);
	if (steps > SMALL_TABLE_ROWS) {
		print_error("%d rows were scanned by: %s\n", steps, sqlite3_sql(stmt));
		scans++;
	}
	return 0;
}

struct session {
	sqlite3 *db;
	struct hf_emit *emit;
	struct hf_report report;
	FILE *out;
	char *text;
	size_t size;
};

static void session_open(struct session *s)
{
	struct hf_err err;
	*s = (struct session){0};
	assert_int_equal(sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	sqlite3_trace_v2(s->db, SQLITE_TRACE_PROFILE, on_profile, NULL);
	s->out = open_memstream(&s->text, &s->size);
	struct hf_emit_options options = {.form = HF_EMIT_JSON, .out = s->out};
	assert_int_equal(hf_emit_create(&options, "test", &s->emit, &err), HF_OK);
	assert_int_equal(hf_report_begin(&s->report, s->db, s->emit, path, &err), HF_OK);
	scans = 0;
}

static void session_close(struct session *s)
{
	struct hf_err err;
	hf_report_end(&s->report);
	assert_int_equal(hf_emit_finish(s->emit, &err), HF_OK);
	hf_emit_destroy(s->emit);
	fclose(s->out);
	assert_true(s->size > 100);
	free(s->text);
	sqlite3_close(s->db);
	assert_int_equal(scans, 0);
}

static int64_t value(struct session *s, const char *sql)
{
	int64_t v = 0;
	struct hf_err err;
	assert_int_equal(hf_query_int(s->db, &v, &err, sql, ""), HF_OK);
	assert_true(v != 0);
	scans = 0;
	return v;
}

/* An object in the middle, a list's tail that a stray register reaches, a leak, and no object. */
static const char *const questions[] = {
	"SELECT addr + 10 FROM object WHERE id = 12",
	"SELECT object.addr FROM object JOIN root r ON r.object_id = object.id WHERE r.kind = "
	"'register'",
	"SELECT addr FROM object WHERE id = 1",
	"SELECT addr FROM object WHERE NOT reachable LIMIT 1",
};

static void test_who(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
		struct session s;
		struct hf_err err;
		session_open(&s);
		uint64_t addr = (uint64_t)value(&s, questions[i]);
		struct hf_who_options options = {.n_paths = 5};
		assert_int_equal(hf_report_who(&s.report, addr, &options, &err), HF_OK);
		session_close(&s);
	}
}

static void test_refs(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
		struct session s;
		struct hf_err err;
		session_open(&s);
		uint64_t addr = (uint64_t)value(&s, questions[i]);
		struct hf_refs_options options = {.in = true, .out = true, .limit = 20};
		assert_int_equal(hf_report_refs(&s.report, addr, &options, &err), HF_OK);
		session_close(&s);
	}
}

static void test_tree(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct session s;
		struct hf_err err;
		session_open(&s);
		struct hf_tree_options options = {.dominators = i & 1,
			.has_addr = i & 2,
			.n = 6,
			.depth = 4,
			.min_percent = 1};
		options.addr = (uint64_t)value(&s, questions[2]);
		assert_int_equal(hf_report_tree(&s.report, &options, &err), HF_OK);
		session_close(&s);
	}
}

static void test_where(void **state)
{
	(void)state;
	struct session s;
	struct hf_err err;
	session_open(&s);
	struct hf_who_options options = {.n_paths = 1};
	uint64_t addr = (uint64_t)value(&s, "SELECT max(addr) + 4096 FROM object");
	assert_int_equal(hf_report_who(&s.report, addr, &options, &err), HF_E_NOTFOUND);
	session_close(&s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who),
		cmocka_unit_test(test_refs),
		cmocka_unit_test(test_tree),
		cmocka_unit_test(test_where),
	};
	if (argc != 2)
		return 2;
	path = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
