#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "store/account.h"
#include "store/insert.h"
#include "store/tables.h"

/* A list of the largest objects into a stat_top table. */
static enum hf_status insert_top(sqlite3 *db, const char *table, const struct hf_summaries_top *top,
	const uint32_t *ids, struct hf_err *err)
{
	_cleanup_(hf_insert_deinit) struct hf_insert ins;
	enum hf_status status = hf_insert_init(&ins, db, table, 2, err);
	for (uint32_t i = 0; !status && i < top->n; i++) {
		uint32_t object = top->at[i].object;
		hf_insert_u64(&ins, i + 1ull);
		hf_insert_u64(&ins, (ids ? ids[object] : object) + 1ull);
		status = hf_insert_row(&ins, err);
	}
	return status;
}

static enum hf_status insert_tops(sqlite3 *db, const struct hf_store_input *in,
	const struct hf_summaries *s, struct hf_err *err)
{
	enum hf_status status = insert_top(db, "stat_top_retained", &s->retained, NULL, err);
	if (!status)
		status = insert_top(db, "stat_top_held", &s->held, NULL, err);
	if (!status)
		status = insert_top(db, "stat_top_size", &s->size, NULL, err);
	if (!status)
		status = insert_top(db, "stat_leak_head", &s->heads, in->heads->object, err);
	return status;
}

static enum hf_status insert_arenas(sqlite3 *db, const struct hf_store_input *in,
	const struct hf_summaries_groups *groups, struct hf_err *err)
{
	const struct hf_summary_group *group = groups->at;
	_cleanup_(hf_insert_deinit) struct hf_insert ins;
	enum hf_status status = hf_insert_init(&ins, db, "arena", 14, err);
	static const char *const kinds[] = {[HF_ARENA_MAIN] = "main",
		[HF_ARENA_THREAD] = "thread",
		[HF_ARENA_MMAPPED] = "mmapped"};
	for (size_t i = 0; !status && i < groups->n; i++) {
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
		hf_insert_u64(&ins, group[i].size);
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
	const struct hf_summaries_groups *groups, struct hf_err *err)
{
	const struct hf_summary_group *group = groups->at;
	_cleanup_(hf_insert_deinit) struct hf_insert ins;
	bool ages = !strcmp(table, "stat_site");
	enum hf_status status = hf_insert_init(&ins, db, table, ages ? 7 : 6, err);
	for (uint32_t i = 0; !status && i < groups->n; i++) {
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

static enum hf_status insert_leaks(
	sqlite3 *db, const struct hf_summaries *summaries, struct hf_err *err)
{
	_cleanup_(hf_insert_deinit) struct hf_insert ins;
	enum hf_status status = hf_insert_init(&ins, db, "stat_leak", 12, err);
	for (size_t i = 0; !status && i < summaries->n_leaks; i++) {
		const struct hf_summary_leak *l = &summaries->leaks[i];
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
	return status;
}

static enum hf_status insert_estimates(
	sqlite3 *db, const struct hf_summaries *summaries, struct hf_err *err)
{
	_cleanup_(hf_insert_deinit) struct hf_insert ins;
	enum hf_status status = hf_insert_init(&ins, db, "stat_estimate", 4, err);
	for (size_t i = 0; !status && i < summaries->n_estimates; i++) {
		const struct hf_estimate *e = &summaries->estimates[i];
		hf_insert_u64(&ins, e->site);
		hf_insert_u64(&ins, e->samples);
		hf_insert_u64(&ins, (uint64_t)(e->count + 0.5));
		hf_insert_u64(&ins, (uint64_t)(e->size + 0.5));
		status = hf_insert_row(&ins, err);
	}
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

static enum hf_status insert_suspects(sqlite3 *db, const struct hf_store_input *in,
	const struct hf_suspects *suspects, struct hf_err *err)
{
	_cleanup_(hf_insert_deinit) struct hf_insert ins;
	enum hf_status status = hf_insert_init(&ins, db, "stat_suspect", 17, err);
	for (size_t i = 0; !status && i < suspects->n; i++) {
		hf_insert_u64(&ins, i + 1);
		suspect_row(&ins, in, &suspects->at[i]);
		status = hf_insert_row(&ins, err);
	}
	return status;
}

/* An object's id, or a variable's negated. */
static int64_t wide_parent(const struct hf_store_input *in, uint32_t node)
{
	uint32_t n = in->graph->n_objects;
	return node < n ? (int64_t)node + 1 : -((int64_t)(node - n) + 1);
}

static enum hf_status insert_wide_children(struct hf_insert *ins, int64_t parent, int tree,
	const struct hf_wide_node *node, const uint32_t *child, struct hf_err *err)
{
	enum hf_status status = HF_OK;
	for (uint32_t i = 0; !status && i < node->n_top + node->n_sample; i++) {
		int64_t rank = i < node->n_top ? (int64_t)i + 1 : -((int64_t)(i - node->n_top) + 1);
		hf_insert_u64(ins, (uint64_t)parent);
		hf_insert_u64(ins, (uint64_t)tree);
		hf_insert_u64(ins, (uint64_t)rank);
		hf_insert_u64(ins, child[i] + 1ull);
		status = hf_insert_row(ins, err);
	}
	return status;
}

static enum hf_status insert_wide(sqlite3 *db, const struct hf_store_input *in,
	const struct hf_wide *wide, struct hf_err *err)
{
	_cleanup_(hf_insert_deinit) struct hf_insert nodes, children = {0};
	enum hf_status status = hf_insert_init(&nodes, db, "stat_wide", 3, err);
	if (!status)
		status = hf_insert_init(&children, db, "stat_wide_child", 4, err);
	for (int t = 0; t < HF_WIDE_TREES; t++)
		for (uint32_t k = 0; !status && k < wide->tree[t].n; k++) {
			const struct hf_wide_node *node = &wide->tree[t].node[k];
			int64_t parent = wide_parent(in, node->node);
			hf_insert_u64(&nodes, (uint64_t)parent);
			hf_insert_u64(&nodes, (uint64_t)t);
			hf_insert_u64(&nodes, node->n_children);
			status = hf_insert_row(&nodes, err);
			if (!status)
				status = insert_wide_children(&children, parent, t, node,
					wide->tree[t].child + node->first, err);
		}
	return status;
}

enum hf_status hf_tables_summaries(sqlite3 *db, const struct hf_store_input *input,
	const struct hf_summaries *summaries, struct hf_err *err)
{
	enum hf_status status = insert_arenas(db, input, &summaries->arenas, err);
	if (!status)
		status = insert_groups(db, "stat_type", &summaries->types, err);
	if (!status)
		status = insert_groups(db, "stat_site", &summaries->sites, err);
	if (!status)
		status = insert_tops(db, input, summaries, err);
	if (!status)
		status = insert_leaks(db, summaries, err);
	if (!status)
		status = insert_estimates(db, summaries, err);
	if (!status)
		status = insert_account(db, input, err);
	if (!status)
		status = insert_suspects(db, input, &summaries->suspects, err);
	if (!status)
		status = insert_wide(db, input, &summaries->wide, err);
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
