#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/suspect.h"

/*
 * Many small holders of one kind: objects that no object dominates, grouped by type and allocation
 * site. None of them holds a tenth of the heap, and what holds them may be as many roots; together
 * they may be most of it.
 */

enum {
	SHARE = 5,           /* a group retains 1/SHARE of the heap */
	MEMBERS = 2,         /* at least */
	EXPLAINED_TENTHS = 8 /* held by variables that are suspects themselves: no news */
};

struct group {
	uint32_t type, site; /* index+1 of names, site id: both 0 is an empty slot */
	uint32_t largest;    /* object */
	uint64_t retained_size, retained_count, members;
};

struct groups {
	struct group *at; /* owned; open addressing */
	size_t n, cap;    /* cap: a power of two */
};

struct search {
	const struct hf_suspect_input *in;
	uint64_t total;
	struct groups groups;
};

static uint32_t type_of(const struct search *s, uint32_t object)
{
	const struct hf_names *names = s->in->objects->names;
	return names && names->object_type ? names->object_type[object] : 0;
}

static uint32_t site_of(const struct search *s, uint32_t object)
{
	const struct hf_heap *heap = s->in->objects->heap;
	return heap->site ? heap->site[object] : 0;
}

/* Below a variable, or below nothing, in the dominator tree. */
static bool is_top(const struct search *s, uint32_t object)
{
	uint32_t idom = s->in->objects->dominance[object].idom;
	return s->in->objects->reach[object].depth != HF_GRAPH_NONE &&
	       (idom == HF_GRAPH_NONE || idom >= s->in->graph->n_objects);
}

static struct group *slot(const struct groups *groups, uint32_t type, uint32_t site)
{
	uint64_t hash = ((uint64_t)type << 32 | site) * 0x9e3779b97f4a7c15ull;
	size_t i = (hash >> 32) & (groups->cap - 1);
	while ((groups->at[i].type || groups->at[i].site) &&
		(groups->at[i].type != type || groups->at[i].site != site))
		i = (i + 1) & (groups->cap - 1);
	return &groups->at[i];
}

static bool grow(struct groups *groups)
{
	struct groups bigger = {.n = groups->n, .cap = groups->cap ? groups->cap * 2 : 256};
	bigger.at = calloc(bigger.cap, sizeof(*bigger.at));
	if (!bigger.at)
		return false;
	for (size_t i = 0; i < groups->cap; i++) {
		const struct group *g = &groups->at[i];
		if (g->type || g->site)
			*slot(&bigger, g->type, g->site) = *g;
	}
	free(groups->at);
	*groups = bigger;
	return true;
}

static bool add(struct search *s, uint32_t object)
{
	const struct hf_graph_dominance *dom = s->in->objects->dominance;
	uint32_t type = type_of(s, object), site = site_of(s, object);
	if ((!type && !site) || !is_top(s, object))
		return true;
	if (2 * (s->groups.n + 1) > s->groups.cap && !grow(&s->groups))
		return false;
	struct group *g = slot(&s->groups, type, site);
	if (!g->members) {
		s->groups.n++;
		*g = (struct group){.type = type, .site = site, .largest = object};
	}
	g->members++;
	g->retained_size += dom[object].retained_size;
	g->retained_count += dom[object].retained_count;
	if (dom[object].retained_size > dom[g->largest].retained_size)
		g->largest = object;
	return true;
}

static bool is_member(const struct search *s, const struct group *g, uint32_t object)
{
	return type_of(s, object) == g->type && site_of(s, object) == g->site && is_top(s, object);
}

enum { UNKNOWN, OUTSIDE, INSIDE, MEMBER };

/* Is an object, or what holds it, a member? Remembered on the way up, so that all of it is one
 * pass. */
static bool is_inside(const struct search *s, uint8_t *state, uint32_t object)
{
	const struct hf_graph_link *link = s->in->objects->held->link;
	uint8_t found = UNKNOWN;
	uint32_t at = object;
	while (!found) {
		if (state[at])
			found = state[at] == MEMBER ? INSIDE : state[at];
		else if (link[at].parent == HF_GRAPH_NONE)
			found = OUTSIDE;
		else
			at = link[at].parent;
	}
	for (uint32_t i = object; i != at; i = link[i].parent)
		state[i] = found;
	if (!state[at])
		state[at] = found;
	return found == INSIDE;
}

