#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "report/diff.h"

/* Lists of groups, a heap each, sorted by key and merged into one. */

enum { HOLDERS_FOR = 5 };

struct group {
	char *key; /* owned */
	uint64_t size[HF_DIFF_MAX_HEAPS], count[HF_DIFF_MAX_HEAPS];
};

struct groups {
	struct group *at; /* owned */
	size_t n, cap, n_heaps;
};

static void groups_deinit(struct groups *groups)
{
	for (size_t i = 0; i < groups->n; i++)
		free(groups->at[i].key);
	free(groups->at);
}

struct kind {
	const char *sql;  /* key, id, size, count */
	const char *rest; /* the same of what is of no group (id -1), if a heap knows some */
	const char *table, *column; /* of the ids; of object, that has the id. NULL: it is a root */
	const char *title;
	/* The same by usable sizes; NULL: no difference. Read all objects. */
	const char *usable_sql, *usable_rest;
};

static const struct kind kinds[] = {
	[HF_DIFF_SITE] = {"SELECT coalesce(function, '(unknown)') || "
			  "coalesce('  ' || file || coalesce(':' || line, ''), ''), "
			  "site_id, iif(e.n, live_bytes, size), iif(e.n, live_count, count) FROM "
			  "site_summary, (SELECT count(*) AS n FROM meta WHERE key = "
			  "'profile_sampled' AND value = 1) e WHERE site_id <> 0",
		/* Estimates are of all objects, whether they have a site or not. */
		"SELECT function, -1, size, count FROM site_summary WHERE site_id IS NULL "
		"AND NOT EXISTS (SELECT 1 FROM meta WHERE key = 'profile_sampled' AND value = 1)",
		"site", "site_id", "SITE", NULL, NULL},
	[HF_DIFF_TYPE] = {"SELECT name, type_id, size, count FROM type_summary "
			  "WHERE type_id <> 0",
		"SELECT name, -1, size, count FROM type_summary WHERE type_id IS NULL", "type",
		"type_id", "TYPE",
		"SELECT t.name, t.id, g.size, g.count FROM (SELECT type_id, sum(usable) AS size, "
		"count(*) AS count FROM object GROUP BY 1) g JOIN type t ON t.id = g.type_id",
		"SELECT '(no type)', -1, sum(usable), count(*) FROM object WHERE type_id IS NULL"},
	[HF_DIFF_ROOT] = {"SELECT name, variable_id, held_size, held_count, kind, thread, module "
			  "FROM root_summary",
		"SELECT '(leaked)', 0, total(value) FILTER (WHERE key = 'leak_size'), "
		"total(value) FILTER (WHERE key = 'leak_count') FROM meta",
		NULL, NULL, "ROOT",
		"SELECT s.name, s.variable_id, g.size, g.count, s.kind, s.thread, s.module FROM "
		"root_summary s CROSS JOIN (SELECT coalesce(r.variable_id, r.kind) AS root, "
		"sum(o.usable) AS size, count(*) AS count FROM object o JOIN root r ON r.id = "
		"o.holder_root_id WHERE o.reachable GROUP BY 1) g ON g.root = "
		"coalesce(s.variable_id, s.kind)",
		"SELECT '(leaked)', 0, total(usable), count(*) FROM object WHERE depth IS NULL"},
};

static enum hf_status push(
	struct groups *groups, const char *key, const struct group *group, struct hf_err *err)
{
	if (groups->n == groups->cap) {
		size_t cap = groups->cap ? groups->cap * 2 : 256;
		struct group *at = reallocarray(groups->at, cap, sizeof(*at));
		if (!at)
			return hf_err_set(err, HF_E_NOMEM, "no memory for the groups of a diff");
		groups->at = at;
		groups->cap = cap;
	}
	char *copy = strdup(key);
	if (!copy)
		return hf_err_set(err, HF_E_NOMEM, "no memory for the groups of a diff");
	groups->at[groups->n] = *group;
	groups->at[groups->n++].key = copy;
	return HF_OK;
}

/* Numbers of threads and processes differ from run to run, so threads are told by name alone:
 * "registers of thread 12 (worker)" is "registers of thread (worker)". Of different processes
 * addresses of mappings say nothing. */
