#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "report/chain.h"
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
	SET_STEPS = 1000, /* objects that are looked at to tell what hangs below a set … */
	ALL_STEPS = 2400, /* … and below all sets; each may have half of what is left */
	LEAST_STEPS = 100,
	MAX_RANKS = 20000, /* of what retains most that are looked at */
	CHAIN_LINKS = 8,   /* equal links in a row that make a chain */
};

/* What is below a node. */
struct below {
	struct hf_child top[MAX_CHILDREN]; /* largest first */
	int n, max;
	uint64_t n_all;
	uint64_t size, count; /* of all, with what is below them */
};

struct pending {
	int64_t object_id, variable_id; /* one of them; none: the summed rest of the children */
	struct hf_child self;           /* of a variable: its node; of a rest: the figures alone */
	uint64_t rest;                  /* children in it */
	uint64_t rest_largest;
	bool rest_more;       /* others of them are shown */
	int64_t root_id;      /* of an object that hangs on a root word without a variable */
	struct hf_group *set; /* owned; NULL: it is no set */
	bool of_variable;     /* the set hangs on a variable */
	bool estimated;       /* the figures are */
	int parent;           /* row */
	int level;
};

struct tree {
	struct hf_report *report;
	const struct hf_tree_options *options;
	struct hf_children children;
	struct pending pending[MAX_PENDING];
	int n_pending;
	struct {
		uint64_t size, count;
	} roots;        /* that are shown */
	uint64_t whole; /* what shares are taken of to tell large children: the heap, or ADDR's */
	int64_t steps;
	uint64_t set_steps;
	bool tired;     /* the bound on steps was met */
	bool estimated; /* some figures are */
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
	{"estimated", "", HF_VALUE_BOOL, HF_COLUMN_JSON},
};
enum { N_COLUMNS = sizeof(columns) / sizeof(columns[0]) };

static const double SMALLEST_PERCENT = 0.1; /* of what is shown at the top */

/* What retains most; the last column: nothing dominates it. */
static const char top_retained[] =
	"SELECT o.id, o.retained_size, o.retained_count, o.size, "
	"o.reachable AND o.idom_id IS NULL AND o.idom_variable_id IS NULL "
	"FROM stat_top_retained s CROSS JOIN object o ON o.id = s.object_id "
	"WHERE s.rank <= ? ORDER BY s.rank";

static void add_child(struct below *b, const struct hf_child *child)
{
	b->size += child->node.size;
	b->count += child->node.count;
	b->n_all++;
	int at = b->n;
	while (at > 0 && b->top[at - 1].node.size < child->node.size)
		at--;
	if (at == b->max)
		return;
	if (b->n < b->max)
		b->n++;
	memmove(&b->top[at + 1], &b->top[at], (size_t)(b->n - 1 - at) * sizeof(*b->top));
	b->top[at] = *child;
}

static bool is_large(const struct tree *t, uint64_t size)
{
	return hf_percent(size, t->whole) >= t->options->min_percent;
}

static enum hf_status read_below(
	struct tree *t, const struct hf_node *node, struct below *ret, struct hf_err *err)
{
	struct hf_child child;
	*ret = (struct below){.max = (int)t->options->n};
	enum hf_status status = hf_children_open(&t->children, node, err);
	/* Of a wide node the largest come first; the sample is not needed to know all together. */
	bool sampled = t->children.sampled;
	while (hf_children_next(&t->children, &child, &status, err) && child.weight == 1 &&
		!(sampled && ret->n == ret->max))
		add_child(ret, &child);
	if (sampled) {
		ret->n_all = t->children.n_all;
		ret->size = node->size - node->self_size;
		ret->count = node->variable ? node->count : node->count - 1;
	}
	return status;
}

/* Rows */

/* A figure that is an estimate if the row's pending says so. */
static struct hf_cell figure(const struct pending *p, struct hf_cell cell)
{
	cell.estimate = p->estimated;
	return cell;
}

