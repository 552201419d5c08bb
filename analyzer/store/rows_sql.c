#include "store/rows_sql.h"

#include "base/cleanup.h"
#include "store/insert.h"

/* What a column has where a row ends before it: its DEFAULT, or NULL. */
static void insert_default(struct hf_insert *ins, int64_t v)
{
	if (v == HF_BTREE_NULL)
		hf_insert_null(ins);
	else
		hf_insert_u64(ins, (uint64_t)v);
}

static enum hf_status insert_rows(sqlite3 *db, const char *table, uint64_t n, hf_btree_row_fn fn,
	void *ctx, unsigned n_columns, const int64_t *defaults, bool has_rowid, struct hf_err *err)
{
	_cleanup_(hf_insert_deinit) struct hf_insert ins;
	enum hf_status status = hf_insert_init(&ins, db, table, n_columns, err);
	struct hf_btree_row row = {0};
	for (uint64_t i = 0; !status && i < n; i++) {
		fn(ctx, i, &row);
		if (has_rowid)
			row.value[0] = row.rowid;
		for (unsigned c = 0; c < n_columns; c++)
			insert_default(&ins, c < row.n ? row.value[c] : defaults[c]);
		status = hf_insert_row(&ins, err);
	}
	return status;
}

enum hf_status hf_rows_sql_objects(sqlite3 *db, struct hf_rows_objects *objects, struct hf_err *err)
{
	return insert_rows(db, "object", objects->heap->n_objects, hf_rows_object, objects,
		HF_ROWS_OBJECT_COLUMNS, hf_rows_object_default, true, err);
}

enum hf_status hf_rows_sql_edges(sqlite3 *db, struct hf_rows_edges *edges, struct hf_err *err)
{
	static const int64_t defaults[] = {0, 0, 0, 0, INT64_MIN};
	return insert_rows(
		db, "edge", edges->heap->n_edges, hf_rows_edge, edges, 5, defaults, false, err);
}
