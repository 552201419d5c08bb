#include "report/verify_scan.h"

#include <stdlib.h>
#include <string.h>

enum { TICK = 1 << 18, MAX_ARENAS = 1 << 20 };

/* What is known of an object, and what its sums lack yet. */
struct object {
	uint64_t usable;
	uint64_t held, retained;             /* size less than it, and less its children's */
	uint32_t held_count, retained_count; /* the same */
	uint32_t holder;
	bool there, reachable, held_by_edge;
};

struct scan {
	struct hf_report *report;
	sqlite3 *db;
	struct hf_scan_result *result;
	uint64_t n;            /* highest id */
	struct object *object; /* [n + 1] by id */
	int64_t n_arenas;
	uint64_t *arena_count, *arena_bytes; /* [n_arenas + 1] by id */
	int64_t n_roots, n_variables;
	int64_t *variable_of;    /* [n_roots + 1] */
	uint64_t *variable_held; /* [n_variables + 1] */
	uint64_t size, held_at_top;
	/* Of what an index must contain, whatever the order: number, and sum of hashes. */
	struct contents {
		uint64_t n, sum;
	} edges, leaks, far_idoms;
};

static void scan_deinit(struct scan *s)
{
	free(s->object);
	free(s->arena_count);
	free(s->arena_bytes);
	free(s->variable_of);
	free(s->variable_held);
}

static uint64_t mix(uint64_t v)
{
	v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9;
	v = (v ^ v >> 27) * 0x94d049bb133111eb;
	return v ^ v >> 31;
}

static void contain(struct contents *c, uint64_t a, uint64_t b, uint64_t d)
{
	c->n++;
	c->sum += mix(mix(mix(a) + b) + d);
}

static void violation(struct scan *s, enum hf_scan_check check, const char *format, uint64_t value)
{
	struct hf_scan_result *r = &s->result[check];
	if (!r->n++ && format)
		snprintf(r->example, sizeof(r->example), format, value);
}

static bool is_object(const struct scan *s, int64_t id)
{
	return id >= 1 && (uint64_t)id <= s->n && s->object[id].there;
}

static void tick(struct scan *s, const char *stage, uint64_t done, uint64_t total)
{
	if (done % TICK == 0 && s->report->progress)
		s->report->progress(s->report->progress_ctx, stage, done, total);
}

static enum hf_status allocate(struct scan *s, struct hf_err *err)
{
	int64_t n = 0;
	enum hf_status status =
		hf_query_int(s->db, &n, err, "SELECT coalesce(max(id), 0) FROM object", "");
	if (!status)
		status = hf_query_int(
			s->db, &s->n_arenas, err, "SELECT coalesce(max(id), 0) FROM arena", "");
	if (!status)
		status = hf_query_int(
			s->db, &s->n_roots, err, "SELECT coalesce(max(id), 0) FROM root", "");
	if (!status)
		status = hf_query_int(s->db, &s->n_variables, err,
			"SELECT coalesce(max(id), 0) FROM variable", "");
	if (status)
		return status;
	if (n < 0 || n >= UINT32_MAX || s->n_arenas < 0 || s->n_arenas > MAX_ARENAS ||
		s->n_roots < 0 || s->n_roots >= UINT32_MAX || s->n_variables < 0 ||
		s->n_variables >= UINT32_MAX)
		return hf_err_set(err, HF_E_CORRUPT, "ids of this database are out of range");
	s->n = (uint64_t)n;
	s->object = calloc(s->n + 1, sizeof(*s->object));
	s->arena_count = calloc((size_t)s->n_arenas + 1, sizeof(*s->arena_count));
	s->arena_bytes = calloc((size_t)s->n_arenas + 1, sizeof(*s->arena_bytes));
	s->variable_of = calloc((size_t)s->n_roots + 1, sizeof(*s->variable_of));
	s->variable_held = calloc((size_t)s->n_variables + 1, sizeof(*s->variable_held));
	if (!s->object || !s->arena_count || !s->arena_bytes || !s->variable_of ||
		!s->variable_held)
		return hf_err_set(err, HF_E_NOMEM, "no memory to check %lld objects", (long long)n);
	return HF_OK;
}

