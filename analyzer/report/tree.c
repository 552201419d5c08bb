#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "field/field_sql.h"
#include "report/group.h"
#include "report/report.h"
#include "report/trail.h"

/*
 * The holder tree (or the dominator tree), cut down to where it matters: from each node go down to
 * the next big drop, the node whose largest child has much less than itself; show that one, and
 * its largest children in the same way. What is passed on the way is the row's path.
 *
 * Pending nodes are on a stack of our own; nothing recurses. The steps down are bounded.
 */

enum {
	MAX_CHILDREN = 64,
	MAX_PENDING = 4096,
	MAX_STEPS = 300000,
	DROP_PERCENT = 90,
	ALIKE_COUNT = 8,
	MAX_MEMBERS = 20000, /* of a set that are looked at */
	MAX_RANKS = 20000,   /* of what retains most that are looked at */
	CHAIN_LINKS = 8,     /* equal links in a row that make a chain */
};

struct child {
	int64_t id;
	struct hf_word word;
	bool direct;    /* a word of the parent leads to it */
	bool of_root;   /* the parent is a variable */
	uint64_t size;  /* held or retained, with what is below */
	uint64_t count; /* objects, with those below */
};

struct children {
	struct child top[MAX_CHILDREN]; /* largest first */
	int n, max;
	uint64_t n_all;
	uint64_t size, count; /* of all, with what is below them */
};

struct pending {
	int64_t object_id, variable_id; /* one of them; none: the summed rest of the children */
	struct child self;              /* of a variable and of a rest: the figures alone */
	uint64_t rest;                  /* children in it */
	uint64_t rest_largest;
	bool rest_more;       /* others of them are shown */
	int64_t root_id;      /* of an object that hangs on a root word without a variable */
	struct hf_group *set; /* owned; NULL: it is no set */
	bool of_variable;     /* the set hangs on a variable */
	int parent;           /* row */
	int level;
};

struct top {
	int64_t id, variable_id; /* that dominates it; 0: nothing does */
	uint64_t size, count;
};

struct tree {
	struct hf_report *report;
	const struct hf_tree_options *options;
	sqlite3_stmt *of_object, *of_variable;
	struct top *tops; /* [n_tops], for dominators */
	size_t n_tops;
	struct pending pending[MAX_PENDING];
	int n_pending;
	struct {
		uint64_t size, count;
	} roots;        /* that are shown */
	uint64_t whole; /* what shares are taken of to tell large children: the heap, or ADDR's */
	int64_t steps;
	bool tired; /* the bound on steps was met */
};

static const struct hf_column columns[] = {
	{"size", "HELD", HF_VALUE_SIZE, 0},
	{"share", "SHARE", HF_VALUE_SHARE, 0},
	{"count", "OBJECTS", HF_VALUE_COUNT, 0},
	{"addr", "ADDRESS", HF_VALUE_ADDRESS, 0},
	{"path", "WHAT", HF_VALUE_TEXT, HF_COLUMN_TREE | HF_COLUMN_ELIDE},
	{"level", "", HF_VALUE_PLAIN, HF_COLUMN_JSON},
	{"parent_row", "", HF_VALUE_PLAIN, HF_COLUMN_JSON},
	{"kind", "", HF_VALUE_TEXT, HF_COLUMN_JSON},
	{"object_id", "", HF_VALUE_PLAIN, HF_COLUMN_JSON},
	{"self_size", "", HF_VALUE_SIZE, HF_COLUMN_JSON},
	{"type", "", HF_VALUE_TEXT, HF_COLUMN_JSON},
	{"site", "", HF_VALUE_TEXT, HF_COLUMN_JSON},
};
enum { N_COLUMNS = sizeof(columns) / sizeof(columns[0]) };

static const double SMALLEST_PERCENT = 0.1; /* of what is shown at the top */

/* Columns of all: id, size, count, src_offset (NULL: not by a word of the parent), dst_offset,
 * field. An object with several words into a child is listed once, by the first of them. */
static const char held_of_object[] =
	"SELECT o.id, o.held_size, o.held_count, e.src_offset, e.dst_offset, " HF_SQL_EDGE_FIELD(
		"e") " FROM edge e "
		     "CROSS JOIN object o ON o.id = e.dst_id AND o.holder_id = e.src_id "
		     "WHERE e.src_id = ?1 AND NOT EXISTS (SELECT 1 FROM edge f WHERE f.dst_id = "
		     "e.dst_id "
		     "AND f.src_id = ?1 AND f.src_offset < e.src_offset)";
