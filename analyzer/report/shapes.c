#include "report/shapes.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

enum {
	FIRST_SLOTS = 1024,
	ARRAY_FROM = 6, /* words without a name at more offsets than this are an array */
	MAX_STEPS = 64, /* of a text; more is cut in the middle */
};

enum hf_status hf_shapes_init(struct hf_shapes *shapes, struct hf_err *err)
{
	*shapes = (struct hf_shapes){
		.at = calloc(FIRST_SLOTS / 2, sizeof(*shapes->at)),
		.n = 1,
		.cap = FIRST_SLOTS / 2,
		.slots = calloc(FIRST_SLOTS, sizeof(*shapes->slots)),
		.n_slots = FIRST_SLOTS,
	};
	if (!shapes->at || !shapes->slots)
		return hf_err_set(err, HF_E_NOMEM, "no memory to merge paths");
	return HF_OK;
}

void hf_shapes_deinit(struct hf_shapes *shapes)
{
	for (uint32_t i = 0; shapes->at && i < shapes->n; i++)
		free(shapes->at[i].step);
	free(shapes->at);
	free(shapes->slots);
	*shapes = (struct hf_shapes){0};
}

/* FNV-1a over the step, started from the parent. */
static uint32_t hash(uint32_t parent, const char *step)
{
	uint64_t h = 0xcbf29ce484222325ull ^ parent;
	h *= 0x100000001b3ull;
	for (; *step; step++)
		h = (h ^ (unsigned char)*step) * 0x100000001b3ull;
	return (uint32_t)(h ^ h >> 32);
}

/* Where (parent, step) is, or would be. What was merged away is no longer met by its parent. */
static uint32_t *slot(const struct hf_shapes *shapes, uint32_t parent, const char *step)
{
	uint32_t mask = shapes->n_slots - 1, i = hash(parent, step) & mask;
	for (; shapes->slots[i]; i = (i + 1) & mask) {
		const struct hf_shape *s = &shapes->at[shapes->slots[i]];
		if (s->parent == parent && !s->merged_into && !strcmp(s->step, step))
			break;
	}
	return &shapes->slots[i];
}

/* Room for one more slot. Slots of what was merged away go when the table is made anew. */
static enum hf_status room(struct hf_shapes *shapes, struct hf_err *err)
{
	if (shapes->n_used < shapes->n_slots / 2)
		return HF_OK;
	uint32_t *slots = calloc(shapes->n_slots, 2 * sizeof(*slots));
	if (!slots)
		return hf_err_set(err, HF_E_NOMEM, "no memory to merge paths");
	free(shapes->slots);
	shapes->slots = slots;
	shapes->n_slots *= 2;
	shapes->n_used = 0;
	for (uint32_t i = 1; i < shapes->n; i++) {
		if (shapes->at[i].merged_into)
			continue;
		*slot(shapes, shapes->at[i].parent, shapes->at[i].step) = i;
		shapes->n_used++;
	}
	return HF_OK;
}

static enum hf_status grow(struct hf_shapes *shapes, struct hf_err *err)
{
	if (shapes->n < shapes->cap)
		return HF_OK;
	struct hf_shape *at = reallocarray(shapes->at, shapes->cap, 2 * sizeof(*shapes->at));
	if (!at)
		return hf_err_set(err, HF_E_NOMEM, "no memory to merge paths");
	shapes->at = at;
	shapes->cap *= 2;
	return HF_OK;
}

static void link_child(struct hf_shapes *shapes, uint32_t parent, uint32_t child)
{
	shapes->at[child].parent = parent;
	shapes->at[child].next_sibling = shapes->at[parent].first_child;
	shapes->at[parent].first_child = child;
	shapes->at[parent].n_children++;
}

/* A copy of the step with the indexes of fields taken for one: "->buckets[17]" is
 * "->buckets[*]". Offsets ("[+16]") stay. */
