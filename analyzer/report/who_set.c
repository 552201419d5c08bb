#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "report/report.h"
#include "report/shapes.h"
#include "report/who_all.h"

/*
 * Who holds a set of objects: the best path of each, merged by shape. Every object on the way is
 * climbed from once: the shapes of those that were passed are remembered.
 */

enum { FIRST_CELLS = 1 << 16, LOOK_EVERY = 1 << 14 };

/* What is known of an object that was passed. */
struct cell {
	int64_t id; /* 0: empty */
	uint32_t shape;
	uint32_t run;        /* objects in a row of the shape up to it, it included */
	bool member, inside; /* of the set; held by a member */
};

struct step {
	int64_t id;
	uint64_t size, held;
};

struct set {
	struct hf_report *report;
	struct hf_shapes shapes;
	struct cell *cells; /* owned; a power of 2 of them, open addressing */
	size_t n_cells, used;
	int64_t *ids; /* owned, ascending, each once */
	size_t n_ids, cap_ids;
	struct step *way; /* owned: objects between a member and one that is known */
	size_t cap_way;
	sqlite3_stmt *object, *word, *root;
	uint64_t size, held, inside, leaked;
};

static void set_deinit(struct set *set)
{
	hf_shapes_deinit(&set->shapes);
	free(set->cells);
	free(set->ids);
	free(set->way);
	hf_stmt_done(&set->object);
	hf_stmt_done(&set->word);
	hf_stmt_done(&set->root);
}

static enum hf_status no_memory(struct hf_err *err)
{
	return hf_err_set(err, HF_E_NOMEM, "no memory for the set of objects");
}

static struct cell *find(const struct set *set, int64_t id)
{
	size_t mask = set->n_cells - 1, i = (uint64_t)id * 0x9e3779b97f4a7c15ull >> 20 & mask;
	while (set->cells[i].id && set->cells[i].id != id)
		i = (i + 1) & mask;
	return &set->cells[i];
}

static enum hf_status remember(struct set *set, const struct cell *cell, struct hf_err *err)
{
	if (2 * (set->used + 1) > set->n_cells) {
		struct cell *old = set->cells;
		size_t n_old = set->n_cells;
		struct cell *cells = calloc(n_old, 2 * sizeof(*cells));
		if (!cells)
			return no_memory(err);
		set->cells = cells;
		set->n_cells = 2 * n_old;
		for (size_t i = 0; i < n_old; i++) {
			if (old[i].id)
				*find(set, old[i].id) = old[i];
		}
		free(old);
	}
	*find(set, cell->id) = *cell;
	set->used++;
	return HF_OK;
}

