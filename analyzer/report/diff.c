#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "report/report.h"

/*
 * Two heaps side by side. Ids differ between them, so groups are matched by what names them: a
 * type's name, a site's function, file and line, a root's kind, name and module. Both lists are
 * sorted by that key and merged.
 */

enum { HOLDERS_FOR = 5 };

struct group {
	char *key;
	int64_t id; /* in the newer heap; 0: not there */
	uint64_t old_size, new_size, old_count, new_count;
};

struct groups {
	struct group *at;
	size_t n, cap;
};

static void groups_deinit(struct groups *groups)
{
	for (size_t i = 0; i < groups->n; i++)
		free(groups->at[i].key);
	free(groups->at);
}

struct kind {
	const char *name;
	const char *sql;    /* key, id, size, count */
	const char *holder; /* of group ?1 of the newer heap: variable and bytes, largest first */
	const char *title;
};

static const struct kind kinds[] = {
	{"site",
		"SELECT coalesce(function, '(unknown)') || coalesce('  ' || file || coalesce(':' "
		"|| "
		"line, ''), ''), site_id, size, count FROM site_summary WHERE site_id <> 0",
		"o.site_id", "SITE"},
	{"type", "SELECT name, type_id, size, count FROM type_summary WHERE type_id <> 0",
		"o.type_id", "TYPE"},
	{"root", NULL, NULL, "ROOT"},
};

static enum hf_status push(
	struct groups *groups, const char *key, struct group group, struct hf_err *err)
{
	if (groups->n == groups->cap) {
		size_t cap = groups->cap ? groups->cap * 2 : 256;
		struct group *at = reallocarray(groups->at, cap, sizeof(*at));
		if (!at)
			return hf_err_set(err, HF_E_NOMEM, "no memory for the groups of a diff");
		groups->at = at;
		groups->cap = cap;
	}
	group.key = strdup(key);
	if (!group.key)
		return hf_err_set(err, HF_E_NOMEM, "no memory for the groups of a diff");
	groups->at[groups->n++] = group;
	return HF_OK;
}

/* Numbers of threads and processes differ from run to run, so threads are told by name alone:
 * "registers of thread 12 (worker)" is "registers of thread (worker)". */
static void root_key(struct hf_text *text, sqlite3_stmt *q)
{
	const char *name = hf_column_text(q, 0), *thread = hf_column_text(q, 5);
	const char *of = strstr(name, "of thread ");
	if (of) {
		const char *number = of + strlen("of thread ");
		hf_text_addf(text, "%.*s%s", (int)(number - name), name,
			number + strspn(number, "0123456789 "));
		return;
	}
	hf_heapdb_root_label_of(text, name, hf_column_text(q, 4), hf_column_text(q, 6), 0, NULL);
	if (*thread)
		hf_text_addf(text, " of thread %s", thread);
}

static enum hf_status read_groups(
	sqlite3 *db, const struct kind *kind, bool newer, struct groups *groups, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(db, &q, err,
		kind->sql ? kind->sql
			  : "SELECT name, variable_id, held_size, held_count, kind, thread, module "
			    "FROM root_summary",
		"");
	while (hf_row(q, &status, err)) {
		_cleanup_(hf_text_deinit) struct hf_text key = HF_TEXT_INIT;
		if (kind->sql)
			hf_text_addf(&key, "%s", hf_column_text(q, 0));
		else
			root_key(&key, q);
		uint64_t size = (uint64_t)hf_column_int(q, 2),
			 count = (uint64_t)hf_column_int(q, 3);
		struct group group = {0};
		if (newer) {
			group.id = hf_column_int(q, 1);
			group.new_size = size;
			group.new_count = count;
		} else {
			group.old_size = size;
			group.old_count = count;
		}
		status = push(groups, hf_text_get(&key), group, err);
	}
	return status;
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct group *)a)->key, ((const struct group *)b)->key);
}

static int64_t growth(const struct group *group)
{
	return (int64_t)(group->new_size - group->old_size);
}

static int by_growth(const void *a, const void *b)
{
	int64_t x = growth(a), y = growth(b);
	return x != y ? (x < y ? 1 : -1) : by_key(a, b);
}

