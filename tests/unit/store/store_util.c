#include "store_util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

void check_ok(enum hf_status status, const struct hf_err *err)
{
	if (status)
		fail_msg("status %d: %s", status, err->msg);
}

static char dir[64];

const char *temp_dir(void)
{
	if (!dir[0]) {
		strcpy(dir, "/tmp/hf_store_XXXXXX");
		assert_non_null(mkdtemp(dir));
	}
	return dir;
}

void temp_done(void)
{
	char command[100];
	if (!dir[0])
		return;
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	if (system(command))
		fprintf(stderr, "%s failed\n", command);
	dir[0] = 0;
}

const char *temp_path(const char *name)
{
	static char path[64][200];
	static unsigned at;
	char *p = path[at++ % 64];
	snprintf(p, sizeof(path[0]), "%s/%s", temp_dir(), name);
	return p;
}

void built_write(
	const struct built *built, const char *path, const struct hf_store_options *options)
{
	const struct hf_analysis *a = &built->analysis;
	struct hf_store_figure figure = {"load_memory", 4711};
	struct hf_store_input input = {.heap = &built->heap,
		.graph = &a->graph,
		.reach = &a->reach,
		.heads = &a->heads,
		.dominators = &a->dominators,
		.held = &a->held,
		.names = &built->names,
		.figures = &figure,
		.n_figures = 1};
	struct hf_err err = {0};
	check_ok(hf_store_write(path, &input, options, &err), &err);
}

void built_deinit(struct built *built)
{
	hf_analysis_deinit(&built->analysis);
	hf_heap_deinit(&built->heap);
}

sqlite3 *db_open(const char *path)
{
	sqlite3 *db = NULL;
	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
		fail_msg("%s: %s", path, sqlite3_errmsg(db));
	return db;
}

void db_exec(sqlite3 *db, const char *sql)
{
	char *msg = NULL;
	if (sqlite3_exec(db, sql, NULL, NULL, &msg) != SQLITE_OK)
		fail_msg("%s: %s", sql, msg);
}

char *db_text(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *stmt = NULL;
	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	if (sqlite3_step(stmt) != SQLITE_ROW)
		fail_msg("%s: no row: %s", sql, sqlite3_errmsg(db));
	const char *text = (const char *)sqlite3_column_text(stmt, 0);
	char *copy = strdup(text ? text : "NULL");
	sqlite3_finalize(stmt);
	return copy;
}

int64_t db_int(sqlite3 *db, const char *sql)
{
	char *text = db_text(db, sql);
	int64_t v = strtoll(text, NULL, 10);
	free(text);
	return v;
}
