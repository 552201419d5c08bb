/*
 * Shortest paths from several roots to one object: a breadth-first search against the edges, one
 * level at a time, that stops when enough owners of root words were met.
 */
#include <string.h>

#include "graph/holders_internal.h"

static const char STAGE[] = "paths";

/* An object that leads to the one asked for, over the edge to the step before it. */
struct step {
	uint32_t object, next; /* next: position of the step towards the object asked for */
	uint64_t edge;
};

/* A root word (or HF_GRAPH_NONE, a head) that points to the object of a step. */
struct arrival {
	uint32_t root, step;
};

struct search {
	struct hf_graph_holders *h;
	struct step *step; /* [n] of cap */
	uint32_t n, cap;
	uint32_t level, level_end; /* steps of the current level */
	struct arrival *arrival;   /* of the current level */
	size_t n_arrivals, cap_arrivals;
	uint64_t *owner; /* bitmap: variables that have their path */
	struct hf_graph_paths paths;
	size_t max_paths, cap_paths;
};

static void search_deinit(struct search *s)
{
	for (uint32_t i = 0; i < s->n; i++)
		bit_clear(s->h->mark, s->step[i].object);
	free(s->step);
	free(s->arrival);
	free(s->owner);
	hf_graph_paths_deinit(&s->paths);
}

static bool add_step(struct search *s, struct step step)
{
	if (s->n == s->cap) {
		uint32_t cap = s->cap < UINT32_MAX / 2 ? 2 * s->cap + 64 : UINT32_MAX;
		void *p = reallocarray(s->step, cap, sizeof(*s->step));
		if (!p)
			return false;
		s->step = p;
		s->cap = cap;
	}
	bit_set(s->h->mark, step.object);
	s->step[s->n++] = step;
	return true;
}

static bool add_arrival(struct search *s, uint32_t root, uint32_t step)
{
	if (s->n_arrivals == s->cap_arrivals) {
		size_t cap = 2 * s->cap_arrivals + 64;
		void *p = reallocarray(s->arrival, cap, sizeof(*s->arrival));
		if (!p)
			return false;
		s->arrival = p;
		s->cap_arrivals = cap;
	}
	s->arrival[s->n_arrivals++] = (struct arrival){root, step};
	return true;
}

static int compare_arrival(const void *a, const void *b, void *ctx)
{
	const struct arrival *x = a, *y = b;
	const struct hf_graph *g = ctx;
	if (x->root == HF_GRAPH_NONE || y->root == HF_GRAPH_NONE)
		return x->step < y->step ? -1 : x->step > y->step;
	uint8_t rank_x = g->roots[x->root].rank, rank_y = g->roots[y->root].rank;
	if (rank_x != rank_y)
		return rank_x < rank_y ? -1 : 1;
	return x->root < y->root ? -1 : x->root > y->root;
}

static struct hf_graph_path *add_path(struct search *s)
{
	if (s->paths.n == s->cap_paths) {
		size_t cap = 2 * s->cap_paths + 16;
		void *p = reallocarray(s->paths.path, cap, sizeof(*s->paths.path));
		if (!p)
			return NULL;
		s->paths.path = p;
		s->cap_paths = cap;
	}
	return &s->paths.path[s->paths.n++];
}

static bool emit(struct search *s, struct arrival arrival)
{
	uint32_t n_edges = 0;
	for (uint32_t i = arrival.step; i; i = s->step[i].next)
		n_edges++;
	struct hf_graph_path *path = add_path(s);
	if (!path)
		return false;
	*path = (struct hf_graph_path){.root = arrival.root, .n_edges = n_edges};
	path->object = hf_graph_alloc(n_edges + 1ull, sizeof(*path->object));
	path->edge = hf_graph_alloc(n_edges, sizeof(*path->edge));
	if (!path->object || !path->edge)
		return false;
	uint32_t k = 0;
	for (uint32_t i = arrival.step; i; i = s->step[i].next) {
		path->edge[k] = s->step[i].edge;
		path->object[k++] = s->step[i].object;
	}
	path->object[k] = s->step[0].object;
	return true;
}

/* The first path of its variable? A word without one, and a head, is an owner of its own. */
static bool claim_owner(struct search *s, uint32_t root)
{
	if (root == HF_GRAPH_NONE || s->h->g->roots[root].variable == HF_GRAPH_NONE)
		return true;
	return bit_claim(s->owner, s->h->g->roots[root].variable);
}

static bool take_level(struct search *s)
{
	s->n_arrivals = 0;
	for (uint32_t i = s->level; i < s->level_end; i++) {
		uint32_t object = s->step[i].object, n;
		const uint32_t *root = hf_graph_roots_of(s->h, object, &n);
		for (uint32_t k = 0; k < n; k++) {
			if (!add_arrival(s, root[k], i))
				return false;
		}
		if (hf_graph_bit(s->h->head, object) && !add_arrival(s, HF_GRAPH_NONE, i))
			return false;
	}
	if (s->n_arrivals)
		qsort_r(s->arrival, s->n_arrivals, sizeof(*s->arrival), compare_arrival,
			(void *)s->h->g);
	for (size_t a = 0; a < s->n_arrivals && s->paths.n < s->max_paths; a++) {
		if (claim_owner(s, s->arrival[a].root) && !emit(s, s->arrival[a]))
			return false;
	}
	return true;
}

static bool next_level(struct search *s)
{
	const struct hf_graph_holders *h = s->h;
	const struct hf_graph_transpose *t = h->referrers;
	for (uint32_t i = s->level; i < s->level_end; i++) {
		uint32_t object = s->step[i].object;
		for (uint64_t k = t->offset[object]; k < t->offset[object + 1]; k++) {
			uint32_t src = t->src[k];
			if (hf_graph_bit(h->mark, src) ||
				hf_graph_bit(h->reachable, src) !=
					hf_graph_bit(h->reachable, object))
				continue;
			if (!add_step(s, (struct step){src, i, hf_graph_transpose_edge(t, k)}))
				return false;
		}
	}
	s->level = s->level_end;
	s->level_end = s->n;
	return true;
}

enum hf_status hf_graph_paths_init(struct hf_graph_paths *ret, struct hf_graph_holders *h,
	uint32_t object, size_t max_paths, struct hf_err *err)
{
	if (object >= h->g->n_objects)
		return hf_err_set(err, HF_E_USAGE, "graph: no object %u", object);
	_cleanup_(search_deinit) struct search s = {.h = h, .max_paths = max_paths};
	s.owner = hf_graph_zalloc(bitmap_words(h->g->n_variables), sizeof(*s.owner));
	if (!s.owner || !add_step(&s, (struct step){object, 0, 0}))
		return hf_graph_nomem(err, STAGE);
	s.level_end = 1;
	while (s.level < s.level_end && s.paths.n < s.max_paths) {
		if (!take_level(&s) || !next_level(&s))
			return hf_graph_nomem(err, STAGE);
	}
	*ret = s.paths;
	s.paths = (struct hf_graph_paths){0};
	return HF_OK;
}

void hf_graph_paths_deinit(struct hf_graph_paths *paths)
{
	for (size_t i = 0; i < paths->n; i++) {
		free(paths->path[i].object);
		free(paths->path[i].edge);
	}
	free(paths->path);
	*paths = (struct hf_graph_paths){0};
}