/* Groups of one key become one. */
static void merge(struct groups *groups)
{
	if (groups->n)
		qsort(groups->at, groups->n, sizeof(*groups->at), by_key);
	size_t to = 0;
	for (size_t i = 0; i < groups->n; i++) {
		struct group *from = &groups->at[i];
		if (to && !strcmp(groups->at[to - 1].key, from->key)) {
			struct group *into = &groups->at[to - 1];
			into->old_size += from->old_size;
			into->new_size += from->new_size;
			into->old_count += from->old_count;
			into->new_count += from->new_count;
			into->id = into->id ? into->id : from->id;
			free(from->key);
			continue;
		}
		groups->at[to++] = *from;
	}
	groups->n = to;
	if (to)
		qsort(groups->at, to, sizeof(*groups->at), by_growth);
}

/* Which root holds most of a group, by reading all objects: only asked for the first few. */
static enum hf_status holder_of(struct hf_report *report, const struct kind *kind, int64_t id,
	struct hf_text *ret, struct hf_err *err)
{
	char sql[512];
	snprintf(sql, sizeof(sql),
		"SELECT v.name FROM object o JOIN root r ON r.id = o.holder_root_id "
		"JOIN variable v ON v.id = r.variable_id WHERE %s = ? "
		"GROUP BY v.id ORDER BY sum(o.size) DESC LIMIT 1",
		kind->holder);
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(report->heap.db, &q, err, sql, "i", id);
	if (hf_row(q, &status, err))
		hf_text_addf(ret, "%s", hf_column_text(q, 0));
	return status;
}

static enum hf_status emit_groups(struct hf_report *report, const struct kind *kind,
	const struct groups *groups, int64_t n, struct hf_err *err)
{
	const struct hf_column columns[] = {
		{"growth", "GROWTH", HF_VALUE_SIZE_DELTA, 0},
		{"count_growth", "OBJECTS", HF_VALUE_COUNT_DELTA, 0},
		{"old_size", "OLD", HF_VALUE_SIZE, 0},
		{"new_size", "NEW", HF_VALUE_SIZE, 0},
		{"name", kind->title, HF_VALUE_TEXT, HF_COLUMN_ELIDE},
		{"held_by", "HELD BY", HF_VALUE_TEXT, kind->holder ? 0 : HF_COLUMN_JSON},
		{"old_count", "", HF_VALUE_COUNT, HF_COLUMN_JSON},
		{"new_count", "", HF_VALUE_COUNT, HF_COLUMN_JSON},
	};
	int64_t shown = 0;
	enum hf_status status = HF_OK;
	hf_emit_table_begin(report->emit, "rows", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < groups->n && shown < n && status == HF_OK; i++) {
		const struct group *g = &groups->at[i];
		if (!growth(g) && g->old_count == g->new_count)
			continue;
		_cleanup_(hf_text_deinit) struct hf_text holder = HF_TEXT_INIT;
		if (kind->holder && g->id && growth(g) > 0 && shown < HOLDERS_FOR)
			status = holder_of(report, kind, g->id, &holder, err);
		hf_emit_row(report->emit, HF_NO_ROW,
			(struct hf_cell[]){
				hf_cell_int(growth(g)),
				hf_cell_int((int64_t)(g->new_count - g->old_count)),
				hf_cell_int((int64_t)g->old_size),
				hf_cell_int((int64_t)g->new_size),
				hf_cell_text(g->key),
				hf_cell_text(holder.len ? hf_text_get(&holder) : NULL),
				hf_cell_int((int64_t)g->old_count),
				hf_cell_int((int64_t)g->new_count),
			});
		shown++;
	}
	hf_emit_table_end(report->emit);
	if (!shown && groups->n)
		hf_emit_line(report->emit, "nothing changed");
	return status;
}

/* The largest suspects of the newer heap, for those who grew. */
static enum hf_status paths_of_growth(
	struct hf_report *report, const struct groups *groups, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(report->heap.db, &q, err,
		"SELECT path, held_size FROM suspect WHERE variable_id = ? AND basis = 'held' "
		"ORDER BY id LIMIT 1",
		"");
	bool titled = false;
	for (size_t i = 0; i < groups->n && i < HOLDERS_FOR && status == HF_OK; i++) {
		const struct group *g = &groups->at[i];
		if (growth(g) <= 0 || !g->id)
			break;
		hf_rebind(q, "i", g->id);
		if (!hf_row(q, &status, err))
			continue;
		if (!titled)
			hf_emit_title(report->emit, "Where it grew");
		titled = true;
		char size[HF_NUMBER_SIZE];
		hf_emit_line(report->emit, "  %s  (%s)", hf_column_text(q, 0),
			hf_human_size(size, (uint64_t)hf_column_int(q, 1)));
	}
	return status;
}

