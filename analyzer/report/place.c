#include "report/place.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/fmt.h"
#include "report/site.h"

enum { BULK_STEPS = 2000 };

/* Before the chain that goes on from a point, in a stored path. */
static const char chain_mark[] = " [chain ";
static const char times[] = "×";

void hf_place_deinit(struct hf_place *place)
{
	hf_text_deinit(&place->path);
	hf_text_deinit(&place->bulk);
}

/* Numbers of equal hops, "×746170", as people read them. */
static void add_with_separators(struct hf_text *text, const char *path)
{
	char number[HF_NUMBER_SIZE];
	for (const char *at; (at = strstr(path, times)); path = at) {
		at += sizeof(times) - 1;
		hf_text_add(text, path, (size_t)(at - path));
		uint64_t n;
		if (hf_parse_u64(&at, &n))
			hf_text_addf(text, "%s", hf_human_count(number, n));
	}
	hf_text_addf(text, "%s", path);
}

/* A chain is in brackets in the stored path, and part of it here. */
static void place_chain(const struct hf_suspect_row *row, const char *chain, struct hf_place *ret)
{
	_cleanup_(hf_text_deinit) struct hf_text raw = HF_TEXT_INIT;
	const char *links = chain + sizeof(chain_mark) - 1, *end = strrchr(links, ']');
	hf_text_addf(&raw, "%.*s%.*s", (int)(chain - row->path), row->path,
		end ? (int)(end - links) : (int)strlen(links), links);
	add_with_separators(&ret->path, hf_text_get(&raw));
	const char *number = NULL;
	for (const char *at = links; (at = strstr(at, times)); number = at)
		at += sizeof(times) - 1;
	if (!number || !hf_parse_u64(&number, &ret->links))
		ret->links = 0;
}

static enum hf_status object_of(
	struct hf_report *report, int64_t id, struct hf_object *ret, struct hf_err *err)
{
	enum hf_status status = hf_heapdb_object(&report->heap, id, ret, err);
	if (status == HF_E_NOTFOUND)
		return hf_err_set(
			err, HF_E_CORRUPT, "the database has no object %lld", (long long)id);
	return status;
}

/* What is below a point. */
struct look {
	struct hf_report *report;
	const struct hf_suspect_row *row;
	struct hf_children children;
	struct hf_group set;   /* what the point holds, or the objects a structure starts at */
	struct hf_text prefix; /* path to the set */
	struct hf_text next;   /* and its name: "->buckets[*]" */
	bool structure;
};

static void look_deinit(struct look *look)
{
	hf_children_deinit(&look->children);
	hf_group_deinit(&look->set);
	hf_text_deinit(&look->prefix);
	hf_text_deinit(&look->next);
}

/* The members of what a node holds that are like an object. */
static enum hf_status alike_below(struct look *look, const struct hf_node *node,
	const struct hf_object *like, struct hf_group *ret, struct hf_err *err)
{
	enum hf_status status = hf_group_of(&look->children, node, ret, err);
	if (status == HF_OK)
		hf_group_alike(ret, like->size, like->type_id);
	return status;
}

/* Do others like the point have most of what it holds, and go on like that? */
static enum hf_status divides_alike(
	struct look *look, const struct hf_object *point, bool *ret, struct hf_err *err)
{
	_cleanup_(hf_group_deinit) struct hf_group alike = {0}, deeper = {0};
	struct hf_node node = {
		.id = point->id, .size = point->held_size, .count = point->held_count};
	node.self_size = point->size;
	enum hf_status status = alike_below(look, &node, point, &alike, err);
	*ret = false;
	if (status != HF_OK || alike.size * 2 <= (double)(point->held_size - point->size))
		return status;
	size_t largest = 0;
	for (size_t i = 1; i < alike.n; i++)
		if (alike.at[i].node.size > alike.at[largest].node.size)
			largest = i;
	status = alike_below(look, &alike.at[largest].node, point, &deeper, err);
	*ret = status == HF_OK && deeper.n > 0;
	return status;
}

/* The path to the holder of the point: the point's without its last step. False: it does not tell.
 */
static bool path_to_holder(struct look *look, int64_t holder_id, const struct hf_object *point)
{
	const char *path = look->row->path;
	_cleanup_(hf_text_deinit) struct hf_text step = HF_TEXT_INIT;
	struct hf_word word;
	if (!holder_id) {
		hf_text_addf(&look->prefix, "%s", look->row->root ? look->row->root : "");
		return look->row->variable_id && look->row->root;
	}
	if (hf_heapdb_word(&look->report->heap, holder_id, point->id, &word, NULL) != HF_OK)
		return false;
	if (word.field[0] != '(')
		hf_heapdb_word_name(&step, &word);
	size_t all = strlen(path), last = step.len;
	if (all <= last || strcmp(path + all - last, hf_text_get(&step)) != 0)
		return false;
	hf_text_add(&look->prefix, path, all - last);
	return true;
}

