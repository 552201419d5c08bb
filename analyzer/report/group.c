#include "report/group.h"

#include <stdlib.h>
#include <string.h>

#include "field/field_sql.h"
#include "report/db.h"

enum {
	MAX_GROUPS = 64, /* by word, of a set; the members of arrays differ in their words */
	SIZE_SLACK = 16, /* bytes by which an allocator may round one object more than another */
};

static const char children_sql[] =
	"SELECT o.id, o.held_size, o.held_count, e.src_offset, e.dst_offset, o.size, "
	"coalesce(o.type_id, 0), " HF_SQL_EDGE_FIELD(
		"e") " FROM edge e "
		     "CROSS JOIN object o ON o.id = e.dst_id AND o.holder_id = e.src_id "
		     "WHERE e.src_id = ?1 AND NOT EXISTS (SELECT 1 FROM edge f INDEXED BY edge_dst "
		     "WHERE f.dst_id = e.dst_id AND f.src_id = ?1 AND f.src_offset < e.src_offset)";
static const char of_variable_sql[] =
	"SELECT o.id, o.held_size, o.held_count, coalesce(r.addr - v.addr, 0), r.offset, o.size, "
	"coalesce(o.type_id, 0), CASE WHEN v.type_id IS NOT NULL "
	"THEN substr(r.name, length(v.name) + 1) END "
	"FROM variable v CROSS JOIN root r ON r.variable_id = v.id "
	"CROSS JOIN object o ON o.id = r.object_id AND o.holder_root_id = r.id "
	"AND o.holder_id IS NULL WHERE v.id = ?1";

void hf_group_deinit(struct hf_group *group)
{
	free(group->ids);
	*group = (struct hf_group){0};
}

void hf_groups_deinit(struct hf_groups *groups)
{
	for (size_t i = 0; i < groups->n; i++)
		hf_group_deinit(&groups->at[i]);
	free(groups->at);
	*groups = (struct hf_groups){0};
}

static enum hf_status keep(struct hf_group *group, int64_t id, size_t max, struct hf_err *err)
{
	if (group->n >= max)
		return HF_OK;
	if (group->n == group->cap) {
		size_t cap = group->cap ? group->cap * 2 : 16;
		int64_t *ids = reallocarray(group->ids, cap, sizeof(*ids));
		if (!ids)
			return hf_err_set(err, HF_E_NOMEM, "no memory for a set of objects");
		group->ids = ids;
		group->cap = cap;
	}
	group->ids[group->n++] = id;
	return HF_OK;
}

/* Count the object of the query's row in. */
static enum hf_status add(struct hf_group *group, sqlite3_stmt *q, size_t max, struct hf_err *err)
{
	uint64_t size = (uint64_t)hf_column_int(q, 5);
	if (!group->n_all++) {
		group->word.src_offset = (uint64_t)hf_column_int(q, 3);
		group->word.dst_offset = (uint64_t)hf_column_int(q, 4);
		snprintf(group->word.field, sizeof(group->word.field), "%s", hf_column_text(q, 7));
		hf_field_star(group->word.field);
		group->min_size = group->max_size = size;
	}
	/* the elements of one array have one name */
	char field[HF_NAME_SIZE];
	snprintf(field, sizeof(field), "%s", hf_column_text(q, 7));
	hf_field_star(field);
	if (strcmp(field, group->word.field))
		group->mixed = true;
	group->size += (uint64_t)hf_column_int(q, 1);
	group->count += (uint64_t)hf_column_int(q, 2);
	group->min_size = size < group->min_size ? size : group->min_size;
	group->max_size = size > group->max_size ? size : group->max_size;
	return keep(group, hf_column_int(q, 0), max, err);
}

enum hf_status hf_group_of(struct hf_heapdb *heap, bool variable, int64_t id, size_t max_members,
	struct hf_group *ret, struct hf_err *err)
{
	_cleanup_(hf_group_deinit) struct hf_group group = {.any_word = true};
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status =
		hf_query(heap->db, &q, err, variable ? of_variable_sql : children_sql, "i", id);
	while (hf_row(q, &status, err))
		status = add(&group, q, max_members, err);
	if (status != HF_OK)
		return status;
	*ret = group;
	group = (struct hf_group){0};
	return HF_OK;
}

/* The group of a word; the last one takes what is too various. NULL: no memory. */
static struct hf_group *group_of_word(struct hf_groups *groups, uint64_t offset)
{
	for (size_t i = 0; i < groups->n; i++) {
		if (groups->at[i].word.src_offset == offset)
			return &groups->at[i];
	}
	if (groups->n == MAX_GROUPS) {
		groups->at[MAX_GROUPS - 1].any_word = true;
		return &groups->at[MAX_GROUPS - 1];
	}
	if (groups->n == groups->cap) {
		size_t cap = groups->cap ? groups->cap * 2 : 8;
		struct hf_group *at = reallocarray(groups->at, cap, sizeof(*at));
		if (!at)
			return NULL;
		groups->at = at;
		groups->cap = cap;
	}
	groups->at[groups->n] = (struct hf_group){.word.src_offset = offset};
	return &groups->at[groups->n++];
}

/* Words by which members hold one another. */
struct links {
	uint64_t offsets[8];
	size_t n;
};

static bool is_link(const struct links *links, uint64_t offset)
{
	for (size_t i = 0; i < links->n; i++) {
		if (links->offsets[i] == offset)
			return true;
	}
	return false;
}

/* Of the same shape: the same type and size. Allocators round sizes, so behind a word that is
 * known to lead from member to member a little difference is none. */
