#include "report/who_all.h"

#include <stdlib.h>

#include "base/cleanup.h"

/*
 * Paths from several roots: visit objects against the direction of the edges, nearest first, and
 * note each root variable the first time it is met.
 */

enum { MAX_VISITS = 200000, MAX_ROOT_WORDS = 1000, TABLE_SIZE = 1 << 19, NOWHERE = -1 };

struct visit {
	int64_t id;
	int32_t next;                    /* the visit one step nearer to the object asked for */
	uint64_t src_offset, dst_offset; /* of the word in this object that leads there */
};

struct search {
	struct visit *visits;
	uint32_t n, done;
	int32_t *table; /* open addressing: visit number + 1 by id */
	bool full;
	int64_t *seen; /* root variables that were shown; of roots without one, minus the root's id
			*/
	size_t n_seen;
	sqlite3_stmt *referrers, *roots;
};

static void search_deinit(struct search *s)
{
	free(s->visits);
	free(s->table);
	free(s->seen);
	hf_stmt_done(&s->referrers);
	hf_stmt_done(&s->roots);
}

static enum hf_status search_init(struct search *s, sqlite3 *db, int n_paths, struct hf_err *err)
{
	*s = (struct search){
		.visits = calloc(MAX_VISITS, sizeof(*s->visits)),
		.table = calloc(TABLE_SIZE, sizeof(*s->table)),
		.seen = calloc((size_t)n_paths + 1, sizeof(*s->seen)),
	};
	if (!s->visits || !s->table || !s->seen)
		return hf_err_set(err, HF_E_NOMEM, "no memory to look for paths");
	enum hf_status status = hf_query(db, &s->referrers, err,
		"SELECT src_id, src_offset, dst_offset FROM edge WHERE dst_id = ?", "");
	if (status == HF_OK)
		status = hf_query(db, &s->roots, err,
			"SELECT id, variable_id FROM root WHERE object_id = ? LIMIT ?", "");
	return status;
}

static void visit(struct search *s, const struct visit *new)
{
	uint64_t hash = (uint64_t) new->id * 0x9e3779b97f4a7c15u;
	uint32_t slot = (uint32_t)(hash >> 45);
	for (; s->table[slot]; slot = (slot + 1) % TABLE_SIZE) {
		if (s->visits[s->table[slot] - 1].id == new->id)
			return;
	}
	if (s->n == MAX_VISITS) {
		s->full = true;
		return;
	}
	s->visits[s->n++] = *new;
	s->table[slot] = (int32_t)s->n;
}

static bool is_new_root(struct search *s, int64_t root, int64_t variable)
{
	int64_t key = variable ? variable : -root;
	for (size_t i = 0; i < s->n_seen; i++) {
		if (s->seen[i] == key)
			return false;
	}
	s->seen[s->n_seen++] = key;
	return true;
}

/* The path from a root that was met at visit v down to the object asked for. */
static enum hf_status build(struct hf_heapdb *heap, const struct search *s, uint32_t v,
	int64_t root_id, struct hf_path *ret, struct hf_err *err)
{
	uint32_t length = 1, *way;
	for (uint32_t i = v; s->visits[i].next != NOWHERE; i = (uint32_t)s->visits[i].next)
		length++;
	way = calloc(length, sizeof(*way));
	if (!way)
		return hf_err_set(err, HF_E_NOMEM, "no memory for a path");
	way[0] = v;
	for (uint32_t i = 1; i < length; i++)
		way[i] = (uint32_t)s->visits[way[i - 1]].next;

	enum hf_status status = HF_OK;
	for (uint32_t i = length; status == HF_OK && i-- > 0;) {
		struct hf_object object;
		const struct visit *from = i ? &s->visits[way[i - 1]] : NULL;
		struct hf_word word = {0};
		status = hf_heapdb_object(heap, s->visits[way[i]].id, &object, err);
		if (status == HF_OK && from) {
			/* The first word is the one that names the field; the visited one stands in
			 * for it where another was met. */
			word.src_offset = from->src_offset;
			word.dst_offset = from->dst_offset;
			status = hf_heapdb_field(heap, from->id, &word, err);
		}
		if (status == HF_OK)
			status = hf_path_add(ret, &object, from ? &word : NULL, err);
	}
	free(way);
	struct hf_root root;
	if (status == HF_OK)
		status = hf_heapdb_root(heap, root_id, &root, err);
	if (status == HF_OK)
		hf_path_finish(ret, &root);
	if (status == HF_E_NOTFOUND)
		return hf_err_set(err, HF_E_CORRUPT, "the database lacks an object of a path");
	return status;
}

