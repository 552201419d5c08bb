#include "store/suspect.h"

#include <stdlib.h>
#include <string.h>

enum {
	CUT = 200,           /* the search does not go below 1/CUT of it */
	CHAIN = 8,           /* steps that make a chain */
	KEEP_TENTHS = 7,     /* a child that keeps 7/10 of its parent is followed */
	MAX_CLIMB = 1 << 20, /* objects above a start that are named */
};

/* One of the two trees. A node is an object, n_objects + a variable, or HF_NONE. */
struct tree {
	bool dominators;
	uint32_t *best; /* [nodes] largest child + 1 that is worth following, 0: none */
};

struct search {
	const struct hf_suspect_input *in;
	uint32_t n_objects, n_variables;
	uint64_t total;
	struct tree tree;
	struct hf_suspect_path path;
	uint64_t *seen; /* bitmap over nodes: on a path of a held suspect */
	struct hf_suspects *found;
	struct hf_err *err;
};

static uint64_t held_size(const struct search *s, uint32_t node)
{
	const struct hf_graph_held *held = s->in->objects->held;
	return node < s->n_objects ? held->size[node] : held->variable[node - s->n_objects].size;
}

static uint64_t size_in(const struct search *s, bool dominators, uint32_t node)
{
	return dominators ? s->in->objects->dominance[node].retained_size : held_size(s, node);
}

static uint32_t parent_in(const struct search *s, bool dominators, uint32_t object)
{
	return hf_rows_parent_in(s->in->objects, s->in->graph, dominators, object);
}

static enum hf_status find_best(struct search *s, bool dominators)
{
	free(s->tree.best);
	s->tree.dominators = dominators;
	s->tree.best = calloc((size_t)s->n_objects + s->n_variables + 1, sizeof(uint32_t));
	if (!s->tree.best)
		return hf_err_set(s->err, HF_E_NOMEM, "no memory to look for suspects");
	uint64_t cut = s->total / CUT;
	for (uint32_t i = 0; i < s->n_objects; i++) {
		uint64_t size = size_in(s, dominators, i);
		if (size < cut)
			continue;
		uint32_t parent = parent_in(s, dominators, i);
		if (parent == HF_NONE)
			continue;
		uint32_t *best = &s->tree.best[parent];
		if (!*best || size > size_in(s, dominators, *best - 1))
			*best = i + 1;
	}
	return HF_OK;
}

static bool path_push(struct hf_suspect_path *path, uint32_t node, uint64_t edge)
{
	if (path->n == path->cap) {
		size_t cap = path->cap ? 2 * path->cap : 64;
		uint32_t *nodes = realloc(path->node, cap * sizeof(*nodes));
		if (nodes)
			path->node = nodes;
		uint64_t *edges = realloc(path->edge, cap * sizeof(*edges));
		if (edges)
			path->edge = edges;
		if (!nodes || !edges)
			return false;
		path->cap = cap;
	}
	path->node[path->n] = node;
	path->edge[path->n++] = edge;
	return true;
}

/* Follow the largest children from the last node of the path on. */
static bool descend(struct search *s)
{
	for (;;) {
		uint32_t node = s->path.node[s->path.n - 1];
		uint32_t best = s->tree.best[node];
		if (!best--)
			return true;
		unsigned __int128 child = size_in(s, s->tree.dominators, best);
		if (child * 10 <
			(unsigned __int128)size_in(s, s->tree.dominators, node) * KEEP_TENTHS)
			return true;
		uint64_t edge = node < s->n_objects ? hf_graph_find_edge(s->in->graph, node, best)
						    : UINT64_MAX;
		if (!path_push(&s->path, best, edge))
			return false;
	}
}

bool hf_suspect_same_word(const struct hf_suspect_input *input, uint64_t a, uint64_t b)
{
	const struct hf_heap *heap = input->objects->heap;
	const struct hf_names *names = input->objects->names;
	const uint32_t *field = names ? names->edge_field : NULL;
	return hf_heap_src_off(heap, a) == hf_heap_src_off(heap, b) &&
	       (!field || field[a] == field[b]);
}