static bool is_member(
	struct links *links, uint64_t offset, int64_t size, int64_t own, bool same_type)
{
	int64_t difference = size > own ? size - own : own - size;
	if (!same_type || difference > SIZE_SLACK)
		return false;
	if (is_link(links, offset))
		return true;
	if (difference || links->n == sizeof(links->offsets) / sizeof(links->offsets[0]))
		return false;
	links->offsets[links->n++] = offset;
	return true;
}

/* What one member holds: more members of its own shape, or parts of groups. */
static enum hf_status below_member(sqlite3_stmt *shape, sqlite3_stmt *children, int64_t id,
	struct links *links, struct hf_group *members, size_t max, struct hf_groups *ret,
	struct hf_err *err)
{
	enum hf_status status = HF_OK;
	int64_t size = 0, type = 0;
	hf_rebind(shape, "i", id);
	if (hf_row(shape, &status, err)) {
		size = hf_column_int(shape, 0);
		type = hf_column_int(shape, 1);
	}
	sqlite3_reset(shape);
	hf_rebind(children, "i", id);
	while (hf_row(children, &status, err)) {
		uint64_t offset = (uint64_t)hf_column_int(children, 3);
		if (is_member(links, offset, hf_column_int(children, 5), size,
			    hf_column_int(children, 6) == type)) {
			members->n_all++;
			status = keep(members, hf_column_int(children, 0), max, err);
			continue;
		}
		struct hf_group *group = group_of_word(ret, offset);
		status = group ? add(group, children, max, err)
			       : hf_err_set(err, HF_E_NOMEM, "no memory for a set of objects");
	}
	sqlite3_reset(children);
	return status;
}

static int by_size(const void *a, const void *b)
{
	const struct hf_group *x = a, *y = b;
	if (x->size != y->size)
		return x->size < y->size ? 1 : -1;
	return (x->word.src_offset > y->word.src_offset) -
	       (x->word.src_offset < y->word.src_offset);
}

enum hf_status hf_groups_below(struct hf_heapdb *heap, const struct hf_group *set,
	size_t max_members, struct hf_groups *ret, struct hf_err *err)
{
	_cleanup_(hf_groups_deinit) struct hf_groups groups = {0};
	_cleanup_(hf_group_deinit) struct hf_group members = {.n_all = set->n_all};
	struct links links = {.n = 0};
	_cleanup_stmt_ sqlite3_stmt *shape = NULL, *children = NULL;
	enum hf_status status = hf_query(heap->db, &shape, err,
		"SELECT size, coalesce(type_id, 0) FROM object WHERE id = ?", "");
	if (status == HF_OK)
		status = hf_query(heap->db, &children, err, children_sql, "");
	for (size_t i = 0; i < set->n && status == HF_OK; i++)
		status = keep(&members, set->ids[i], max_members, err);
	/* Members join while the loop goes on; each object is held once, so it ends. */
	for (size_t i = 0; i < members.n && status == HF_OK; i++)
		status = below_member(shape, children, members.ids[i], &links, &members,
			max_members, &groups, err);
	if (status != HF_OK)
		return status;
	if (groups.n)
		qsort(groups.at, groups.n, sizeof(*groups.at), by_size);
	groups.n_members = members.n_all;
	groups.cut = members.n < members.n_all;
	*ret = groups;
	groups = (struct hf_groups){0};
	return HF_OK;
}

void hf_group_name(struct hf_text *text, const struct hf_group *group, bool of_variable)
{
	if (group->any_word && (group->mixed || !group->word.field[0]))
		hf_text_addf(text, "->[*]");
	else if (of_variable)
		hf_text_addf(text, "%s", group->word.field);
	else
		hf_heapdb_word_name(text, &group->word);
}

void hf_group_sizes(struct hf_text *text, const struct hf_group *group)
{
	char min[HF_NUMBER_SIZE], max[HF_NUMBER_SIZE];
	if (group->min_size == group->max_size)
		hf_text_addf(text, " of %s", hf_human_size(min, group->min_size));
	else
		hf_text_addf(text, " of %s-%s", hf_human_size(min, group->min_size),
			hf_human_size(max, group->max_size));
}

enum { BULK_STEPS = 6 };

enum hf_status hf_group_bulk(struct hf_heapdb *heap, bool variable, int64_t id, size_t max_members,
	struct hf_text *path, struct hf_group *ret_set, bool *ret_cut, struct hf_err *err)
{
	_cleanup_(hf_group_deinit) struct hf_group set = {0};
	bool cut = false;
	enum hf_status status = hf_group_of(heap, variable, id, max_members, &set, err);
	if (status == HF_OK && set.n_all > 1)
		hf_group_name(path, &set, variable);
	uint64_t whole = set.size;
	for (int step = 0; status == HF_OK && set.n_all > 1 && step < BULK_STEPS; step++) {
		_cleanup_(hf_groups_deinit) struct hf_groups below = {0};
		status = hf_groups_below(heap, &set, max_members, &below, err);
		if (status != HF_OK)
			break;
		cut |= below.cut;
		set.n_all = below.n_members;
		/* Most of the whole; of a sample, most of what it has. */
		uint64_t seen = 0;
		for (size_t i = 0; i < below.n; i++)
			seen += below.at[i].size;
		if (!below.n || below.at[0].any_word || below.at[0].n_all < 2 ||
			below.at[0].size * 2 < (cut ? seen : whole))
			break;
		hf_group_deinit(&set);
		set = below.at[0];
		below.at[0] = (struct hf_group){0};
		hf_heapdb_word_name(path, &set.word);
	}
	if (status != HF_OK)
		return status;
	*ret_cut = cut;
	*ret_set = set;
	set = (struct hf_group){0};
	return HF_OK;
}
