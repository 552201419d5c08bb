/*
 * The part of the graph that a question about some objects is about: the objects of their holder
 * trees, the edges among those, and the words that lead into them from outside. Found by look-ups,
 * so it costs in proportion to the part.
 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "sql/graph_cache.h"

/* An object that was looked up. */
struct item {
	uint32_t id, holder; /* 0: none */
	uint32_t held_count;
	bool inside; /* of a holder tree */
	bool source; /* outside, but leads inside */
	bool reachable;
	uint32_t node; /* in the graph, in the end */
	uint64_t size, held_size;
};

struct word {
	uint32_t src, dst; /* ids, then nodes */
	uint64_t offset;
};

struct part {
	sqlite3 *db;
	sqlite3_stmt *object, *edges, *referrers, *roots;
	struct item *item;
	size_t n, cap;
	uint32_t *slot; /* hash table of items, index + 1; mask + 1 of them */
	size_t mask;
	uint32_t *inside; /* items, in the order they were found */
	size_t n_inside, cap_inside;
	struct word *edge;
	size_t n_edges, cap_edge;
	struct word *root; /* src: its id */
	size_t n_roots, cap_root;
};

static void part_deinit(struct part *p)
{
	sqlite3_finalize(p->object);
	sqlite3_finalize(p->edges);
	sqlite3_finalize(p->referrers);
	sqlite3_finalize(p->roots);
	free(p->item);
	free(p->slot);
	free(p->inside);
	free(p->edge);
	free(p->root);
}

/* Room for one more element. */
static bool grow(void *array, size_t n, size_t *cap, size_t size_bytes)
{
	void **at = array;
	if (n < *cap)
		return true;
	size_t more = *cap ? 2 * *cap : 256;
	void *grown = reallocarray(*at, more, size_bytes);
	if (!grown)
		return false;
	*at = grown;
	*cap = more;
	return true;
}
#define GROW(p, array, n) grow(&(p)->array, (p)->n, &(p)->cap_##array, sizeof(*(p)->array))

static size_t hash(const struct part *p, uint32_t id)
{
	return (size_t)((id * 0x9e3779b97f4a7c15u) >> 32) & p->mask;
}

static struct item *known(const struct part *p, uint32_t id)
{
	if (!p->slot)
		return NULL;
	for (size_t s = hash(p, id); p->slot[s]; s = (s + 1) & p->mask)
		if (p->item[p->slot[s] - 1].id == id)
			return &p->item[p->slot[s] - 1];
	return NULL;
}

/* A new item, whose id is not known; NULL: no memory. */
static struct item *add_item(struct part *p, uint32_t id)
{
	if (!grow(&p->item, p->n, &p->cap, sizeof(*p->item)))
		return NULL;
	if (!p->slot || 2 * p->n >= p->mask) {
		size_t n_slots = p->slot ? 2 * (p->mask + 1) : 1024;
		uint32_t *slot = calloc(n_slots, sizeof(*slot));
		if (!slot)
			return NULL;
		free(p->slot);
		p->slot = slot;
		p->mask = n_slots - 1;
		for (size_t i = 0; i < p->n; i++) {
			size_t s = hash(p, p->item[i].id);
			while (p->slot[s])
				s = (s + 1) & p->mask;
			p->slot[s] = (uint32_t)i + 1;
		}
	}
	size_t s = hash(p, id);
	while (p->slot[s])
		s = (s + 1) & p->mask;
	p->slot[s] = (uint32_t)p->n + 1;
	struct item *item = &p->item[p->n++];
	*item = (struct item){.id = id};
	return item;
}

static enum hf_status no_memory(struct hf_err *err)
{
	return hf_err_set(err, HF_E_NOMEM, "no memory for a part of the graph");
}

static bool valid_id(sqlite3_int64 id)
{
	return id >= 1 && id <= HF_GRAPH_MAX_NODES;
}

/* What the tables have about an object. *ret is valid until the next item is added. */
static enum hf_status look_up(
	struct part *p, sqlite3_int64 id, struct item **ret, struct hf_err *err)
{
	*ret = valid_id(id) ? known(p, (uint32_t)id) : NULL;
	if (*ret)
		return HF_OK;
	sqlite3_reset(p->object);
	sqlite3_bind_int64(p->object, 1, id);
	int rc = valid_id(id) ? sqlite3_step(p->object) : SQLITE_DONE;
	sqlite3_int64 holder = rc == SQLITE_ROW ? sqlite3_column_int64(p->object, 2) : 0;
	if (rc != SQLITE_ROW || holder < 0 || holder > HF_GRAPH_MAX_NODES)
		return hf_sql_graph_failed(p->db, "objects", rc, err);
	struct item *item = add_item(p, (uint32_t)id);
	if (!item)
		return no_memory(err);
	item->size = (uint64_t)sqlite3_column_int64(p->object, 0);
	item->reachable = sqlite3_column_int(p->object, 1);
	item->holder = (uint32_t)holder;
	item->held_size = (uint64_t)sqlite3_column_int64(p->object, 3);
	item->held_count = (uint32_t)sqlite3_column_int64(p->object, 4);
	*ret = item;
	return HF_OK;
}

