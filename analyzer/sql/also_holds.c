#include "field/field_sql.h"
#include "sql/function.h"
#include "sql/graph_cache.h"
#include "sql/query.h"

/*
 *     SELECT * FROM also_holds(object_id)        or also_holds(object_id, max_steps)
 *
 * Why the object holds more than it retains: the words outside its holder tree that point to
 * objects inside it, most bytes first. reaches_size is what each of them would keep from being
 * freed with the object; exact = 0: a lower bound, because max_steps edges were looked at.
 */
enum column {
	COLUMN_KIND,
	COLUMN_OBJECT,
	COLUMN_ROOT,
	COLUMN_ADDR,
	COLUMN_OFFSET,
	COLUMN_NAME,
	COLUMN_TARGET,
	COLUMN_REACHES_SIZE,
	COLUMN_REACHES_COUNT,
	COLUMN_EXACT,
	N_COLUMNS,
};

struct cursor {
	struct hf_sql_cursor c;
	struct hf_graph_entries entries;
	struct hf_sql_graph *graph;
	sqlite3_stmt *word, *root; /* details of the row at hand */
	sqlite3_int64 asked;       /* row + 1 that they stand on */
};

static void entries_drop(struct cursor *c)
{
	hf_graph_entries_deinit(&c->entries);
	if (c->graph)
		hf_sql_graph_put(c->c.aux, c->graph);
	sqlite3_finalize(c->word); /* it is another one for a part than for the whole */
	c->word = NULL;
	c->entries = (struct hf_graph_entries){0};
	c->graph = NULL;
	c->asked = 0;
}

static void entries_close(struct hf_sql_cursor *base)
{
	struct cursor *c = (struct cursor *)base;
	entries_drop(c);
	sqlite3_finalize(c->root);
}

static int entries_filter(struct hf_sql_cursor *base, int which, int argc, sqlite3_value **argv)
{
	/* Enough for an exact answer on all but the largest objects, and a second or so there. */
	enum { MAX_STEPS = 50000000 };
	struct cursor *c = (struct cursor *)base;
	struct hf_err err;
	uint32_t n_objects;
	entries_drop(c);
	if (hf_sql_graph_n_objects(base->db, &n_objects, &err))
		return hf_sql_fail(base, err.msg);
	sqlite3_int64 id = sqlite3_value_int64(argv[0]);
	if (id < 1 || id > n_objects)
		return SQLITE_OK;
	uint32_t object = (uint32_t)id;
	uint64_t max_steps = which & 2 ? (uint64_t)sqlite3_value_int64(argv[1]) : MAX_STEPS;
	if (hf_sql_graph_get(base->aux, base->db, &object, 1, &c->graph, &err) ||
		hf_graph_entries_init(&c->entries, &c->graph->holders,
			hf_sql_graph_node(c->graph, object), max_steps, &err))
		return hf_sql_fail(base, err.msg);
	base->eof = !c->entries.n;
	return SQLITE_OK;
}

static int entries_next(struct hf_sql_cursor *base)
{
	base->eof = (size_t)base->row >= ((struct cursor *)base)->entries.n;
	return SQLITE_OK;
}

/* The statement with kind, addr, offset and name of the word at hand, on its row; NULL: an error.
 */
