#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "report/also.h"
#include "report/db.h"
#include "report/group.h"
#include "report/report.h"

/* Where an entry's word is. */
struct place {
	enum hf_also_kind kind;
	int64_t id, field_id;
	size_t entry;
	uint32_t first; /* of the entry */
};

static const char root_sql[] =
	"SELECT r.kind, r.variable_id, v.type_id IS NOT NULL, coalesce(r.thread_id, v.thread_id), "
	"coalesce(r.module_id, v.module_id) FROM root r LEFT JOIN variable v ON v.id = "
	"r.variable_id "
	"WHERE r.id = ?";
static const char object_sql[] =
	"SELECT r.variable_id, e.field_id FROM object o "
	"LEFT JOIN root r ON r.id = o.holder_root_id "
	"LEFT JOIN edge e ON e.src_id = o.id AND e.src_offset = ?2 WHERE o.id = ?1";

static void place_of_root(sqlite3_stmt *q, struct place *ret)
{
	const char *kind = hf_column_text(q, 0);
	bool named = hf_column_int(q, 2) != 0; /* by debug information; else it is all of a stack */
	int64_t thread = hf_column_int(q, 3);
	if (!named && thread && !strcmp(kind, "stack"))
		*ret = (struct place){.kind = HF_ALSO_STACK, .id = thread};
	else if (!named && thread && !strcmp(kind, "register"))
		*ret = (struct place){.kind = HF_ALSO_REGISTERS, .id = thread};
	else if (!hf_column_null(q, 1))
		*ret = (struct place){.kind = HF_ALSO_VARIABLE, .id = hf_column_int(q, 1)};
	else
		*ret = (struct place){.kind = HF_ALSO_MODULE, .id = hf_column_int(q, 4)};
}

static enum hf_status find_places(
	struct hf_heapdb *heap, const struct hf_also *also, struct place *ret, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *roots = NULL;
	_cleanup_stmt_ sqlite3_stmt *objects = NULL;
	enum hf_status status = hf_query(heap->db, &roots, err, root_sql, "");
	if (status == HF_OK)
		status = hf_query(heap->db, &objects, err, object_sql, "");
	for (size_t i = 0; i < also->n && status == HF_OK; i++) {
		const struct hf_also_entry *e = &also->at[i];
		sqlite3_stmt *q = e->src_id ? objects : roots;
		if (e->src_id)
			hf_rebind(q, "ii", e->src_id, (int64_t)e->src_offset);
		else
			hf_rebind(q, "i", e->root_id);
		if (!hf_row(q, &status, err))
			return status != HF_OK ? status
					       : hf_err_set(err, HF_E_CORRUPT,
							 "the database lacks a root or an object");
		if (e->src_id)
			ret[i] = (struct place){.kind = HF_ALSO_OBJECTS,
				.id = hf_column_int(q, 0),
				.field_id = hf_column_int(q, 1)};
		else
			place_of_root(q, &ret[i]);
		ret[i].entry = i;
		ret[i].first = e->first;
		sqlite3_reset(q);
	}
	return status;
}

static int by_place(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	if (x->first != y->first)
		return x->first < y->first ? -1 : 1;
	return (x->entry > y->entry) - (x->entry < y->entry);
}

static int most_bytes(const void *a, const void *b)
{
	const struct hf_also_source *x = a, *y = b;
	if (x->bytes != y->bytes)
		return x->bytes < y->bytes ? 1 : -1;
	return (x->example > y->example) - (x->example < y->example);
}

/* The words at[0 … n - 1] of one source. What is below an object that another one reaches counts
 * with that. */
static struct hf_also_source sum_up(const struct hf_also *also, const struct place *at, size_t n)
{
	struct hf_also_source s = {
		.kind = at->kind, .id = at->id, .example = at->entry, .field_id = at->field_id};
	uint32_t end = 0;
	for (size_t i = 0; i < n; i++) {
		const struct hf_also_entry *e = &also->at[at[i].entry];
		s.words += e->weight;
		s.estimated |= e->weight != 1;
		s.various |= at[i].field_id != s.field_id;
		s.example = at[i].entry < s.example ? at[i].entry : s.example;
		if (e->first < end)
			continue;
		s.bytes += e->weight * (double)e->bytes;
		s.count += e->weight * (double)e->count;
		end = e->last;
	}
	return s;
}