static const char held_of_variable[] =
	"SELECT o.id, o.held_size, o.held_count, coalesce(r.addr - v.addr, 0), r.offset, "
	"CASE WHEN v.type_id IS NOT NULL THEN substr(r.name, length(v.name) + 1) END "
	"FROM variable v CROSS JOIN root r ON r.variable_id = v.id "
	"CROSS JOIN object o ON o.id = r.object_id AND o.holder_root_id = r.id "
	"AND o.holder_id IS NULL WHERE v.id = ?1";
static const char dominated_of_object[] =
	"SELECT o.id, o.retained_size, o.retained_count, e.src_offset, e.dst_offset, NULL "
	"FROM dominator_child c CROSS JOIN object o ON o.id = c.child_id "
	"LEFT JOIN edge e ON e.dst_id = o.id AND e.src_id = ?1 "
	"AND e.src_offset = (SELECT min(f.src_offset) FROM edge f "
	"WHERE f.dst_id = o.id AND f.src_id = ?1) WHERE c.parent_id = ?1";
/* There is no index of what a variable dominates, nor of what nothing does: the large ones are
 * found among the objects that retain most, the others where a variable points to them itself. */
static const char top_retained[] =
	"SELECT o.id, o.retained_size, o.retained_count, coalesce(o.idom_variable_id, 0), "
	"o.reachable AND o.idom_id IS NULL FROM stat_top_retained s CROSS JOIN object o "
	"ON o.id = s.object_id WHERE s.rank <= ? ORDER BY s.rank";
static const char word_of_variable[] =
	"SELECT min(coalesce(r.addr - v.addr, 0)), r.offset FROM root r "
	"CROSS JOIN variable v ON v.id = r.variable_id WHERE r.object_id = ? AND r.variable_id = ?";
static const char dominated_of_variable[] =
	"SELECT o.id, o.retained_size, o.retained_count, min(coalesce(r.addr - v.addr, 0)), "
	"r.offset, NULL FROM variable v CROSS JOIN root r ON r.variable_id = v.id "
	"CROSS JOIN object o ON o.id = r.object_id AND o.idom_variable_id = ?1 "
	"WHERE v.id = ?1 GROUP BY o.id";

static void add_child(struct children *c, const struct child *child)
{
	c->size += child->size;
	c->count += child->count;
	c->n_all++;
	int at = c->n;
	while (at > 0 && c->top[at - 1].size < child->size)
		at--;
	if (at == c->max)
		return;
	if (c->n < c->max)
		c->n++;
	memmove(&c->top[at + 1], &c->top[at], (size_t)(c->n - 1 - at) * sizeof(*c->top));
	c->top[at] = *child;
}

static struct child read_child(sqlite3_stmt *q, bool variable)
{
	struct child child = {
		.id = hf_column_int(q, 0),
		.size = (uint64_t)hf_column_int(q, 1),
		.count = (uint64_t)hf_column_int(q, 2),
		.direct = !hf_column_null(q, 3),
		.of_root = variable,
	};
	child.word.src_offset = (uint64_t)hf_column_int(q, 3);
	child.word.dst_offset = (uint64_t)hf_column_int(q, 4);
	snprintf(child.word.field, sizeof(child.word.field), "%s", hf_column_text(q, 5));
	return child;
}

static bool is_large(const struct tree *t, uint64_t size)
{
	return hf_percent(size, t->whole) >= (double)t->options->min_percent;
}

/* Objects that no object dominates, largest first; read once. */
static enum hf_status find_tops(struct tree *t, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	t->tops = malloc(MAX_RANKS * sizeof(*t->tops));
	if (!t->tops)
		return hf_err_set(err, HF_E_NOMEM, "no memory for the tree");
	enum hf_status status =
		hf_query(t->report->heap.db, &q, err, top_retained, "i", (int64_t)MAX_RANKS);
	while (hf_row(q, &status, err)) {
		struct child child = read_child(q, false);
		if (hf_percent(child.size, t->whole) < SMALLEST_PERCENT)
			break;
		if (hf_column_int(q, 4))
			t->tops[t->n_tops++] = (struct top){
				child.id, hf_column_int(q, 3), child.size, child.count};
	}
	return status;
}

