/* The table-valued functions against the tables they are worked out from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_heap.h"
#include "sql/graph_cache.h"
#include "sql/sql.h"
#include "store_util.h"

static sqlite3 *db;

static int setup(void **state)
{
	static const struct fake_heap_options shape = {.n_objects = 400,
		.n_edges = 900,
		.n_roots = 20,
		.n_variables = 9,
		.n_arenas = 1,
		.seed = 11,
		.list = true};
	struct built b = {0};
	struct hf_err err = {0};
	check_ok(fake_heap_init(&b.heap, &shape, &err), &err);
	check_ok(hf_analysis_init(&b.analysis, &b.heap, NULL, &err), &err);
	check_ok(hf_analysis_run(&b.analysis, NULL, NULL, &err), &err);
	const char *path = temp_path("sql.hfdb");
	built_write(&b, path, &(struct hf_store_options){0});
	built_deinit(&b);
	db = db_open(path);
	char *message = NULL;
	if (hf_sql_register(db, &message) != SQLITE_OK)
		fail_msg("%s", message);
	return 0;
}

static int teardown(void **state)
{
	sqlite3_close(db);
	temp_done();
	return 0;
}

/* No row may come out. */
static void expect_none(const char *sql)
{
	char count[1500];
	snprintf(count, sizeof(count), "SELECT count(*) FROM (%s)", sql);
	int64_t n = db_int(db, count);
	if (n)
		fail_msg("%lld rows: %s", (long long)n, sql);
}

/* The part that is reached and the leaks are both worth asking about. */
static void test_data(void **state)
{
	assert_true(db_int(db, "SELECT count(*) FROM object WHERE reachable") > 50);
	assert_true(db_int(db, "SELECT count(*) FROM object WHERE NOT reachable") > 50);
	assert_true(db_int(db, "SELECT count(*) FROM object WHERE retained_size < held_size") > 10);
	assert_true(db_int(db, "SELECT max(depth) FROM object") > 4);
}

static void test_trees(void **state)
{
	expect_none("SELECT id FROM object WHERE retained_size <> (SELECT sum(size) FROM "
		    "dominated(id)) OR retained_count <> (SELECT count(*) FROM dominated(id))");
	expect_none("SELECT id FROM object WHERE held_size <> (SELECT sum(size) FROM held(id)) OR "
		    "held_count <> (SELECT count(*) FROM held(id))");
	expect_none("SELECT o.id FROM object o JOIN dominated(o.id) d WHERE d.level > 0 AND "
		    "d.parent_id <> (SELECT idom_id FROM object WHERE id = d.object_id)");
	expect_none("SELECT o.id FROM object o WHERE (SELECT count(*) FROM held(o.id, 1)) <> 1 + "
		    "(SELECT count(*) FROM object WHERE holder_id = o.id)");
	expect_none("SELECT * FROM held(100000)");
	expect_none("SELECT * FROM dominated(NULL)");
}

static void test_path(void **state)
{
	/* It ends at the object, starts at its root, and every hop is held by the one before. */
	expect_none("SELECT id FROM object o WHERE (SELECT object_id FROM path(o.id) ORDER BY hop "
		    "DESC LIMIT 1) IS NOT o.id");
	expect_none(
		"SELECT o.id FROM object o JOIN path(o.id) p JOIN object x ON x.id = p.object_id "
		"WHERE (SELECT q.object_id FROM path(o.id) q WHERE q.hop = p.hop - 1) IS NOT "
		"x.holder_id");
	expect_none("SELECT id FROM object o WHERE (SELECT count(*) FROM path(o.id)) <> (SELECT "
		    "max(hop) + 1 FROM path(o.id))");
	expect_none("SELECT o.id FROM object o JOIN path(o.id) p WHERE p.hop = 0 AND p.name IS NOT "
		    "CASE WHEN reachable THEN (SELECT name FROM root WHERE id = o.holder_root_id) "
		    "ELSE 'unreachable' END");
	/* Where the word lies: the edge, or the root word's place in its variable. */
	expect_none(
		"SELECT o.id FROM object o JOIN path(o.id) p JOIN object x ON x.id = p.object_id "
		"WHERE x.holder_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM edge WHERE src_id = "
		"x.holder_id AND dst_id = x.id AND src_offset = p.via_offset)");
	/* Rows come in the order of the path without ORDER BY. */
	expect_none("SELECT * FROM (SELECT o.id, hop, row_number() OVER (PARTITION BY o.id) AS n "
		    "FROM object o CROSS JOIN path(o.id)) WHERE hop <> n - 1");
	expect_none("SELECT * FROM path(0) UNION ALL SELECT * FROM path(401)");
}

