/*
 * Whole databases: written as pages and by INSERT they answer alike; the sums hold; the precomputed
 * summaries are what SQL makes of the objects; the bytes depend on the heap alone.
 */
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

#include "fake_heap.h"
#include "store_util.h"

static const struct fake_heap_options SMALL = {.n_objects = 300,
	.n_edges = 700,
	.n_roots = 20,
	.n_variables = 9,
	.n_arenas = 2,
	.n_sites = 5,
	.seed = 3,
	.requested = true};
static const struct fake_heap_options LARGE = {.n_objects = 30000,
	.n_edges = 80000,
	.n_roots = 700,
	.n_variables = 90,
	.n_arenas = 3,
	.n_sites = 40,
	.seed = 4,
	.list = true};

static const struct hf_names_type TYPES[] = {{"node", "struct", "dwarf", 40},
	{"Widget", "class", "vtable", 64}, {"buf", NULL, "site", 0}};
static const struct hf_names_field FIELDS[] = {{0, true, 0, 0, "next"}, {0, false, 8, 0, "key"}};
static const struct hf_names_site SITES[] = {{1, 12, "make_node", "list.c", 100, 2, 300, 6, 1, 0},
	{2, 0, "grow", NULL, 50, 1, 50, 1, 0, 0}};
static const struct hf_names_frame SITE_FRAMES[] = {{1, 0, 1, 12, 0x401000, "make_node", "list.c"},
	{1, 1, 1, 30, 0x402000, "main", "list.c"}, {2, 0, 0, 0, 0x403000, "grow", NULL}};
static const struct hf_names_frame FRAMES[] = {{0, 0, 1, 30, 0x402000, "main", "list.c"}};

static void build(struct built *b, const struct fake_heap_options *options, bool names)
{
	struct hf_err err = {0};
	*b = (struct built){0};
	check_ok(fake_heap_init(&b->heap, options, &err), &err);
	check_ok(hf_analysis_init(&b->analysis, &b->heap, NULL, &err), &err);
	check_ok(hf_analysis_run(&b->analysis, NULL, NULL, &err), &err);
	if (!names)
		return;
	uint32_t *type = calloc(options->n_objects, sizeof(*type));
	uint32_t *field = calloc(options->n_edges, sizeof(*field));
	for (uint64_t i = 0; i < options->n_objects; i++)
		type[i] = (uint32_t)(b->heap.addr[i] / 16 % 4);
	for (uint64_t e = 0; e < options->n_edges; e++)
		field[e] = e % 3 == 0;
	b->names = (struct hf_names){.types = TYPES,
		.n_types = 3,
		.fields = FIELDS,
		.n_fields = 2,
		.sites = SITES,
		.n_sites = 2,
		.site_frames = SITE_FRAMES,
		.n_site_frames = 3,
		.frames = FRAMES,
		.n_frames = 1,
		.object_type = type,
		.edge_field = field};
}

static void unbuild(struct built *b)
{
	free((void *)b->names.object_type);
	free((void *)b->names.edge_field);
	built_deinit(b);
}

static void expect_int(sqlite3 *db, const char *a, const char *b)
{
	int64_t x = db_int(db, a), y = db_int(db, b);
	if (x != y)
		fail_msg("%s = %lld, but %s = %lld", a, (long long)x, b, (long long)y);
}

static void expect_ok(sqlite3 *db, const char *schema)
{
	char sql[100];
	snprintf(sql, sizeof(sql), "PRAGMA %s.integrity_check", schema);
	char *check = db_text(db, sql);
	if (strcmp(check, "ok") != 0)
		fail_msg("%s: %s", schema, check);
	free(check);
}

/* Every table and view has the same rows in both. */
static void compare_all(sqlite3 *db)
{
	sqlite3_stmt *names = NULL;
	assert_int_equal(sqlite3_prepare_v2(db,
				 "SELECT name FROM main.sqlite_schema "
				 "WHERE type IN ('table', 'view')",
				 -1, &names, NULL),
		SQLITE_OK);
	unsigned n = 0;
	for (; sqlite3_step(names) == SQLITE_ROW; n++) {
		const char *name = (const char *)sqlite3_column_text(names, 0);
		char sql[600];
		snprintf(sql, sizeof(sql),
			"SELECT (SELECT count(*) FROM (SELECT * FROM main.%s EXCEPT SELECT * FROM "
			"o.%s)) + (SELECT count(*) FROM (SELECT * FROM o.%s EXCEPT SELECT * FROM "
			"main.%s)) + abs((SELECT count(*) FROM main.%s) - (SELECT count(*) FROM "
			"o.%s))",
			name, name, name, name, name, name);
		if (db_int(db, sql))
			fail_msg("%s differs", name);
	}
	assert_true(n > 30);
	sqlite3_finalize(names);
}