static enum hf_status top_child(
	struct tree *t, const struct top *top, struct child *ret, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(
		t->report->heap.db, &q, err, word_of_variable, "ii", top->id, top->variable_id);
	*ret = (struct child){
		.id = top->id, .of_root = true, .size = top->size, .count = top->count};
	if (hf_row(q, &status, err)) {
		ret->direct = !hf_column_null(q, 0);
		ret->word.src_offset = (uint64_t)hf_column_int(q, 0);
		ret->word.dst_offset = (uint64_t)hf_column_int(q, 1);
	}
	return status;
}

static enum hf_status dominated_by_variable(
	struct tree *t, int64_t id, struct children *ret, struct hf_err *err)
{
	enum hf_status status = HF_OK;
	for (size_t i = 0; i < t->n_tops && status == HF_OK; i++) {
		struct child child;
		if (t->tops[i].variable_id != id || !is_large(t, t->tops[i].size))
			continue;
		status = top_child(t, &t->tops[i], &child, err);
		add_child(ret, &child);
	}
	if (status != HF_OK)
		return status;
	hf_rebind(t->of_variable, "i", id);
	while (hf_row(t->of_variable, &status, err)) {
		struct child child = read_child(t->of_variable, true);
		if (!is_large(t, child.size))
			add_child(ret, &child);
	}
	sqlite3_reset(t->of_variable);
	return status;
}

static enum hf_status children_of(
	struct tree *t, bool variable, int64_t id, struct children *ret, struct hf_err *err)
{
	sqlite3_stmt *q = variable ? t->of_variable : t->of_object;
	enum hf_status status = HF_OK;
	*ret = (struct children){.max = (int)t->options->n};
	if (variable && t->options->dominators)
		return dominated_by_variable(t, id, ret, err);
	hf_rebind(q, "i", id);
	while (hf_row(q, &status, err)) {
		struct child child = read_child(q, variable);
		add_child(ret, &child);
	}
	sqlite3_reset(q);
	return status;
}

/* Rows */

static int emit_row(struct tree *t, const struct pending *p, uint64_t size, uint64_t count,
	int64_t addr, const char *path, const char *kind, const struct hf_object *object)
{
	return hf_emit_row(t->report->emit, p->parent,
		(struct hf_cell[N_COLUMNS]){
			hf_cell_int((int64_t)size),
			hf_cell_real(hf_percent(size, t->report->heap.live_size)),
			hf_cell_int((int64_t)count),
			addr ? hf_cell_int(addr) : hf_cell_null(),
			hf_cell_text(path),
			hf_cell_int(p->level),
			p->parent == HF_NO_ROW ? hf_cell_null() : hf_cell_int(p->parent),
			hf_cell_text(kind),
			object ? hf_cell_int(object->id) : hf_cell_null(),
			object ? hf_cell_int((int64_t)object->size) : hf_cell_null(),
			hf_cell_text(object && object->type[0] ? object->type : NULL),
			hf_cell_text(object && object->site[0] ? object->site : NULL),
		});
}

static void show_rest(struct tree *t, const struct pending *p)
{
	char number[HF_NUMBER_SIZE], largest[HF_NUMBER_SIZE];
	_cleanup_(hf_text_deinit) struct hf_text text = HF_TEXT_INIT;
	hf_text_addf(&text, "->[*] %s%s%s", hf_emit_times(t->report->emit),
		hf_human_count(number, p->rest), p->rest_more ? " more" : "");
	if (p->rest_largest)
		hf_text_addf(&text, ", at most %s", hf_human_size(largest, p->rest_largest));
	emit_row(t, p, p->self.size, p->self.count, 0, hf_text_get(&text), "rest", NULL);
}

static void set_destroy(struct hf_group *set)
{
	if (set)
		hf_group_deinit(set);
	free(set);
}

/* Takes p->set over. */
static void push(struct tree *t, const struct pending *p)
{
	if (t->n_pending < MAX_PENDING)
		t->pending[t->n_pending++] = *p;
	else
		set_destroy(p->set);
}

static enum hf_status push_set(struct tree *t, int row, int level, struct hf_group *group,
	bool of_variable, struct hf_err *err)
{
	struct pending p = {.parent = row,
		.level = level,
		.of_variable = of_variable,
		.set = malloc(sizeof(*p.set))};
	if (!p.set)
		return hf_err_set(err, HF_E_NOMEM, "no memory for the tree");
	*p.set = *group;
	*group = (struct hf_group){0};
	push(t, &p);
	return HF_OK;
}

