#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fmt.h"
#include "store/back_edges.h"
#include "store/insert.h"
#include "store/rows_sql.h"
#include "store/schema.h"
#include "store/summaries.h"
#include "store/tables.h"

enum { DEFAULT_PAGE_SIZE = 4096 };

static void close_db(sqlite3 **db)
{
	sqlite3_close(*db);
}

/* A connection to the file under construction: nobody else sees it, so neither journal nor locks
 * nor syncs are needed; a failed load throws it away. */
static enum hf_status open_temp(sqlite3 **ret, const struct hf_store *store, struct hf_err *err)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_PRIVATECACHE;
	int rc = sqlite3_open_v2(store->output.temp, ret, flags, NULL);
	if (rc != SQLITE_OK) {
		enum hf_status status = hf_err_set(err, HF_E_IO, "%s: %s", store->output.temp,
			*ret ? sqlite3_errmsg(*ret) : "no memory");
		sqlite3_close(*ret);
		*ret = NULL;
		return status;
	}
	char sql[200];
	hf_fmt(sql, sizeof(sql),
		"PRAGMA page_size = %u; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
		"PRAGMA locking_mode = EXCLUSIVE; PRAGMA temp_store = MEMORY",
		store->options.page_size ? store->options.page_size : DEFAULT_PAGE_SIZE);
	return hf_insert_exec(*ret, sql, err);
}

static enum hf_status root_page(sqlite3 *db, const char *name, uint32_t *ret, struct hf_err *err)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(
		db, "SELECT rootpage FROM sqlite_schema WHERE name = ?", -1, &stmt, NULL);
	if (rc == SQLITE_OK) {
		sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
		rc = sqlite3_step(stmt);
		if (rc == SQLITE_ROW)
			*ret = (uint32_t)sqlite3_column_int64(stmt, 0);
	}
	sqlite3_finalize(stmt);
	return rc == SQLITE_ROW ? HF_OK
				: hf_err_set(err, HF_E_FAILED, "the schema has no %s", name);
}

static enum hf_status make_schema(struct hf_store *store, struct hf_err *err)
{
	_cleanup_(close_db) sqlite3 *db = NULL;
	enum hf_status status = open_temp(&db, store, err);
	if (!status)
		status = hf_insert_exec(db, "BEGIN", err);
	if (!status)
		status = hf_schema_apply(db, err);
	if (!status)
		status = hf_insert_exec(db, "COMMIT", err);
	/* A table without rowid is found by its own name: its primary key is the table. */
	if (!status)
		status = root_page(db, "object", &store->root_object, err);
	if (!status)
		status = root_page(db, "object_far_idom", &store->root_object_far_idom, err);
	if (!status)
		status = root_page(db, "object_leak", &store->root_object_leak, err);
	if (!status)
		status = root_page(db, "edge", &store->root_edge, err);
	if (!status)
		status = root_page(db, "edge_dst", &store->root_edge_dst, err);
	return status;
}

/* What has the final name may only be replaced if it is a database of ours, or empty. */
static enum hf_status check_replace(const char *path, struct hf_err *err)
{
	struct stat st;
	if (lstat(path, &st) != 0)
		return HF_OK;
	if (S_ISREG(st.st_mode) && st.st_size == 0)
		return HF_OK;
	sqlite3 *db = NULL;
	bool ours = S_ISREG(st.st_mode) &&
		    sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
		    hf_schema_is_ours(db);
	sqlite3_close(db);
	if (ours)
		return HF_OK;
	return hf_err_set(err, HF_E_EXISTS,
		"%s exists and is not a Holdfast database: remove it or choose another name", path);
}

uint64_t hf_store_estimate(const struct hf_heap *heap, const struct hf_names *names)
{
	/* Bytes a row, with its part of the pages above. */
	enum { OBJECT = 34, TYPED = 6, EDGE = 33, FIELD = 2, ROOT = 60, REST = 4 << 20 };
	bool typed = heap->site || (names && names->object_type);
	return REST + heap->n_objects * (OBJECT + (typed ? TYPED : 0)) +
	       heap->n_edges * (EDGE + (names && names->edge_field ? FIELD : 0)) +
	       (heap->roots.n + heap->variables.n) * ROOT;
}

static bool on_pages(void *ctx, uint64_t n_pages)
{
	struct hf_store *store = ctx;
	return !store->options.progress || store->options.progress(store->options.progress_ctx,
						   n_pages * store->pages.page_size);
}

enum hf_status hf_store_init(struct hf_store *ret, const char *path,
	const struct hf_store_options *options, struct hf_err *err)
{
	*ret = (struct hf_store){.output = {.fd = -1, .dir_fd = -1}, .options = *options};
	enum hf_status status = check_replace(path, err);
	if (!status)
		status = hf_output_init(&ret->output, path, err);
	if (!status)
		status = make_schema(ret, err);
	if (!status)
		status = hf_btree_file_init(&ret->pages, ret->output.fd, err);
	ret->pages.progress = on_pages;
	ret->pages.progress_ctx = ret;
	if (status)
		hf_store_deinit(ret);
	return status;
}