static enum hf_status choose(struct hf_report *report, struct hf_heapdb *old, const char *by,
	const struct kind **ret, struct hf_err *err)
{
	size_t n = sizeof(kinds) / sizeof(kinds[0]);
	for (size_t i = 0; i < n; i++) {
		if (by && !strcmp(by, kinds[i].name)) {
			*ret = &kinds[i];
			return HF_OK;
		}
		if (by)
			continue;
		if (!kinds[i].sql) {
			*ret = &kinds[i];
			return HF_OK;
		}
		char sql[512];
		int64_t in_old = 0, in_new = 0;
		snprintf(sql, sizeof(sql), "SELECT count(*) FROM (%s)", kinds[i].sql);
		enum hf_status status = hf_query_int(old->db, &in_old, err, sql, "");
		if (status == HF_OK)
			status = hf_query_int(report->heap.db, &in_new, err, sql, "");
		if (status != HF_OK)
			return status;
		if (in_old && in_new) {
			*ret = &kinds[i];
			return HF_OK;
		}
	}
	return hf_err_set(err, HF_E_USAGE, "--by %s: not known; it is one of type, site, root", by);
}

enum hf_status hf_report_diff(struct hf_report *report, struct hf_heapdb *old,
	const struct hf_diff_options *options, int64_t *ret_growth, struct hf_err *err)
{
	const struct hf_heapdb *new = &report->heap;
	const struct kind *kind = NULL;
	_cleanup_(groups_deinit) struct groups groups = {0};
	enum hf_status status = choose(report, old, options->by, &kind, err);
	if (status == HF_OK)
		status = read_groups(old->db, kind, false, &groups, err);
	if (status == HF_OK)
		status = read_groups(new->db, kind, true, &groups, err);
	if (status != HF_OK)
		return status;
	merge(&groups);

	struct hf_emit *emit = report->emit;
	int64_t size = (int64_t)(new->live_size - old->live_size);
	int64_t count = (int64_t)(new->live_count - old->live_count);
	char a[HF_NUMBER_SIZE], b[HF_NUMBER_SIZE], c[HF_NUMBER_SIZE], d[HF_NUMBER_SIZE];
	hf_emit_fact(emit, "by", NULL, HF_VALUE_TEXT, hf_cell_text(kind->name));
	hf_emit_fact(emit, "growth", NULL, HF_VALUE_SIZE_DELTA, hf_cell_int(size));
	hf_emit_fact(emit, "count_growth", NULL, HF_VALUE_COUNT_DELTA, hf_cell_int(count));
	hf_emit_fact(emit, "old_size", NULL, HF_VALUE_SIZE, hf_cell_int((int64_t)old->live_size));
	hf_emit_fact(emit, "new_size", NULL, HF_VALUE_SIZE, hf_cell_int((int64_t) new->live_size));
	hf_emit_fact(emit, "leak_growth", NULL, HF_VALUE_SIZE_DELTA,
		hf_cell_int((int64_t)(new->leak_size - old->leak_size)));
	hf_emit_title(emit, "Live heap: %s -> %s (%s), %s objects",
		hf_human_size(c, old->live_size), hf_human_size(d, new->live_size),
		hf_human_size_delta(a, size), hf_human_count_delta(b, count));
	if (new->leak_size != old->leak_size)
		hf_emit_line(emit, "%-14s %s", "leaked",
			hf_human_size_delta(a, (int64_t)(new->leak_size - old->leak_size)));
	if (!options->by && !kind->sql)
		hf_emit_line(emit, "By root: these heaps know no allocation sites and no types.");
	if (kind->sql && !groups.n)
		hf_emit_warning(emit,
			"neither heap knows any %s: there is nothing to compare; try --by root",
			kind->name);
	status = emit_groups(report, kind, &groups, options->n, err);
	if (status == HF_OK && !kind->sql)
		status = paths_of_growth(report, &groups, err);
	*ret_growth = size;
	return status;
}