/* How many of the children are shown one by one. Of many that are much alike, the largest stands
 * for all. */
static int large_children(struct tree *t, const struct children *c)
{
	int n = 0;
	while (n < c->n && is_large(t, c->top[n].size))
		n++;
	bool alike = c->n_all >= ALIKE_COUNT && c->top[0].size * ALIKE_COUNT <= c->size * 2;
	if (n > 1 && alike)
		return 1;
	/* One that is too small alone still says what lies there. */
	return n ? n : c->n_all == 1 && c->n;
}

/* The stack gives back the last one first: the rest, then the children from the smallest on. */
static void queue_each(struct tree *t, int row, int level, const struct children *c, int n)
{
	struct pending rest = {.parent = row,
		.level = level + 1,
		.self.size = c->size,
		.self.count = c->count,
		.rest = c->n_all - (uint64_t)n,
		.rest_more = n > 0,
		.rest_largest = n < c->n ? c->top[n].size : 0};
	for (int i = 0; i < n; i++) {
		rest.self.size -= c->top[i].size;
		rest.self.count -= c->top[i].count;
	}
	if (rest.rest && (!n || is_large(t, rest.self.size)))
		push(t, &rest);
	for (int i = n; i-- > 0;) {
		struct pending child = {.parent = row,
			.level = level + 1,
			.object_id = c->top[i].id,
			.self = c->top[i]};
		push(t, &child);
	}
}

/* Children of which none stands out are told as a set. */
static enum hf_status queue_children(struct tree *t, int row, int level, bool variable, int64_t id,
	const struct children *c, struct hf_err *err)
{
	int n = level < t->options->depth ? large_children(t, c) : 0;
	bool alike = c->n_all >= ALIKE_COUNT && c->top[0].size * ALIKE_COUNT <= c->size * 2;
	if (t->options->dominators || c->n_all < 2 || !(alike || !n) ||
		level >= t->options->depth || !is_large(t, c->size)) {
		queue_each(t, row, level, c, n);
		return HF_OK;
	}
	_cleanup_(hf_group_deinit) struct hf_group group = {0};
	enum hf_status status =
		hf_group_of(&t->report->heap, variable, id, MAX_MEMBERS, &group, err);
	return status == HF_OK ? push_set(t, row, level + 1, &group, variable, err) : status;
}

static enum hf_status queue_groups(
	struct tree *t, int row, int level, struct hf_groups *groups, struct hf_err *err)
{
	enum hf_status status = HF_OK;
	size_t n = 0;
	while (level < t->options->depth && n < groups->n && is_large(t, groups->at[n].size))
		n++;
	for (size_t i = n; i-- > 0 && status == HF_OK;) {
		struct hf_group *group = &groups->at[i];
		if (group->n_all > 1 || !group->n) {
			status = push_set(t, row, level + 1, group, false, err);
			continue;
		}
		struct pending one = {
			.parent = row, .level = level + 1, .object_id = group->ids[0]};
		one.self = (struct child){.id = group->ids[0],
			.word = group->word,
			.direct = true,
			.size = group->size,
			.count = group->count};
		push(t, &one);
	}
	return status;
}

static enum hf_status show_set(struct tree *t, const struct pending *p, struct hf_err *err)
{
	_cleanup_(hf_groups_deinit) struct hf_groups groups = {0};
	enum hf_status status =
		hf_groups_below(&t->report->heap, p->set, MAX_MEMBERS, &groups, err);
	if (status != HF_OK)
		return status;
	char number[HF_NUMBER_SIZE];
	_cleanup_(hf_text_deinit) struct hf_text text = HF_TEXT_INIT;
	hf_group_name(&text, p->set, p->of_variable);
	hf_text_addf(&text, " %s%s%s", hf_emit_times(t->report->emit),
		hf_human_count(number, groups.n_members), groups.cut ? "+" : "");
	hf_group_sizes(&text, p->set);
	int row = emit_row(t, p, p->set->size, p->set->count, 0, hf_text_get(&text), "set", NULL);
	return queue_groups(t, row, p->level, &groups, err);
}

/* Where a way down ended. */
struct drop {
	int64_t id;     /* the object that is shown */
	uint64_t links; /* > 0: it heads a chain of so many equal links, none of which divides */
	bool cut;       /* and more: the bound on steps was met */
};