/* Of one size, and of one type where types are known. */
static bool alike(const struct hf_suspect_input *input, uint32_t a, uint32_t b)
{
	const struct hf_names *names = input->objects->names;
	const uint32_t *type = names ? names->object_type : NULL;
	return input->objects->size[a] == input->objects->size[b] && (!type || type[a] == type[b]);
}

size_t hf_suspect_chain(
	const struct hf_suspect_input *input, const struct hf_suspect_path *path, size_t at)
{
	size_t i = at + 1;
	for (; i < path->n && path->edge[i] != UINT64_MAX; i++) {
		if (input->objects->size[path->node[i - 1]] != input->objects->size[path->node[i]])
			break;
		if (i > at + 1 && !hf_suspect_same_word(input, path->edge[i], path->edge[i - 1]))
			break;
	}
	size_t steps = i - 1 - at;
	return steps >= CHAIN ? steps : 0;
}

/* The object that hangs on another one by the same word as that hangs on its own parent; HF_NONE:
 * there is none that is alike. *edge: the word. */
static uint32_t next_link(const struct hf_suspect_input *input, const struct hf_suspect_path *path,
	uint32_t object, uint64_t *edge)
{
	const struct hf_graph *g = input->graph;
	for (uint64_t e = g->offset[object]; e < g->offset[object + 1]; e++) {
		uint32_t to = g->dst[e];
		if (!hf_suspect_same_word(input, e, *edge) ||
			input->objects->size[to] != input->objects->size[object] ||
			hf_rows_parent_in(input->objects, g, path->dominators, to) != object)
			continue;
		*edge = e;
		return to;
	}
	return HF_NONE;
}

size_t hf_suspect_chain_length(
	const struct hf_suspect_input *input, const struct hf_suspect_path *path, size_t at)
{
	size_t steps = hf_suspect_chain(input, path, at);
	if (!steps)
		return 0;
	uint64_t edge = path->edge[at + steps];
	/* Each object has one parent, so this ends. */
	for (uint32_t object = path->node[at + steps];
		(object = next_link(input, path, object, &edge)) != HF_NONE;)
		steps++;
	return steps + 1;
}

/* What hangs on an object through alike ones right below it, and the largest of these; HF_NONE:
 * there is none. */
static uint64_t alike_below(const struct search *s, uint32_t object, uint32_t *ret_largest)
{
	const struct hf_graph *g = s->in->graph;
	bool dom = s->tree.dominators;
	uint64_t sum = 0;
	uint32_t last = *ret_largest = HF_NONE;
	for (uint64_t e = g->offset[object]; e < g->offset[object + 1]; e++) {
		uint32_t to = g->dst[e];
		if (to == last || !alike(s->in, object, to) || parent_in(s, dom, to) != object)
			continue;
		sum += size_in(s, dom, to);
		last = to;
		if (*ret_largest == HF_NONE || size_in(s, dom, to) > size_in(s, dom, *ret_largest))
			*ret_largest = to;
	}
	return sum;
}

/* Does most of what an object has hang on others that are alike, and which go on like that, as in a
 * search tree? */
static bool divides_alike(const struct search *s, uint32_t object)
{
	uint64_t below = size_in(s, s->tree.dominators, object) - s->in->objects->size[object];
	uint32_t child, grandchild = HF_NONE;
	if (alike_below(s, object, &child) > below / 2)
		alike_below(s, child, &grandchild);
	return grandchild != HF_NONE;
}

/* The topmost object on the path of a structure of alike ones. */
static size_t top_of_alike(const struct search *s, size_t at)
{
	const struct hf_suspect_path *path = &s->path;
	if (path->node[at] >= s->n_objects || !divides_alike(s, path->node[at]))
		return at;
	while (at && path->node[at - 1] < s->n_objects && path->edge[at] != UINT64_MAX &&
		alike(s->in, path->node[at - 1], path->node[at]))
		at--;
	return at;
}

/* Index in the path of the accumulation point. */
static size_t find_point(const struct search *s)
{
	bool dom = s->tree.dominators;
	for (size_t i = 0; i + 1 < s->path.n;) {
		size_t steps = hf_suspect_chain(s->in, &s->path, i);
		if (!steps) {
			i++;
			continue;
		}
		unsigned __int128 end = size_in(s, dom, s->path.node[i + steps]);
		if (end * 10 < (unsigned __int128)size_in(s, dom, s->path.node[i]) * KEEP_TENTHS)
			return i;
		i += steps;
	}
	return top_of_alike(s, s->path.n - 1);
}

