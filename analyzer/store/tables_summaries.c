#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "graph/graph.h"
#include "store/account.h"
#include "store/insert.h"
#include "store/summary.h"
#include "store/suspect.h"
#include "store/tables.h"

static void free_u32(uint32_t **p)
{
	free(*p);
}

static void free_groups(struct hf_summary_group **p)
{
	free(*p);
}

/* A list of the largest objects into a stat_top table. */
static enum hf_status insert_top(sqlite3 *db, const char *table, const uint64_t *size,
	size_t stride, uint32_t n, const uint32_t *ids, struct hf_err *err)
{
	uint32_t n_top = 0;
	struct hf_summary_ranked *top = hf_summary_top(size, stride, n, HF_SUMMARY_TOP, &n_top);
	if (!top)
		return hf_err_set(err, HF_E_NOMEM, "no memory for the largest objects");
	_cleanup_(hf_insert_deinit) struct hf_insert ins;
	enum hf_status status = hf_insert_init(&ins, db, table, 2, err);
	for (uint32_t i = 0; !status && i < n_top; i++) {
		hf_insert_u64(&ins, i + 1ull);
		hf_insert_u64(&ins, (ids ? ids[top[i].object] : top[i].object) + 1ull);
		status = hf_insert_row(&ins, err);
	}
	free(top);
	return status;
}

static enum hf_status insert_tops(sqlite3 *db, const struct hf_store_input *in, struct hf_err *err)
{
	uint32_t n = in->graph->n_objects;
	const struct hf_graph_dominance *node = in->dominators->node;
	enum hf_status status = insert_top(
		db, "stat_top_retained", &node->retained_size, sizeof(*node), n, NULL, err);
	if (!status)
		status = insert_top(
			db, "stat_top_held", in->held->size, sizeof(uint64_t), n, NULL, err);
	if (!status)
		status = insert_top(
			db, "stat_top_size", in->graph->size, sizeof(uint64_t), n, NULL, err);
	if (status)
		return status;
	/* Heads of leaks are ranked among themselves. */
	uint64_t *held = malloc((in->heads->n + 1ull) * sizeof(*held));
	if (!held)
		return hf_err_set(err, HF_E_NOMEM, "no memory for the heads of leaks");
	for (uint32_t h = 0; h < in->heads->n; h++)
		held[h] = in->held->size[in->heads->object[h]];
	status = insert_top(
		db, "stat_leak_head", held, sizeof(*held), in->heads->n, in->heads->object, err);
	free(held);
	return status;
}

static enum hf_status insert_arenas(sqlite3 *db, const struct hf_store_input *in,
	const struct hf_summary_group *group, struct hf_err *err)
{
	_cleanup_(hf_insert_deinit) struct hf_insert ins;
	enum hf_status status = hf_insert_init(&ins, db, "arena", 13, err);
	static const char *const kinds[] = {[HF_ARENA_MAIN] = "main",
		[HF_ARENA_THREAD] = "thread",
		[HF_ARENA_MMAPPED] = "mmapped"};
	for (size_t i = 0; !status && i < in->heap->arenas.n; i++) {
		const struct hf_heap_arena *a = &in->heap->arenas.at[i];
		hf_insert_u64(&ins, i + 1);
		hf_insert_text(&ins, a->allocator);
		hf_insert_text(&ins, a->kind <= HF_ARENA_MMAPPED ? kinds[a->kind] : "other");
		hf_insert_u64(&ins, a->addr);
		hf_insert_u64(&ins, a->size_bytes);
		hf_insert_u64(&ins, a->live_bytes);
		hf_insert_u64(&ins, a->live_count);
		hf_insert_u64(&ins, a->free_bytes);
		hf_insert_u64(&ins, a->free_count);
		hf_insert_u64(&ins, a->metadata_bytes);
		hf_insert_u64(&ins, group[i].retained_size);
		hf_insert_u64(&ins, group[i].leak_size);
		hf_insert_u64(&ins, group[i].leak_count);
		status = hf_insert_row(&ins, err);
	}
	return status;
}

/* Of age + 1. */
static void insert_age(struct hf_insert *ins, uint32_t age)
{
	if (age)
		hf_insert_u64(ins, age - 1);
	else
		hf_insert_null(ins);
}

/* stat_type or stat_site: the groups that have objects. */
static enum hf_status insert_groups(sqlite3 *db, const char *table,
	const struct hf_summary_group *group, uint32_t n, struct hf_err *err)
{
	_cleanup_(hf_insert_deinit) struct hf_insert ins;
	bool ages = !strcmp(table, "stat_site");
	enum hf_status status = hf_insert_init(&ins, db, table, ages ? 7 : 6, err);
	for (uint32_t i = 0; !status && i < n; i++) {
		if (!group[i].count)
			continue;
		hf_insert_u64(&ins, i);
		hf_insert_u64(&ins, group[i].count);
		hf_insert_u64(&ins, group[i].size);
		hf_insert_u64(&ins, group[i].retained_size);
		hf_insert_u64(&ins, group[i].leak_count);
		hf_insert_u64(&ins, group[i].leak_size);
		if (ages)
			insert_age(&ins, group[i].oldest);
		status = hf_insert_row(&ins, err);
	}
	return status;
}