static void test_who(void **state)
{
	expect_none("SELECT id FROM object WHERE object_at(addr) IS NOT id OR object_at(addr + "
		    "usable - "
		    "1) IS NOT id OR object_at(addr + usable) IS NOT NULL");
	expect_none("SELECT object_at(0) AS x WHERE x IS NOT NULL UNION ALL SELECT "
		    "object_at('0xffffffff"
		    "ffff') AS x WHERE x IS NOT NULL");
	expect_none(
		"SELECT id FROM object o WHERE (SELECT group_concat(hop || ifnull(object_id, 'r')) "
		"FROM who(o.addr + 3)) IS NOT (SELECT group_concat(hop || ifnull(object_id, 'r')) "
		"FROM path(o.id))");
	expect_none(
		"SELECT id FROM object o WHERE (SELECT count(*) FROM who(ptr(o.addr))) <> (SELECT "
		"count(*) FROM path(o.id))");
	expect_none("SELECT * FROM who('0x10') UNION ALL SELECT * FROM who('nonsense')");
	char *text = db_text(db, "SELECT ptr(4096) || coalesce(ptr(NULL), '-')");
	assert_string_equal(text, "0x1000-");
	free(text);
}

static void test_referrers(void **state)
{
	expect_none(
		"SELECT id FROM object o WHERE (SELECT count(object_id) FROM referrers(o.id)) <> "
		"(SELECT count(*) FROM edge WHERE dst_id = o.id) OR (SELECT count(root_id) FROM "
		"referrers(o.id)) <> (SELECT count(*) FROM root WHERE object_id = o.id)");
	expect_none(
		"SELECT o.id FROM object o JOIN referrers(o.id) r WHERE r.object_id AND NOT EXISTS "
		"(SELECT 1 FROM edge WHERE src_id = r.object_id AND src_offset = r.offset AND "
		"dst_id = o.id AND dst_offset = r.dst_offset)");
}

static void test_also_holds(void **state)
{
	/* What is retained less than held has words that spoil it, and nothing else has. */
	expect_none("SELECT id FROM object o WHERE reachable AND (SELECT count(*) > 0 FROM "
		    "also_holds(o.id)) <> (retained_size < held_size)");
	expect_none("SELECT o.id FROM object o JOIN also_holds(o.id) a WHERE a.target_id NOT IN "
		    "(SELECT "
		    "object_id FROM held(o.id)) OR a.object_id IN (SELECT object_id FROM "
		    "held(o.id)) OR "
		    "NOT exact OR reaches_size > o.held_size - o.retained_size");
	/* The word is where the row says. */
	expect_none("SELECT o.id FROM object o JOIN also_holds(o.id) a WHERE a.object_id AND NOT "
		    "EXISTS "
		    "(SELECT 1 FROM edge WHERE src_id = a.object_id AND src_offset = a.offset AND "
		    "dst_id "
		    "= a.target_id)");
	expect_none(
		"SELECT o.id FROM object o JOIN also_holds(o.id) a WHERE a.root_id AND NOT EXISTS "
		"(SELECT 1 FROM root WHERE id = a.root_id AND object_id = a.target_id AND name = "
		"a.name AND kind = a.kind)");
	assert_true(
		db_int(db,
			"SELECT count(*) FROM object o JOIN also_holds(o.id) a WHERE a.root_id") >
		0);
	assert_true(
		db_int(db,
			"SELECT count(*) FROM object o JOIN also_holds(o.id) a WHERE a.object_id") >
		0);
	expect_none("SELECT * FROM also_holds(99999)");
}