static bool nearly_all(uint64_t part, uint64_t whole)
{
	return part >= whole / 100 * DROP_PERCENT;
}

/* Go down from an object while one child has nearly all of what its parent has. Where that wears
 * off slowly, as along a list, the head of the list is where to look; else the last object that has
 * nearly all of the first one. c: the children of what is shown. */
static enum hf_status descend(struct tree *t, const struct child *first, struct hf_trail *trail,
	struct children *c, struct drop *ret, struct hf_err *err)
{
	struct child at = *first;
	struct hf_trail solid_trail = *trail;
	int64_t solid = at.id, run_head = at.id;
	bool cut = false;
	for (;;) {
		enum hf_status status = children_of(t, false, at.id, c, err);
		if (status != HF_OK)
			return status;
		if (!c->n || !nearly_all(c->top[0].size, at.size))
			break;
		if (t->steps++ >= MAX_STEPS) {
			t->tired = cut = true;
			break;
		}
		hf_trail_add(trail, &c->top[0].word, c->top[0].direct, c->top[0].of_root);
		if (trail->runs[trail->n - 1].times == 1)
			run_head = at.id;
		at = c->top[0];
		if (nearly_all(at.size, first->size)) {
			solid = at.id;
			solid_trail = *trail;
		}
	}
	*ret = (struct drop){.id = solid};
	if (solid == at.id)
		return HF_OK;
	uint64_t links = trail->runs[trail->n - 1].times;
	if (links >= CHAIN_LINKS) {
		*ret = (struct drop){.id = run_head, .links = links, .cut = cut};
		return HF_OK;
	}
	*trail = solid_trail;
	return children_of(t, false, solid, c, err);
}

/* Of an object at the top that no root's name stands for. */
static enum hf_status start_address(
	struct tree *t, const struct pending *p, struct hf_text *text, struct hf_err *err)
{
	struct hf_object first;
	enum hf_status status = hf_heapdb_object(&t->report->heap, p->object_id, &first, err);
	hf_text_addf(text, "0x%llx", status == HF_OK ? (unsigned long long)first.addr : 0);
	return status;
}

static enum hf_status show_object(struct tree *t, const struct pending *p, struct hf_err *err)
{
	struct hf_trail trail = {0};
	struct drop drop = {0};
	if (p->parent != HF_NO_ROW)
		hf_trail_add(&trail, &p->self.word, p->self.direct, p->self.of_root);
	static struct children c; /* large; used by one call at a time */
	enum hf_status status = descend(t, &p->self, &trail, &c, &drop, err);
	struct hf_object object;
	if (status == HF_OK)
		status = hf_heapdb_object(&t->report->heap, drop.id, &object, err);
	if (status == HF_E_NOTFOUND)
		return hf_err_set(
			err, HF_E_CORRUPT, "the database has no object %lld", (long long)drop.id);
	if (status != HF_OK)
		return status;
	_cleanup_(hf_text_deinit) struct hf_text text = HF_TEXT_INIT;
	struct hf_root root;
	if (p->root_id && hf_heapdb_root(&t->report->heap, p->root_id, &root, NULL) == HF_OK) {
		hf_heapdb_root_name(&text, &root);
		if (!trail.n)
			hf_text_addf(&text, "->");
	} else if (p->parent == HF_NO_ROW && trail.n && !t->options->has_addr) {
		status = start_address(t, p, &text, err);
		if (status != HF_OK)
			return status;
	}
	hf_trail_text(&text, &trail, t->report->emit);
	_cleanup_(hf_text_deinit) struct hf_text what = HF_TEXT_INIT;
	hf_heapdb_object_what(&what, &object);
	char each[HF_NUMBER_SIZE];
	if (drop.cut)
		hf_text_addf(&text, " and more");
	else if (drop.links)
		hf_text_addf(&text, ", %s a link", hf_human_size(each, p->self.size / drop.links));
	hf_text_addf(&text, "%s%s", text.len && what.len ? "  " : "", hf_text_get(&what));
	int row = emit_row(t, p, p->self.size, p->self.count, (int64_t)object.addr,
		hf_text_get(&text), drop.links ? "chain" : "object", &object);
	/* The links of a chain have nothing below them that is worth a row. */
	if (!drop.links)
		status = queue_children(t, row, p->level, false, object.id, &c, err);
	return status;
}

