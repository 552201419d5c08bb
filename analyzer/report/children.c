#include "report/children.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "field/field_sql.h"
#include "report/db.h"

/* Columns of all: id, size, count, self size, type, rank (> 0: for itself; < 0: of the sample; 0:
 * every child is listed), then src_offset (NULL: not by a word of the parent), dst_offset, field.
 */
enum column { ID, SIZE, COUNT, SELF, TYPE, RANK, SRC_OFFSET, DST_OFFSET, FIELD };

enum statement {
	HELD_OF_OBJECT,
	HELD_OF_VARIABLE,
	DOMINATED_OF_OBJECT,
	DOMINATED_OF_VARIABLE,
	WIDE_COUNT,
	WIDE_ROWS,
	WORD_OF_OBJECT,
	WORD_OF_VARIABLE,
};

#define HELD       "o.id, o.held_size, o.held_count, o.size, coalesce(o.type_id, 0), 0"
#define RETAINED   "o.id, o.retained_size, o.retained_count, o.size, coalesce(o.type_id, 0), 0"
#define EDGE_FIELD HF_SQL_EDGE_FIELD("e")
/* What a word of a variable is called behind the variable's name. */
#define ROOT_FIELD "CASE WHEN v.type_id IS NOT NULL THEN substr(r.name, length(v.name) + 1) END"
#define OF_WIDE(size, count)                                                                       \
	"SELECT o.id, " size ", " count                                                            \
	", o.size, coalesce(o.type_id, 0), c.rank, NULL, NULL, NULL "                              \
	"FROM stat_wide_child c CROSS JOIN object o ON o.id = c.child_id "                         \
	"WHERE c.parent_id = ?1 AND c.tree = ?2 AND (c.rank > 0 OR c.child_id NOT IN ("            \
	"SELECT child_id FROM stat_wide_child WHERE parent_id = ?1 AND tree = ?2 AND rank > 0)) "  \
	"ORDER BY c.rank < 0, abs(c.rank)"

static const char *const sql[HF_CHILDREN_STATEMENTS] = {
	/* An object with several words into a child gives it several times, first by the first. */
	[HELD_OF_OBJECT] =
		"SELECT " HELD ", e.src_offset, e.dst_offset, CASE WHEN o.holder_id = e.src_id "
		"THEN " EDGE_FIELD " END, o.holder_id = e.src_id "
		"FROM edge e CROSS JOIN object o ON o.id = e.dst_id "
		"WHERE e.src_id = ?1 ORDER BY e.src_offset",
	[HELD_OF_VARIABLE] =
		"SELECT " HELD ", coalesce(r.addr - v.addr, 0), r.offset, " ROOT_FIELD ", 1 "
		"FROM variable v CROSS JOIN root r ON r.variable_id = v.id "
		"CROSS JOIN object o ON o.id = r.object_id AND o.holder_root_id = r.id "
		"AND o.holder_id IS NULL WHERE v.id = ?1",
	/* What points to an object and dominates it is its immediate dominator; the others that it
	 * dominates are in an index. */
	[DOMINATED_OF_OBJECT] =
		"SELECT " RETAINED ", e.src_offset, e.dst_offset, CASE WHEN o.idom_id = e.src_id "
		"THEN " EDGE_FIELD " END, o.idom_id = e.src_id "
		"FROM edge e CROSS JOIN object o ON o.id = e.dst_id WHERE e.src_id = ?1 UNION ALL "
		"SELECT " RETAINED ", NULL, NULL, NULL, 1 FROM object o INDEXED BY object_far_idom "
		"WHERE o.idom_id = ?1 AND o.idom_id IS NOT o.parent_id",
	/* There is no index of what a variable dominates. Where one dominates what none of its
	 * words points to, it is wide. */
	[DOMINATED_OF_VARIABLE] =
		"SELECT " RETAINED ", min(coalesce(r.addr - v.addr, 0)), r.offset, " ROOT_FIELD
		", 1 "
		"FROM variable v CROSS JOIN root r ON r.variable_id = v.id "
		"CROSS JOIN object o ON o.id = r.object_id AND o.idom_variable_id = ?1 "
		"WHERE v.id = ?1 GROUP BY o.id",
	[WIDE_COUNT] =
		"SELECT count, (SELECT count(*) FROM stat_wide_child c WHERE c.parent_id = ?1 "
		"AND c.tree = ?2 AND c.rank > 0), (SELECT count(*) FROM stat_wide_child c WHERE "
		"c.parent_id = ?1 AND c.tree = ?2 AND c.rank < 0 AND c.child_id NOT IN (SELECT "
		"child_id FROM stat_wide_child WHERE parent_id = ?1 AND tree = ?2 AND rank > 0)) "
		"FROM stat_wide WHERE parent_id = ?1 AND tree = ?2",
	[WIDE_ROWS] = NULL, /* by tree */
	[WORD_OF_OBJECT] =
		"SELECT e.src_offset, e.dst_offset, " EDGE_FIELD " FROM edge e INDEXED BY edge_dst "
		"WHERE e.dst_id = ?1 AND e.src_id = ?2 ORDER BY e.src_offset LIMIT 1",
	[WORD_OF_VARIABLE] =
		"SELECT coalesce(r.addr - v.addr, 0), r.offset, " ROOT_FIELD " "
		"FROM root r INDEXED BY root_object CROSS JOIN variable v ON v.id = r.variable_id "
		"WHERE r.object_id = ?1 AND r.variable_id = ?2 ORDER BY 1 LIMIT 1",
};
enum { IS_CHILD = FIELD + 1 };