void hf_diff_root_key(struct hf_text *text, sqlite3_stmt *q, bool same_process)
{
	const char *name = hf_column_text(q, 0), *thread = hf_column_text(q, 5);
	const char *of = strstr(name, "of thread ");
	if (of) {
		const char *number = of + strlen("of thread ");
		hf_text_addf(text, "%.*s%s", (int)(number - name), name,
			number + strspn(number, "0123456789 "));
		return;
	}
	static const char mapping[] = "mapping 0x";
	if (!same_process && !strncmp(name, mapping, sizeof(mapping) - 1)) {
		const char *after = strchr(name + sizeof(mapping) - 1, ' ');
		hf_text_addf(text, "mapping%s", after ? after : "");
		return;
	}
	hf_heapdb_root_label_of(text, name, hf_column_text(q, 4), hf_column_text(q, 6), 0, NULL);
	if (*thread)
		hf_text_addf(text, " of thread %s", thread);
}

static enum hf_status read_groups(struct hf_diff *diff, size_t heap, const char *sql, bool roots,
	struct groups *groups, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(diff->heaps[heap]->db, &q, err, sql, "");
	while (hf_row(q, &status, err)) {
		_cleanup_(hf_text_deinit) struct hf_text key = HF_TEXT_INIT;
		if (roots)
			hf_diff_root_key(&key, q, diff->same_process);
		else
			hf_text_addf(&key, "%s", hf_column_text(q, 0));
		struct group group = {0};
		group.size[heap] = (uint64_t)hf_column_int(q, 2);
		group.count[heap] = (uint64_t)hf_column_int(q, 3);
		status = push(groups, hf_text_get(&key), &group, err);
	}
	return status;
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct group *)a)->key, ((const struct group *)b)->key);
}

static int64_t growth(const struct group *g, size_t n_heaps)
{
	return (int64_t)(g->size[n_heaps - 1] - g->size[0]);
}

/* The smallest growth from one heap to the next: what grows steadily has a large one. */
static int64_t least_step(const struct group *g, size_t n_heaps)
{
	int64_t least = INT64_MAX;
	for (size_t i = 1; i < n_heaps; i++) {
		int64_t step = (int64_t)(g->size[i] - g->size[i - 1]);
		least = step < least ? step : least;
	}
	return least;
}

/* What grew, then what shrank, each with the largest change first; then what did neither. */
static int by_growth(const void *a, const void *b, void *n_heaps)
{
	int64_t x = growth(a, *(size_t *)n_heaps), y = growth(b, *(size_t *)n_heaps);
	if (x == y)
		return by_key(a, b);
	return x > 0 || y > 0 ? (x < y ? 1 : -1) : (x < y ? -1 : 1);
}

/* What grew in every step comes first. */
static int by_steady_growth(const void *a, const void *b, void *n_heaps)
{
	bool x = least_step(a, *(size_t *)n_heaps) > 0, y = least_step(b, *(size_t *)n_heaps) > 0;
	return x != y ? (x ? -1 : 1) : by_growth(a, b, n_heaps);
}

/* Groups of one key become one. */
static void merge(struct groups *groups)
{
	if (groups->n)
		qsort(groups->at, groups->n, sizeof(*groups->at), by_key);
	size_t to = 0;
	for (size_t i = 0; i < groups->n; i++) {
		struct group *from = &groups->at[i];
		if (!to || strcmp(groups->at[to - 1].key, from->key) != 0) {
			groups->at[to++] = *from;
			continue;
		}
		struct group *into = &groups->at[to - 1];
		for (size_t h = 0; h < groups->n_heaps; h++) {
			into->size[h] += from->size[h];
			into->count[h] += from->count[h];
		}
		free(from->key);
	}
	groups->n = to;
	if (to)
		qsort_r(groups->at, to, sizeof(*groups->at),
			groups->n_heaps > 2 ? by_steady_growth : by_growth, &groups->n_heaps);
}

struct holders {
	struct hf_diff_holder at[HOLDERS_FOR];
};

static void holders_deinit(struct holders *holders)
{
	for (size_t i = 0; i < HOLDERS_FOR; i++)
		hf_text_deinit(&holders->at[i].name);
}

