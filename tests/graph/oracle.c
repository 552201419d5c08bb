#include "oracle.h"

#include <string.h>

/* Spread marks along edges between objects of which `within` says the same as of `leaked`. */
static void flood(const struct oracle *o, const struct sample *s, const bool *removed, bool leaked,
	bool *mark)
{
	for (bool more = true; more;) {
		more = false;
		for (uint32_t u = 0; u < s->g.n_objects; u++) {
			for (uint64_t e = s->offset[u]; mark[u] && e < s->offset[u + 1]; e++) {
				uint32_t v = s->dst[e];
				if (mark[v] || removed[v] || (leaked && o->reachable[v]))
					continue;
				mark[v] = more = true;
			}
		}
	}
}

void oracle_alive(const struct oracle *o, const struct sample *s, const bool *removed, bool leaked,
	bool *ret_alive)
{
	memset(ret_alive, 0, SAMPLE_OBJECTS * sizeof(*ret_alive));
	for (uint32_t r = 0; !leaked && r < s->g.n_roots; r++) {
		const struct hf_graph_root *root = &s->roots[r];
		bool gone =
			root->variable != HF_GRAPH_NONE && removed[s->g.n_objects + root->variable];
		if (!gone && !removed[root->object])
			ret_alive[root->object] = true;
	}
	for (uint32_t i = 0; leaked && i < s->g.n_objects; i++)
		ret_alive[i] = o->head[i] && !removed[i];
	flood(o, s, removed, leaked, ret_alive);
}

/* A plain breadth-first search over a queue of objects. */
static void find_reach(struct oracle *o, const struct sample *s)
{
	uint32_t queue[SAMPLE_OBJECTS], n = 0;
	for (int rank = 0; rank < 256; rank++) {
		for (uint32_t r = 0; r < s->g.n_roots; r++) {
			uint32_t object = s->roots[r].object;
			if (s->roots[r].rank != rank || o->reachable[object])
				continue;
			o->reachable[object] = true;
			o->reach[object] = (struct hf_graph_link){HF_GRAPH_NONE, r, 0};
			queue[n++] = object;
		}
	}
	for (uint32_t head = 0; head < n; head++) {
		uint32_t u = queue[head];
		for (uint64_t e = s->offset[u]; e < s->offset[u + 1]; e++) {
			uint32_t v = s->dst[e];
			if (o->reachable[v])
				continue;
			o->reachable[v] = true;
			o->reach[v] =
				(struct hf_graph_link){u, o->reach[u].root, o->reach[u].depth + 1};
			queue[n++] = v;
		}
	}
}

/* i is a head if everything unreachable that leads to i is led to by i, and none of it is lower. */
static void find_heads(struct oracle *o, const struct sample *s)
{
	uint32_t n = s->g.n_objects;
	bool none[ORACLE_NODES] = {0};
	bool leads[SAMPLE_OBJECTS][SAMPLE_OBJECTS] = {{0}};
	for (uint32_t i = 0; i < n; i++) {
		leads[i][i] = true;
		flood(o, s, none, true, leads[i]);
	}
	for (uint32_t i = 0; i < n; i++) {
		o->head[i] = !o->reachable[i];
		for (uint32_t w = 0; w < n; w++) {
			if (!o->reachable[w] && leads[w][i] && (!leads[i][w] || w < i))
				o->head[i] = false;
		}
	}
}

static void find_dominated(struct oracle *o, const struct sample *s, uint32_t node)
{
	bool removed[ORACLE_NODES] = {0}, alive[SAMPLE_OBJECTS], alive_leaked[SAMPLE_OBJECTS];
	removed[node] = true;
	oracle_alive(o, s, removed, false, alive);
	oracle_alive(o, s, removed, true, alive_leaked);
	for (uint32_t i = 0; i < s->g.n_objects; i++) {
		if (o->reachable[i] ? alive[i] : alive_leaked[i])
			continue;
		o->dominates[node][i] = true;
		o->retained_size[node] += s->size[i];
		o->retained_count[node]++;
	}
}

/* Of the strict dominators of an object, the immediate one dominates the fewest objects; a variable
 * and an object may dominate the same ones, and then the object is nearer. */
static void find_idom(struct oracle *o, const struct sample *s, uint32_t i)
{
	uint32_t best = HF_GRAPH_NONE;
	for (uint32_t d = s->g.n_objects + s->g.n_variables; d-- > 0;) {
		if (d == i || !o->dominates[d][i])
			continue;
		if (best == HF_GRAPH_NONE || o->retained_count[d] <= o->retained_count[best])
			best = d;
	}
	o->idom[i] = best;
}

bool oracle_better(struct oracle_key a, struct oracle_key b)
{
	/* What a root reaches is no leak, however it is reached. */
	if ((a.rank >= 256 || b.rank >= 256) && a.rank != b.rank)
		return a.rank < b.rank;
	if (a.doubts != b.doubts)
		return a.doubts < b.doubts;
	if (a.rank != b.rank)
		return a.rank < b.rank;
	return a.depth != b.depth ? a.depth < b.depth : a.root < b.root;
}

struct oracle_key oracle_extend(const struct sample *s, struct oracle_key key, uint64_t e)
{
	key.doubts += hf_graph_is_doubtful(&s->g, e);
	key.depth++;
	return key;
}

static void find_held(struct oracle *o, const struct sample *s)
{
	const struct oracle_key worst = {HF_GRAPH_NONE, 0, 0, 0};
	for (uint32_t i = 0; i < s->g.n_objects; i++)
		o->held[i] = o->head[i] ? (struct oracle_key){256, 0, 0, i} : worst;
	for (uint32_t r = 0; r < s->g.n_roots; r++) {
		struct oracle_key key = {s->roots[r].rank, 0, 0, r};
		if (oracle_better(key, o->held[s->roots[r].object]))
			o->held[s->roots[r].object] = key;
	}
	for (bool more = true; more;) {
		more = false;
		for (uint32_t u = 0; u < s->g.n_objects; u++) {
			for (uint64_t e = s->offset[u]; e < s->offset[u + 1]; e++) {
				struct oracle_key key = oracle_extend(s, o->held[u], e);
				if (key.rank == worst.rank ||
					!oracle_better(key, o->held[s->dst[e]]))
					continue;
				o->held[s->dst[e]] = key;
				more = true;
			}
		}
	}
}

void oracle_init(struct oracle *o, const struct sample *s)
{
	memset(o, 0, sizeof(*o));
	memset(o->reach, 0xff, sizeof(o->reach));
	find_reach(o, s);
	find_heads(o, s);
	for (uint32_t node = 0; node < s->g.n_objects + s->g.n_variables; node++)
		find_dominated(o, s, node);
	for (uint32_t i = 0; i < s->g.n_objects; i++)
		find_idom(o, s, i);
	find_held(o, s);
}