static const char wide_held[] = OF_WIDE("o.held_size", "o.held_count");
static const char wide_retained[] = OF_WIDE("o.retained_size", "o.retained_count");

void hf_children_init(struct hf_children *ret, struct hf_heapdb *heap, bool dominators)
{
	*ret = (struct hf_children){.heap = heap, .dominators = dominators};
}

void hf_children_deinit(struct hf_children *children)
{
	for (int i = 0; i < HF_CHILDREN_STATEMENTS; i++)
		hf_stmt_done(&children->stmt[i]);
	free(children->seen);
	*children = (struct hf_children){0};
}

/* Prepare once. */
static enum hf_status statement(
	struct hf_children *c, enum statement which, sqlite3_stmt **ret, struct hf_err *err)
{
	enum hf_status status = HF_OK;
	if (!c->stmt[which]) {
		const char *text = which != WIDE_ROWS ? sql[which]
				   : c->dominators    ? wide_retained
						      : wide_held;
		status = hf_query(c->heap->db, &c->stmt[which], err, text, "");
	}
	*ret = c->stmt[which];
	return status;
}

static int64_t wide_key(const struct hf_node *node)
{
	return node->variable ? -node->id : node->id;
}

static enum hf_status look_for_wide(struct hf_children *c, struct hf_err *err)
{
	sqlite3_stmt *q = NULL;
	c->wide = c->sampled = false;
	/* What a variable dominates without pointing to it is nowhere else. */
	if (!c->heap->has_wide || (c->heap->small && !(c->parent.variable && c->dominators)))
		return HF_OK;
	enum hf_status status = statement(c, WIDE_COUNT, &q, err);
	if (status != HF_OK)
		return status;
	hf_rebind(q, "ii", wide_key(&c->parent), (int64_t)c->dominators);
	if (hf_row(q, &status, err)) {
		int64_t n_top = hf_column_int(q, 1), n_rest = hf_column_int(q, 2);
		c->wide = true;
		c->n_all = (uint64_t)hf_column_int(q, 0);
		c->sampled = hf_column_int(q, 0) > n_top;
		if (c->sampled && n_rest)
			c->weight = (double)(hf_column_int(q, 0) - n_top) / (double)n_rest;
	}
	sqlite3_reset(q);
	return status;
}

enum hf_status hf_children_open(
	struct hf_children *c, const struct hf_node *node, struct hf_err *err)
{
	c->parent = *node;
	c->current = NULL;
	c->left_count = node->variable || !node->count ? node->count : node->count - 1;
	c->n_seen = 0;
	c->turn++;
	c->wide = c->sampled = false;
	if (!c->left_count)
		return HF_OK;
	enum hf_status status = look_for_wide(c, err);
	if (status != HF_OK)
		return status;
	enum statement which =
		c->wide          ? WIDE_ROWS
		: c->dominators  ? (node->variable ? DOMINATED_OF_VARIABLE : DOMINATED_OF_OBJECT)
		: node->variable ? HELD_OF_VARIABLE
				 : HELD_OF_OBJECT;
	status = statement(c, which, &c->current, err);
	if (status != HF_OK)
		return status;
	if (c->wide)
		hf_rebind(c->current, "ii", wide_key(node), (int64_t)c->dominators);
	else
		hf_rebind(c->current, "i", node->id);
	return HF_OK;
}