/* Does it have a row in the table? */
static bool changed(const struct group *g, size_t n_heaps)
{
	return growth(g, n_heaps) || g->count[0] != g->count[n_heaps - 1];
}

/* Of the first few groups that grew; the others are not worth the time. */
static enum hf_status find_holders(struct hf_diff *diff, enum hf_diff_by by,
	const struct groups *groups, struct holders *ret, struct hf_err *err)
{
	struct hf_diff_of of = {.sql = kinds[by].sql,
		.rest_sql = kinds[by].rest,
		.table = kinds[by].table,
		.column = kinds[by].column,
		.size = diff->usable && kinds[by].usable_sql ? "usable" : "size",
		.estimates = by == HF_DIFF_SITE};
	for (size_t i = 0; of.column && i < groups->n; i++) {
		const struct group *g = &groups->at[i];
		if (of.n == HOLDERS_FOR || (int64_t)of.n == diff->n ||
			growth(g, diff->n_heaps) <= 0)
			break;
		of.keys[of.n++] = g->key;
	}
	return of.n ? hf_diff_holders(diff, &of, ret->at, err) : HF_OK;
}

/* "g_sessions", or "g_sessions (+1.2 KiB)" where that is not the growth of the group. */
static void holder_text(struct hf_text *text, const struct hf_diff_holder *holder, int64_t grown)
{
	char size[HF_NUMBER_SIZE];
	hf_text_addf(text, "%s", hf_text_get(&holder->name));
	double part = (double)holder->growth_bytes / (double)grown;
	if (text->len && (part < 0.9 || part > 1.1))
		hf_text_addf(text, " (%s)", hf_human_size_delta(size, holder->growth_bytes));
}

enum { FIXED_COLUMNS = 10, MAX_COLUMNS = FIXED_COLUMNS + HF_DIFF_MAX_HEAPS };

static void emit_group(
	struct hf_diff *diff, const struct group *g, const struct hf_diff_holder *holder)
{
	size_t last = diff->n_heaps - 1;
	bool human = hf_emit_form(diff->report->emit) == HF_EMIT_HUMAN,
	     held = holder && holder->name.len;
	_cleanup_(hf_text_deinit) struct hf_text text = HF_TEXT_INIT;
	if (held)
		holder_text(&text, holder, growth(g, diff->n_heaps));
	struct hf_cell cells[MAX_COLUMNS] = {
		hf_cell_int(growth(g, diff->n_heaps)),
		hf_cell_int(least_step(g, diff->n_heaps)),
		hf_cell_int((int64_t)(g->count[last] - g->count[0])),
		hf_cell_int((int64_t)g->size[0]),
		hf_cell_int((int64_t)g->size[last]),
		hf_cell_text(g->key),
		hf_cell_text(!held ? NULL : hf_text_get(human ? &text : &holder->name)),
		hf_cell_int((int64_t)g->count[0]),
		hf_cell_int((int64_t)g->count[last]),
		held ? hf_cell_int(holder->growth_bytes) : hf_cell_null(),
	};
	for (size_t i = 0; i < diff->n_heaps; i++)
		cells[FIXED_COLUMNS + i] = hf_cell_int((int64_t)g->size[i]);
	hf_emit_row(diff->report->emit, HF_NO_ROW, cells);
}