static enum hf_status read_roots(struct scan *s, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(
		s->db, &q, err, "SELECT id, coalesce(variable_id, 0) FROM root WHERE id > 0", "");
	while (hf_row(q, &status, err)) {
		int64_t v = hf_column_int(q, 1);
		s->variable_of[hf_column_int(q, 0)] = v > 0 && v <= s->n_variables ? v : 0;
	}
	return status;
}

/* Columns of the query over object. */
enum {
	ID,
	ADDR,
	SIZE,
	USABLE,
	ARENA,
	REACHABLE,
	IDOM,
	RETAINED_SIZE,
	RETAINED_COUNT,
	HOLDER,
	HELD_SIZE,
	HELD_COUNT,
	HOLDER_ROOT,
	PARENT,
};

static uint64_t get(sqlite3_stmt *q, int column)
{
	return (uint64_t)sqlite3_column_int64(q, column);
}

/* What a node above lacks is less by what its child has. */
static void add_to_holder(struct scan *s, sqlite3_stmt *q, int64_t id, struct object *o)
{
	int64_t holder = sqlite3_column_int64(q, HOLDER);
	o->held += get(q, HELD_SIZE) - get(q, SIZE);
	o->held_count += (uint32_t)get(q, HELD_COUNT) - 1;
	if (holder >= 1 && (uint64_t)holder <= s->n) {
		s->object[holder].held -= get(q, HELD_SIZE);
		s->object[holder].held_count -= (uint32_t)get(q, HELD_COUNT);
		o->holder = (uint32_t)holder;
	} else if (!hf_column_null(q, HOLDER)) {
		violation(s, HF_SCAN_HOLDER_EDGE, "0x%lx", get(q, ADDR));
	} else {
		s->held_at_top += get(q, HELD_SIZE);
		int64_t root = sqlite3_column_int64(q, HOLDER_ROOT);
		if (root >= 1 && root <= s->n_roots)
			s->variable_held[s->variable_of[root]] += get(q, HELD_SIZE);
	}
	if (!o->reachable)
		contain(&s->leaks, (uint64_t)id, 0, 0);
}

static void add_to_dominator(struct scan *s, sqlite3_stmt *q, int64_t id, struct object *o)
{
	int64_t idom = sqlite3_column_int64(q, IDOM);
	o->retained += get(q, RETAINED_SIZE) - get(q, SIZE);
	o->retained_count += (uint32_t)get(q, RETAINED_COUNT) - 1;
	if (idom >= 1 && (uint64_t)idom <= s->n) {
		s->object[idom].retained -= get(q, RETAINED_SIZE);
		s->object[idom].retained_count -= (uint32_t)get(q, RETAINED_COUNT);
	} else if (!hf_column_null(q, IDOM)) {
		violation(s, HF_SCAN_DOMINATOR_SUM, "0x%lx", get(q, ADDR));
	}
	if (!hf_column_null(q, IDOM) &&
		(hf_column_null(q, PARENT) || idom != sqlite3_column_int64(q, PARENT)))
		contain(&s->far_idoms, (uint64_t)id, 0, 0);
}

static enum hf_status read_objects(struct scan *s, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(s->db, &q, err,
		"SELECT id, addr, size, usable, arena_id, reachable, idom_id, retained_size, "
		"retained_count, holder_id, held_size, held_count, holder_root_id, parent_id "
		"FROM object NOT INDEXED ORDER BY id",
		"");
	uint64_t end = 0, rows = 0;
	while (hf_row(q, &status, err)) {
		int64_t id = hf_column_int(q, ID), arena = hf_column_int(q, ARENA);
		tick(s, "checking objects", ++rows, s->n);
		if ((uint64_t)id != rows || id < 1)
			violation(s, HF_SCAN_OBJECT_IDS, "%lu", (uint64_t)id);
		if (id < 1 || (uint64_t)id > s->n)
			continue;
		struct object *o = &s->object[id];
		o->there = true;
		o->reachable = hf_column_int(q, REACHABLE);
		o->usable = get(q, USABLE);
		if (rows > 1 && get(q, ADDR) < end)
			violation(s, HF_SCAN_OBJECT_ORDER, "0x%lx", get(q, ADDR));
		end = get(q, ADDR) + (o->usable ? o->usable : 1);
		if (get(q, SIZE) > o->usable)
			violation(s, HF_SCAN_OBJECT_SIZE, "0x%lx", get(q, ADDR));
		if (arena < 1 || arena > s->n_arenas) {
			violation(s, HF_SCAN_OBJECT_ARENA, "0x%lx", get(q, ADDR));
		} else {
			s->arena_count[arena]++;
			s->arena_bytes[arena] += o->usable;
		}
		s->size += get(q, SIZE);
		add_to_holder(s, q, id, o);
		add_to_dominator(s, q, id, o);
	}
	return status;
}

