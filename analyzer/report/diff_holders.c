#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "report/diff.h"
#include "source/sampling.h"

/* Who holds the growth: of each group, what every root holds of it in the first heap and in the
 * last, and the root of which that grew most. */

/* A root of one heap: a variable, root words of a kind that belong to none, or the leaks. */
struct slot {
	char *key, *name; /* owned; the key is the same in all heaps */
};

enum { MAX_BARE = 32 };

/* What the roots of one heap hold of each group. */
struct holdings {
	struct slot *slots; /* owned; the first is the leaks */
	size_t n_slots, cap_slots;
	uint32_t bare[MAX_BARE]; /* those of no variable */
	size_t n_bare;
	bool same_process;      /* the heaps are of one */
	uint32_t *slot_of_root; /* owned; by id */
	size_t n_roots;
	uint8_t *group_of; /* owned; by id of what groups: index + 1, 0: none of them */
	size_t n_ids;
	uint8_t no_id_group; /* of what is of none: the same */
	double *bytes;       /* owned; [slot * n_groups + group] */
};

static void holdings_deinit(struct holdings *h)
{
	for (size_t i = 0; i < h->n_slots; i++) {
		free(h->slots[i].key);
		free(h->slots[i].name);
	}
	free(h->slots);
	free(h->slot_of_root);
	free(h->group_of);
	free(h->bytes);
}

static enum hf_status no_memory(struct hf_err *err)
{
	return hf_err_set(err, HF_E_NOMEM, "no memory to say who holds the growth");
}

static enum hf_status push_slot(
	struct holdings *h, const char *key, const char *name, struct hf_err *err)
{
	if (h->n_slots == h->cap_slots) {
		size_t cap = h->cap_slots ? h->cap_slots * 2 : 256;
		struct slot *slots = reallocarray(h->slots, cap, sizeof(*slots));
		if (!slots)
			return no_memory(err);
		h->slots = slots;
		h->cap_slots = cap;
	}
	struct slot *slot = &h->slots[h->n_slots++];
	*slot = (struct slot){strdup(key), strdup(name)};
	return slot->key && slot->name ? HF_OK : no_memory(err);
}

static enum hf_status largest_id(sqlite3 *db, const char *table, size_t *ret, struct hf_err *err)
{
	char sql[64];
	int64_t n = 0;
	snprintf(sql, sizeof(sql), "SELECT coalesce(max(id), 0) FROM %s", table);
	enum hf_status status = hf_query_int(db, &n, err, sql, "");
	*ret = n > 0 ? (size_t)n : 0;
	return status;
}

/* Slots of all variables, then those of words without one, by kind. */
static enum hf_status read_slots(
	struct holdings *h, sqlite3 *db, uint32_t *slot_of_variable, size_t n, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = push_slot(h, "(leaked)", "(leaked)", err);
	if (status == HF_OK)
		status = hf_query(db, &q, err,
			"SELECT name, variable_id, NULL, NULL, kind, thread, module "
			"FROM root_summary",
			"");
	while (hf_row(q, &status, err)) {
		_cleanup_(hf_text_deinit) struct hf_text key = HF_TEXT_INIT;
		hf_diff_root_key(&key, q, h->same_process);
		size_t id = (size_t)hf_column_int(q, 1);
		if (id && id <= n)
			slot_of_variable[id] = (uint32_t)h->n_slots;
		else if (!id && h->n_bare < MAX_BARE)
			h->bare[h->n_bare++] = (uint32_t)h->n_slots;
		status = push_slot(h, hf_text_get(&key), hf_column_text(q, id ? 0 : 4), err);
	}
	return status;
}

static uint32_t bare_slot(const struct holdings *h, const char *kind)
{
	for (size_t i = 0; i < h->n_bare; i++) {
		if (!strcmp(h->slots[h->bare[i]].name, kind))
			return h->bare[i];
	}
	return 0;
}

static enum hf_status read_roots(struct holdings *h, sqlite3 *db, struct hf_err *err)
{
	size_t n_variables = 0;
	enum hf_status status = largest_id(db, "variable", &n_variables, err);
	if (status == HF_OK)
		status = largest_id(db, "root", &h->n_roots, err);
	if (status != HF_OK)
		return status;
	_cleanup_(hf_freep) uint32_t *slot_of_variable =
		calloc(n_variables + 1, sizeof(*slot_of_variable));
	h->slot_of_root = calloc(h->n_roots + 1, sizeof(*h->slot_of_root));
	if (!slot_of_variable || !h->slot_of_root)
		return no_memory(err);
	status = read_slots(h, db, slot_of_variable, n_variables, err);
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	if (status == HF_OK)
		status = hf_query(db, &q, err,
			"SELECT id, variable_id, iif(variable_id IS NULL, kind, NULL) FROM root",
			"");
	while (hf_row(q, &status, err)) {
		size_t id = (size_t)hf_column_int(q, 0), variable = (size_t)hf_column_int(q, 1);
		if (id > h->n_roots || variable > n_variables)
			continue;
		h->slot_of_root[id] =
			variable ? slot_of_variable[variable] : bare_slot(h, hf_column_text(q, 2));
	}
	return status;
}