/* Ids are dense, or nearly: a stranger's are refused before they make us allocate for them. */
static enum hf_status count_groups(
	uint32_t *ret, const char *what, const uint32_t *group, uint64_t n, struct hf_err *err)
{
	enum { SPARSE = 16, SMALL = 1 << 20 };
	uint32_t most = 0;
	for (uint64_t i = 0; group && i < n; i++)
		most = group[i] > most ? group[i] : most;
	if (most / SPARSE > n + SMALL)
		return hf_err_set(err, HF_E_CORRUPT, "%s id %u is out of range", what, most);
	*ret = most + 1;
	return HF_OK;
}

/* Sums by one grouping, handed to insert. */
static enum hf_status grouping(sqlite3 *db, const struct hf_store_input *in, const char *table,
	const uint32_t *group, uint32_t n_groups, const uint32_t *order, struct hf_err *err)
{
	struct hf_rows_objects objects = hf_tables_objects(in);
	_cleanup_(free_groups) struct hf_summary_group *sums =
		calloc(n_groups + 1ull, sizeof(*sums));
	if (!sums)
		return hf_err_set(err, HF_E_NOMEM, "no memory for %u groups", n_groups);
	enum hf_status status = hf_summary_groups(
		sums, n_groups, group, &objects, n_groups > 1 ? order : NULL, err);
	if (status)
		return status;
	return table ? insert_groups(db, table, sums, n_groups, err)
		     : insert_arenas(db, in, sums, err);
}

static enum hf_status insert_groupings(
	sqlite3 *db, const struct hf_store_input *in, struct hf_err *err)
{
	const struct hf_heap *heap = in->heap;
	const uint32_t *type = in->names ? in->names->object_type : NULL;
	uint32_t n_arenas = (uint32_t)heap->arenas.n;
	uint32_t n_types = 0, n_sites = 0;
	enum hf_status status = count_groups(&n_types, "type", type, heap->n_objects, err);
	if (!status)
		status = count_groups(&n_sites, "site", heap->site, heap->n_objects, err);
	if (status)
		return status;
	_cleanup_(free_u32) uint32_t *order = NULL;
	if (n_arenas > 1 || n_types > 1 || n_sites > 1) {
		order = hf_graph_alloc(heap->n_objects + 1, sizeof(*order));
		if (!order)
			return hf_err_set(err, HF_E_NOMEM, "no memory for sums by group");
		status = hf_summary_preorder(order, in->dominators->node, in->graph->n_objects,
			in->graph->n_variables, err);
	}
	if (!status && n_arenas)
		status = grouping(db, in, NULL, heap->arena, n_arenas, order, err);
	if (!status)
		status = grouping(db, in, "stat_type", type, n_types, order, err);
	if (!status)
		status = grouping(db, in, "stat_site", heap->site, n_sites, order, err);
	return status;
}

static enum hf_status insert_leaks(sqlite3 *db, const struct hf_store_input *in, struct hf_err *err)
{
	struct hf_rows_objects objects = hf_tables_objects(in);
	struct hf_summary_leak *leak = NULL;
	size_t n = 0;
	enum hf_status status = hf_summary_leaks(&leak, &n, &objects, in->heads, err);
	_cleanup_(hf_insert_deinit) struct hf_insert ins = {0};
	if (!status)
		status = hf_insert_init(&ins, db, "stat_leak", 12, err);
	for (size_t i = 0; !status && i < n; i++) {
		const struct hf_summary_leak *l = &leak[i];
		hf_insert_u64(&ins, i + 1);
		hf_insert_id(&ins, l->site);
		hf_insert_id(&ins, l->type);
		if (l->site || l->type)
			hf_insert_null(&ins);
		else
			hf_insert_u64(&ins, l->object_size);
		hf_insert_u64(&ins, l->count);
		hf_insert_u64(&ins, l->size);
		hf_insert_u64(&ins, l->head_count);
		hf_insert_u64(&ins, l->held_size);
		hf_insert_u64(&ins, (uint64_t)(l->est_count + 0.5));
		hf_insert_u64(&ins, (uint64_t)(l->est_size + 0.5));
		insert_age(&ins, l->youngest);
		insert_age(&ins, l->oldest);
		status = hf_insert_row(&ins, err);
	}
	free(leak);
	return status;
}

static void insert_known(struct hf_insert *ins, bool known, uint64_t value)
{
	if (known)
		hf_insert_u64(ins, value);
	else
		hf_insert_null(ins);
}