static enum hf_status emit_groups(
	struct hf_diff *diff, enum hf_diff_by by, const struct groups *groups, struct hf_err *err)
{
	const struct kind *kind = &kinds[by];
	bool series = diff->n_heaps > 2;
	struct hf_column columns[MAX_COLUMNS] = {
		{"growth", "GROWTH", HF_VALUE_SIZE_DELTA, 0},
		{"least_step", "LEAST STEP", HF_VALUE_SIZE_DELTA, series ? 0 : HF_COLUMN_JSON},
		{"count_growth", "OBJECTS", HF_VALUE_COUNT_DELTA, 0},
		{"old_size", "OLD", HF_VALUE_SIZE, 0},
		{"new_size", "NEW", HF_VALUE_SIZE, 0},
		{"name", kind->title, HF_VALUE_TEXT, HF_COLUMN_ELIDE},
		{"held_by", "HELD BY", HF_VALUE_TEXT, kind->column ? 0 : HF_COLUMN_JSON},
		{"old_count", "", HF_VALUE_COUNT, HF_COLUMN_JSON},
		{"new_count", "", HF_VALUE_COUNT, HF_COLUMN_JSON},
		{"held_by_growth", "", HF_VALUE_SIZE_DELTA, HF_COLUMN_JSON},
	};
	char names[HF_DIFF_MAX_HEAPS][32];
	for (size_t i = 0; series && i < diff->n_heaps; i++) {
		snprintf(names[i], sizeof(names[i]), "size_%zu", i + 1);
		columns[FIXED_COLUMNS + i] =
			(struct hf_column){names[i], "", HF_VALUE_SIZE, HF_COLUMN_JSON};
	}
	int64_t shown = 0, left = 0, left_bytes = 0;
	_cleanup_(holders_deinit) struct holders holders = {0};
	enum hf_status status = find_holders(diff, by, groups, &holders, err);
	struct hf_emit *emit = diff->report->emit;
	hf_emit_table_begin(emit, "rows", columns, FIXED_COLUMNS + (series ? diff->n_heaps : 0));
	for (size_t i = 0; i < groups->n && status == HF_OK; i++) {
		const struct group *g = &groups->at[i];
		int64_t grown = growth(g, diff->n_heaps);
		if (!changed(g, diff->n_heaps))
			continue;
		if (shown == diff->n) {
			left++;
			left_bytes += grown;
			continue;
		}
		emit_group(diff, g, i < HOLDERS_FOR ? &holders.at[i] : NULL);
		shown++;
	}
	hf_emit_table_end(emit);
	hf_emit_fact(emit, "rows_left", NULL, HF_VALUE_COUNT, hf_cell_int(left));
	char count[HF_NUMBER_SIZE], size[HF_NUMBER_SIZE];
	if (left)
		hf_emit_line(emit, "and %s more that changed, %s together (-n %lld: all)",
			hf_human_count(count, (uint64_t)left),
			hf_human_size_delta(size, left_bytes), (long long)(shown + left));
	if (!shown && groups->n)
		hf_emit_line(emit, "nothing changed");
	return status;
}

enum hf_status hf_diff_knows(
	struct hf_diff *diff, enum hf_diff_by by, bool *ret, struct hf_err *err)
{
	char sql[512];
	snprintf(sql, sizeof(sql), "SELECT count(*) FROM (%s)", kinds[by].sql);
	for (size_t i = 0; i < diff->n_heaps; i++) {
		int64_t n = 0;
		enum hf_status status = hf_query_int(diff->heaps[i]->db, &n, err, sql, "");
		if (status != HF_OK)
			return status;
		if (!n) {
			*ret = false;
			return HF_OK;
		}
	}
	*ret = true;
	return HF_OK;
}

enum hf_status hf_diff_groups(struct hf_diff *diff, enum hf_diff_by by, struct hf_err *err)
{
	_cleanup_(groups_deinit) struct groups groups = {.n_heaps = diff->n_heaps};
	bool usable = diff->usable && kinds[by].usable_sql;
	const char *sql = usable ? kinds[by].usable_sql : kinds[by].sql;
	const char *rest = usable ? kinds[by].usable_rest : kinds[by].rest;
	enum hf_status status = HF_OK;
	for (size_t i = 0; i < diff->n_heaps && status == HF_OK; i++)
		status = read_groups(diff, i, sql, by == HF_DIFF_ROOT, &groups, err);
	for (size_t i = 0; i < diff->n_heaps && status == HF_OK && (groups.n || by == HF_DIFF_ROOT);
		i++)
		status = read_groups(diff, i, rest, false, &groups, err);
	if (status != HF_OK)
		return status;
	merge(&groups);
	if (by != HF_DIFF_ROOT && !groups.n)
		hf_emit_warning(diff->report->emit,
			"no heap knows any %s: there is nothing to compare; try --by root",
			by == HF_DIFF_SITE ? "site" : "type");
	return emit_groups(diff, by, &groups, err);
}