static bool is_member(const struct set *set, int64_t id)
{
	size_t low = 0, high = set->n_ids;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (set->ids[middle] < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < set->n_ids && set->ids[low] == id;
}

/* The shape that a root, or the head of a leak, starts; the word of the root leads on. */
static enum hf_status root_shape(
	struct set *set, int64_t root_id, uint64_t object_size, uint32_t *ret, struct hf_err *err)
{
	if (!root_id)
		return hf_shapes_child(
			&set->shapes, HF_SHAPE_TOP, "(leaked)", object_size, ret, err);
	struct hf_root root;
	enum hf_status status = hf_heapdb_root(&set->report->heap, root_id, &root, err);
	if (status == HF_E_NOTFOUND)
		return hf_err_set(
			err, HF_E_CORRUPT, "the database has no root %lld", (long long)root_id);
	if (status != HF_OK)
		return status;
	uint32_t variable;
	status = hf_shapes_child(&set->shapes, HF_SHAPE_TOP, root.name[0] ? root.name : root.kind,
		0, &variable, err);
	if (status != HF_OK)
		return status;
	char step[HF_NUMBER_SIZE] = "->";
	if (root.word_offset && root.word_offset < root.variable_size)
		snprintf(step, sizeof(step), "[+0x%llx]", (unsigned long long)root.word_offset);
	return hf_shapes_child(&set->shapes, variable, step, object_size, ret, err);
}

/* "->next", "->[+16]": the first word of the holder that leads to the object. */
static enum hf_status step_name(
	struct set *set, int64_t holder, int64_t id, struct hf_text *ret, struct hf_err *err)
{
	struct hf_word word = {0};
	enum hf_status status = hf_heapdb_word(&set->report->heap, holder, id, &word, err);
	if (status == HF_E_NOTFOUND)
		return hf_err_set(err, HF_E_CORRUPT,
			"the database has no edge from object %lld to %lld, its holder",
			(long long)holder, (long long)id);
	if (status == HF_OK)
		hf_heapdb_word_name(ret, &word);
	return status;
}

static enum hf_status read_object(struct set *set, int64_t id, struct step *ret, int64_t *holder,
	int64_t *root, bool *reachable, struct hf_err *err)
{
	enum hf_status status = HF_OK;
	hf_rebind(set->object, "i", id);
	if (!hf_row(set->object, &status, err))
		return status ? status
			      : hf_err_set(err, HF_E_NOTFOUND, "there is no object with id %lld",
					(long long)id);
	*ret = (struct step){id, (uint64_t)hf_column_int(set->object, 0),
		(uint64_t)hf_column_int(set->object, 1)};
	*holder = hf_column_int(set->object, 2);
	*root = hf_column_int(set->object, 3);
	*reachable = hf_column_int(set->object, 4) != 0;
	return HF_OK;
}

/* From what is known of its holder to what is known of an object. */
static enum hf_status descend(struct set *set, const struct cell *above, const struct step *step,
	struct cell *ret, struct hf_err *err)
{
	_cleanup_(hf_text_deinit) struct hf_text name = HF_TEXT_INIT;
	enum hf_status status = step_name(set, above->id, step->id, &name, err);
	if (status != HF_OK)
		return status;
	*ret = (struct cell){.id = step->id, .run = 1, .inside = above->inside || above->member};
	if (hf_shapes_continues(&set->shapes, above->shape, hf_text_get(&name), step->size)) {
		ret->shape = above->shape;
		ret->run = above->run + 1;
		struct hf_shape *shape = &set->shapes.at[ret->shape];
		if (ret->run > shape->longest_run)
			shape->longest_run = ret->run;
		return HF_OK;
	}
	return hf_shapes_child(
		&set->shapes, above->shape, hf_text_get(&name), step->size, &ret->shape, err);
}

/* Climb from a member to an object that is known, or to the root, and come back down. */
static enum hf_status place(struct set *set, int64_t id, struct hf_err *err)
{
	size_t n = 0;
	int64_t at = id, holder = 0, root = 0;
	bool reachable = true;
	enum hf_status status;
	struct cell known = {0};
	while (at && !(known = *find(set, at)).id) {
		if (n == set->cap_way) {
			size_t cap = set->cap_way ? set->cap_way * 2 : 256;
			struct step *way = reallocarray(set->way, cap, sizeof(*way));
			if (!way)
				return no_memory(err);
			set->way = way;
			set->cap_way = cap;
		}
		status = read_object(set, at, &set->way[n], &holder, &root, &reachable, err);
		if (status != HF_OK)
			return status;
		n++;
		at = holder;
		/* Holders are a forest; a damaged database may say otherwise. */
		if (n > (size_t)set->report->heap.live_count + 1)
			return hf_err_set(
				err, HF_E_CORRUPT, "object %lld is its own holder", (long long)id);
	}
	while (n-- > 0) {
		const struct step *step = &set->way[n];
		struct cell next = {.id = step->id, .run = 1};
		if (known.id)
			status = descend(set, &known, step, &next, err);
		else
			status =
				root_shape(set, reachable ? root : 0, step->size, &next.shape, err);
		next.member = status == HF_OK && is_member(set, step->id);
		if (status == HF_OK)
			status = remember(set, &next, err);
		if (status != HF_OK)
			return status;
		known = next;
		if (!next.member)
			continue;
		set->size += step->size;
		set->inside += next.inside;
		if (!next.inside)
			set->held += step->held;
		hf_shapes_add(&set->shapes, next.shape, step->id, step->size,
			next.inside ? 0 : step->held);
	}
	return HF_OK;
}

static int by_id(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

static enum hf_status collect(struct set *set, sqlite3_stmt *q, struct hf_err *err)
{
	enum hf_status status = HF_OK;
	while (hf_row(q, &status, err)) {
		if (sqlite3_column_type(q, 0) != SQLITE_INTEGER)
			return hf_err_set(err, HF_E_USAGE,
				"the first column of the query is to be object ids, and there is "
				"'%.40s'",
				hf_column_text(q, 0));
		if (set->n_ids == set->cap_ids) {
			size_t cap = set->cap_ids ? set->cap_ids * 2 : 4096;
			int64_t *ids = reallocarray(set->ids, cap, sizeof(*ids));
			if (!ids)
				return no_memory(err);
			set->ids = ids;
			set->cap_ids = cap;
		}
		set->ids[set->n_ids++] = hf_column_int(q, 0);
	}
	if (set->n_ids)
		qsort(set->ids, set->n_ids, sizeof(*set->ids), by_id);
	size_t n = 0;
	for (size_t i = 0; i < set->n_ids; i++) {
		if (!n || set->ids[n - 1] != set->ids[i])
			set->ids[n++] = set->ids[i];
	}
	set->n_ids = n;
	return status;
}

static enum hf_status query_set(struct set *set, const struct hf_who_set *of, struct hf_err *err)
{
	static const char type_sql[] = "SELECT o.id FROM object o WHERE o.type_id IN "
				       "(SELECT id FROM type WHERE name = ?1 OR name GLOB ?1)";
	static const char site_sql[] =
		"SELECT o.id FROM object o WHERE o.site_id IN (SELECT id FROM site WHERE "
		"function = ?1 OR function GLOB ?1 OR CAST(id AS TEXT) = ?1 OR "
		"file || ':' || line = ?1 OR (?1 GLOB '*:*' AND file || ':' || line GLOB '*/' || "
		"?1))";
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	sqlite3 *db = set->report->heap.db;
	enum hf_status status;
	if (of->sql) {
		status = hf_query(db, &q, err, of->sql, "");
		if (status == HF_E_FAILED)
			return hf_err_set(err, HF_E_USAGE, "--sql: %s", sqlite3_errmsg(db));
		if (status == HF_OK && (!q || sqlite3_column_count(q) == 0))
			return hf_err_set(err, HF_E_USAGE, "--sql: it selects nothing");
	} else {
		status = hf_query(db, &q, err, of->type ? type_sql : site_sql, "s",
			of->type ? of->type : of->site);
	}
	return status == HF_OK ? collect(set, q, err) : status;
}

static void free_order(uint32_t **order)
{
	free(*order);
}

/* Largest first. */
static int by_held(const void *a, const void *b, void *shapes)
{
	const struct hf_shape *at = shapes;
	const struct hf_shape *x = &at[*(const uint32_t *)a], *y = &at[*(const uint32_t *)b];
	if (x->held_bytes != y->held_bytes)
		return x->held_bytes < y->held_bytes ? 1 : -1;
	if (x->size_bytes != y->size_bytes)
		return x->size_bytes < y->size_bytes ? 1 : -1;
	return (x->example > y->example) - (x->example < y->example);
}

static const struct hf_column columns[] = {
	{"held_size", "HELD", HF_VALUE_SIZE, 0},
	{"share", "SHARE", HF_VALUE_SHARE, 0},
	{"count", "OBJECTS", HF_VALUE_COUNT, 0},
	{"size", "SIZE", HF_VALUE_SIZE, 0},
	{"path", "PATH", HF_VALUE_TEXT, HF_COLUMN_WRAP},
	{"example_addr", "", HF_VALUE_ADDRESS, HF_COLUMN_JSON},
	{"example_id", "", HF_VALUE_PLAIN, HF_COLUMN_JSON},
};

static enum hf_status emit_shapes(
	struct set *set, int64_t n, uint64_t *ret_example, struct hf_err *err)
{
	const struct hf_shapes *shapes = &set->shapes;
	_cleanup_(free_order) uint32_t *order = calloc(shapes->n, sizeof(*order));
	if (!order)
		return no_memory(err);
	uint32_t n_order = 0;
	for (uint32_t i = 1; i < shapes->n; i++) {
		if (shapes->at[i].count && !shapes->at[i].merged_into)
			order[n_order++] = i;
	}
	qsort_r(order, n_order, sizeof(*order), by_held, shapes->at);

	struct hf_emit *emit = set->report->emit;
	enum hf_status status = HF_OK;
	uint64_t left = 0, left_count = 0;
	hf_emit_fact(emit, "path_count", NULL, HF_VALUE_COUNT, hf_cell_int(n_order));
	hf_emit_table_begin(emit, "paths", columns, sizeof(columns) / sizeof(columns[0]));
	for (uint32_t i = 0; i < n_order && status == HF_OK; i++) {
		const struct hf_shape *s = &shapes->at[order[i]];
		if (i >= n) {
			left += s->held_bytes;
			left_count += s->count;
			continue;
		}
		struct hf_object example;
		status = hf_heapdb_object(&set->report->heap, s->example, &example, err);
		if (status != HF_OK)
			break;
		if (!i)
			*ret_example = example.addr;
		_cleanup_(hf_text_deinit) struct hf_text path = HF_TEXT_INIT;
		hf_shapes_text(&path, shapes, order[i], hf_emit_times(emit));
		hf_emit_row(emit, HF_NO_ROW,
			(struct hf_cell[]){
				hf_cell_int((int64_t)s->held_bytes),
				hf_cell_real(hf_percent(s->held_bytes, set->held)),
				hf_cell_int((int64_t)s->count),
				hf_cell_int((int64_t)s->size_bytes),
				hf_cell_text(hf_text_get(&path)),
				hf_cell_int((int64_t)example.addr),
				hf_cell_int(example.id),
			});
	}
	hf_emit_table_end(emit);
	char size[HF_NUMBER_SIZE], count[HF_NUMBER_SIZE], more[HF_NUMBER_SIZE];
	if (left_count)
		hf_emit_line(emit, "and %s more paths to %s objects, which hold %s (-n %u: all)",
			hf_human_count(more, n_order - (uint64_t)n),
			hf_human_count(count, left_count), hf_human_size(size, left), n_order);
	return status;
}

static void totals(struct set *set)
{
	struct hf_emit *emit = set->report->emit;
	char count[HF_NUMBER_SIZE], size[HF_NUMBER_SIZE], held[HF_NUMBER_SIZE],
		share[HF_NUMBER_SIZE];
	double percent = hf_percent(set->held, set->report->heap.live_size);
	hf_emit_fact(emit, "count", NULL, HF_VALUE_COUNT, hf_cell_int((int64_t)set->n_ids));
	hf_emit_fact(emit, "size", NULL, HF_VALUE_SIZE, hf_cell_int((int64_t)set->size));
	hf_emit_fact(emit, "held_size", NULL, HF_VALUE_SIZE, hf_cell_int((int64_t)set->held));
	hf_emit_fact(emit, "held_share", NULL, HF_VALUE_SHARE, hf_cell_real(percent));
	hf_emit_fact(emit, "nested_count", NULL, HF_VALUE_COUNT, hf_cell_int((int64_t)set->inside));
	hf_emit_line(emit, "%s object%s of %s, which hold %s (%s of the heap)",
		hf_human_count(count, set->n_ids), set->n_ids == 1 ? "" : "s",
		hf_human_size(size, set->size), hf_human_size(held, set->held),
		hf_human_share(share, percent));
	if (set->inside)
		hf_emit_line(emit,
			"%s of them are held by others of them: their bytes count there.",
			hf_human_count(count, set->inside));
}

static enum hf_status prepare(struct set *set, struct hf_err *err)
{
	set->cells = calloc(FIRST_CELLS, sizeof(*set->cells));
	set->n_cells = FIRST_CELLS;
	if (!set->cells)
		return no_memory(err);
	enum hf_status status = hf_shapes_init(&set->shapes, err);
	if (status != HF_OK)
		return status;
	return hf_query(set->report->heap.db, &set->object, err,
		"SELECT size, held_size, holder_id, holder_root_id, reachable FROM object "
		"WHERE id = ?",
		"");
}

enum hf_status hf_report_who_set(
	struct hf_report *report, const struct hf_who_set *of, struct hf_err *err)
{
	_cleanup_(set_deinit) struct set set = {.report = report};
	enum hf_status status = prepare(&set, err);
	if (status == HF_OK)
		status = query_set(&set, of, err);
	if (status == HF_OK && !set.n_ids)
		return hf_err_set(err, HF_E_NOTFOUND, "no object %s%s: %s",
			of->sql    ? "is selected by "
			: of->type ? "has the type "
				   : "was allocated at ",
			of->sql    ? of->sql
			: of->type ? of->type
				   : of->site,
			of->sql    ? "look at it with 'holdfast sql'"
			: of->type ? "'holdfast top --by type' lists the types"
				   : "'holdfast top --by site' lists the sites");
	for (size_t i = 0; i < set.n_ids && status == HF_OK; i++) {
		if (!find(&set, set.ids[i])->id)
			status = place(&set, set.ids[i], err);
	}
	if (status == HF_OK)
		status = hf_shapes_merge_arrays(&set.shapes, err);
	if (status != HF_OK)
		return status;
	totals(&set);
	hf_emit_title(report->emit, "Held by (best paths, merged where they read the same)");
	uint64_t example = 0;
	status = emit_shapes(&set, of->n, &example, err);
	if (status != HF_OK)
		return status;
	char addr[HF_NUMBER_SIZE];
	snprintf(addr, sizeof(addr), "0x%llx", (unsigned long long)example);
	hf_emit_title(report->emit, "Next");
	hf_report_hint(report, "who", addr, "the largest of them");
	return HF_OK;
}