static enum hf_status emit_path(struct hf_report *report, const struct search *s, uint32_t v,
	int64_t root_id, struct hf_err *err)
{
	_cleanup_(hf_path_deinit) struct hf_path path = {0};
	enum hf_status status = build(&report->heap, s, v, root_id, &path, err);
	if (status != HF_OK)
		return status;
	hf_who_path(report, NULL, &path);
	return HF_OK;
}

/* Look at the roots and the referrers of the next visit. */
static enum hf_status expand(
	struct hf_report *report, struct search *s, int *left, struct hf_err *err)
{
	uint32_t v = s->done++;
	int64_t id = s->visits[v].id;
	enum hf_status status = HF_OK;
	hf_rebind(s->roots, "ii", id, (int64_t)MAX_ROOT_WORDS);
	while (*left > 0 && hf_row(s->roots, &status, err)) {
		int64_t root = hf_column_int(s->roots, 0);
		if (!is_new_root(s, root, hf_column_int(s->roots, 1)))
			continue;
		status = emit_path(report, s, v, root, err);
		(*left)--;
	}
	sqlite3_reset(s->roots);
	if (*left == 0)
		return status;
	hf_rebind(s->referrers, "i", id);
	while (!s->full && hf_row(s->referrers, &status, err)) {
		struct visit next = {
			.id = hf_column_int(s->referrers, 0),
			.next = (int32_t)v,
			.src_offset = (uint64_t)hf_column_int(s->referrers, 1),
			.dst_offset = (uint64_t)hf_column_int(s->referrers, 2),
		};
		visit(s, &next);
	}
	sqlite3_reset(s->referrers);
	return status;
}

enum hf_status hf_who_all(
	struct hf_report *report, const struct hf_object *object, int n, struct hf_err *err)
{
	_cleanup_(search_deinit) struct search s = {0};
	enum hf_status status = search_init(&s, report->heap.db, n, err);
	if (status != HF_OK)
		return status;
	struct hf_root best = {0};
	if (object->holder_root_id)
		status = hf_heapdb_root(&report->heap, object->holder_root_id, &best, err);
	if (status != HF_OK)
		return status;
	if (best.id)
		is_new_root(&s, best.id, best.variable_id);

	struct hf_emit *emit = report->emit;
	int left = n - 1;
	visit(&s, &(struct visit){.id = object->id, .next = NOWHERE});
	hf_emit_title(emit, "Shortest paths from other roots");
	hf_emit_list_begin(emit, "other_paths");
	while (status == HF_OK && left > 0 && s.done < s.n)
		status = expand(report, &s, &left, err);
	hf_emit_list_end(emit);
	if (status != HF_OK)
		return status;
	bool more = s.full || left == 0;
	hf_emit_fact(emit, "other_paths_complete", NULL, HF_VALUE_BOOL, hf_cell_int(!more));
	if (left == n - 1 && !more)
		hf_emit_line(emit, "  none: this is the only root that reaches it");
	if (s.full)
		hf_emit_line(
			emit, "  (%u objects around it were searched; there may be more)", s.n);
	else if (left == 0)
		hf_emit_line(emit, "  (there may be more: --all=%d)", n * 4);
	return HF_OK;
}
