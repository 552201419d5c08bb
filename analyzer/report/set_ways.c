#include "report/set_ways.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "field/field_sql.h"
#include "report/db.h"
#include "report/heapdb.h"

static enum hf_status no_memory(struct hf_err *err)
{
	return hf_err_set(err, HF_E_NOMEM, "no memory for the holders of the objects");
}

static uint32_t *slot(const struct hf_ways *ways, int64_t id)
{
	size_t mask = ways->n_slots - 1, i = (uint64_t)id * 0x9e3779b97f4a7c15ull >> 20 & mask;
	while (ways->slots[i] && ways->at[ways->slots[i] - 1].id != id)
		i = (i + 1) & mask;
	return &ways->slots[i];
}

const struct hf_way *hf_ways_find(const struct hf_ways *ways, int64_t id)
{
	uint32_t index = ways->n_slots ? *slot(ways, id) : 0;
	return index ? &ways->at[index - 1] : NULL;
}

const char *hf_ways_name(const struct hf_ways *ways, const struct hf_way *way)
{
	return ways->names.data ? ways->names.data + way->name : "";
}

/* Room for one more. */
static bool grow(struct hf_ways *ways)
{
	enum { FIRST = 1 << 12 };
	if (ways->n < ways->cap)
		return true;
	size_t cap = ways->cap ? 2 * ways->cap : FIRST;
	struct hf_way *at = reallocarray(ways->at, cap, sizeof(*at));
	if (!at)
		return false;
	ways->at = at;
	uint32_t *slots = calloc(cap, 2 * sizeof(*slots));
	if (!slots)
		return false;
	free(ways->slots);
	ways->slots = slots;
	ways->n_slots = 2 * cap;
	ways->cap = cap;
	for (size_t i = 0; i < ways->n; i++)
		*slot(ways, ways->at[i].id) = (uint32_t)i + 1;
	return true;
}

/* In columns 6 and 7: a word of the holder. */
static enum hf_status set_name(struct hf_ways *ways, struct hf_way *way, struct hf_err *err)
{
	sqlite3_stmt *q = ways->read;
	if (way->holder_id && sqlite3_column_type(q, 6) == SQLITE_NULL)
		return hf_err_set(err, HF_E_CORRUPT,
			"the database has no edge from object %lld to %lld, its holder",
			(long long)way->holder_id, (long long)way->id);
	way->name = ways->names.len;
	if (way->holder_id) {
		struct hf_word word;
		word.src_offset = (uint64_t)hf_column_int(q, 6);
		snprintf(word.field, sizeof(word.field), "%s", hf_column_text(q, 7));
		hf_heapdb_word_name(&ways->names, &word);
	}
	hf_text_add(&ways->names, "", 1);
	return ways->names.failed ? no_memory(err) : HF_OK;
}

static enum hf_status add(struct hf_ways *ways, struct hf_err *err)
{
	sqlite3_stmt *q = ways->read;
	if (!grow(ways) || ways->n >= UINT32_MAX)
		return no_memory(err);
	struct hf_way *way = &ways->at[ways->n++];
	*way = (struct hf_way){
		.id = hf_column_int(q, 0),
		.size = (uint64_t)hf_column_int(q, 1),
		.held = (uint64_t)hf_column_int(q, 2),
		.holder_id = hf_column_int(q, 3),
		.root_id = hf_column_int(q, 4),
		.reachable = hf_column_int(q, 5) != 0,
		.usable = (uint64_t)hf_column_int(q, 9),
	};
	*slot(ways, way->id) = (uint32_t)ways->n;
	return set_name(ways, way, err);
}

