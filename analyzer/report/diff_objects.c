#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "report/diff.h"
#include "report/path.h"
#include "report/set_paths.h"

enum {
	MAX_PLACED = 200000, /* new objects whose paths are looked at: some seconds */
	KEEPS_TENTHS = 7, /* what an object holds that keeps 7/10 of its growth has grown itself */
};

void hf_diff_objects_deinit(struct hf_diff_objects *objects)
{
	free(objects->new_ids);
	free(objects->grown);
	*objects = (struct hf_diff_objects){0};
}

/* Names of types, or of sites. */
struct name {
	char *text; /* owned */
	int64_t id;
};

struct names {
	struct name *at; /* owned */
	size_t n, cap;
};

static void names_deinit(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->at[i].text);
	free(names->at);
}

static enum hf_status no_memory(struct hf_err *err)
{
	return hf_err_set(err, HF_E_NOMEM, "no memory to match objects");
}

static int by_text(const void *a, const void *b)
{
	return strcmp(((const struct name *)a)->text, ((const struct name *)b)->text);
}

static enum hf_status names_read(
	sqlite3 *db, const char *sql, struct names *ret, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(db, &q, err, sql, "");
	while (hf_row(q, &status, err)) {
		if (ret->n == ret->cap) {
			size_t cap = ret->cap ? ret->cap * 2 : 256;
			struct name *at = reallocarray(ret->at, cap, sizeof(*at));
			if (!at)
				return no_memory(err);
			ret->at = at;
			ret->cap = cap;
		}
		char *text = strdup(hf_column_text(q, 1));
		if (!text)
			return no_memory(err);
		ret->at[ret->n++] = (struct name){text, hf_column_int(q, 0)};
	}
	return status;
}

/* Names as numbers that both heaps share; several ids may have one name. Ids are small numbers
 * counted from 1, so the maps are arrays: [id] = number, 0: only one of the heaps has the name. */
struct map {
	int64_t *old, *new; /* owned */
	size_t n_old, n_new;
};

static void map_deinit(struct map *map)
{
	free(map->old);
	free(map->new);
}

static int64_t *numbers(const struct names *names, size_t *ret_n)
{
	int64_t largest = 0;
	for (size_t i = 0; i < names->n; i++)
		largest = names->at[i].id > largest ? names->at[i].id : largest;
	*ret_n = (size_t)largest + 1;
	return calloc(*ret_n, sizeof(int64_t));
}

static enum hf_status map_init(
	struct hf_diff *diff, const char *sql, struct map *ret, struct hf_err *err)
{
	_cleanup_(names_deinit) struct names old = {0}, new = {0};
	enum hf_status status = names_read(diff->heaps[0]->db, sql, &old, err);
	if (status == HF_OK)
		status = names_read(diff->report->heap.db, sql, &new, err);
	if (status != HF_OK)
		return status;
	ret->old = numbers(&old, &ret->n_old);
	ret->new = numbers(&new, &ret->n_new);
	if (!ret->old || !ret->new)
		return no_memory(err);
	if (old.n)
		qsort(old.at, old.n, sizeof(*old.at), by_text);
	if (new.n)
		qsort(new.at, new.n, sizeof(*new.at), by_text);
	int64_t number = 0;
	for (size_t i = 0, j = 0; i < old.n && j < new.n;) {
		const char *text = old.at[i].text;
		int order = strcmp(text, new.at[j].text);
		if (order) {
			i += order < 0;
			j += order > 0;
			continue;
		}
		number++;
		for (; i < old.n && !strcmp(old.at[i].text, text); i++)
			ret->old[old.at[i].id > 0 ? old.at[i].id : 0] = number;
		for (; j < new.n && !strcmp(new.at[j].text, text); j++)
			ret->new[new.at[j].id > 0 ? new.at[j].id : 0] = number;
	}
	return HF_OK;
}

/* What has no type, or no site, in one of the heaps may be the same all the same. */
static bool may_be_same(const struct map *map, int64_t old, int64_t new)
{
	/* Sites have no names either where the heap profile is missing. */
	if (old <= 0 || new <= 0 || (uint64_t)old >= map->n_old || (uint64_t) new >= map->n_new)
		return true;
	return map->old[old] && map->old[old] == map->new[new];
}

/* One heap, read in address order. */
struct side {
	sqlite3_stmt *q;
	bool at_end;
	int64_t id, type, site;
	uint64_t addr, size, held, held_count;
};

static void side_deinit(struct side *side)
{
	hf_stmt_done(&side->q);
}

static enum hf_status side_next(struct side *side, struct hf_err *err)
{
	enum hf_status status = HF_OK;
	side->at_end = !hf_row(side->q, &status, err);
	if (side->at_end)
		return status;
	side->id = hf_column_int(side->q, 0);
	side->addr = (uint64_t)hf_column_int(side->q, 1);
	side->size = (uint64_t)hf_column_int(side->q, 2);
	side->type = hf_column_int(side->q, 3);
	side->site = hf_column_int(side->q, 4);
	side->held = (uint64_t)hf_column_int(side->q, 5);
	side->held_count = (uint64_t)hf_column_int(side->q, 6);
	return HF_OK;
}