static enum hf_status show_variable(struct tree *t, const struct pending *p, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(t->report->heap.db, &q, err,
		"SELECT v.name, v.kind, v.addr, m.path, t.tid, t.name FROM variable v "
		"LEFT JOIN module m ON m.id = v.module_id LEFT JOIN thread t ON t.id = v.thread_id "
		"WHERE v.id = ?",
		"i", p->variable_id);
	int row = HF_NO_ROW;
	if (hf_row(q, &status, err)) {
		_cleanup_(hf_text_deinit) struct hf_text text = HF_TEXT_INIT;
		hf_heapdb_root_label_of(&text, hf_column_text(q, 0), hf_column_text(q, 1),
			hf_column_text(q, 3), hf_column_int(q, 4), hf_column_text(q, 5));
		row = emit_row(t, p, p->self.size, p->self.count, hf_column_int(q, 2),
			hf_text_get(&text), "root", NULL);
	}
	static struct children c;
	if (status == HF_OK)
		status = children_of(t, true, p->variable_id, &c, err);
	if (status == HF_OK)
		status = queue_children(t, row, p->level, true, p->variable_id, &c, err);
	return status;
}

/* A root is shown from a fifth of the share that a child needs; three of them if they are not next
 * to nothing. */
static bool is_large_root(const struct tree *t, uint64_t size)
{
	double percent = hf_percent(size, t->whole);
	return percent * 5 >= (double)t->options->min_percent || !t->n_pending ||
	       (t->n_pending < 3 && percent >= SMALLEST_PERCENT);
}

/* Stripped programs have root words that no variable covers: their objects stand for them. */
static enum hf_status queue_bare_roots(struct tree *t, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(t->report->heap.db, &q, err,
		"SELECT o.id, o.held_size, o.held_count, r.id FROM root r CROSS JOIN object o "
		"ON o.id = r.object_id AND o.holder_root_id = r.id AND o.holder_id IS NULL "
		"WHERE r.variable_id IS NULL ORDER BY o.held_size DESC, o.id LIMIT ?",
		"i", t->options->n);
	while (hf_row(q, &status, err)) {
		struct pending p = {.object_id = hf_column_int(q, 0), .parent = HF_NO_ROW};
		p.self.id = p.object_id;
		p.self.size = (uint64_t)hf_column_int(q, 1);
		p.self.count = (uint64_t)hf_column_int(q, 2);
		p.root_id = hf_column_int(q, 3);
		if (!is_large_root(t, p.self.size))
			break;
		push(t, &p);
		t->roots.size += p.self.size;
		t->roots.count += p.self.count;
	}
	return status;
}

/* Objects that nothing dominates, because roots reach them that share nothing: they are next to the
 * variables. */
static void queue_free_objects(struct tree *t)
{
	for (size_t i = 0, n = 0; i < t->n_tops && (int)n < t->options->n; i++) {
		const struct top *top = &t->tops[i];
		if (top->variable_id)
			continue;
		if (!is_large_root(t, top->size))
			break;
		struct pending p = {.object_id = top->id, .parent = HF_NO_ROW};
		p.self = (struct child){.id = top->id, .size = top->size, .count = top->count};
		push(t, &p);
		t->roots.size += top->size;
		t->roots.count += top->count;
		n++;
	}
}

static int smaller_first(const void *a, const void *b)
{
	const struct pending *x = a, *y = b;
	if (x->self.size != y->self.size)
		return x->self.size < y->self.size ? -1 : 1;
	return (x->variable_id < y->variable_id) - (x->variable_id > y->variable_id);
}

/* The largest roots, smallest first for the stack. */
static enum hf_status queue_roots(struct tree *t, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(t->report->heap.db, &q, err,
		t->options->dominators
			? "SELECT id, retained_size, retained_count FROM variable WHERE "
			  "retained_size > 0 ORDER BY retained_size DESC, id LIMIT ?"
			: "SELECT id, held_size, held_count FROM variable WHERE held_size > 0 "
			  "ORDER BY held_size DESC, id LIMIT ?",
		"i", t->options->n);
	while (hf_row(q, &status, err)) {
		struct pending p = {.variable_id = hf_column_int(q, 0), .parent = HF_NO_ROW};
		p.self.size = (uint64_t)hf_column_int(q, 1);
		p.self.count = (uint64_t)hf_column_int(q, 2);
		if (!is_large_root(t, p.self.size))
			break;
		push(t, &p);
		t->roots.size += p.self.size;
		t->roots.count += p.self.count;
	}
	if (status == HF_OK && t->options->dominators)
		queue_free_objects(t);
	else if (status == HF_OK)
		status = queue_bare_roots(t, err);
	qsort(t->pending, (size_t)t->n_pending, sizeof(*t->pending), smaller_first);
	return status;
}