static enum hf_status take_inside(struct part *p, struct item *item, struct hf_err *err)
{
	if (item->inside)
		return HF_OK;
	if (!GROW(p, inside, n_inside))
		return no_memory(err);
	item->inside = true;
	p->inside[p->n_inside++] = (uint32_t)(item - p->item);
	return HF_OK;
}

/* Take what an object holds inside, and note its edges. */
static enum hf_status follow(struct part *p, uint32_t id, struct hf_err *err)
{
	int rc;
	sqlite3_reset(p->edges);
	sqlite3_bind_int64(p->edges, 1, id);
	while ((rc = sqlite3_step(p->edges)) == SQLITE_ROW) {
		struct item *target;
		enum hf_status status = look_up(p, sqlite3_column_int64(p->edges, 0), &target, err);
		if (!status && target->holder == id)
			status = take_inside(p, target, err);
		if (status)
			return status;
		if (!GROW(p, edge, n_edges))
			return no_memory(err);
		p->edge[p->n_edges++] =
			(struct word){id, target->id, (uint64_t)sqlite3_column_int64(p->edges, 1)};
	}
	return rc == SQLITE_DONE ? HF_OK : hf_sql_graph_failed(p->db, "edges", rc, err);
}

/* Words that lead to an object inside from outside. */
static enum hf_status find_entries(struct part *p, uint32_t id, struct hf_err *err)
{
	int rc;
	sqlite3_reset(p->referrers);
	sqlite3_bind_int64(p->referrers, 1, id);
	while ((rc = sqlite3_step(p->referrers)) == SQLITE_ROW) {
		struct item *source;
		enum hf_status status =
			look_up(p, sqlite3_column_int64(p->referrers, 0), &source, err);
		if (status)
			return status;
		if (source->inside)
			continue; /* its edges are noted */
		source->source = true;
		if (!GROW(p, edge, n_edges))
			return no_memory(err);
		p->edge[p->n_edges++] = (struct word){
			source->id, id, (uint64_t)sqlite3_column_int64(p->referrers, 1)};
	}
	if (rc != SQLITE_DONE)
		return hf_sql_graph_failed(p->db, "edges", rc, err);
	sqlite3_reset(p->roots);
	sqlite3_bind_int64(p->roots, 1, id);
	while ((rc = sqlite3_step(p->roots)) == SQLITE_ROW) {
		if (!GROW(p, root, n_roots))
			return no_memory(err);
		p->root[p->n_roots++] = (struct word){
			.src = (uint32_t)sqlite3_column_int64(p->roots, 0), .dst = id};
	}
	return rc == SQLITE_DONE ? HF_OK : hf_sql_graph_failed(p->db, "roots", rc, err);
}

static enum hf_status collect(struct part *p, const uint32_t *ids, size_t n, struct hf_err *err)
{
	for (size_t i = 0; i < n; i++) {
		struct item *top;
		enum hf_status status = look_up(p, ids[i], &top, err);
		if (!status)
			status = take_inside(p, top, err);
		if (status)
			return status;
	}
	for (size_t i = 0; i < p->n_inside; i++) {
		enum hf_status status = follow(p, p->item[p->inside[i]].id, err);
		if (status)
			return status;
	}
	for (size_t i = 0; i < p->n_inside; i++) {
		enum hf_status status = find_entries(p, p->item[p->inside[i]].id, err);
		if (status)
			return status;
	}
	return HF_OK;
}

static int compare_id(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;
	return *x < *y ? -1 : *x > *y;
}

