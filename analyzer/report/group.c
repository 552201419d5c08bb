#include "report/group.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

enum {
	MAX_GROUPS = 64, /* by word, of a set; the members of arrays differ in their words */
	SIZE_SLACK = 16, /* bytes by which an allocator may round one object more than another */
	LARGEST = 64,    /* members that are looked at before the others, whatever they hold */
};

void hf_group_deinit(struct hf_group *group)
{
	free(group->at);
	*group = (struct hf_group){0};
}

void hf_groups_deinit(struct hf_groups *groups)
{
	for (size_t i = 0; i < groups->n; i++)
		hf_group_deinit(&groups->at[i]);
	free(groups->at);
	*groups = (struct hf_groups){0};
}

uint64_t hf_group_number(double figure, bool estimated)
{
	double unit = 1;
	while (estimated && figure / unit >= 1000)
		unit *= 10;
	return (uint64_t)((double)(uint64_t)(figure / unit + 0.5) * unit);
}

static enum hf_status keep(
	struct hf_group *group, const struct hf_child *child, double weight, struct hf_err *err)
{
	if (group->n == group->cap) {
		size_t cap = group->cap ? group->cap * 2 : 16;
		struct hf_member *at = reallocarray(group->at, cap, sizeof(*at));
		if (!at)
			return hf_err_set(err, HF_E_NOMEM, "no memory for a set of objects");
		group->at = at;
		group->cap = cap;
	}
	group->at[group->n++] = (struct hf_member){child->node, child->type_id, weight};
	return HF_OK;
}

/* Count a child in. */
static enum hf_status add(
	struct hf_group *group, const struct hf_child *child, double weight, struct hf_err *err)
{
	uint64_t size = child->node.self_size;
	/* the elements of one array have one name */
	char field[HF_NAME_SIZE];
	memcpy(field, child->word.field, sizeof(field));
	hf_field_star(field);
	if (!group->n) {
		group->word = child->word;
		memcpy(group->word.field, field, sizeof(field));
		group->min_size = group->max_size = size;
	}
	if (strcmp(field, group->word.field))
		group->mixed = true;
	group->n_all += weight;
	group->size += weight * (double)child->node.size;
	group->count += weight * (double)child->node.count;
	group->min_size = size < group->min_size ? size : group->min_size;
	group->max_size = size > group->max_size ? size : group->max_size;
	return keep(group, child, weight, err);
}

enum hf_status hf_group_join(
	struct hf_group *group, const struct hf_group *other, struct hf_err *err)
{
	size_t n = group->n + other->n;
	struct hf_member *at = reallocarray(group->at, n + 1, sizeof(*at));
	if (!at)
		return hf_err_set(err, HF_E_NOMEM, "no memory for a set of objects");
	if (other->n)
		memcpy(at + group->n, other->at, other->n * sizeof(*at));
	group->at = at;
	group->n = group->cap = n;
	group->n_all += other->n_all;
	group->size += other->size;
	group->count += other->count;
	return HF_OK;
}

enum hf_status hf_group_of(struct hf_children *children, const struct hf_node *node,
	struct hf_group *ret, struct hf_err *err)
{
	_cleanup_(hf_group_deinit) struct hf_group group = {.any_word = true};
	struct hf_child child;
	enum hf_status status = hf_children_open(children, node, err);
	while (hf_children_next(children, &child, &status, err))
		status = add(&group, &child, child.weight, err);
	if (status != HF_OK)
		return status;
	/* The members are a sample then, but what they hold together is known. */
	if (children->sampled) {
		group.n_all = (double)children->n_all;
		group.size = (double)(node->size - node->self_size);
		group.count = (double)(node->variable ? node->count : node->count - 1);
	}
	*ret = group;
	group = (struct hf_group){0};
	return HF_OK;
}

enum hf_status hf_group_one(
	struct hf_group *ret, const struct hf_node *node, int64_t type_id, struct hf_err *err)
{
	struct hf_child self = {.node = *node, .type_id = type_id, .weight = 1};
	_cleanup_(hf_group_deinit) struct hf_group group = {.any_word = true};
	enum hf_status status = add(&group, &self, 1, err);
	if (status != HF_OK)
		return status;
	hf_group_deinit(ret);
	*ret = group;
	group = (struct hf_group){0};
	return HF_OK;
}