static char *normal_step(const char *step)
{
	char *copy = strdup(step), *to = copy;
	if (!copy)
		return NULL;
	for (const char *from = step; *from;) {
		*to++ = *from++;
		if (to[-1] != '[' || !isdigit((unsigned char)*from))
			continue;
		size_t digits = strspn(from, "0123456789");
		if (from[digits] == ']') {
			*to++ = '*';
			from += digits;
		}
	}
	*to = 0;
	return copy;
}

enum hf_status hf_shapes_child(struct hf_shapes *shapes, uint32_t parent, const char *step,
	uint64_t object_size, uint32_t *ret, struct hf_err *err)
{
	_cleanup_(hf_freep) char *name = normal_step(step);
	if (!name)
		return hf_err_set(err, HF_E_NOMEM, "no memory to merge paths");
	uint32_t *at = slot(shapes, parent, name);
	if (*at) {
		struct hf_shape *found = &shapes->at[*at];
		if (found->object_size != object_size)
			found->object_size = 0; /* of several sizes */
		*ret = *at;
		return HF_OK;
	}
	enum hf_status status = grow(shapes, err);
	if (status == HF_OK)
		status = room(shapes, err);
	if (status != HF_OK)
		return status;
	uint32_t new = shapes->n++;
	shapes->at[new] = (struct hf_shape){.object_size = object_size, .longest_run = 1};
	shapes->at[new].step = name;
	name = NULL;
	link_child(shapes, parent, new);
	*slot(shapes, parent, shapes->at[new].step) = new;
	shapes->n_used++;
	*ret = new;
	return HF_OK;
}

bool hf_shapes_continues(
	const struct hf_shapes *shapes, uint32_t shape, const char *step, uint64_t object_size)
{
	const struct hf_shape *s = &shapes->at[shape];
	return s->parent && s->object_size == object_size && !strcmp(s->step, step);
}

void hf_shapes_add(struct hf_shapes *shapes, uint32_t shape, int64_t id, uint64_t size_bytes,
	uint64_t held_bytes)
{
	struct hf_shape *s = &shapes->at[shape];
	if (!s->count || held_bytes > s->example_held_bytes) {
		s->example = id;
		s->example_held_bytes = held_bytes;
	}
	s->count++;
	s->size_bytes += size_bytes;
	s->held_bytes += held_bytes;
}

struct pair {
	uint32_t into, from;
};

struct pairs {
	struct pair *at; /* owned */
	size_t n, cap;
};

static void pairs_deinit(struct pairs *pairs)
{
	free(pairs->at);
}

static enum hf_status pairs_push(struct pairs *pairs, struct pair pair, struct hf_err *err)
{
	if (pairs->n == pairs->cap) {
		size_t cap = pairs->cap ? pairs->cap * 2 : 64;
		struct pair *at = reallocarray(pairs->at, cap, sizeof(*at));
		if (!at)
			return hf_err_set(err, HF_E_NOMEM, "no memory to merge paths");
		pairs->at = at;
		pairs->cap = cap;
	}
	pairs->at[pairs->n++] = pair;
	return HF_OK;
}

static void add_figures(struct hf_shape *into, const struct hf_shape *from)
{
	if (from->count && (!into->count || from->example_held_bytes > into->example_held_bytes)) {
		into->example = from->example;
		into->example_held_bytes = from->example_held_bytes;
	}
	into->count += from->count;
	into->size_bytes += from->size_bytes;
	into->held_bytes += from->held_bytes;
	into->members_bytes += from->members_bytes;
	if (from->longest_run > into->longest_run)
		into->longest_run = from->longest_run;
	if (from->object_size != into->object_size)
		into->object_size = 0;
}