static void pages_and_sql(const struct fake_heap_options *options, bool names, uint32_t page_size)
{
	struct built b;
	build(&b, options, names);
	const char *pages = temp_path("pages.hfdb"), *oracle = temp_path("sql.hfdb");
	built_write(&b, pages, &(struct hf_store_options){.page_size = page_size});
	built_write(&b, oracle, &(struct hf_store_options){.page_size = page_size, .by_sql = true});
	unbuild(&b);
	sqlite3 *db = db_open(pages);
	char sql[300];
	snprintf(sql, sizeof(sql), "ATTACH '%s' AS o", oracle);
	db_exec(db, sql);
	expect_ok(db, "main");
	expect_ok(db, "o");
	assert_int_equal(db_int(db, "PRAGMA page_size"), page_size ? page_size : 4096);
	compare_all(db);
	sqlite3_close(db);
}

static void test_pages_and_sql(void **state)
{
	pages_and_sql(&SMALL, true, 0);
	pages_and_sql(&SMALL, false, 512);
	pages_and_sql(&LARGE, true, 1024);
	pages_and_sql(&LARGE, false, 65536);
	struct fake_heap_options empty = {.n_arenas = 1};
	pages_and_sql(&empty, false, 0);
	struct fake_heap_options one = {.n_objects = 1, .n_roots = 1, .n_arenas = 1};
	pages_and_sql(&one, false, 0);
}