static enum hf_status side_init(
	struct side *side, const struct hf_diff *diff, size_t heap, struct hf_err *err)
{
	enum hf_status status = hf_query(diff->heaps[heap]->db, &side->q, err,
		"SELECT id, addr, iif(?, usable, size), type_id, site_id, held_size, held_count "
		"FROM object ORDER BY id",
		"i", (int64_t)diff->usable);
	return status == HF_OK ? side_next(side, err) : status;
}

static enum hf_status push_new(struct hf_diff_objects *objects, int64_t id, struct hf_err *err)
{
	if (objects->n_new == objects->cap_new) {
		size_t cap = objects->cap_new ? objects->cap_new * 2 : 4096;
		int64_t *ids = reallocarray(objects->new_ids, cap, sizeof(*ids));
		if (!ids)
			return no_memory(err);
		objects->new_ids = ids;
		objects->cap_new = cap;
	}
	objects->new_ids[objects->n_new++] = id;
	return HF_OK;
}

static enum hf_status push_grown(
	struct hf_diff_objects *objects, const struct hf_diff_object *object, struct hf_err *err)
{
	if (objects->n_grown == objects->cap_grown) {
		size_t cap = objects->cap_grown ? objects->cap_grown * 2 : 4096;
		struct hf_diff_object *grown = reallocarray(objects->grown, cap, sizeof(*grown));
		if (!grown)
			return no_memory(err);
		objects->grown = grown;
		objects->cap_grown = cap;
	}
	objects->grown[objects->n_grown++] = *object;
	return HF_OK;
}

static enum hf_status take_new(
	struct hf_diff_objects *objects, const struct side *new, struct hf_err *err)
{
	objects->new_count++;
	objects->new_bytes += new->size;
	return push_new(objects, new->id, err);
}

static void take_gone(struct hf_diff_objects *objects, const struct side *old)
{
	objects->gone_count++;
	objects->gone_bytes += old->size;
}

static enum hf_status take_kept(struct hf_diff_objects *objects, const struct side *old,
	const struct side *new, bool usable, struct hf_err *err)
{
	objects->kept_count++;
	objects->kept_bytes += new->size;
	/* Held sizes are sums of object.size. */
	if (usable || new->held <= old->held)
		return HF_OK;
	struct hf_diff_object grown = {
		new->id, (int64_t)(new->held - old->held), old->held, old->held_count};
	return push_grown(objects, &grown, err);
}