static sqlite3_stmt *details(struct cursor *c)
{
	const struct hf_graph_entry *e = &c->entries.entry[c->c.row];
	int by_root = e->src == HF_GRAPH_NONE;
	sqlite3_stmt **stmt = by_root ? &c->root : &c->word;
	if (c->asked == c->c.row + 1)
		return *stmt;
	/* In the whole graph the edge is known by its place among those of its source. */
	const uint64_t *offset = c->graph->src_offset;
#define EDGE                                                                                       \
	"SELECT 'object', (SELECT addr FROM object WHERE id = ?1), e.src_offset, " HF_SQL_FIELD(   \
		"f", "e.src_offset") " FROM edge e LEFT JOIN field f ON f.id = e.field_id WHERE "  \
				     "e.src_id = ?1 "
	const char *sql = by_root  ? "SELECT r.kind, r.addr, r.addr - v.addr, r.name FROM root r "
				     "LEFT JOIN variable v ON v.id = r.variable_id WHERE r.id = ?1"
			  : offset ? EDGE "AND e.src_offset = ?2"
				   : EDGE "ORDER BY e.src_offset LIMIT 1 OFFSET ?2";
#undef EDGE
	if (!*stmt && sqlite3_prepare_v2(c->c.db, sql, -1, stmt, NULL) != SQLITE_OK)
		return NULL;
	sqlite3_reset(*stmt);
	if (by_root) {
		sqlite3_bind_int64(*stmt, 1, hf_sql_graph_root_id(c->graph, e->word));
	} else {
		sqlite3_bind_int64(*stmt, 1, hf_sql_graph_object_id(c->graph, e->src));
		sqlite3_bind_int64(*stmt, 2,
			(sqlite3_int64)(offset ? offset[e->word]
					       : e->word - c->graph->g.offset[e->src]));
	}
	if (sqlite3_step(*stmt) != SQLITE_ROW)
		return NULL;
	c->asked = c->c.row + 1;
	return *stmt;
}

static int entries_column(struct hf_sql_cursor *base, sqlite3_context *ctx, int column)
{
	static const int detail[] = {
		[COLUMN_KIND] = 0, [COLUMN_ADDR] = 1, [COLUMN_OFFSET] = 2, [COLUMN_NAME] = 3};
	struct cursor *c = (struct cursor *)base;
	const struct hf_graph_entry *e = &c->entries.entry[base->row];
	sqlite3_stmt *stmt;
	switch (column) {
	case COLUMN_OBJECT:
		if (e->src != HF_GRAPH_NONE)
			sqlite3_result_int64(ctx, hf_sql_graph_object_id(c->graph, e->src));
		break;
	case COLUMN_ROOT:
		if (e->src == HF_GRAPH_NONE)
			sqlite3_result_int64(ctx, hf_sql_graph_root_id(c->graph, e->word));
		break;
	case COLUMN_TARGET:
		sqlite3_result_int64(ctx, hf_sql_graph_object_id(c->graph, e->target));
		break;
	case COLUMN_REACHES_SIZE:
		sqlite3_result_int64(ctx, (sqlite3_int64)e->reaches.size);
		break;
	case COLUMN_REACHES_COUNT:
		sqlite3_result_int64(ctx, (sqlite3_int64)e->reaches.count);
		break;
	case COLUMN_EXACT:
		sqlite3_result_int(ctx, e->exact);
		break;
	case COLUMN_KIND:
	case COLUMN_ADDR:
	case COLUMN_OFFSET:
	case COLUMN_NAME:
		stmt = details(c);
		if (!stmt)
			return hf_sql_fail(base, "the word is not in the tables");
		sqlite3_result_value(ctx, sqlite3_column_value(stmt, detail[column]));
		break;
	}
	return SQLITE_OK;
}

int hf_sql_also_holds_register(sqlite3 *db, struct hf_sql_graph_cache *cache)
{
	static const struct hf_sql_function function = {
		.name = "also_holds",
		.columns = "kind TEXT, object_id INTEGER, root_id INTEGER, addr INTEGER, offset "
			   "INTEGER, "
			   "name TEXT, target_id INTEGER, reaches_size INTEGER, reaches_count "
			   "INTEGER, "
			   "exact INTEGER, of INTEGER HIDDEN, max_steps INTEGER HIDDEN",
		.n_columns = N_COLUMNS,
		.n_args = 2,
		.cursor_size = sizeof(struct cursor),
		.filter = entries_filter,
		.next = entries_next,
		.column = entries_column,
		.close = entries_close,
	};
	return hf_sql_function_register(db, &function, cache, hf_sql_graph_unref);
}