/* What the members hold, each byte once; of it, what suspected variables hold. */
static bool sum_held(const struct search *s, const struct group *g, struct hf_suspect *ret,
	uint64_t *ret_explained)
{
	const struct hf_graph *graph = s->in->graph;
	const struct hf_graph_held *held = s->in->objects->held;
	uint8_t *state = calloc((size_t)graph->n_objects + 1, 1);
	if (!state)
		return false;
	for (uint32_t i = 0; i < graph->n_objects; i++)
		state[i] = is_member(s, g, i) ? MEMBER : UNKNOWN;
	for (uint32_t i = 0; i < graph->n_objects; i++) {
		if (state[i] != MEMBER)
			continue;
		uint32_t parent = held->link[i].parent;
		if (parent != HF_GRAPH_NONE && is_inside(s, state, parent))
			continue;
		ret->held_size += held->size[i];
		ret->held_count += held->count[i];
		uint32_t variable = graph->roots[held->link[i].root].variable;
		if (variable != HF_GRAPH_NONE &&
			held->variable[variable].size >= s->total / HF_SUSPECT_SHARE)
			*ret_explained += held->size[i];
	}
	free(state);
	return true;
}

/* "struct session, allocated at new_session" */
static char *group_text(const struct search *s, const struct group *g)
{
	const struct hf_names *names = s->in->objects->names;
	const char *type = g->type ? names->types[g->type - 1].name : NULL, *function = NULL;
	for (size_t i = 0; names && g->site && i < names->n_sites; i++) {
		if (names->sites[i].id == g->site)
			function = names->sites[i].function;
	}
	char *text = NULL;
	int n;
	if (function)
		n = asprintf(&text, "%s allocated at %s", type ? type : "objects", function);
	else if (g->site)
		n = asprintf(&text, "%s of site %u", type ? type : "objects", g->site);
	else
		n = asprintf(&text, "%s", type);
	return n < 0 ? NULL : text;
}

static enum hf_status take(const struct search *s, const struct group *g, struct hf_suspects *found,
	struct hf_err *err)
{
	uint64_t explained = 0;
	struct hf_suspect suspect = {
		.basis = HF_SUSPECT_GROUP,
		.variable = HF_NONE,
		.root = HF_NONE,
		.object = g->largest,
		.retained_size = g->retained_size,
		.retained_count = g->retained_count,
		.point = HF_NONE,
		.point_children = (uint32_t)g->members,
		.type = g->type,
		.site = g->site,
	};
	if (!sum_held(s, g, &suspect, &explained))
		return hf_err_set(err, HF_E_NOMEM, "no memory to look for suspects");
	if (explained / EXPLAINED_TENTHS >= suspect.held_size / 10)
		return HF_OK;
	suspect.path = group_text(s, g);
	struct hf_suspect *to = suspect.path ? hf_suspects_push(found) : NULL;
	if (!to) {
		free(suspect.path);
		return hf_err_set(err, HF_E_NOMEM, "no memory to look for suspects");
	}
	*to = suspect;
	return HF_OK;
}

enum hf_status hf_suspects_groups(struct hf_suspects *found, const struct hf_suspect_input *input,
	uint64_t total_bytes, struct hf_err *err)
{
	struct search s = {.in = input, .total = total_bytes};
	bool ok = true;
	for (uint32_t i = 0; ok && i < input->graph->n_objects; i++)
		ok = add(&s, i);
	enum hf_status status =
		ok ? HF_OK : hf_err_set(err, HF_E_NOMEM, "no memory to look for suspects");
	for (size_t i = 0; status == HF_OK && i < s.groups.cap; i++) {
		const struct group *g = &s.groups.at[i];
		if (g->members >= MEMBERS && g->retained_size >= total_bytes / SHARE)
			status = take(&s, g, found, err);
	}
	free(s.groups.at);
	return status;
}