static void test_retained_set(void **state)
{
	expect_none("SELECT id FROM object o JOIN retained_set(json_array(o.id)) s WHERE "
		    "s.retained_size <> o.retained_size OR s.retained_count <> o.retained_count");
	expect_none("SELECT * FROM retained_set((SELECT json_group_array(id) FROM object)) WHERE "
		    "retained_size <> (SELECT sum(size) FROM object) OR members <> 400");
	assert_int_equal(db_int(db, "SELECT retained_size FROM retained_set('[]')"), 0);
	sqlite3_stmt *stmt = NULL;
	static const char *const wrong[] = {"[0]", "[401]", "[\"x\"]", "nonsense", "[1.5]"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		assert_int_equal(
			sqlite3_prepare_v2(db, "SELECT * FROM retained_set(?)", -1, &stmt, NULL),
			SQLITE_OK);
		sqlite3_bind_text(stmt, 1, wrong[i], -1, SQLITE_STATIC);
		assert_int_equal(sqlite3_step(stmt), SQLITE_ERROR);
		assert_non_null(strstr(sqlite3_errmsg(db), "retained_set: "));
		sqlite3_finalize(stmt);
	}
}

/* What an entry looks like from outside the graph that it was found in. */
static void same_entry(const struct hf_sql_graph *g, const struct hf_graph_entry *a,
	const struct hf_sql_graph *h, const struct hf_graph_entry *b)
{
	assert_int_equal(a->src == HF_GRAPH_NONE, b->src == HF_GRAPH_NONE);
	if (a->src == HF_GRAPH_NONE)
		assert_int_equal(
			hf_sql_graph_root_id(g, a->word), hf_sql_graph_root_id(h, b->word));
	else
		assert_int_equal(
			hf_sql_graph_object_id(g, a->src), hf_sql_graph_object_id(h, b->src));
	assert_int_equal(
		hf_sql_graph_object_id(g, a->target), hf_sql_graph_object_id(h, b->target));
	assert_int_equal(a->reaches.size, b->reaches.size);
	assert_int_equal(a->reaches.count, b->reaches.count);
	assert_true(a->exact && b->exact);
}

static void compare_part(sqlite3 *heap, struct hf_sql_graph_cache *parts,
	struct hf_sql_graph_cache *wholes, const uint32_t *ids, size_t n)
{
	struct hf_sql_graph *part, *whole;
	struct hf_err err;
	check_ok(hf_sql_graph_get(parts, heap, ids, n, &part, &err), &err);
	check_ok(hf_sql_graph_get(wholes, heap, ids, n, &whole, &err), &err);
	assert_non_null(part->object_id);
	assert_null(whole->object_id);
	uint32_t in_part[8], in_whole[8];
	for (size_t i = 0; i < n; i++) {
		in_part[i] = hf_sql_graph_node(part, ids[i]);
		in_whole[i] = hf_sql_graph_node(whole, ids[i]);
		assert_int_equal(hf_sql_graph_object_id(part, in_part[i]), ids[i]);
	}
	struct hf_graph_sum a, b;
	check_ok(hf_graph_retained_set(&part->holders, in_part, n, &a, &err), &err);
	check_ok(hf_graph_retained_set(&whole->holders, in_whole, n, &b, &err), &err);
	assert_int_equal(a.size, b.size);
	assert_int_equal(a.count, b.count);
	struct hf_graph_entries e = {0}, f = {0};
	check_ok(hf_graph_entries_init(&e, &part->holders, in_part[0], 0, &err), &err);
	check_ok(hf_graph_entries_init(&f, &whole->holders, in_whole[0], 0, &err), &err);
	assert_int_equal(e.n, f.n);
	assert_int_equal(e.shared.size, f.shared.size);
	for (size_t i = 0; i < e.n; i++)
		same_entry(part, &e.entry[i], whole, &f.entry[i]);
	hf_graph_entries_deinit(&e);
	hf_graph_entries_deinit(&f);
	hf_sql_graph_put(parts, part);
	hf_sql_graph_put(wholes, whole);
}