static enum hf_status insert_account(
	sqlite3 *db, const struct hf_store_input *in, struct hf_err *err)
{
	_cleanup_(hf_account_deinit) struct hf_account account;
	enum hf_status status = hf_account_init(&account, in->heap, err);
	if (status)
		return status;
	_cleanup_(hf_insert_deinit) struct hf_insert ins;
	status = hf_insert_init(&ins, db, "stat_memory", 7, err);
	for (size_t i = 0; !status && i < account.n; i++) {
		const struct hf_account_row *row = &account.row[i];
		hf_insert_u64(&ins, i + 1);
		hf_insert_text(&ins, row->category);
		hf_insert_text(&ins, row->name);
		insert_known(&ins, !account.unknown, row->resident);
		insert_known(&ins, !account.unknown, row->resident_min);
		hf_insert_u64(&ins, row->size);
		hf_insert_text(&ins, row->note);
		status = hf_insert_row(&ins, err);
	}
	_cleanup_(hf_insert_deinit) struct hf_insert meta = {0};
	if (!status && !account.unknown)
		status = hf_insert_init_or_replace(&meta, db, "meta", 2, err);
	if (!status && !account.unknown) {
		hf_insert_text(&meta, "resident_size");
		hf_insert_u64(&meta, account.resident);
		status = hf_insert_row(&meta, err);
	}
	return status;
}

static void suspect_row(
	struct hf_insert *ins, const struct hf_store_input *in, const struct hf_suspect *s)
{
	static const char *const basis[] = {[HF_SUSPECT_HELD] = "held",
		[HF_SUSPECT_RETAINED] = "retained",
		[HF_SUSPECT_LEAKED] = "leaked",
		[HF_SUSPECT_GROUP] = "group"};
	hf_insert_text(ins, basis[s->basis]);
	hf_insert_index(ins, s->variable);
	hf_insert_index(ins, s->root);
	hf_insert_index(ins, s->object);
	hf_insert_u64(ins, s->held_size);
	hf_insert_u64(ins, s->held_count);
	hf_insert_u64(ins, s->retained_size);
	hf_insert_u64(ins, s->retained_count);
	hf_insert_index(ins, s->point);
	if (s->point == HF_NONE) {
		hf_insert_null(ins);
		hf_insert_null(ins);
	} else {
		hf_insert_u64(ins, in->held->size[s->point]);
		hf_insert_u64(ins, in->dominators->node[s->point].retained_size);
	}
	hf_insert_u64(ins, s->point_children);
	hf_insert_u64(ins, s->hops);
	hf_insert_text(ins, s->path);
	hf_insert_id(ins, s->type);
	hf_insert_id(ins, s->site);
}

static enum hf_status insert_suspects(
	sqlite3 *db, const struct hf_store_input *in, struct hf_err *err)
{
	struct hf_rows_objects objects = hf_tables_objects(in);
	struct hf_suspect_input input = {&objects, in->graph, in->heads};
	_cleanup_(hf_suspects_deinit) struct hf_suspects suspects;
	enum hf_status status = hf_suspects_init(&suspects, &input, err);
	if (status)
		return status;
	_cleanup_(hf_insert_deinit) struct hf_insert ins;
	status = hf_insert_init(&ins, db, "stat_suspect", 17, err);
	for (size_t i = 0; !status && i < suspects.n; i++) {
		hf_insert_u64(&ins, i + 1);
		suspect_row(&ins, in, &suspects.at[i]);
		status = hf_insert_row(&ins, err);
	}
	return status;
}

enum hf_status hf_tables_summaries(
	sqlite3 *db, const struct hf_store_input *input, struct hf_err *err)
{
	enum hf_status status = insert_groupings(db, input, err);
	if (!status)
		status = insert_tops(db, input, err);
	if (!status)
		status = insert_leaks(db, input, err);
	if (!status)
		status = insert_account(db, input, err);
	if (!status)
		status = insert_suspects(db, input, err);
	return status;
}

enum hf_status hf_tables_labels(sqlite3 *db, const struct hf_store_input *input, struct hf_err *err)
{
	const struct hf_heap *heap = input->heap;
	if (!heap->labels.n)
		return HF_OK;
	_cleanup_(hf_insert_deinit) struct hf_insert update = {.db = db, .table = "object"};
	if (sqlite3_prepare_v2(db, "UPDATE object SET label = ?1 WHERE id = ?2", -1, &update.stmt,
		    NULL) != SQLITE_OK)
		return hf_err_set(err, HF_E_FAILED, "writing the database: %s", sqlite3_errmsg(db));
	enum hf_status status = HF_OK;
	for (size_t i = 0; !status && i < heap->labels.n; i++) {
		hf_insert_text(&update, heap->labels.at[i].text);
		hf_insert_u64(&update, heap->labels.at[i].object + 1ull);
		status = hf_insert_row(&update, err);
	}
	return status;
}