/* A structure starts at the point, and at what is like it beside it. */
static enum hf_status start_of_structure(
	struct look *look, const struct hf_object *point, struct hf_err *err)
{
	_cleanup_(hf_group_deinit) struct hf_group beside = {0};
	struct hf_node holder = {.id = point->holder_id};
	struct hf_object object;
	enum hf_status status = HF_OK;
	if (point->holder_id) {
		status = object_of(look->report, point->holder_id, &object, err);
		holder.size = object.held_size;
		holder.count = object.held_count;
		holder.self_size = object.size;
	} else {
		holder = (struct hf_node){.id = look->row->variable_id,
			.variable = true,
			.size = look->row->size,
			.count = look->row->count};
	}
	if (status == HF_OK && holder.id)
		status = hf_group_of(&look->children, &holder, &beside, err);
	if (status != HF_OK)
		return status;
	look->structure = true;
	bool sampled = beside.n_all > (double)beside.n;
	hf_group_alike(&beside, point->size, point->type_id);
	if (beside.n > 1 && !sampled && path_to_holder(look, point->holder_id, point)) {
		hf_group_deinit(&look->set);
		look->set = beside;
		beside = (struct hf_group){0};
		hf_group_name(&look->next, &look->set, holder.variable);
		return HF_OK;
	}
	/* Its only start. */
	look->prefix.len = 0;
	hf_text_addf(&look->prefix, "%s", look->row->path);
	struct hf_node node = {.id = point->id,
		.size = point->held_size,
		.count = point->held_count,
		.self_size = point->size};
	return hf_group_one(&look->set, &node, point->type_id, err);
}

static enum hf_status look_at(struct look *look, struct hf_err *err)
{
	const struct hf_suspect_row *row = look->row;
	struct hf_node node = {
		.id = row->variable_id, .variable = true, .size = row->size, .count = row->count};
	struct hf_object point = {0};
	bool structure = false;
	if (row->point_addr) {
		enum hf_status status = object_of(look->report, row->point_id, &point, err);
		if (status == HF_OK)
			status = divides_alike(look, &point, &structure, err);
		if (status == HF_OK && structure)
			status = start_of_structure(look, &point, err);
		if (status != HF_OK || structure)
			return status;
		node = (struct hf_node){.id = point.id,
			.size = point.held_size,
			.count = point.held_count,
			.self_size = point.size};
	}
	enum hf_status status = hf_group_of(&look->children, &node, &look->set, err);
	if (status == HF_OK && look->set.n_all > 1)
		hf_group_name(&look->next, &look->set, node.variable);
	hf_text_addf(&look->prefix, "%s", row->path);
	return status;
}

static enum hf_status find_bulk(struct look *look, struct hf_place *ret, struct hf_err *err)
{
	struct hf_group *set = &look->set, first = {0};
	_cleanup_(hf_text_deinit) struct hf_text steps = HF_TEXT_INIT;
	enum hf_status status = hf_group_bulk(
		&look->children, set, BULK_STEPS, &steps, look->structure ? &first : NULL, err);
	if (status == HF_OK && look->structure) {
		ret->members = hf_group_number(first.n_all, first.estimated);
		ret->members_estimated = first.estimated;
	}
	/* One step says no more than the suspect's own path does. */
	if (status != HF_OK || !steps.len || set->any_word || set->n_all < 2)
		return status;
	hf_text_addf(&ret->bulk, "%s%s%s%s", hf_text_get(&look->prefix), hf_text_get(&look->next),
		look->structure && !look->next.len ? "->" : "",
		look->structure && !look->next.len ? hf_emit_dots(look->report->emit) : "");
	hf_text_addf(&ret->bulk, "%s", hf_text_get(&steps));
	ret->bulk_estimated = set->estimated;
	ret->bulk_size = (uint64_t)(set->size + 0.5);
	ret->bulk_count = hf_group_number(set->n_all, set->estimated);
	if (look->report->heap.profile_tied)
		return hf_site_of_set(
			look->report, set->at, set->n, &ret->site, &ret->site_share, err);
	return HF_OK;
}

enum hf_status hf_place_read(struct hf_report *report, const struct hf_suspect_row *row,
	bool thorough, struct hf_place *ret, struct hf_err *err)
{
	const char *chain = strstr(row->path, chain_mark);
	*ret = (struct hf_place){.path = HF_TEXT_INIT, .bulk = HF_TEXT_INIT, .size = row->size};
	if (row->group) {
		hf_text_addf(&ret->path, "%s", row->path);
		return HF_OK;
	}
	if (row->point_addr)
		ret->size = row->point_below;
	if (chain) {
		place_chain(row, chain, ret);
		return HF_OK;
	}
	_cleanup_(look_deinit) struct look look = {
		.report = report, .row = row, .prefix = HF_TEXT_INIT, .next = HF_TEXT_INIT};
	hf_children_init(&look.children, &report->heap, false);
	bool looked = thorough && !row->retained && !row->leaked &&
		      (row->point_addr ? row->point_id : row->variable_id);
	enum hf_status status = looked ? look_at(&look, err) : HF_OK;
	if (status != HF_OK)
		return status;
	const char *next = hf_text_get(&look.next);
	if (!look.structure && row->point_children > 1) {
		ret->size -= row->point_addr ? row->point_size : 0;
		next = *next ? next : "->[*]";
	} else if (look.structure) {
		ret->size = (uint64_t)look.set.size;
	}
	_cleanup_(hf_text_deinit) struct hf_text raw = HF_TEXT_INIT;
	hf_text_addf(&raw, "%s%s", look.structure ? hf_text_get(&look.prefix) : row->path, next);
	add_with_separators(&ret->path, hf_text_get(&raw));
	return looked ? find_bulk(&look, ret, err) : HF_OK;
}