/* A part of the graph gives the same answers as the whole. */
static void test_part(void **state)
{
	for (unsigned seed = 1; seed <= 12; seed++) {
		struct fake_heap_options shape = {.n_objects = 300,
			.n_edges = 300 + 100 * (seed % 5),
			.n_roots = 2 + seed,
			.n_variables = 3,
			.n_arenas = 1,
			.seed = 100 + seed,
			.list = seed % 2};
		struct built b = {0};
		struct hf_err err = {0};
		check_ok(fake_heap_init(&b.heap, &shape, &err), &err);
		check_ok(hf_analysis_init(&b.analysis, &b.heap, NULL, &err), &err);
		check_ok(hf_analysis_run(&b.analysis, NULL, NULL, &err), &err);
		const char *path = temp_path("part.hfdb");
		built_write(&b, path, &(struct hf_store_options){0});
		built_deinit(&b);
		sqlite3 *heap = db_open(path);
		struct hf_sql_graph_cache *parts = hf_sql_graph_cache_create(1),
					  *wholes = hf_sql_graph_cache_create(1);
		parts->whole_from = UINT64_MAX;
		wholes->whole_from = 1;
		uint32_t n_objects = (uint32_t)db_int(heap, "SELECT count(*) FROM object");
		srand(seed);
		for (int k = 0; k < 300; k++) {
			uint32_t ids[8];
			size_t n = 1 + (size_t)rand() % 8;
			for (size_t i = 0; i < n; i++)
				ids[i] = 1 + (uint32_t)rand() % n_objects;
			if (k < (int)n_objects)
				ids[0] = (uint32_t)k + 1;
			compare_part(heap, parts, wholes, ids, n);
		}
		hf_sql_graph_unref(parts);
		hf_sql_graph_unref(wholes);
		sqlite3_close(heap);
	}
}

/* Without its argument a function is no table; on a foreign database it says so. */
static void test_misuse(void **state)
{
	sqlite3_stmt *stmt = NULL;
	assert_int_not_equal(
		sqlite3_prepare_v2(db, "SELECT * FROM path", -1, &stmt, NULL), SQLITE_OK);
	sqlite3_finalize(stmt);
	sqlite3 *other = NULL;
	assert_int_equal(sqlite3_open(":memory:", &other), SQLITE_OK);
	assert_int_equal(hf_sql_register(other, NULL), SQLITE_OK);
	assert_int_equal(
		sqlite3_prepare_v2(other, "SELECT * FROM path(1)", -1, &stmt, NULL), SQLITE_OK);
	assert_int_not_equal(sqlite3_step(stmt), SQLITE_ROW);
	assert_non_null(strstr(sqlite3_errmsg(other), "not a Holdfast database"));
	sqlite3_finalize(stmt);
	assert_int_equal(sqlite3_prepare_v2(other, "SELECT * FROM also_holds(1)", -1, &stmt, NULL),
		SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ERROR);
	sqlite3_finalize(stmt);
	sqlite3_close(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_data),
		cmocka_unit_test(test_trees),
		cmocka_unit_test(test_path),
		cmocka_unit_test(test_who),
		cmocka_unit_test(test_referrers),
		cmocka_unit_test(test_also_holds),
		cmocka_unit_test(test_retained_set),
		cmocka_unit_test(test_part),
		cmocka_unit_test(test_misuse),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