static size_t seen_slot(const struct hf_children *c, int64_t id)
{
	size_t mask = c->cap_seen - 1;
	size_t i = (size_t)((uint64_t)id * 0x9e3779b97f4a7c15 >> 32) & mask;
	while (c->seen[i].turn == c->turn && c->seen[i].id != id)
		i = (i + 1) & mask;
	return i;
}

/* Was the child listed before? If not, it is now. */
static enum hf_status see(struct hf_children *c, int64_t id, bool *ret_before, struct hf_err *err)
{
	if (c->n_seen * 2 >= c->cap_seen) {
		size_t cap = c->cap_seen ? 2 * c->cap_seen : 64;
		typeof(c->seen) old = c->seen, seen = calloc(cap, sizeof(*seen));
		if (!seen)
			return hf_err_set(err, HF_E_NOMEM, "no memory for a set of objects");
		size_t n_old = c->cap_seen;
		c->seen = seen;
		c->cap_seen = cap;
		for (size_t i = 0; i < n_old; i++)
			if (old[i].turn == c->turn)
				seen[seen_slot(c, old[i].id)] = old[i];
		free(old);
	}
	size_t slot = seen_slot(c, id);
	*ret_before = c->seen[slot].turn == c->turn;
	c->n_seen += !*ret_before;
	c->seen[slot].id = id;
	c->seen[slot].turn = c->turn;
	return HF_OK;
}

static void read_word(struct hf_child *child, sqlite3_stmt *q, int first)
{
	child->direct = !hf_column_null(q, first);
	child->word.src_offset = (uint64_t)hf_column_int(q, first);
	child->word.dst_offset = (uint64_t)hf_column_int(q, first + 1);
	snprintf(child->word.field, sizeof(child->word.field), "%s", hf_column_text(q, first + 2));
}

/* The word that leads to a child of a wide node. */
static enum hf_status find_word(struct hf_children *c, struct hf_child *child, struct hf_err *err)
{
	sqlite3_stmt *q = NULL;
	enum hf_status status =
		statement(c, c->parent.variable ? WORD_OF_VARIABLE : WORD_OF_OBJECT, &q, err);
	if (status != HF_OK)
		return status;
	hf_rebind(q, "ii", child->node.id, c->parent.id);
	if (hf_row(q, &status, err))
		read_word(child, q, 0);
	sqlite3_reset(q);
	return status;
}

/* The next row of a child that was not there before; false: there is none. */
static bool next_row(struct hf_children *c, enum hf_status *status, struct hf_err *err)
{
	while (c->left_count && hf_row(c->current, status, err)) {
		c->steps++;
		if (c->wide)
			return true;
		if (!hf_column_int(c->current, IS_CHILD))
			continue;
		bool before = false;
		*status = see(c, hf_column_int(c->current, ID), &before, err);
		if (*status != HF_OK)
			return false;
		if (!before)
			return true;
	}
	return false;
}

bool hf_children_next(
	struct hf_children *c, struct hf_child *ret, enum hf_status *status, struct hf_err *err)
{
	if (*status != HF_OK || !c->current || !next_row(c, status, err)) {
		if (c->current)
			sqlite3_reset(c->current);
		c->current = NULL;
		return false;
	}
	sqlite3_stmt *q = c->current;
	*ret = (struct hf_child){
		.node = {.id = hf_column_int(q, ID),
			.size = (uint64_t)hf_column_int(q, SIZE),
			.count = (uint64_t)hf_column_int(q, COUNT),
			.self_size = (uint64_t)hf_column_int(q, SELF)},
		.type_id = hf_column_int(q, TYPE),
		.of_root = c->parent.variable,
		.weight = hf_column_int(q, RANK) < 0 ? c->weight : 1,
	};
	if (c->wide) {
		*status = find_word(c, ret, err);
		return *status == HF_OK;
	}
	read_word(ret, q, SRC_OFFSET);
	/* Once all that is below is accounted for, no other word leads to a child. */
	c->left_count = c->left_count > ret->node.count ? c->left_count - ret->node.count : 0;
	return true;
}