static const char *const LAWS[][2] = {
	{"SELECT sum(size) FROM object", "SELECT value FROM meta WHERE key = 'live_size'"},
	{"SELECT count(*) FROM edge", "SELECT value FROM meta WHERE key = 'edge_count'"},
	{"SELECT sum(size) FROM object WHERE reachable = 0",
		"SELECT value FROM meta WHERE key = 'leak_size'"},
	/* Held sizes sum to 100 %. */
	{"SELECT sum(held_size) FROM root_summary",
		"SELECT value FROM meta WHERE key = 'reachable_size'"},
	{"SELECT sum(held_size) FROM leak WHERE is_head",
		"SELECT value FROM meta WHERE key = 'leak_size'"},
	{"SELECT count(*) FROM leak WHERE is_head",
		"SELECT value FROM meta WHERE key = 'leak_head_count'"},
	{"SELECT count(*) FROM leak_head", "SELECT value FROM meta WHERE key = 'leak_head_count'"},
	{"SELECT sum(size) FROM leak_summary", "SELECT sum(size) FROM leak"},
	{"SELECT sum(held_size) FROM leak_summary", "SELECT sum(size) FROM leak"},
	{"SELECT sum(head_count) FROM leak_summary", "SELECT count(*) FROM leak_head"},
	/* What the virtual root dominates directly retains everything. */
	{"SELECT sum(retained_size) FROM (SELECT retained_size FROM object WHERE idom_id IS NULL "
	 "AND "
	 "idom_variable_id IS NULL UNION ALL SELECT retained_size FROM variable)",
		"SELECT value FROM meta WHERE key = 'live_size'"},
	{"SELECT sum(size) FROM type_summary", "SELECT sum(size) FROM object"},
	{"SELECT sum(count) FROM site_summary", "SELECT count(*) FROM object"},
	{"SELECT sum(size) FROM function_summary", "SELECT sum(size) FROM object"},
	{"SELECT sum(size) FROM module_summary", "SELECT sum(size) FROM object"},
	{"SELECT sum(size) FROM arena_summary", "SELECT sum(size) FROM object"},
	{"SELECT sum(usable) FROM arena_summary", "SELECT sum(usable) FROM object"},
	{"SELECT sum(resident) FROM memory_account",
		"SELECT value FROM meta WHERE key = 'resident_size'"},
	{"SELECT sum(resident) FROM memory_account", "SELECT sum(rss) FROM mapping"},
	/* Children views are the trees. */
	{"SELECT count(*) FROM dominator_child", "SELECT count(idom_id) FROM object"},
	{"SELECT count(*) FROM dominator_child c JOIN object o ON o.id = c.child_id "
	 "WHERE o.idom_id = c.parent_id",
		"SELECT count(idom_id) FROM object"},
	{"SELECT count(*) FROM holder_child", "SELECT count(holder_id) FROM object"},
	{"SELECT count(*) FROM holder_child c JOIN object o ON o.id = c.child_id "
	 "WHERE o.holder_id = c.parent_id",
		"SELECT count(holder_id) FROM object"},
	/* Held sizes are sums over the holder tree. */
	{"SELECT count(*) FROM object",
		"SELECT count(*) FROM object o WHERE held_size = size + coalesce("
		"(SELECT sum(held_size) FROM object c JOIN holder_child h ON "
		"h.child_id = c.id AND h.parent_id = o.id), 0)"},
	{"SELECT sum(direct_count) FROM variable",
		"SELECT count(*) FROM (SELECT DISTINCT variable_id, "
		"object_id FROM root WHERE variable_id)"},
	{"SELECT sum(word_count) FROM root_summary", "SELECT count(*) FROM root"},
	{"SELECT count(*) FROM edge_named", "SELECT count(*) FROM edge"},
	{"SELECT count(*) FROM edge_named WHERE src_addr + src_offset >= dst_addr + 0 * dst_offset",
		"SELECT count(*) FROM edge WHERE (SELECT addr FROM object WHERE id = src_id) + "
		"src_offset >= (SELECT addr FROM object WHERE id = dst_id)"},
	{"SELECT sum(rank * id) FROM top_retained",
		"SELECT sum(rank * id) FROM (SELECT id, row_number() OVER (ORDER BY retained_size "
		"DESC, "
		"id) AS rank FROM object)"},
	{"SELECT sum(rank * id) FROM top_held", "SELECT sum(rank * id) FROM (SELECT id, "
						"row_number() OVER (ORDER BY held_size DESC, id) "
						"AS rank FROM object)"},
	{"SELECT sum(rank * id) FROM leak_head", "SELECT sum(rank * id) FROM (SELECT id, "
						 "row_number() OVER (ORDER BY held_size DESC, id) "
						 "AS rank FROM leak WHERE is_head)"},
	{"SELECT count(*) FROM leak_summary", "SELECT count(*) FROM (SELECT DISTINCT site_id, "
					      "type_id, CASE WHEN site_id IS NULL AND "
					      "type_id IS NULL THEN size END FROM leak)"},
	/* A member of a group counts if no dominator above it is a member. */
	{"SELECT sum((site_id IS NULL) + coalesce(site_id, 0) * 7 + retained_size * (1 + coalesce("
	 "site_id, 0))) FROM site_summary",
		"WITH RECURSIVE up (id, site, above) AS (SELECT id, coalesce(site_id, 0), idom_id "
		"FROM "
		"object UNION ALL SELECT up.id, site, o.idom_id FROM up JOIN object o ON o.id = "
		"above "
		"WHERE coalesce(o.site_id, 0) <> site), "
		/* An object is topmost if its walk ended at the virtual root: variables have no
		   site. */
		"topmost AS (SELECT up.id, site FROM up WHERE above IS NULL) SELECT sum((site = 0) "
		"+ site "
		"* 7 + r * (1 + site)) FROM (SELECT site, sum(retained_size) AS r FROM (SELECT * "
		"FROM "
		"topmost JOIN object USING (id)) GROUP BY site)"},
};

static void laws(const struct fake_heap_options *options, bool names)
{
	struct built b;
	build(&b, options, names);
	const char *path = temp_path("laws.hfdb");
	built_write(&b, path, &(struct hf_store_options){0});
	unbuild(&b);
	sqlite3 *db = db_open(path);
	for (size_t i = 0; i < sizeof(LAWS) / sizeof(*LAWS); i++)
		expect_int(db, LAWS[i][0], LAWS[i][1]);
	sqlite3_close(db);
}

static void test_laws(void **state)
{
	struct fake_heap_options o = SMALL;
	for (o.seed = 1; o.seed < 6; o.seed++)
		laws(&o, o.seed % 2);
	o = LARGE;
	o.n_objects = 5000;
	o.n_edges = 12000;
	o.list = false;
	laws(&o, true);
}