static const struct hf_diff_object *grown_of(const struct hf_diff_objects *objects, int64_t id)
{
	size_t low = 0, high = objects->n_grown;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (objects->grown[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < objects->n_grown && objects->grown[low].id == id ? &objects->grown[low] : NULL;
}

static int by_growth(const void *a, const void *b)
{
	const struct hf_diff_object *x = a, *y = b;
	return x->growth_bytes != y->growth_bytes ? (x->growth_bytes < y->growth_bytes ? 1 : -1)
						  : (x->id > y->id) - (x->id < y->id);
}

/* Leave out what grew because one object below it did. */
static enum hf_status keep_last(
	struct hf_diff *diff, struct hf_diff_objects *objects, struct hf_err *err)
{
	unsigned char *explained = calloc(objects->n_grown + 1, 1);
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	if (!explained)
		return no_memory(err);
	enum hf_status status = hf_query(
		diff->report->heap.db, &q, err, "SELECT holder_id FROM object WHERE id = ?", "");
	for (size_t i = 0; i < objects->n_grown && status == HF_OK; i++) {
		const struct hf_diff_object *o = &objects->grown[i];
		hf_rebind(q, "i", o->id);
		if (!hf_row(q, &status, err))
			continue;
		const struct hf_diff_object *above = grown_of(objects, hf_column_int(q, 0));
		if (above && o->growth_bytes / KEEPS_TENTHS >= above->growth_bytes / 10)
			explained[above - objects->grown] = 1;
	}
	size_t to = 0;
	for (size_t i = 0; i < objects->n_grown; i++) {
		if (!explained[i])
			objects->grown[to++] = objects->grown[i];
	}
	objects->n_grown = to;
	free(explained);
	if (to)
		qsort(objects->grown, to, sizeof(*objects->grown), by_growth);
	return status;
}

enum hf_status hf_diff_objects_match(
	struct hf_diff *diff, struct hf_diff_objects *ret, struct hf_err *err)
{
	_cleanup_(map_deinit) struct map types = {0}, sites = {0};
	_cleanup_(side_deinit) struct side old = {0}, new = {0};
	enum hf_status status = map_init(diff, "SELECT id, name FROM type", &types, err);
	if (status == HF_OK)
		status = map_init(diff,
			"SELECT id, coalesce(function, '') || ' ' || coalesce(file, '') || ':' || "
			"coalesce(line, 0) FROM site",
			&sites, err);
	if (status == HF_OK)
		status = side_init(&old, diff, 0, err);
	if (status == HF_OK)
		status = side_init(&new, diff, diff->n_heaps - 1, err);
	while (status == HF_OK && (!old.at_end || !new.at_end)) {
		bool take_old = !old.at_end && (new.at_end || old.addr <= new.addr);
		bool take_newer = !new.at_end && (old.at_end || new.addr <= old.addr);
		bool same = take_old && take_newer &&
			    old.size == new.size &&may_be_same(&types, old.type, new.type) &&
			    may_be_same(&sites, old.site, new.site);
		if (same) {
			status = take_kept(ret, &old, &new, diff->usable, err);
		} else {
			if (take_old)
				take_gone(ret, &old);
			if (take_newer)
				status = take_new(ret, &new, err);
		}
		if (status == HF_OK && take_old)
			status = side_next(&old, err);
		if (status == HF_OK && take_newer)
			status = side_next(&new, err);
	}
	return status == HF_OK ? keep_last(diff, ret, err) : status;
}

enum hf_status hf_diff_objects_emit(
	struct hf_diff *diff, const struct hf_diff_objects *objects, int64_t n, struct hf_err *err)
{
	static const struct hf_column columns[] = {
		{"growth", "GROWTH", HF_VALUE_SIZE_DELTA, 0},
		{"count_growth", "OBJECTS", HF_VALUE_COUNT_DELTA, 0},
		{"held_size", "HOLDS", HF_VALUE_SIZE, 0},
		{"addr", "ADDRESS", HF_VALUE_ADDRESS, 0},
		{"path", "WHERE", HF_VALUE_TEXT, HF_COLUMN_WRAP},
		{"id", "", HF_VALUE_PLAIN, HF_COLUMN_JSON},
		{"old_held_size", "", HF_VALUE_SIZE, HF_COLUMN_JSON},
	};
	struct hf_emit *emit = diff->report->emit;
	struct hf_heapdb *heap = &diff->report->heap;
	enum hf_status status = HF_OK;
	hf_emit_table_begin(emit, "grown", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < objects->n_grown && (int64_t)i < n && status == HF_OK; i++) {
		const struct hf_diff_object *g = &objects->grown[i];
		struct hf_object object;
		_cleanup_(hf_path_deinit) struct hf_path path = {0};
		_cleanup_(hf_text_deinit) struct hf_text text = HF_TEXT_INIT;
		status = hf_heapdb_object(heap, g->id, &object, err);
		if (status == HF_OK)
			status = hf_path_read(heap, &object, &path, err);
		if (status != HF_OK)
			break;
		hf_path_text(&text, &path, hf_emit_times(emit), hf_emit_dots(emit));
		hf_emit_row(emit, HF_NO_ROW,
			(struct hf_cell[]){
				hf_cell_int(g->growth_bytes),
				hf_cell_int((int64_t)(object.held_count - g->old_count)),
				hf_cell_int((int64_t)object.held_size),
				hf_cell_int((int64_t)object.addr),
				hf_cell_text(hf_text_get(&text)),
				hf_cell_int(object.id),
				hf_cell_int((int64_t)g->old_bytes),
			});
	}
	hf_emit_table_end(emit);
	char count[HF_NUMBER_SIZE];
	if (status == HF_OK && (int64_t)objects->n_grown > n)
		hf_emit_line(emit, "and %s more that hold more than before (-n %zu: all)",
			hf_human_count(count, objects->n_grown - (size_t)n), objects->n_grown);
	return status;
}

enum hf_status hf_diff_new_emit(
	struct hf_diff *diff, const struct hf_diff_objects *objects, int64_t n, struct hf_err *err)
{
	/* Of very many, every so manieth. */
	size_t every = objects->n_new / MAX_PLACED + 1, n_placed = 0;
	int64_t *placed = calloc(objects->n_new / every + 1, sizeof(*placed));
	if (!placed)
		return no_memory(err);
	for (size_t i = 0; i < objects->n_new; i += every)
		placed[n_placed++] = objects->new_ids[i];
	struct hf_emit *emit = diff->report->emit;
	_cleanup_(hf_set_paths_deinit) struct hf_set_paths paths = {0};
	enum hf_status status = hf_set_paths_init(&paths, diff->report, placed, n_placed, err);
	if (status == HF_OK) {
		char count[HF_NUMBER_SIZE];
		hf_emit_title(emit, "Who holds the new objects");
		hf_emit_fact(emit, "new_sampled_every", NULL, HF_VALUE_COUNT,
			hf_cell_int((int64_t)every));
		if (every > 1)
			hf_emit_line(emit, "(estimated from %s of them, one in %zu)",
				hf_human_count(count, n_placed), every);
		status = hf_set_paths_emit_members(
			&paths, "new_held_by", n, objects->new_count, objects->new_bytes, err);
	}
	free(placed);
	return status;
}