/* The group of a child's word; the last one takes what is too various. NULL: no memory. */
static struct hf_group *group_of_word(struct hf_groups *groups, const struct hf_child *child)
{
	uint64_t offset = child->word.src_offset;
	for (size_t i = 0; i < groups->n; i++) {
		if (groups->at[i].indirect == !child->direct &&
			(!child->direct || groups->at[i].word.src_offset == offset))
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
	groups->at[groups->n] =
		(struct hf_group){.word.src_offset = offset, .indirect = !child->direct};
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

struct walk {
	struct hf_children *children;
	struct hf_group members; /* that are to be looked at */
	struct links links;
	struct hf_groups groups;
	double seen_members, seen_size; /* since the last scaling, with what is below them */
	double n_members;               /* before it */
	bool estimated;
	bool joined; /* members hold members */
};

/* What one member holds: more members of its own shape, or parts of groups. */
static enum hf_status below_member(
	struct walk *w, const struct hf_member *member, struct hf_err *err)
{
	struct hf_child child;
	w->seen_members += member->weight;
	w->seen_size += member->weight * (double)member->node.self_size;
	w->estimated |= member->weight != 1;
	enum hf_status status = hf_children_open(w->children, &member->node, err);
	while (hf_children_next(w->children, &child, &status, err)) {
		double weight = member->weight * child.weight;
		w->estimated |= weight != 1;
		if (child.direct &&
			is_member(&w->links, child.word.src_offset, (int64_t)child.node.self_size,
				(int64_t)member->node.self_size,
				child.type_id == member->type_id)) {
			w->joined = true;
			status = keep(&w->members, &child, weight, err);
			continue;
		}
		struct hf_group *group = group_of_word(&w->groups, &child);
		w->seen_size += weight * (double)child.node.size;
		status = group ? add(group, &child, weight, err)
			       : hf_err_set(err, HF_E_NOMEM, "no memory for a set of objects");
	}
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

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
	while (b) {
		uint64_t rest = a % b;
		a = b;
		b = rest;
	}
	return a;
}

static int largest_first(const void *a, const void *b)
{
	const struct hf_member *x = a, *y = b;
	double p = x->weight * (double)x->node.size, q = y->weight * (double)y->node.size;
	return p != q ? (p < q ? 1 : -1) : (x->node.id > y->node.id) - (x->node.id < y->node.id);
}

/* From at[0 … n - 1], in an order of which every beginning is a fair sample of all. */
static enum hf_status add_mixed(
	struct walk *w, const struct hf_member *at, uint64_t n, struct hf_err *err)
{
	uint64_t step = (uint64_t)((double)n * 0.618);
	struct hf_member *members =
		reallocarray(w->members.at, w->members.n + n + 1, sizeof(*members));
	if (!members)
		return hf_err_set(err, HF_E_NOMEM, "no memory for a set of objects");
	w->members.at = members;
	w->members.cap = w->members.n + n + 1;
	while (step && common_divisor(n, step) != 1)
		step--;
	for (uint64_t i = 0, k = 0; i < n; i++, k = (k + step) % n)
		members[w->members.n++] = at[k];
	return HF_OK;
}

static void scale_group(struct hf_group *g, double factor)
{
	g->n_all = g->n_all_scaled += (g->n_all - g->n_all_scaled) * factor;
	g->size = g->size_scaled += (g->size - g->size_scaled) * factor;
	g->count = g->count_scaled += (g->count - g->count_scaled) * factor;
	for (; g->n_scaled < g->n; g->n_scaled++)
		g->at[g->n_scaled].weight *= factor;
}

/* What was looked at since the last scaling stands for so many bytes. */
static void scale(struct walk *w, double size)
{
	double factor = w->estimated && w->seen_size > 0 ? size / w->seen_size : 1;
	for (size_t i = 0; i < w->groups.n; i++)
		scale_group(&w->groups.at[i], factor);
	w->n_members += w->seen_members * factor;
	w->seen_members = w->seen_size = 0;
}

static double size_of(const struct hf_member *at, uint64_t n)
{
	double size = 0;
	for (uint64_t i = 0; i < n; i++)
		size += at[i].weight * (double)at[i].node.size;
	return size;
}

/* Look at members, some of the set's, of so many bytes, and those that they hold in turn: that
 * ends, as each object is held once. What one of them holds comes before the next one, so that
 * those that were looked at when the bound is met are a fair sample. */
static enum hf_status look_at(struct walk *w, const struct hf_member *at, uint64_t n, double size,
	uint64_t max_steps, struct hf_err *err)
{
	uint64_t first_step = w->children->steps;
	w->members.n = 0;
	enum hf_status status = add_mixed(w, at, n, err);
	/* The members of the set; behind them, as a stack, those that one of them holds. */
	for (size_t next = 0; status == HF_OK && (next < n || w->members.n > n);) {
		if (w->children->steps - first_step >= max_steps) {
			w->estimated = true;
			break;
		}
		struct hf_member member = w->members.at[w->members.n > n ? --w->members.n : next++];
		status = below_member(w, &member, err);
	}
	scale(w, size);
	return status;
}

static void walk_deinit(struct walk *w)
{
	hf_groups_deinit(&w->groups);
	hf_group_deinit(&w->members);
}

enum hf_status hf_groups_below(struct hf_children *children, const struct hf_group *set,
	uint64_t max_steps, struct hf_groups *ret, struct hf_err *err)
{
	_cleanup_(walk_deinit) struct walk w = {.children = children};
	if (children->heap->small && !children->sparing)
		max_steps = UINT64_MAX;
	uint64_t n_first = set->n < LARGEST ? set->n : LARGEST;
	if (set->n > LARGEST)
		qsort(set->at, set->n, sizeof(*set->at), largest_first);
	/* All members are the set's bytes together, those of a sample by their weights nearly. */
	bool all = set->n == n_first;
	double first = all ? set->size : size_of(set->at, n_first), rest = set->size - first;
	enum hf_status status = look_at(&w, set->at, n_first, first, max_steps / 2, err);
	if (rest < 0)
		rest = size_of(set->at + n_first, set->n - n_first);
	if (status == HF_OK && !all)
		status = look_at(&w, set->at + n_first, set->n - n_first, rest, max_steps / 2, err);
	if (status != HF_OK)
		return status;
	w.groups.n_members = w.joined ? w.n_members : set->n_all;
	w.groups.estimated = set->estimated || (w.joined && w.estimated);
	for (size_t k = 0; k < w.groups.n; k++)
		w.groups.at[k].estimated = set->estimated || w.estimated;
	if (w.groups.n)
		qsort(w.groups.at, w.groups.n, sizeof(*w.groups.at), by_size);
	*ret = w.groups;
	w.groups = (struct hf_groups){0};
	return HF_OK;
}

void hf_group_name(struct hf_text *text, const struct hf_group *group, bool of_variable)
{
	if (group->indirect)
		hf_text_addf(text, "=>[*]");
	else if (group->any_word && (group->mixed || !group->word.field[0]))
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

enum hf_status hf_group_bulk(struct hf_children *children, struct hf_group *set, uint64_t max_steps,
	struct hf_text *path, struct hf_group *first, struct hf_err *err)
{
	double whole = set->size;
	for (int step = 0; step < BULK_STEPS; step++) {
		bool structure = first && !step;
		if (set->n_all < 2 && !structure)
			break;
		_cleanup_(hf_groups_deinit) struct hf_groups below = {0};
		enum hf_status status = hf_groups_below(children, set, max_steps, &below, err);
		if (status != HF_OK)
			return status;
		set->n_all = below.n_members;
		set->estimated |= below.estimated;
		if (structure) {
			first->n_all = set->n_all;
			first->estimated = set->estimated;
		}
		/* Most of the whole. */
		if (!below.n || below.at[0].any_word || below.at[0].n_all < 2 ||
			below.at[0].size * 2 < whole)
			break;
		hf_group_deinit(set);
		*set = below.at[0];
		below.at[0] = (struct hf_group){0};
		hf_heapdb_word_name(path, &set->word);
	}
	return HF_OK;
}

void hf_group_alike(struct hf_group *group, uint64_t self_size, int64_t type_id)
{
	size_t n = 0;
	group->n_all = group->size = group->count = 0;
	for (size_t i = 0; i < group->n; i++) {
		const struct hf_member *m = &group->at[i];
		if (m->type_id != type_id || m->node.self_size != self_size)
			continue;
		group->n_all += m->weight;
		group->size += m->weight * (double)m->node.size;
		group->count += m->weight * (double)m->node.count;
		group->at[n++] = *m;
	}
	group->n = n;
	group->min_size = group->max_size = self_size;
}