static enum hf_status read_edges(struct scan *s, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(s->db, &q, err,
		"SELECT src_id, src_offset, dst_id, dst_offset FROM edge NOT INDEXED", "");
	uint64_t rows = 0;
	while (hf_row(q, &status, err)) {
		int64_t src = hf_column_int(q, 0), dst = hf_column_int(q, 2);
		uint64_t src_offset = get(q, 1), dst_offset = get(q, 3);
		bool from = is_object(s, src), to = is_object(s, dst);
		tick(s, "checking edges", ++rows, 0);
		contain(&s->edges, (uint64_t)dst, (uint64_t)src, src_offset);
		if (!from || src_offset >= s->object[src].usable)
			violation(s, HF_SCAN_EDGE_SOURCE, "%lu", (uint64_t)src);
		if (!to || dst_offset > s->object[dst].usable)
			violation(s, HF_SCAN_EDGE_TARGET, "%lu", (uint64_t)src);
		if (!from || !to)
			continue;
		if (s->object[src].reachable && !s->object[dst].reachable)
			violation(s, HF_SCAN_REACHABLE, "%lu", (uint64_t)src);
		if (s->object[dst].holder == src)
			s->object[dst].held_by_edge = true;
	}
	return status;
}

/* The index must have the same contents, in order. */
static enum hf_status read_edge_index(struct scan *s, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(s->db, &q, err,
		"SELECT dst_id, src_id, src_offset FROM edge INDEXED BY edge_dst WHERE dst_id > "
		"-9223372036854775808",
		"");
	struct contents contents = {0};
	int64_t last[3] = {INT64_MIN, INT64_MIN, INT64_MIN};
	while (hf_row(q, &status, err)) {
		int64_t now[3] = {hf_column_int(q, 0), hf_column_int(q, 1), hf_column_int(q, 2)};
		int k = 0;
		while (k < 2 && now[k] == last[k])
			k++;
		if (contents.n && now[k] <= last[k])
			violation(s, HF_SCAN_EDGE_INDEX, "%lu", (uint64_t)now[0]);
		memcpy(last, now, sizeof(last));
		contain(&contents, (uint64_t)now[0], (uint64_t)now[1], (uint64_t)now[2]);
		tick(s, "checking the index of edges", contents.n, s->edges.n);
	}
	if (contents.n != s->edges.n || contents.sum != s->edges.sum)
		violation(s, HF_SCAN_EDGE_INDEX, NULL, 0);
	return status;
}

static enum hf_status read_object_index(
	struct scan *s, const char *sql, const struct contents *want, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(s->db, &q, err, sql, "");
	struct contents contents = {0};
	int64_t last = INT64_MIN;
	while (hf_row(q, &status, err)) {
		int64_t key = hf_column_int(q, 0), id = hf_column_int(q, 1);
		if (key < last)
			violation(s, HF_SCAN_OBJECT_INDEX, "%lu", (uint64_t)id);
		last = key;
		contain(&contents, (uint64_t)id, 0, 0);
	}
	if (contents.n != want->n || contents.sum != want->sum)
		violation(s, HF_SCAN_OBJECT_INDEX, NULL, 0);
	return status;
}

static enum hf_status read_object_indexes(struct scan *s, struct hf_err *err)
{
	enum hf_status status = read_object_index(s,
		"SELECT held_size, id FROM object INDEXED BY object_leak WHERE reachable = 0",
		&s->leaks, err);
	return status ? status
		      : read_object_index(s,
				"SELECT idom_id, id FROM object INDEXED BY object_far_idom WHERE "
				"idom_id IS NOT NULL AND idom_id IS NOT parent_id",
				&s->far_idoms, err);
}