struct hf_suspect *hf_suspects_push(struct hf_suspects *f)
{
	if (f->n == f->cap) {
		size_t cap = f->cap ? 2 * f->cap : 16;
		struct hf_suspect *at = realloc(f->at, cap * sizeof(*at));
		if (!at)
			return NULL;
		f->at = at;
		f->cap = cap;
	}
	return &f->at[f->n++];
}

/* The path, with the best way from a root word to its first object before it. NULL: no memory. */
static char *text_from_root(struct search *s, size_t point)
{
	const struct hf_graph_link *link = s->in->objects->held->link;
	struct hf_suspect_path whole = {.dominators = s->path.dominators};
	uint32_t top = s->path.node[0], above = 0;
	for (; link[top].parent != HF_GRAPH_NONE && above < MAX_CLIMB; above++)
		top = link[top].parent;
	if (link[top].parent != HF_GRAPH_NONE)
		return hf_suspect_text(s->in, &s->path, point, HF_NONE);
	bool ok = true;
	for (size_t i = 0; ok && i < above + s->path.n; i++)
		ok = path_push(&whole, HF_NONE, UINT64_MAX);
	for (uint32_t i = above, node = s->path.node[0]; ok && i-- > 0;)
		whole.node[i] = node = link[node].parent;
	for (size_t i = 0; ok && i < s->path.n; i++) {
		whole.node[above + i] = s->path.node[i];
		whole.edge[above + i] = s->path.edge[i];
	}
	for (uint32_t i = 1; ok && i <= above; i++)
		whole.edge[i] = hf_graph_find_edge(s->in->graph, whole.node[i - 1], whole.node[i]);
	char *text = ok ? hf_suspect_text(s->in, &whole, above + point, link[top].root) : NULL;
	free(whole.node);
	free(whole.edge);
	return text;
}

/* Note the suspect that starts at a node, or at a root word without a variable, whose object is
 * node. */
static enum hf_status suspect(
	struct search *s, enum hf_suspect_basis basis, uint32_t node, uint32_t root)
{
	const struct hf_graph_dominance *dom = &s->in->objects->dominance[node];
	const struct hf_graph_held *held = s->in->objects->held;
	bool is_object = node < s->n_objects;
	s->path.n = 0;
	s->path.dominators = s->tree.dominators;
	bool ok = path_push(&s->path, node, UINT64_MAX) && descend(s);
	struct hf_suspect *f = ok ? hf_suspects_push(s->found) : NULL;
	if (!f)
		return hf_err_set(s->err, HF_E_NOMEM, "no memory to look for suspects");
	size_t point = find_point(s);
	*f = (struct hf_suspect){
		.basis = basis,
		.variable = is_object ? HF_NONE : node - s->n_objects,
		.root = root,
		.object = is_object       ? node
			  : s->path.n > 1 ? s->path.node[1]
					  : HF_NONE,
		.held_size = held_size(s, node),
		.held_count =
			is_object ? held->count[node] : held->variable[node - s->n_objects].count,
		.retained_size = dom->retained_size,
		.retained_count = dom->retained_count,
		.point = s->path.node[point] < s->n_objects ? s->path.node[point] : HF_NONE,
		.hops = (uint32_t)point,
		.path = basis == HF_SUSPECT_RETAINED && is_object
				? text_from_root(s, point)
				: hf_suspect_text(s->in, &s->path, point, root),
	};
	if (!f->path)
		return hf_err_set(s->err, HF_E_NOMEM, "no memory to look for suspects");
	for (size_t i = 0; i <= point; i++)
		s->seen[s->path.node[i] / 64] |= 1ull << (s->path.node[i] % 64);
	return HF_OK;
}

/* Direct children of every point, in one pass. */
static void count_children(struct search *s, size_t first)
{
	for (uint32_t i = 0; s->found->n > first && i < s->n_objects; i++) {
		uint32_t parent = parent_in(s, s->tree.dominators, i);
		if (parent == HF_NONE || !hf_graph_bit(s->seen, parent))
			continue;
		for (size_t f = first; f < s->found->n; f++) {
			struct hf_suspect *suspect = &s->found->at[f];
			uint32_t point = suspect->point != HF_NONE
						 ? suspect->point
						 : s->n_objects + suspect->variable;
			suspect->point_children += parent == point;
		}
	}
}