static enum hf_status bind_wave(struct hf_ways *ways, struct hf_err *err)
{
	_cleanup_(hf_text_deinit) struct hf_text ids = HF_TEXT_INIT;
	for (size_t i = 0; i < ways->n_wave; i++)
		hf_text_addf(&ids, "%c%lld", i ? ',' : '[', (long long)ways->wave[i]);
	hf_text_add(&ids, "]", 1);
	if (ids.failed)
		return no_memory(err);
	if (ways->read) {
		hf_rebind(ways->read, "s", hf_text_get(&ids));
		return HF_OK;
	}
	/* The index has the words of one holder in the order of their offsets. */
	return hf_query(ways->db, &ways->read, err,
		"SELECT o.id, o.size, o.held_size, o.holder_id, o.holder_root_id, o.reachable, "
		"e.src_offset, " HF_SQL_FIELD("f",
			"e.src_offset") ", coalesce(f.pointer, 1), o.usable "
					"FROM json_each(?) w CROSS JOIN object o ON o.id = w.value "
					"LEFT JOIN edge e INDEXED BY edge_dst "
					"ON e.dst_id = o.id AND e.src_id = o.holder_id "
					"LEFT JOIN field f ON f.id = e.field_id",
		"s", hf_text_get(&ids));
}

static enum hf_status read_wave(struct hf_ways *ways, struct hf_err *err)
{
	size_t first = ways->n;
	bool certain = false;
	enum hf_status status = bind_wave(ways, err);
	while (hf_row(ways->read, &status, err)) {
		int64_t id = hf_column_int(ways->read, 0);
		bool pointer = hf_column_int(ways->read, 8) != 0;
		if (ways->n > first && ways->at[ways->n - 1].id == id) {
			/* another word of the holder */
			if (pointer && !certain)
				status = set_name(ways, &ways->at[ways->n - 1], err);
			certain |= pointer;
			continue;
		}
		if (id != ways->wave[ways->n - first])
			break;
		status = add(ways, err);
		certain = pointer;
	}
	if (status == HF_OK && ways->n - first < ways->n_wave)
		return hf_err_set(err, HF_E_NOTFOUND, "there is no object with id %lld",
			(long long)ways->wave[ways->n - first]);
	return status;
}

static int by_id(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

/* The holders of what was read from `first` on, as far as they are news, each once. */
static void next_wave(struct hf_ways *ways, size_t first)
{
	size_t n = 0, n_once = 0;
	for (size_t i = first; i < ways->n; i++) {
		int64_t holder = ways->at[i].holder_id;
		if (holder && !ways->is_known(ways->ctx, holder) && !hf_ways_find(ways, holder))
			ways->wave[n++] = holder;
	}
	if (n > 1)
		qsort(ways->wave, n, sizeof(*ways->wave), by_id);
	for (size_t i = 0; i < n; i++) {
		if (!i || ways->wave[i] != ways->wave[i - 1])
			ways->wave[n_once++] = ways->wave[i];
	}
	ways->n_wave = n_once;
}

enum hf_status hf_ways_read(struct hf_ways *ways, const int64_t *ids, size_t n, struct hf_err *err)
{
	ways->n = 0;
	hf_text_clear(&ways->names);
	if (ways->n_slots)
		memset(ways->slots, 0, ways->n_slots * sizeof(*ways->slots));
	if (n > ways->cap_wave) {
		free(ways->wave);
		ways->wave = calloc(n, sizeof(*ways->wave));
		ways->cap_wave = ways->wave ? n : 0;
		if (!ways->wave)
			return no_memory(err);
	}
	ways->n_wave = 0;
	for (size_t i = 0; i < n; i++) {
		if (!ways->is_known(ways->ctx, ids[i]))
			ways->wave[ways->n_wave++] = ids[i];
	}
	while (ways->n_wave) {
		size_t first = ways->n;
		enum hf_status status = read_wave(ways, err);
		if (status != HF_OK)
			return status;
		next_wave(ways, first);
	}
	return HF_OK;
}

void hf_ways_deinit(struct hf_ways *ways)
{
	hf_stmt_done(&ways->read);
	free(ways->at);
	free(ways->slots);
	free(ways->wave);
	hf_text_deinit(&ways->names);
}