static int emit_row(struct tree *t, const struct pending *p, uint64_t size, uint64_t count,
	int64_t addr, const char *path, const char *kind, const struct hf_object *object)
{
	t->estimated |= p->estimated;
	return hf_emit_row(t->report->emit, p->parent,
		(struct hf_cell[N_COLUMNS]){
			figure(p, hf_cell_int((int64_t)size)),
			hf_cell_real(hf_percent(size, t->report->heap.live_size)),
			figure(p, hf_cell_int((int64_t)count)),
			addr ? hf_cell_int(addr) : hf_cell_null(),
			hf_cell_text(path),
			hf_cell_int(p->level),
			p->parent == HF_NO_ROW ? hf_cell_null() : hf_cell_int(p->parent),
			hf_cell_text(kind),
			object ? hf_cell_int(object->id) : hf_cell_null(),
			object ? hf_cell_int((int64_t)object->size) : hf_cell_null(),
			hf_cell_text(object && object->type[0] ? object->type : NULL),
			hf_cell_text(object && object->site[0] ? object->site : NULL),
			hf_cell_int(p->estimated),
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
	emit_row(t, p, p->self.node.size, p->self.node.count, 0, hf_text_get(&text), "rest", NULL);
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
static int large_children(struct tree *t, const struct below *c)
{
	int n = 0;
	while (n < c->n && is_large(t, c->top[n].node.size))
		n++;
	bool alike = c->n_all >= ALIKE_COUNT && c->top[0].node.size * ALIKE_COUNT <= c->size * 2;
	if (n > 1 && alike)
		return 1;
	/* One that is too small alone still says what lies there. */
	return n ? n : c->n_all == 1 && c->n;
}

/* The stack gives back the last one first: the rest, then the children from the smallest on. */
static void queue_each(struct tree *t, int row, int level, const struct below *c, int n)
{
	struct pending rest = {.parent = row,
		.level = level + 1,
		.self.node.size = c->size,
		.self.node.count = c->count,
		.rest = c->n_all - (uint64_t)n,
		.rest_more = n > 0,
		.rest_largest = n < c->n ? c->top[n].node.size : 0};
	for (int i = 0; i < n; i++) {
		rest.self.node.size -= c->top[i].node.size;
		rest.self.node.count -= c->top[i].node.count;
	}
	if (rest.rest && (!n || is_large(t, rest.self.node.size)))
		push(t, &rest);
	for (int i = n; i-- > 0;) {
		struct pending child = {.parent = row,
			.level = level + 1,
			.object_id = c->top[i].node.id,
			.self = c->top[i]};
		push(t, &child);
	}
}

/* Children of which none stands out are told as a set. */
static enum hf_status queue_children(struct tree *t, int row, int level, const struct hf_node *node,
	const struct below *c, struct hf_err *err)
{
	int n = level < t->options->depth ? large_children(t, c) : 0;
	bool alike = c->n_all >= ALIKE_COUNT && c->top[0].node.size * ALIKE_COUNT <= c->size * 2;
	if (c->n_all < 2 || !(alike || !n) || level >= t->options->depth || !is_large(t, c->size)) {
		queue_each(t, row, level, c, n);
		return HF_OK;
	}
	_cleanup_(hf_group_deinit) struct hf_group group = {0};
	enum hf_status status = hf_group_of(&t->children, node, &group, err);
	return status == HF_OK ? push_set(t, row, level + 1, &group, node->variable, err) : status;
}

static enum hf_status queue_groups(
	struct tree *t, int row, int level, struct hf_groups *groups, struct hf_err *err)
{
	enum hf_status status = HF_OK;
	size_t n = 0;
	while (level < t->options->depth && n < groups->n &&
		is_large(t, (uint64_t)groups->at[n].size))
		n++;
	for (size_t i = n; i-- > 0 && status == HF_OK;) {
		struct hf_group *group = &groups->at[i];
		if (group->n != 1 || group->estimated) {
			status = push_set(t, row, level + 1, group, false, err);
			continue;
		}
		struct pending one = {
			.parent = row, .level = level + 1, .object_id = group->at[0].node.id};
		one.self = (struct hf_child){
			.node = group->at[0].node, .word = group->word, .direct = !group->indirect};
		push(t, &one);
	}
	return status;
}

static enum hf_status show_set(struct tree *t, struct pending *p, struct hf_err *err)
{
	_cleanup_(hf_groups_deinit) struct hf_groups groups = {0};
	uint64_t steps = t->set_steps < ALL_STEPS ? (ALL_STEPS - t->set_steps) / 2 : 0,
		 before = t->children.steps;
	steps = steps < LEAST_STEPS ? LEAST_STEPS : steps > SET_STEPS ? SET_STEPS : steps;
	enum hf_status status = hf_groups_below(&t->children, p->set, steps, &groups, err);
	t->set_steps += t->children.steps - before;
	if (status != HF_OK)
		return status;
	char number[HF_NUMBER_SIZE];
	_cleanup_(hf_text_deinit) struct hf_text text = HF_TEXT_INIT;
	hf_group_name(&text, p->set, p->of_variable);
	hf_text_addf(&text, " %s%s%s", hf_emit_times(t->report->emit), groups.estimated ? "~" : "",
		hf_human_count(number, hf_group_number(groups.n_members, groups.estimated)));
	hf_group_sizes(&text, p->set);
	p->estimated = p->set->estimated;
	int row = emit_row(t, p, (uint64_t)(p->set->size + 0.5),
		hf_group_number(p->set->count, p->set->estimated), 0, hf_text_get(&text), "set",
		NULL);
	return queue_groups(t, row, p->level, &groups, err);
}

static bool nearly_all(uint64_t part, uint64_t whole)
{
	return part >= whole / 100 * DROP_PERCENT;
}

/* Where a way down ended. */
struct drop {
	struct hf_node node;       /* the object that is shown */
	struct hf_chain_sum chain; /* links: 0, or it heads a chain, none of which divides */
};

/* Go down from an object while one child has nearly all of what its parent has. Where that wears
 * off slowly, as along a list, the head of the list is where to look; else the last object that has
 * nearly all of the first one. c: the children of what is shown. */
static enum hf_status descend(struct tree *t, const struct hf_child *first, struct hf_trail *trail,
	struct below *c, struct drop *ret, struct hf_err *err)
{
	struct hf_chain chain;
	struct hf_trail solid_trail = *trail;
	bool cut = false;
	hf_chain_start(&chain, first);
	*ret = (struct drop){.node = first->node};
	for (;;) {
		struct hf_node at = chain.last.node;
		enum hf_status status = read_below(t, &at, c, err);
		if (status != HF_OK)
			return status;
		const struct hf_child *next = &c->top[0];
		if (!c->n || !nearly_all(next->node.size, at.size))
			break;
		if (t->steps++ >= MAX_STEPS) {
			t->tired = cut = true;
			break;
		}
		hf_trail_add(trail, &next->word, next->direct, next->of_root);
		hf_chain_add(&chain, next);
		if (nearly_all(next->node.size, first->node.size)) {
			ret->node = next->node;
			solid_trail = *trail;
		}
	}
	bool wears_off = ret->node.id != chain.last.node.id;
	if (chain.steps >= CHAIN_LINKS && chain.last.direct && (wears_off || cut)) {
		ret->node = chain.head.node;
		enum hf_status status = hf_chain_finish(
			&chain, &t->children, trail, &t->steps, MAX_STEPS, &ret->chain, err);
		t->tired |= ret->chain.cut;
		return status;
	}
	if (!wears_off)
		return HF_OK;
	*trail = solid_trail;
	return read_below(t, &ret->node, c, err);
}

/* What is shown below a chain: what hangs on one of its links and stands out. */
static void queue_branch(struct tree *t, int row, int level, const struct hf_child *branch)
{
	struct pending p = {
		.parent = row, .level = level + 1, .object_id = branch->node.id, .self = *branch};
	if (p.object_id && level < t->options->depth && is_large(t, branch->node.size))
		push(t, &p);
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
	static struct below c; /* large; used by one call at a time */
	enum hf_status status = descend(t, &p->self, &trail, &c, &drop, err);
	struct hf_object object;
	if (status == HF_OK)
		status = hf_heapdb_object(&t->report->heap, drop.node.id, &object, err);
	if (status == HF_E_NOTFOUND)
		return hf_err_set(err, HF_E_CORRUPT, "the database has no object %lld",
			(long long)drop.node.id);
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
	const struct hf_chain_sum *chain = &drop.chain;
	if (chain->links && !chain->cut)
		trail.runs[trail.n - 1].times = chain->links; /* its head is one of them */
	hf_trail_text(&text, &trail, t->report->emit);
	_cleanup_(hf_text_deinit) struct hf_text what = HF_TEXT_INIT;
	hf_heapdb_object_what(&what, &object);
	char each[HF_NUMBER_SIZE];
	if (chain->cut)
		hf_text_addf(&text, " and more");
	else if (chain->links)
		hf_text_addf(&text, ", %s a link", hf_human_size(each, chain->link_size));
	else if (!what.len)
		hf_text_addf(
			&text, "%sof %s", text.len ? " " : "", hf_human_size(each, object.size));
	hf_text_addf(&text, "%s%s", text.len && what.len ? "  " : "", hf_text_get(&what));
	int row = emit_row(t, p, p->self.node.size, p->self.node.count, (int64_t)object.addr,
		hf_text_get(&text), chain->links ? "chain" : "object", &object);
	if (!chain->links)
		return queue_children(t, row, p->level, &drop.node, &c, err);
	queue_branch(t, row, p->level, &chain->branch);
	return HF_OK;
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
		row = emit_row(t, p, p->self.node.size, p->self.node.count, hf_column_int(q, 2),
			hf_text_get(&text), "root", NULL);
	}
	static struct below c;
	if (status == HF_OK)
		status = read_below(t, &p->self.node, &c, err);
	if (status == HF_OK)
		status = queue_children(t, row, p->level, &p->self.node, &c, err);
	return status;
}

/* A root is shown from a fifth of the share that a child needs; three of them if they are not next
 * to nothing. */
static bool is_large_root(const struct tree *t, uint64_t size)
{
	double percent = hf_percent(size, t->whole);
	return percent * 5 >= t->options->min_percent || !t->n_pending ||
	       (t->n_pending < 3 && percent >= SMALLEST_PERCENT);
}

/* False: it is too small, and so is what comes after it. */
static bool push_root(struct tree *t, const struct pending *p)
{
	if (!is_large_root(t, p->self.node.size))
		return false;
	push(t, p);
	t->roots.size += p->self.node.size;
	t->roots.count += p->self.node.count;
	return true;
}

/* Stripped programs have root words that no variable covers: their objects stand for them. */
static enum hf_status queue_bare_roots(struct tree *t, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(t->report->heap.db, &q, err,
		"SELECT o.id, o.held_size, o.held_count, r.id, o.size FROM root r CROSS JOIN "
		"object o "
		"ON o.id = r.object_id AND o.holder_root_id = r.id AND o.holder_id IS NULL "
		"WHERE r.variable_id IS NULL ORDER BY o.held_size DESC, o.id LIMIT ?",
		"i", t->options->n);
	while (hf_row(q, &status, err)) {
		struct pending p = {.object_id = hf_column_int(q, 0), .parent = HF_NO_ROW};
		p.self.node = (struct hf_node){.id = p.object_id,
			.size = (uint64_t)hf_column_int(q, 1),
			.count = (uint64_t)hf_column_int(q, 2),
			.self_size = (uint64_t)hf_column_int(q, 4)};
		p.root_id = hf_column_int(q, 3);
		if (!push_root(t, &p))
			break;
	}
	return status;
}

/* Objects that nothing dominates, because roots reach them that share nothing: they are next to the
 * variables. */
static enum hf_status queue_free_objects(struct tree *t, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status =
		hf_query(t->report->heap.db, &q, err, top_retained, "i", (int64_t)MAX_RANKS);
	for (int n = 0; n < (int)t->options->n && hf_row(q, &status, err);) {
		/* None of the others can be large enough. */
		if (t->n_pending &&
			hf_percent((uint64_t)hf_column_int(q, 1), t->whole) < SMALLEST_PERCENT)
			break;
		if (!hf_column_int(q, 4))
			continue;
		n++;
		struct pending p = {.object_id = hf_column_int(q, 0), .parent = HF_NO_ROW};
		p.self.node = (struct hf_node){.id = p.object_id,
			.size = (uint64_t)hf_column_int(q, 1),
			.count = (uint64_t)hf_column_int(q, 2),
			.self_size = (uint64_t)hf_column_int(q, 3)};
		if (!push_root(t, &p))
			break;
	}
	return status;
}

static int smaller_first(const void *a, const void *b)
{
	const struct pending *x = a, *y = b;
	if (x->self.node.size != y->self.node.size)
		return x->self.node.size < y->self.node.size ? -1 : 1;
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
		p.self.node = (struct hf_node){.id = p.variable_id,
			.variable = true,
			.size = (uint64_t)hf_column_int(q, 1),
			.count = (uint64_t)hf_column_int(q, 2)};
		if (!push_root(t, &p))
			break;
	}
	if (status == HF_OK && t->options->dominators)
		status = queue_free_objects(t, err);
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
			heap->partial && !heap->has_roots ? "(not known: the dump has no roots)"
							  : "(leaked: no root reaches it)",
			"leaked", NULL);
}