static char *slurp(const char *path, size_t *ret_size)
{
	FILE *f = fopen(path, "rb");
	assert_non_null(f);
	fseek(f, 0, SEEK_END);
	*ret_size = (size_t)ftell(f);
	rewind(f);
	char *data = malloc(*ret_size);
	assert_int_equal(fread(data, 1, *ret_size, f), *ret_size);
	fclose(f);
	return data;
}

static void test_same_bytes(void **state)
{
	char *data[2];
	size_t size[2];
	for (int i = 0; i < 2; i++) {
		struct built b;
		build(&b, &SMALL, true);
		const char *path = temp_path(i ? "b.hfdb" : "a.hfdb");
		built_write(&b, path, &(struct hf_store_options){0});
		unbuild(&b);
		data[i] = slurp(path, &size[i]);
		struct stat st;
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
	}
	assert_int_equal(size[0], size[1]);
	assert_memory_equal(data[0], data[1], size[0]);
	free(data[0]);
	free(data[1]);
}

static void test_labels_and_text(void **state)
{
	struct built b;
	build(&b, &SMALL, false);
	struct hf_heap_label *label = hf_heap_push(&b.heap.labels);
	*label = (struct hf_heap_label){.object = 7, .text = "the \xff one \xc3\xa9"};
	struct hf_heap_property *p = hf_heap_push(&b.heap.properties);
	*p = (struct hf_heap_property){"live_size", "lies"};
	p = hf_heap_push(&b.heap.properties);
	*p = (struct hf_heap_property){"odd", "007"};
	const char *path = temp_path("text.hfdb");
	built_write(&b, path, &(struct hf_store_options){0});
	unbuild(&b);
	sqlite3 *db = db_open(path);
	char *text = db_text(db, "SELECT label FROM object WHERE id = 8");
	assert_string_equal(text, "the \\xff one \xc3\xa9");
	free(text);
	expect_int(db, "SELECT count(label) FROM object", "SELECT 1");
	expect_int(db, LAWS[0][0], LAWS[0][1]);
	expect_int(db, "SELECT value = '007' FROM meta WHERE key = 'odd'", "SELECT 1");
	expect_int(db, "SELECT value = 4711 FROM meta WHERE key = 'pid'", "SELECT 1");
	expect_ok(db, "main");
	sqlite3_close(db);
}

static bool cancel(void *ctx, uint64_t bytes)
{
	return false;
}

/* Cancelled, in the way, of a foreign name: nothing is left, nothing of others is touched. */
static void test_output(void **state)
{
	struct built b;
	build(&b, &LARGE, false);
	struct hf_analysis *a = &b.analysis;
	struct hf_store_input input = {.heap = &b.heap,
		.graph = &a->graph,
		.reach = &a->reach,
		.heads = &a->heads,
		.dominators = &a->dominators,
		.held = &a->held};
	struct hf_err err = {0};
	const char *path = temp_path("c.hfdb"), *temp = temp_path("c.hfdb.tmp");
	struct hf_store_options options = {.progress = cancel};
	assert_int_equal(hf_store_write(path, &input, &options, &err), HF_E_FAILED);
	assert_int_not_equal(access(path, F_OK), 0);
	assert_int_not_equal(access(temp, F_OK), 0);

	/* Litter of a killed load does not block a repeat; a symbolic link is not followed. */
	options.progress = NULL;
	FILE *f = fopen(temp, "w");
	fputs("litter", f);
	fclose(f);
	check_ok(hf_store_write(path, &input, &options, &err), &err);
	assert_int_not_equal(access(temp, F_OK), 0);
	const char *victim = temp_path("victim");
	f = fopen(victim, "w");
	fputs("mine", f);
	fclose(f);
	assert_int_equal(symlink(victim, temp), 0);
	check_ok(hf_store_write(path, &input, &options, &err), &err);
	size_t size;
	char *data = slurp(victim, &size);
	assert_int_equal(size, 4);
	free(data);

	/* A file of somebody else is not replaced. */
	assert_int_equal(hf_store_write(victim, &input, &options, &err), HF_E_EXISTS);
	assert_non_null(strstr(err.msg, "victim exists and is not a Holdfast database"));
	assert_int_equal(hf_store_write(temp_path("no/dir.hfdb"), &input, &options, &err), HF_E_IO);
	unbuild(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pages_and_sql),
		cmocka_unit_test(test_laws),
		cmocka_unit_test(test_same_bytes),
		cmocka_unit_test(test_labels_and_text),
		cmocka_unit_test(test_output),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	temp_done();
	return failed;
}