enum hf_status hf_also_sum(struct hf_heapdb *heap, const struct hf_also *also,
	struct hf_also_sources *ret, struct hf_err *err)
{
	struct place *places = calloc(also->n + 1, sizeof(*places));
	_cleanup_(hf_also_sources_deinit) struct hf_also_sources sources = {
		.at = calloc(also->n + 1, sizeof(*sources.at))};
	enum hf_status status = places && sources.at ? find_places(heap, also, places, err)
						     : hf_err_set(err, HF_E_NOMEM,
							       "no memory to sum up other holders");
	if (status == HF_OK && also->n)
		qsort(places, also->n, sizeof(*places), by_place);
	for (size_t from = 0, to; status == HF_OK && from < also->n; from = to) {
		for (to = from + 1; to < also->n && places[to].kind == places[from].kind &&
				    places[to].id == places[from].id;
			to++)
			;
		sources.at[sources.n++] = sum_up(also, places + from, to - from);
	}
	free(places);
	if (status != HF_OK)
		return status;
	if (sources.n)
		qsort(sources.at, sources.n, sizeof(*sources.at), most_bytes);
	*ret = sources;
	sources = (struct hf_also_sources){0};
	return HF_OK;
}

void hf_also_sources_deinit(struct hf_also_sources *sources)
{
	free(sources->at);
	*sources = (struct hf_also_sources){0};
}

const char *hf_also_kind_name(enum hf_also_kind kind)
{
	static const char *const names[] = {
		[HF_ALSO_VARIABLE] = "variable",
		[HF_ALSO_STACK] = "stack",
		[HF_ALSO_REGISTERS] = "registers",
		[HF_ALSO_MODULE] = "module",
		[HF_ALSO_OBJECTS] = "objects",
	};
	return names[kind];
}

/* name, kind, module, tid, thread of what a source is of */
static const char *const place_sql[] = {
	[HF_ALSO_VARIABLE] = "SELECT v.name, v.kind, m.path, t.tid, t.name FROM variable v "
			     "LEFT JOIN module m ON m.id = v.module_id "
			     "LEFT JOIN thread t ON t.id = v.thread_id WHERE v.id = ?",
	[HF_ALSO_STACK] = "SELECT 'stack', 'stack', NULL, tid, name FROM thread WHERE id = ?",
	[HF_ALSO_REGISTERS] =
		"SELECT 'registers', 'register', NULL, tid, name FROM thread WHERE id = ?",
	[HF_ALSO_MODULE] = "SELECT 'data', '', path, 0, NULL FROM module WHERE id = ?",
	[HF_ALSO_OBJECTS] = "SELECT name, '', NULL, 0, NULL FROM variable WHERE id = ?",
};

/* "struct node.next" */
static enum hf_status add_field(
	struct hf_text *text, struct hf_heapdb *heap, int64_t field_id, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(heap->db, &q, err,
		"SELECT t.name, f.name FROM field f JOIN type t ON t.id = f.type_id WHERE f.id = ?",
		"i", field_id);
	if (!hf_row(q, &status, err))
		return status;
	const char *field = hf_column_text(q, 1);
	hf_text_addf(text, ", %s", hf_column_text(q, 0));
	if (field[0] != '(' && strcmp(field, "[]") != 0)
		hf_text_addf(text, "%s%s", field[0] == '[' ? "" : ".", field);
	return HF_OK;
}

enum hf_status hf_also_source_place(struct hf_text *text, struct hf_heapdb *heap,
	const struct hf_also_source *source, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status =
		hf_query(heap->db, &q, err, place_sql[source->kind], "i", source->id);
	bool found = hf_row(q, &status, err);
	const char *name = found ? hf_column_text(q, 0) : "";
	switch (source->kind) {
	case HF_ALSO_VARIABLE:
		hf_heapdb_root_label_of(text, name, hf_column_text(q, 1), hf_column_text(q, 2),
			hf_column_int(q, 3), hf_column_text(q, 4));
		break;
	case HF_ALSO_STACK:
	case HF_ALSO_REGISTERS:
		hf_text_addf(text, "the %s of thread %lld", name, (long long)hf_column_int(q, 3));
		if (!hf_column_null(q, 4))
			hf_text_addf(text, " (%s)", hf_column_text(q, 4));
		break;
	case HF_ALSO_MODULE:
		hf_text_addf(text, found ? "the data of %s" : "other memory",
			hf_base_name(hf_column_text(q, 2)));
		break;
	case HF_ALSO_OBJECTS:
		hf_text_addf(text, "objects that %s holds", found ? name : "no variable");
		if (status == HF_OK && source->field_id && !source->various)
			status = add_field(text, heap, source->field_id, err);
		break;
	}
	return status;
}

enum hf_status hf_also_source_text(struct hf_text *text, struct hf_heapdb *heap,
	const struct hf_also *also, const struct hf_also_source *source, const char *dots,
	struct hf_err *err)
{
	char number[HF_NUMBER_SIZE];
	if (source->words == 1)
		return hf_also_from(text, heap, &also->at[source->example], dots, err);
	hf_text_addf(text, "%s%s%s words of ",
		also->complete || source->estimated ? "" : "at least ",
		source->estimated ? "~" : "",
		hf_human_count(number, hf_group_number(source->words, source->estimated)));
	return hf_also_source_place(text, heap, source, err);
}