static void tree_destroy(struct tree **t)
{
	if (!*t)
		return;
	hf_children_deinit(&(*t)->children);
	for (int i = 0; i < (*t)->n_pending; i++)
		set_destroy((*t)->pending[i].set);
	free(*t);
}

static enum hf_status start(struct tree *t, struct hf_err *err)
{
	bool dominators = t->options->dominators;
	hf_children_init(&t->children, &t->report->heap, dominators);
	t->whole = t->report->heap.live_size;
	if (!t->options->has_addr)
		return queue_roots(t, err);
	struct hf_object object;
	enum hf_status status = hf_report_find(t->report, t->options->addr, &object, err);
	if (status != HF_OK || !object.id)
		return status;
	struct pending p = {.object_id = object.id, .parent = HF_NO_ROW};
	p.self.node = (struct hf_node){.id = object.id,
		.size = dominators ? object.retained_size : object.held_size,
		.count = dominators ? object.retained_count : object.held_count,
		.self_size = object.size};
	t->whole = p.self.node.size;
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
	if (!report->heap.live_count)
		hf_emit_line(report->emit, "%s",
			report->heap.partial ? "Not known: the dump has no objects."
					     : "There are no objects.");
	if (t->estimated)
		hf_emit_line(report->emit,
			"~ is estimated: of sets with very many members a sample is looked at.");
	hf_emit_fact(report->emit, "complete", NULL, HF_VALUE_BOOL, hf_cell_int(!t->tired));
	if (t->tired)
		hf_emit_line(report->emit,
			"A chain is longer than %d objects: it was not followed to its end.",
			MAX_STEPS);
	return status;
}