static int compare_word(const void *a, const void *b)
{
	const struct word *x = a, *y = b;
	if (x->src != y->src)
		return x->src < y->src ? -1 : 1;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static bool allocate(struct hf_sql_graph *s, const struct part *p, uint32_t n)
{
	s->g = (struct hf_graph){.n_objects = n, .n_roots = (uint32_t)p->n_roots};
	s->g.size = s->size = hf_graph_alloc(n + 1ull, sizeof(*s->size));
	s->g.offset = s->offset = hf_graph_zalloc(n + 2ull, sizeof(*s->offset));
	s->g.dst = s->dst = hf_graph_alloc(p->n_edges + 1, sizeof(*s->dst));
	s->src_offset = hf_graph_alloc(p->n_edges + 1, sizeof(*s->src_offset));
	/* One more, for the objects whose root is not here. */
	s->g.roots = s->roots = hf_graph_zalloc(p->n_roots + 1, sizeof(*s->roots));
	s->root_id = hf_graph_alloc(p->n_roots + 1, sizeof(*s->root_id));
	s->reach.reachable = hf_graph_zalloc(n / 64 + 1, sizeof(*s->reach.reachable));
	s->heads.head = hf_graph_zalloc(n / 64 + 1, sizeof(*s->heads.head));
	s->held.link = hf_graph_alloc(n + 1ull, sizeof(*s->held.link));
	s->held.size = hf_graph_alloc(n + 1ull, sizeof(*s->held.size));
	s->held.count = hf_graph_alloc(n + 1ull, sizeof(*s->held.count));
	return s->size && s->offset && s->dst && s->src_offset && s->roots && s->root_id &&
	       s->reach.reachable && s->heads.head && s->held.link && s->held.size && s->held.count;
}

/* The objects that are inside or lead there, by id. */
static bool number_nodes(struct hf_sql_graph *s, struct part *p, uint32_t *ret_n)
{
	uint32_t n = 0;
	s->object_id = hf_graph_alloc(p->n + 1, sizeof(*s->object_id));
	if (!s->object_id)
		return false;
	for (size_t i = 0; i < p->n; i++)
		if (p->item[i].inside || p->item[i].source)
			s->object_id[n++] = p->item[i].id;
	qsort(s->object_id, n, sizeof(*s->object_id), compare_id);
	for (uint32_t i = 0; i < n; i++)
		known(p, s->object_id[i])->node = i;
	*ret_n = n;
	return true;
}

static void fill_objects(struct hf_sql_graph *s, const struct part *p)
{
	for (uint32_t i = 0; i < s->g.n_objects; i++) {
		const struct item *item = known(p, s->object_id[i]);
		const struct item *holder = item->inside ? known(p, item->holder) : NULL;
		s->size[i] = item->size;
		s->held.size[i] = item->held_size;
		s->held.count[i] = item->held_count;
		s->held.link[i] = (struct hf_graph_link){
			holder && holder->inside ? holder->node : HF_GRAPH_NONE,
			(uint32_t)p->n_roots, 0};
		if (item->reachable)
			s->reach.reachable[i / 64] |= 1ull << (i % 64);
	}
}

static void fill_words(struct hf_sql_graph *s, struct part *p)
{
	if (p->n_edges)
		qsort(p->edge, p->n_edges, sizeof(*p->edge), compare_word);
	uint64_t m = 0;
	uint32_t at = 0;
	for (size_t e = 0; e < p->n_edges; e++) {
		const struct item *target = known(p, p->edge[e].dst);
		if (!target->inside)
			continue;
		uint32_t src = known(p, p->edge[e].src)->node;
		while (at < src)
			s->offset[++at] = m;
		s->src_offset[m] = p->edge[e].offset;
		s->dst[m++] = target->node;
	}
	while (at < s->g.n_objects)
		s->offset[++at] = m;
	if (p->n_roots)
		qsort(p->root, p->n_roots, sizeof(*p->root), compare_word);
	for (size_t r = 0; r < p->n_roots; r++) {
		s->root_id[r] = p->root[r].src;
		s->roots[r] =
			(struct hf_graph_root){known(p, p->root[r].dst)->node, HF_GRAPH_NONE, 0};
	}
	s->roots[p->n_roots].variable = HF_GRAPH_NONE;
}

static int prepare(struct part *p)
{
	static const char *const sql[] = {
		"SELECT size, reachable, coalesce(holder_id, 0), held_size, held_count FROM object "
		"WHERE id = ?1",
		"SELECT dst_id, src_offset FROM edge WHERE src_id = ?1",
		"SELECT src_id, src_offset FROM edge INDEXED BY edge_dst WHERE dst_id = ?1",
		"SELECT id FROM root WHERE object_id = ?1"};
	sqlite3_stmt **const stmt[] = {&p->object, &p->edges, &p->referrers, &p->roots};
	int rc = SQLITE_OK;
	for (int i = 0; i < 4 && rc == SQLITE_OK; i++)
		rc = sqlite3_prepare_v2(p->db, sql[i], -1, stmt[i], NULL);
	return rc;
}

enum hf_status hf_sql_graph_part(
	struct hf_sql_graph *s, sqlite3 *db, const uint32_t *ids, size_t n, struct hf_err *err)
{
	_cleanup_(part_deinit) struct part p = {.db = db};
	int rc = prepare(&p);
	if (rc != SQLITE_OK)
		return hf_sql_graph_failed(db, "tables", rc, err);
	enum hf_status status = collect(&p, ids, n, err);
	if (status)
		return status;
	uint32_t n_nodes;
	if (!number_nodes(s, &p, &n_nodes) || !allocate(s, &p, n_nodes))
		return no_memory(err);
	fill_objects(s, &p);
	fill_words(s, &p);
	return hf_sql_graph_finish(s, err);
}