static enum hf_status search_held(struct search *s)
{
	const struct hf_graph *g = s->in->graph;
	const struct hf_graph_held *held = s->in->objects->held;
	uint64_t least = s->total / HF_SUSPECT_SHARE;
	enum hf_status status = find_best(s, false);
	for (uint32_t v = 0; !status && v < s->n_variables; v++)
		if (held->variable[v].size >= least)
			status = suspect(s, HF_SUSPECT_HELD, s->n_objects + v, HF_NONE);
	for (uint32_t r = 0; !status && r < g->n_roots; r++)
		if (g->roots[r].variable == HF_GRAPH_NONE && held->root[r].size >= least)
			status = suspect(s, HF_SUSPECT_HELD, g->roots[r].object, r);
	for (uint32_t h = 0; !status && h < s->in->heads->n; h++)
		if (held->size[s->in->heads->object[h]] >= least)
			status = suspect(s, HF_SUSPECT_LEAKED, s->in->heads->object[h], HF_NONE);
	if (!status)
		count_children(s, 0);
	return status;
}

static enum hf_status search_dominators(struct search *s)
{
	const struct hf_graph_dominance *dom = s->in->objects->dominance;
	uint64_t least = s->total / HF_SUSPECT_SHARE;
	size_t first = s->found->n;
	enum hf_status status = find_best(s, true);
	for (uint32_t node = 0; !status && node < s->n_objects + s->n_variables; node++) {
		if (dom[node].retained_size < least || dom[node].idom != HF_GRAPH_NONE ||
			hf_graph_bit(s->seen, node))
			continue;
		if (node < s->n_objects && s->in->objects->reach[node].depth == HF_GRAPH_NONE)
			continue;
		status = suspect(s, HF_SUSPECT_RETAINED, node, HF_NONE);
	}
	if (!status)
		count_children(s, first);
	return status;
}

static uint64_t figure(const struct hf_suspect *s)
{
	return s->basis == HF_SUSPECT_RETAINED || s->basis == HF_SUSPECT_GROUP ? s->retained_size
									       : s->held_size;
}

static int compare(const void *pa, const void *pb)
{
	const struct hf_suspect *a = pa, *b = pb;
	if (figure(a) != figure(b))
		return figure(a) > figure(b) ? -1 : 1;
	if (a->variable != b->variable)
		return a->variable < b->variable ? -1 : 1;
	return a->object < b->object ? -1 : a->object > b->object;
}

enum hf_status hf_suspects_init(
	struct hf_suspects *ret, const struct hf_suspect_input *input, struct hf_err *err)
{
	*ret = (struct hf_suspects){0};
	struct search s = {.in = input,
		.n_objects = input->graph->n_objects,
		.n_variables = input->graph->n_variables,
		.found = ret,
		.err = err};
	for (uint32_t i = 0; i < s.n_objects; i++)
		s.total += input->objects->size[i];
	if (!s.total)
		return HF_OK;
	s.seen = calloc(((size_t)s.n_objects + s.n_variables) / 64 + 1, sizeof(*s.seen));
	enum hf_status status =
		s.seen ? HF_OK : hf_err_set(err, HF_E_NOMEM, "no memory to look for suspects");
	if (!status)
		status = search_held(&s);
	if (!status)
		status = search_dominators(&s);
	if (!status)
		status = hf_suspects_groups(ret, input, s.total, err);
	free(s.seen);
	free(s.tree.best);
	free(s.path.node);
	free(s.path.edge);
	if (status) {
		hf_suspects_deinit(ret);
		return status;
	}
	if (ret->n)
		qsort(ret->at, ret->n, sizeof(*ret->at), compare);
	return HF_OK;
}

void hf_suspects_deinit(struct hf_suspects *suspects)
{
	for (size_t i = 0; i < suspects->n; i++)
		free(suspects->at[i].path);
	free(suspects->at);
	*suspects = (struct hf_suspects){0};
}