void hf_store_deinit(struct hf_store *store)
{
	hf_btree_file_deinit(&store->pages);
	hf_output_deinit(&store->output);
}

enum hf_status hf_store_edges(struct hf_store *store, const struct hf_heap *heap,
	const struct hf_names *names, struct hf_err *err)
{
	if (store->options.by_sql)
		return HF_OK; /* with the objects */
	struct hf_rows_edges edges = {.heap = heap, .field = names ? names->edge_field : NULL};
	return hf_btree_write_index(
		&store->pages, store->root_edge, heap->n_edges, hf_rows_edge, &edges, err);
}

enum hf_status hf_store_edge_index(
	struct hf_store *store, const struct hf_heap *heap, struct hf_err *err)
{
	if (store->options.by_sql)
		return HF_OK;
	_cleanup_(hf_back_edges_deinit) struct hf_back_edges back;
	enum hf_status status = hf_back_edges_init(&back, heap, 0, err);
	return status ? status
		      : hf_btree_write_index(&store->pages, store->root_edge_dst, heap->n_edges,
				hf_back_edges_row, &back, err);
}

/* A partial index; its entries are given up. */
static enum hf_status write_pairs(
	struct hf_store *store, uint32_t root, struct hf_rows_pairs *pairs, struct hf_err *err)
{
	enum hf_status status = HF_OK;
	if (!store->options.by_sql) /* else it came with the objects */
		status = hf_btree_write_index(
			&store->pages, root, pairs->n, hf_rows_pair, pairs, err);
	hf_rows_pairs_deinit(pairs);
	return status;
}

static enum hf_status write_by_sql(
	struct hf_store *store, const struct hf_store_input *input, struct hf_err *err)
{
	_cleanup_(close_db) sqlite3 *db = NULL;
	enum hf_status status = open_temp(&db, store, err);
	if (!status)
		status = hf_insert_exec(db, "BEGIN", err);
	struct hf_rows_objects objects = hf_tables_objects(input);
	if (!status)
		status = hf_rows_sql_objects(db, &objects, err);
	struct hf_rows_edges edges = {
		.heap = input->heap, .field = input->names ? input->names->edge_field : NULL};
	if (!status)
		status = hf_rows_sql_edges(db, &edges, err);
	return status ? status : hf_insert_exec(db, "COMMIT", err);
}

enum hf_status hf_store_objects(
	struct hf_store *store, const struct hf_store_input *input, struct hf_err *err)
{
	if (store->options.by_sql)
		return write_by_sql(store, input, err);
	struct hf_rows_objects objects = hf_tables_objects(input);
	return hf_btree_write_table(&store->pages, store->root_object, input->heap->n_objects,
		hf_rows_object, &objects, err);
}

enum hf_status hf_store_tables(struct hf_store *store, const struct hf_store_input *input,
	struct hf_summaries *summaries, struct hf_err *err)
{
	enum hf_status status =
		write_pairs(store, store->root_object_far_idom, &summaries->far_idom, err);
	if (!status)
		status = write_pairs(store, store->root_object_leak, &summaries->leak, err);
	if (!status && !store->options.by_sql)
		status = hf_btree_file_finish(&store->pages, err);
	if (status)
		return status;
	_cleanup_(close_db) sqlite3 *db = NULL;
	status = open_temp(&db, store, err);
	if (!status)
		status = hf_insert_exec(db, "BEGIN", err);
	if (!status)
		status = hf_tables_process(db, input, err);
	if (!status)
		status = hf_tables_roots(db, input, err);
	if (!status)
		status = hf_tables_summaries(db, input, summaries, err);
	if (!status)
		status = hf_tables_labels(db, input, err);
	return status ? status : hf_insert_exec(db, "COMMIT", err);
}

enum hf_status hf_store_commit(struct hf_store *store, struct hf_err *err)
{
	return hf_output_commit(&store->output, err);
}

enum hf_status hf_store_write(const char *path, const struct hf_store_input *input,
	const struct hf_store_options *options, struct hf_err *err)
{
	struct hf_store store;
	enum hf_status status = hf_store_init(&store, path, options, err);
	if (status)
		return status;
	status = hf_store_edges(&store, input->heap, input->names, err);
	if (!status)
		status = hf_store_edge_index(&store, input->heap, err);
	if (!status)
		status = hf_store_objects(&store, input, err);
	struct hf_summaries summaries = {0};
	if (!status)
		status = hf_summaries_init(&summaries, input, err);
	if (!status)
		status = hf_store_tables(&store, input, &summaries, err);
	if (!status)
		status = hf_store_commit(&store, err);
	hf_summaries_deinit(&summaries);
	hf_store_deinit(&store);
	return status;
}
