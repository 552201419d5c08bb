#include "report/set_paths.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

enum {
	FIRST_CELLS = 1 << 12,
	BATCH = 1 << 16, /* members whose holders are read at once */
};

/* What is known of an object that was passed. */
struct hf_set_cell {
	int64_t id; /* 0: empty */
	uint32_t shape;
	uint32_t run;        /* objects in a row of the shape up to it, it included */
	uint32_t outer;      /* shape of the first member on the way to it, itself included */
	bool member, inside; /* of the set; held by a member */
};

static enum hf_status no_memory(struct hf_err *err)
{
	return hf_err_set(err, HF_E_NOMEM, "no memory for the set of objects");
}

static struct hf_set_cell *find(const struct hf_set_paths *set, int64_t id)
{
	size_t mask = set->n_cells - 1, i = (uint64_t)id * 0x9e3779b97f4a7c15ull >> 20 & mask;
	while (set->cells[i].id && set->cells[i].id != id)
		i = (i + 1) & mask;
	return &set->cells[i];
}

static enum hf_status remember(
	struct hf_set_paths *set, const struct hf_set_cell *cell, struct hf_err *err)
{
	if (2 * (set->used + 1) > set->n_cells) {
		struct hf_set_cell *old = set->cells;
		size_t n_old = set->n_cells;
		struct hf_set_cell *cells = calloc(n_old, 2 * sizeof(*cells));
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

static bool is_member(const struct hf_set_paths *set, int64_t id)
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
static enum hf_status root_shape(struct hf_set_paths *set, int64_t root_id, uint64_t object_size,
	uint32_t *ret, struct hf_err *err)
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
	_cleanup_(hf_text_deinit) struct hf_text name = HF_TEXT_INIT;
	hf_heapdb_root_name(&name, &root);
	/* The offset of the word is a step of its own, so that those of an array are merged. */
	char step[HF_NUMBER_SIZE] = "->";
	char *offset = name.len ? strstr(name.data, "[+0x") : NULL;
	if (offset) {
		snprintf(step, sizeof(step), "%s", offset);
		*offset = 0;
	}
	uint32_t variable;
	status = hf_shapes_child(&set->shapes, HF_SHAPE_TOP, hf_text_get(&name), 0, &variable, err);
	return status == HF_OK
		       ? hf_shapes_child(&set->shapes, variable, step, object_size, ret, err)
		       : status;
}

/* From what is known of its holder to what is known of an object. */
static enum hf_status descend(struct hf_set_paths *set, const struct hf_set_cell *above,
	const struct hf_way *way, struct hf_set_cell *ret, struct hf_err *err)
{
	const char *name = hf_ways_name(&set->ways, way);
	*ret = (struct hf_set_cell){.id = way->id,
		.run = 1,
		.outer = above->outer,
		.inside = above->inside || above->member};
	/* How a container links its nodes is nobody's business. */
	if (name[0] == '-' && name[2] == '(') {
		ret->shape = above->shape;
		return HF_OK;
	}
	if (hf_shapes_continues(&set->shapes, above->shape, name, way->usable)) {
		ret->shape = above->shape;
		ret->run = above->run + 1;
		struct hf_shape *shape = &set->shapes.at[ret->shape];
		if (ret->run > shape->longest_run)
			shape->longest_run = ret->run;
		return HF_OK;
	}
	return hf_shapes_child(&set->shapes, above->shape, name, way->usable, &ret->shape, err);
}

/* *ret_n: how many of set->path, from the member on, are not known; ret_known: the holder of the
 * last, if it has one. */
static enum hf_status climb(struct hf_set_paths *set, int64_t id, size_t *ret_n,
	struct hf_set_cell *ret_known, struct hf_err *err)
{
	size_t n = 0;
	for (int64_t at = id; at && !(*ret_known = *find(set, at)).id;) {
		const struct hf_way *way = hf_ways_find(&set->ways, at);
		/* Holders are a forest; a damaged database may say otherwise. */
		if (!way || n == set->ways.n)
			return hf_err_set(
				err, HF_E_CORRUPT, "object %lld is its own holder", (long long)id);
		if (n == set->cap_path) {
			size_t cap = set->cap_path ? set->cap_path * 2 : 256;
			const struct hf_way **path =
				reallocarray((void *)set->path, cap, sizeof(*path));
			if (!path)
				return no_memory(err);
			set->path = path;
			set->cap_path = cap;
		}
		set->path[n++] = way;
		at = way->holder_id;
	}
	*ret_n = n;
	return HF_OK;
}

/* Climb from a member to an object that is known, or to the root, and come back down. */
static enum hf_status place(struct hf_set_paths *set, int64_t id, struct hf_err *err)
{
	size_t n = 0;
	struct hf_set_cell known = {0};
	enum hf_status status = climb(set, id, &n, &known, err);
	while (status == HF_OK && n-- > 0) {
		const struct hf_way *way = set->path[n];
		struct hf_set_cell next = {.id = way->id, .run = 1};
		if (known.id)
			status = descend(set, &known, way, &next, err);
		else
			status = root_shape(set, way->reachable ? way->root_id : 0, way->usable,
				&next.shape, err);
		next.member = status == HF_OK && is_member(set, way->id);
		if (next.member && !next.inside)
			next.outer = next.shape;
		if (status == HF_OK)
			status = remember(set, &next, err);
		if (status != HF_OK)
			return status;
		known = next;
		if (!next.member)
			continue;
		set->size_bytes += way->size;
		set->nested += next.inside;
		set->shapes.at[next.outer].members_bytes += way->size;
		if (!next.inside)
			set->held_bytes += way->held;
		hf_shapes_add(
			&set->shapes, next.shape, way->id, way->size, next.inside ? 0 : way->held);
	}
	return status;
}

static bool is_placed(const void *ctx, int64_t id)
{
	return find(ctx, id)->id;
}

static enum hf_status place_batch(
	struct hf_set_paths *set, const int64_t *ids, size_t n, struct hf_err *err)
{
	enum hf_status status = hf_ways_read(&set->ways, ids, n, err);
	for (size_t i = 0; i < n && status == HF_OK; i++) {
		if (!find(set, ids[i])->id)
			status = place(set, ids[i], err);
	}
	return status;
}

void hf_set_paths_deinit(struct hf_set_paths *set)
{
	hf_shapes_deinit(&set->shapes);
	free(set->cells);
	free((void *)set->path);
	hf_ways_deinit(&set->ways);
}

enum hf_status hf_set_paths_init(struct hf_set_paths *set, struct hf_report *report,
	const int64_t *ids, size_t n, struct hf_err *err)
{
	*set = (struct hf_set_paths){.report = report,
		.ids = ids,
		.n_ids = n,
		.cells = calloc(FIRST_CELLS, sizeof(*set->cells)),
		.n_cells = FIRST_CELLS};
	if (!set->cells)
		return no_memory(err);
	enum hf_status status = hf_shapes_init(&set->shapes, err);
	set->ways = (struct hf_ways){
		.db = report->heap.db, .is_known = is_placed, .ctx = set, .names = HF_TEXT_INIT};
	for (size_t i = 0; i < n && status == HF_OK; i += BATCH) {
		status = place_batch(set, ids + i, n - i < BATCH ? n - i : BATCH, err);
		if (report->progress)
			report->progress(report->progress_ctx, "following holders", i, n);
	}
	return status == HF_OK ? hf_shapes_merge_arrays(&set->shapes, err) : status;
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

static int by_size(const void *a, const void *b, void *shapes)
{
	const struct hf_shape *at = shapes;
	const struct hf_shape *x = &at[*(const uint32_t *)a], *y = &at[*(const uint32_t *)b];
	return x->size_bytes != y->size_bytes ? (x->size_bytes < y->size_bytes ? 1 : -1)
					      : by_held(a, b, shapes);
}

/* Shapes that have members, in the order of the comparison. NULL: no memory. */
static uint32_t *ordered(const struct hf_shapes *shapes,
	int (*compare)(const void *, const void *, void *), uint32_t *ret_n)
{
	uint32_t *order = calloc(shapes->n, sizeof(*order)), n = 0;
	for (uint32_t i = 1; order && i < shapes->n; i++) {
		if (shapes->at[i].count && !shapes->at[i].merged_into)
			order[n++] = i;
	}
	if (order)
		qsort_r(order, n, sizeof(*order), compare, shapes->at);
	*ret_n = n;
	return order;
}

enum { N_COLUMNS = 7 };

/* A table of paths. */
struct listing {
	const struct hf_column *columns; /* N_COLUMNS */
	int (*compare)(const void *a, const void *b, void *shapes);
	void (*row)(const struct hf_set_paths *set, const struct listing *listing,
		const struct hf_shape *shape, const char *path, const struct hf_object *example);
	double by_count, by_bytes; /* how many each stands for */
};

/* What the table leaves out, of n_paths, and an address below the first. */
struct rest {
	uint64_t n_paths, paths, held_bytes, size_bytes, count, example;
};

static enum hf_status emit_table(struct hf_set_paths *set, const char *key, int64_t n,
	const struct listing *listing, struct rest *ret, struct hf_err *err)
{
	const struct hf_shapes *shapes = &set->shapes;
	uint32_t n_order = 0;
	_cleanup_(hf_freep) uint32_t *order = ordered(shapes, listing->compare, &n_order);
	if (!order)
		return no_memory(err);
	struct hf_emit *emit = set->report->emit;
	enum hf_status status = HF_OK;
	*ret = (struct rest){.n_paths = n_order, .paths = n_order > n ? n_order - (uint64_t)n : 0};
	hf_emit_table_begin(emit, key, listing->columns, N_COLUMNS);
	for (uint32_t i = 0; i < n_order && status == HF_OK; i++) {
		const struct hf_shape *s = &shapes->at[order[i]];
		if (i >= n) {
			ret->held_bytes += s->held_bytes;
			ret->size_bytes += s->size_bytes;
			ret->count += s->count;
			continue;
		}
		struct hf_object example;
		status = hf_heapdb_object(&set->report->heap, s->example, &example, err);
		if (status != HF_OK)
			break;
		if (!i)
			ret->example = example.addr;
		_cleanup_(hf_text_deinit) struct hf_text path = HF_TEXT_INIT;
		hf_shapes_text(&path, shapes, order[i], hf_emit_times(emit));
		listing->row(set, listing, s, hf_text_get(&path), &example);
	}
	hf_emit_table_end(emit);
	hf_emit_fact(emit, "paths_left", NULL, HF_VALUE_COUNT, hf_cell_int((int64_t)ret->paths));
	return status;
}

static const struct hf_column columns[N_COLUMNS] = {
	{"held_size", "HELD", HF_VALUE_SIZE, 0},
	{"share", "SHARE", HF_VALUE_SHARE, 0},
	{"count", "OBJECTS", HF_VALUE_COUNT, 0},
	{"size", "SIZE", HF_VALUE_SIZE, 0},
	{"path", "PATH", HF_VALUE_TEXT, HF_COLUMN_WRAP},
	{"example_addr", "", HF_VALUE_ADDRESS, HF_COLUMN_JSON},
	{"example_id", "", HF_VALUE_PLAIN, HF_COLUMN_JSON},
};

static void held_row(const struct hf_set_paths *set, const struct listing *listing,
	const struct hf_shape *s, const char *path, const struct hf_object *example)
{
	(void)listing;
	hf_emit_row(set->report->emit, HF_NO_ROW,
		(struct hf_cell[]){
			hf_cell_int((int64_t)s->held_bytes),
			hf_cell_real(hf_percent(s->held_bytes, set->held_bytes)),
			hf_cell_int((int64_t)s->count),
			hf_cell_int((int64_t)s->size_bytes),
			hf_cell_text(path),
			hf_cell_int((int64_t)example->addr),
			hf_cell_int(example->id),
		});
}

enum hf_status hf_set_paths_emit(struct hf_set_paths *set, const char *key, int64_t n,
	uint64_t *ret_example, struct hf_err *err)
{
	const struct listing listing = {columns, by_held, held_row, 1, 1};
	struct rest rest;
	enum hf_status status = emit_table(set, key, n, &listing, &rest, err);
	if (status != HF_OK)
		return status;
	if (rest.n_paths && n > 0)
		*ret_example = rest.example;
	char size[HF_NUMBER_SIZE], count[HF_NUMBER_SIZE], more[HF_NUMBER_SIZE];
	if (rest.count)
		hf_emit_line(set->report->emit,
			"and %s more path%s to %s object%s, which hold%s %s (-n %llu: all)",
			hf_human_count(more, rest.paths), rest.paths == 1 ? "" : "s",
			hf_human_count(count, rest.count), rest.count == 1 ? "" : "s",
			rest.count == 1 ? "s" : "", hf_human_size(size, rest.held_bytes),
			(unsigned long long)rest.n_paths);
	return HF_OK;
}

static const struct hf_column member_columns[N_COLUMNS] = {
	{"size", "SIZE", HF_VALUE_SIZE, 0},
	{"share", "SHARE", HF_VALUE_SHARE, 0},
	{"count", "OBJECTS", HF_VALUE_COUNT, 0},
	{"path", "PATH", HF_VALUE_TEXT, HF_COLUMN_WRAP},
	{"held_size", "", HF_VALUE_SIZE, HF_COLUMN_JSON},
	{"example_addr", "", HF_VALUE_ADDRESS, HF_COLUMN_JSON},
	{"example_id", "", HF_VALUE_PLAIN, HF_COLUMN_JSON},
};

static struct hf_cell scaled(uint64_t value, double by)
{
	struct hf_cell cell = hf_cell_int((int64_t)((double)value * by + 0.5));
	cell.estimate = by > 1 || by < 1;
	return cell;
}

static void member_row(const struct hf_set_paths *set, const struct listing *listing,
	const struct hf_shape *s, const char *path, const struct hf_object *example)
{
	hf_emit_row(set->report->emit, HF_NO_ROW,
		(struct hf_cell[]){
			scaled(s->size_bytes, listing->by_bytes),
			hf_cell_real(hf_percent(s->size_bytes, set->size_bytes)),
			scaled(s->count, listing->by_count),
			hf_cell_text(path),
			scaled(s->members_bytes, listing->by_bytes),
			hf_cell_int((int64_t)example->addr),
			hf_cell_int(example->id),
		});
}

enum hf_status hf_set_paths_emit_members(struct hf_set_paths *set, const char *key, int64_t n,
	uint64_t all_count, uint64_t all_bytes, struct hf_err *err)
{
	struct listing listing = {member_columns, by_size, member_row, 1, 1};
	struct rest rest;
	if (set->n_ids)
		listing.by_count = (double)all_count / (double)set->n_ids;
	listing.by_bytes =
		set->size_bytes ? (double)all_bytes / (double)set->size_bytes : listing.by_count;
	enum hf_status status = emit_table(set, key, n, &listing, &rest, err);
	if (status != HF_OK)
		return status;
	char size[HF_NUMBER_SIZE], count[HF_NUMBER_SIZE], more[HF_NUMBER_SIZE];
	struct hf_cell left_count = scaled(rest.count, listing.by_count),
		       left_size = scaled(rest.size_bytes, listing.by_bytes);
	const char *about = left_size.estimate ? "~" : "";
	if (rest.count)
		hf_emit_line(set->report->emit,
			"and %s more path%s to %s%s object%s of %s%s (-n %llu: all)",
			hf_human_count(more, rest.paths), rest.paths == 1 ? "" : "s", about,
			hf_human_count(count, (uint64_t)left_count.i), rest.count == 1 ? "" : "s",
			about, hf_human_size(size, (uint64_t)left_size.i),
			(unsigned long long)rest.n_paths);
	return HF_OK;
}