/* What the shown roots do not have. Held sizes of the roots add up to what is reachable, and so do
 * the retained ones of the variables and of the objects that nothing dominates. */
static void other_roots(struct tree *t)
{
	struct pending top = {.parent = HF_NO_ROW};
	struct hf_heapdb *heap = &t->report->heap;
	uint64_t size = heap->live_size - heap->leak_size,
		 count = heap->live_count - heap->leak_count;
	if (size > t->roots.size)
		emit_row(t, &top, size - t->roots.size, count - t->roots.count, 0,
			t->options->dominators ? "other roots, shared objects" : "other roots",
			"rest", NULL);
	if (heap->leak_count)
		emit_row(t, &top, heap->leak_size, heap->leak_count, 0,
			"(leaked: no root reaches it)", "leaked", NULL);
}

static void tree_destroy(struct tree **t)
{
	if (!*t)
		return;
	hf_stmt_done(&(*t)->of_object);
	hf_stmt_done(&(*t)->of_variable);
	free((*t)->tops);
	for (int i = 0; i < (*t)->n_pending; i++)
		set_destroy((*t)->pending[i].set);
	free(*t);
}

static enum hf_status start(struct tree *t, struct hf_err *err)
{
	bool dominators = t->options->dominators;
	sqlite3 *db = t->report->heap.db;
	enum hf_status status = hf_query(
		db, &t->of_object, err, dominators ? dominated_of_object : held_of_object, "");
	if (status == HF_OK)
		status = hf_query(db, &t->of_variable, err,
			dominators ? dominated_of_variable : held_of_variable, "");
	t->whole = t->report->heap.live_size;
	if (status == HF_OK && dominators)
		status = find_tops(t, err);
	if (status != HF_OK || !t->options->has_addr)
		return status == HF_OK ? queue_roots(t, err) : status;
	struct hf_object object;
	status = hf_report_find(t->report, t->options->addr, &object, err);
	if (status != HF_OK || !object.id)
		return status;
	struct pending p = {.object_id = object.id, .self.id = object.id, .parent = HF_NO_ROW};
	p.self.size = dominators ? object.retained_size : object.held_size;
	p.self.count = dominators ? object.retained_count : object.held_count;
	t->whole = p.self.size;
	push(t, &p);
	return HF_OK;
}

enum hf_status hf_report_tree(
	struct hf_report *report, const struct hf_tree_options *options, struct hf_err *err)
{
	if (options->n < 1 || options->n > MAX_CHILDREN - 1)
		return hf_err_set(err, HF_E_USAGE, "-n: from 1 to %d", MAX_CHILDREN - 1);
	_cleanup_(tree_destroy) struct tree *t = calloc(1, sizeof(*t));
	if (!t)
		return hf_err_set(err, HF_E_NOMEM, "no memory for the tree");
	t->report = report;
	t->options = options;
	enum hf_status status = start(t, err);
	if (status != HF_OK)
		return status;
	struct hf_column titled[N_COLUMNS];
	memcpy(titled, columns, sizeof(titled));
	if (options->dominators)
		titled[0].title = "RETAINED";
	hf_emit_fact(report->emit, "tree", NULL, HF_VALUE_TEXT,
		hf_cell_text(options->dominators ? "dominators" : "holders"));
	hf_emit_table_begin(report->emit, "rows", titled, N_COLUMNS);
	while (status == HF_OK && t->n_pending) {
		struct pending p = t->pending[--t->n_pending];
		if (p.set)
			status = show_set(t, &p, err);
		else if (p.object_id)
			status = show_object(t, &p, err);
		else if (p.variable_id)
			status = show_variable(t, &p, err);
		else
			show_rest(t, &p);
		set_destroy(p.set);
	}
	if (status == HF_OK && !options->has_addr)
		other_roots(t);
	hf_emit_table_end(report->emit);
	hf_emit_fact(report->emit, "complete", NULL, HF_VALUE_BOOL, hf_cell_int(!t->tired));
	if (t->tired)
		hf_emit_line(report->emit,
			"A chain is longer than %d objects: it was not followed to its end.",
			MAX_STEPS);
	return status;
}