/* Which ids are of which group: several ids may have one name. */
static enum hf_status read_ids(
	struct holdings *h, sqlite3 *db, const struct hf_diff_of *of, struct hf_err *err)
{
	enum hf_status status = largest_id(db, of->table, &h->n_ids, err);
	if (status != HF_OK)
		return status;
	h->group_of = calloc(h->n_ids + 1, sizeof(*h->group_of));
	if (!h->group_of)
		return no_memory(err);
	for (int i = 0; i < 2; i++) {
		_cleanup_stmt_ sqlite3_stmt *q = NULL;
		status = hf_query(db, &q, err, i ? of->rest_sql : of->sql, "");
		while (hf_row(q, &status, err)) {
			uint8_t group = 0;
			for (size_t g = 0; g < of->n && !group; g++) {
				if (!strcmp(hf_column_text(q, 0), of->keys[g]))
					group = (uint8_t)(g + 1);
			}
			int64_t id = hf_column_int(q, 1);
			if (id > 0 && (size_t)id <= h->n_ids)
				h->group_of[id] = group;
			else if (id < 0)
				h->no_id_group = group;
		}
		if (status != HF_OK)
			return status;
	}
	return HF_OK;
}

static enum hf_status read_holdings(struct holdings *h, const struct hf_heapdb *heap,
	const struct hf_diff_of *of, struct hf_err *err)
{
	char sql[256];
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = read_roots(h, heap->db, err);
	if (status == HF_OK)
		status = read_ids(h, heap->db, of, err);
	if (status != HF_OK)
		return status;
	h->bytes = calloc(h->n_slots * of->n, sizeof(*h->bytes));
	if (!h->bytes)
		return no_memory(err);
	bool weighted = of->estimates && heap->profile_sampled;
	snprintf(sql, sizeof(sql), "SELECT %s, %s, iif(reachable, holder_root_id, 0) FROM object",
		of->column, of->size);
	status = hf_query(heap->db, &q, err, sql, "");
	while (hf_row(q, &status, err)) {
		size_t id = (size_t)hf_column_int(q, 0), root = (size_t)hf_column_int(q, 2);
		uint8_t group = !id ? h->no_id_group : id <= h->n_ids ? h->group_of[id] : 0;
		if (!group || root > h->n_roots)
			continue;
		double size = (double)hf_column_int(q, 1);
		if (weighted && id)
			size *= hf_sample_weight(size, (double)heap->profile_period);
		h->bytes[h->slot_of_root[root] * of->n + group - 1] += size;
	}
	return status;
}

struct entry {
	const char *key, *name;
	double growth[HF_DIFF_MAX_HOLDERS];
};

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->key, ((const struct entry *)b)->key);
}

static size_t add_entries(struct entry *entries, const struct holdings *h, size_t n, int sign)
{
	size_t to = 0;
	for (size_t i = 0; i < h->n_slots; i++) {
		struct entry e = {h->slots[i].key, h->slots[i].name, {0}};
		bool any = false;
		for (size_t g = 0; g < n; g++) {
			e.growth[g] = sign * h->bytes[i * n + g];
			any |= e.growth[g] != 0;
		}
		if (any)
			entries[to++] = e;
	}
	return to;
}

/* What is called alike is one root. */
static size_t merge(struct entry *entries, size_t n, size_t n_groups)
{
	size_t to = 0;
	if (n)
		qsort(entries, n, sizeof(*entries), by_key);
	for (size_t i = 0; i < n; i++) {
		if (!to || strcmp(entries[to - 1].key, entries[i].key) != 0) {
			entries[to++] = entries[i];
			continue;
		}
		for (size_t g = 0; g < n_groups; g++)
			entries[to - 1].growth[g] += entries[i].growth[g];
	}
	return to;
}

enum hf_status hf_diff_holders(struct hf_diff *diff, const struct hf_diff_of *of,
	struct hf_diff_holder *ret, struct hf_err *err)
{
	_cleanup_(holdings_deinit) struct holdings old = {.same_process = diff->same_process},
						   new = {.same_process = diff->same_process};
	enum hf_status status = read_holdings(&old, diff->heaps[0], of, err);
	if (status == HF_OK)
		status = read_holdings(&new, &diff->report->heap, of, err);
	if (status != HF_OK)
		return status;
	_cleanup_(hf_freep) struct entry *entries =
		calloc(old.n_slots + new.n_slots, sizeof(*entries));
	if (!entries)
		return no_memory(err);
	size_t n = add_entries(entries, &old, of->n, -1);
	n += add_entries(entries + n, &new, of->n, 1);
	n = merge(entries, n, of->n);
	for (size_t g = 0; g < of->n; g++) {
		const struct entry *best = NULL;
		for (size_t i = 0; i < n; i++) {
			if (entries[i].growth[g] > 0 &&
				(!best || entries[i].growth[g] > best->growth[g]))
				best = &entries[i];
		}
		hf_text_addf(&ret[g].name, "%s", best ? best->name : "");
		ret[g].growth_bytes = best ? (int64_t)(best->growth[g] + 0.5) : 0;
	}
	return HF_OK;
}
