#include <stdlib.h>

#include "sql/function.h"
#include "sql/graph_cache.h"
#include "sql/query.h"

/*
 *     SELECT * FROM retained_set('[17, 4711]')
 *
 * One row: what would go if all these objects went together, exactly; members is their number. The
 * ids may come from a query: retained_set((SELECT json_group_array(id) FROM object WHERE …)).
 */
enum { COLUMN_SIZE, COLUMN_COUNT, COLUMN_MEMBERS, N_COLUMNS };

struct cursor {
	struct hf_sql_cursor c;
	struct hf_graph_sum sum;
	size_t members;
};

/* The ids of a JSON array, each once. An array for free(), or NULL with *ret_why set. */
static uint32_t *read_ids(
	sqlite3 *db, sqlite3_value *json, uint32_t n_objects, size_t *ret_n, const char **ret_why)
{
	sqlite3_stmt *stmt = NULL;
	uint32_t *ids = NULL;
	size_t n = 0, cap = 0;
	*ret_why = NULL;
	if (sqlite3_prepare_v2(db, "SELECT DISTINCT value FROM json_each(?1)", -1, &stmt, NULL) !=
		SQLITE_OK)
		*ret_why = "json_each() is missing from this SQLite";
	else
		sqlite3_bind_value(stmt, 1, json);
	int rc = SQLITE_DONE;
	while (!*ret_why && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		sqlite3_int64 id = sqlite3_column_int64(stmt, 0);
		if (n == cap) {
			cap = cap ? 2 * cap : 64;
			uint32_t *more = realloc(ids, cap * sizeof(*more));
			if (!more) {
				*ret_why = "no memory";
				break;
			}
			ids = more;
		}
		if (sqlite3_column_type(stmt, 0) != SQLITE_INTEGER || id < 1 || id > n_objects)
			*ret_why = "an element of the array is no object's id";
		else
			ids[n++] = (uint32_t)id;
	}
	if (!*ret_why && rc != SQLITE_DONE)
		*ret_why = "the argument is not a JSON array of object ids";
	sqlite3_finalize(stmt);
	if (*ret_why) {
		free(ids);
		return NULL;
	}
	*ret_n = n;
	return ids ? ids : malloc(1);
}

static enum hf_status retained(struct hf_sql_cursor *c, const uint32_t *objects, size_t n,
	struct hf_graph_sum *ret, struct hf_err *err)
{
	struct hf_sql_graph *graph;
	enum hf_status status = hf_sql_graph_get(c->aux, c->db, objects, n, &graph, err);
	if (status)
		return status;
	uint32_t *nodes = malloc((n + 1) * sizeof(*nodes));
	if (nodes) {
		for (size_t i = 0; i < n; i++)
			nodes[i] = hf_sql_graph_node(graph, objects[i]);
		status = hf_graph_retained_set(&graph->holders, nodes, n, ret, err);
	} else {
		status = hf_err_set(err, HF_E_NOMEM, "no memory");
	}
	free(nodes);
	hf_sql_graph_put(c->aux, graph);
	return status;
}

static int set_filter(struct hf_sql_cursor *c, int which, int argc, sqlite3_value **argv)
{
	struct cursor *set = (struct cursor *)c;
	struct hf_err err;
	uint32_t n_objects;
	if (sqlite3_value_type(argv[0]) == SQLITE_NULL)
		return SQLITE_OK;
	if (hf_sql_graph_n_objects(c->db, &n_objects, &err))
		return hf_sql_fail(c, err.msg);
	const char *why;
	uint32_t *objects = read_ids(c->db, argv[0], n_objects, &set->members, &why);
	if (!objects)
		return hf_sql_fail(c, why ? why : "no memory");
	enum hf_status status = retained(c, objects, set->members, &set->sum, &err);
	free(objects);
	if (status)
		return hf_sql_fail(c, err.msg);
	c->eof = 0;
	return SQLITE_OK;
}

static int set_next(struct hf_sql_cursor *c)
{
	c->eof = 1;
	return SQLITE_OK;
}

static int set_column(struct hf_sql_cursor *c, sqlite3_context *ctx, int column)
{
	const struct cursor *set = (const struct cursor *)c;
	uint64_t values[] = {set->sum.size, set->sum.count, set->members};
	sqlite3_result_int64(ctx, (sqlite3_int64)values[column]);
	return SQLITE_OK;
}

int hf_sql_retained_set_register(sqlite3 *db, struct hf_sql_graph_cache *cache)
{
	static const struct hf_sql_function function = {
		.name = "retained_set",
		.columns = "retained_size INTEGER, retained_count INTEGER, members INTEGER, ids "
			   "HIDDEN",
		.n_columns = N_COLUMNS,
		.n_args = 1,
		.cursor_size = sizeof(struct cursor),
		.filter = set_filter,
		.next = set_next,
		.column = set_column,
	};
	return hf_sql_function_register(db, &function, cache, hf_sql_graph_unref);
}