/* Make one shape of the two, and of their children that are called alike, and so on down. */
static enum hf_status merge(struct hf_shapes *shapes, struct pair first, struct hf_err *err)
{
	_cleanup_(pairs_deinit) struct pairs todo = {0};
	enum hf_status status = pairs_push(&todo, first, err);
	while (status == HF_OK && todo.n) {
		struct pair p = todo.at[--todo.n];
		struct hf_shape *from = &shapes->at[p.from];
		add_figures(&shapes->at[p.into], from);
		from->merged_into = p.into;
		uint32_t child = from->first_child;
		from->first_child = 0;
		while (status == HF_OK && child) {
			uint32_t next = shapes->at[child].next_sibling;
			uint32_t *at = slot(shapes, p.into, shapes->at[child].step);
			if (*at) {
				status = pairs_push(&todo, (struct pair){*at, child}, err);
			} else {
				/* Its old slot stays: nobody looks for it there. */
				*at = child;
				shapes->n_used++;
				link_child(shapes, p.into, child);
				status = room(shapes, err);
			}
			child = next;
		}
	}
	return status;
}

static bool is_offset(const char *step)
{
	return !strncmp(step, "->[+", 4) || !strncmp(step, "[+", 2);
}

/* Merge the children of a shape that are words of an array into one. */
static enum hf_status merge_children(struct hf_shapes *shapes, uint32_t shape, struct hf_err *err)
{
	uint32_t words = 0, child;
	for (child = shapes->at[shape].first_child; child; child = shapes->at[child].next_sibling)
		words += is_offset(shapes->at[child].step);
	if (words <= ARRAY_FROM)
		return HF_OK;

	uint32_t list = shapes->at[shape].first_child, into = 0;
	enum hf_status status = HF_OK;
	shapes->at[shape].first_child = 0;
	shapes->at[shape].n_children = 0;
	for (child = list; child && status == HF_OK; child = list) {
		struct hf_shape *s = &shapes->at[child];
		list = s->next_sibling;
		if (into && is_offset(s->step)) {
			status = merge(shapes, (struct pair){into, child}, err);
			continue;
		}
		link_child(shapes, shape, child);
		if (!is_offset(s->step))
			continue;
		into = child;
		char *step = strdup(s->step[0] == '[' ? "[*]" : "->[*]");
		if (!step)
			return hf_err_set(err, HF_E_NOMEM, "no memory to merge paths");
		free(s->step);
		s->step = step;
	}
	return status;
}

enum hf_status hf_shapes_merge_arrays(struct hf_shapes *shapes, struct hf_err *err)
{
	/* From the top down: what is merged brings its children along before they are looked at. */
	_cleanup_(pairs_deinit) struct pairs todo = {0};
	enum hf_status status = pairs_push(&todo, (struct pair){HF_SHAPE_TOP, 0}, err);
	while (status == HF_OK && todo.n) {
		uint32_t shape = todo.at[--todo.n].into;
		if (shape != HF_SHAPE_TOP)
			status = merge_children(shapes, shape, err);
		for (uint32_t child = shapes->at[shape].first_child; child && status == HF_OK;
			child = shapes->at[child].next_sibling)
			status = pairs_push(&todo, (struct pair){child, 0}, err);
	}
	return status;
}

void hf_shapes_text(
	struct hf_text *text, const struct hf_shapes *shapes, uint32_t shape, const char *times)
{
	uint32_t way[MAX_STEPS], n = 0, dropped = 0;
	for (uint32_t s = shape; s != HF_SHAPE_TOP; s = shapes->at[s].parent) {
		/* Of a long way the middle is left out: the upper half moves up. */
		if (n == MAX_STEPS) {
			memmove(&way[MAX_STEPS / 2], &way[MAX_STEPS / 2 + 1],
				(MAX_STEPS / 2 - 1) * sizeof(*way));
			n--;
			dropped++;
		}
		way[n++] = s;
	}
	for (uint32_t i = n; i-- > 0;) {
		const struct hf_shape *s = &shapes->at[way[i]];
		char number[HF_NUMBER_SIZE];
		if (dropped && i == MAX_STEPS / 2 - 1)
			hf_text_addf(text, "->(%u more)", dropped);
		/* "g_list" and "->": the root's word itself leads to the object. */
		hf_text_addf(text, "%s", !strcmp(s->step, "->") ? "" : s->step);
		if (s->longest_run > 1)
			hf_text_addf(
				text, " %s1..%s", times, hf_human_count(number, s->longest_run));
	}
}