/* What is left over when every child has been taken from what is above it. */
static enum hf_status check_sums(struct scan *s, struct hf_err *err)
{
	uint64_t bad_holder = 0, bad_sum = 0, bad_dominator = 0;
	for (uint64_t id = s->n; id >= 1; id--) {
		const struct object *o = &s->object[id];
		if (!o->there)
			continue;
		if (o->holder && !o->held_by_edge) {
			bad_holder = id;
			s->result[HF_SCAN_HOLDER_EDGE].n++;
		}
		if (o->held || o->held_count) {
			bad_sum = id;
			s->result[HF_SCAN_HOLDER_SUM].n++;
		}
		if (o->retained || o->retained_count) {
			bad_dominator = id;
			s->result[HF_SCAN_DOMINATOR_SUM].n++;
		}
	}
	const struct {
		enum hf_scan_check check;
		uint64_t id;
	} bad[] = {{HF_SCAN_HOLDER_EDGE, bad_holder}, {HF_SCAN_HOLDER_SUM, bad_sum},
		{HF_SCAN_DOMINATOR_SUM, bad_dominator}};
	enum hf_status status = HF_OK;
	for (size_t i = 0; i < 3 && !status; i++) {
		int64_t addr;
		if (!bad[i].id)
			continue;
		status = hf_query_int(s->db, &addr, err, "SELECT addr FROM object WHERE id = ?",
			"i", (int64_t)bad[i].id);
		snprintf(s->result[bad[i].check].example, sizeof(s->result->example), "0x%llx",
			(long long)addr);
	}
	return status;
}

static enum hf_status check_arenas(struct scan *s, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(s->db, &q, err,
		"SELECT id, live_count, live_bytes FROM arena WHERE id > 0 ORDER BY id", "");
	while (hf_row(q, &status, err)) {
		int64_t id = hf_column_int(q, 0);
		if (get(q, 1) != s->arena_count[id] || get(q, 2) != s->arena_bytes[id])
			violation(s, HF_SCAN_ARENA_LIVE, "%lu", (uint64_t)id);
		s->arena_count[id] = 0; /* it is there */
	}
	for (int64_t id = 1; id <= s->n_arenas && !status; id++)
		if (s->arena_count[id])
			violation(s, HF_SCAN_OBJECT_ARENA, NULL, 0);
	return status;
}

static enum hf_status check_variables(struct scan *s, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(s->db, &q, err,
		"SELECT id, held_size, name FROM variable WHERE id > 0 ORDER BY id", "");
	while (hf_row(q, &status, err)) {
		if (get(q, 1) == s->variable_held[hf_column_int(q, 0)])
			continue;
		struct hf_scan_result *r = &s->result[HF_SCAN_VARIABLE_HELD];
		if (!r->n++)
			snprintf(r->example, sizeof(r->example), "%s", hf_column_text(q, 2));
	}
	return status;
}

static enum hf_status check_totals(struct scan *s, struct hf_err *err)
{
	int64_t live_size = 0;
	enum hf_status status = hf_query_int(
		s->db, &live_size, err, "SELECT value FROM meta WHERE key = 'live_size'", "");
	if ((uint64_t)live_size != s->size)
		violation(s, HF_SCAN_TOTALS, NULL, 0);
	if (s->held_at_top != s->size)
		violation(s, HF_SCAN_HELD_TOTAL, NULL, 0);
	return status;
}

enum hf_status hf_verify_scan(
	struct hf_report *report, struct hf_scan_result result[HF_SCAN_CHECKS], struct hf_err *err)
{
	static enum hf_status (*const passes[])(struct scan *, struct hf_err *) = {allocate,
		read_roots, read_objects, read_edges, read_edge_index, read_object_indexes,
		check_sums, check_arenas, check_variables, check_totals};
	memset(result, 0, HF_SCAN_CHECKS * sizeof(*result));
	_cleanup_(scan_deinit) struct scan s = {
		.report = report, .db = report->heap.db, .result = result};
	enum hf_status status = HF_OK;
	for (size_t i = 0; i < sizeof(passes) / sizeof(*passes) && !status; i++)
		status = passes[i](&s, err);
	return status;
}
