#include "report/also.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "report/db.h"
#include "report/group.h"
#include "report/report.h"

/*
 * To find the words that reach in, go down the holder tree, the largest first, but only into
 * objects that retain less than they hold: below the others nothing enters. A word from outside can
 * point to an object only where its dominator is not its holder.
 *
 * Where that does not tell, because very many words reach little each (the entries of a table that
 * are in a list, too), look at some members of each set on the way down to what holds most
 * (report/group.h), each of which stands for many.
 */

enum {
	MAX_LOOKED = 20000,   /* objects */
	MAX_LOOK_UPS = 12000, /* of holders, to tell what is inside, over all */
	MAX_CLIMB = 20000,    /* steps to tell whether a referrer is inside */
	MAX_WORDS = 2000,     /* that are looked at of an object */
	MAX_ENTRIES = 4096,
	FEW_ENTRIES = 256,  /* unless top->thorough */
	SET_DEPTH = 6,      /* sets below one another */
	SET_STEPS = 1000,   /* to know the members of one */
	SET_MEMBERS = 256,  /* of each that are looked at */
	SET_ENTRIES = 2048, /* of all sets */
	SMALL_PERCENT = 1,  /* of what is held: smaller parts are not looked at */
};

struct pending {
	struct hf_node node;
	double weight;   /* objects that it stands for */
	uint32_t parent; /* what it was found below: the number of a visit */
};

struct search {
	struct hf_heapdb *db;
	const struct hf_also_top *top;
	struct pending *heap; /* binary, largest first */
	struct hf_children below;
	size_t n, cap;
	uint32_t parents[MAX_LOOKED + 2],
		n_visits; /* of the objects that were looked at; 0: the top */
	struct hf_also_entry entries[MAX_ENTRIES + SET_ENTRIES];
	size_t n_entries, max_entries;
	bool small_too; /* look at small parts as well */
	bool complete;
	uint64_t look_ups;
	sqlite3_stmt *referrers, *roots, *owner, *holder;
};

static void search_destroy(struct search **s)
{
	if (!*s)
		return;
	free((*s)->heap);
	hf_children_deinit(&(*s)->below);
	hf_stmt_done(&(*s)->referrers);
	hf_stmt_done(&(*s)->roots);
	hf_stmt_done(&(*s)->owner);
	hf_stmt_done(&(*s)->holder);
	free(*s);
}

static enum hf_status push(struct search *s, const struct pending *p, struct hf_err *err)
{
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 256;
		struct pending *heap = reallocarray(s->heap, cap, sizeof(*heap));
		if (!heap)
			return hf_err_set(err, HF_E_NOMEM, "no memory to look for other holders");
		s->heap = heap;
		s->cap = cap;
	}
	size_t i = s->n++;
	for (; i && s->heap[(i - 1) / 2].node.size < p->node.size; i = (i - 1) / 2)
		s->heap[i] = s->heap[(i - 1) / 2];
	s->heap[i] = *p;
	return HF_OK;
}

static struct pending pop(struct search *s)
{
	struct pending top = s->heap[0], last = s->heap[--s->n];
	size_t i = 0;
	for (;;) {
		size_t child = 2 * i + 1;
		if (child + 1 < s->n && s->heap[child + 1].node.size > s->heap[child].node.size)
			child++;
		if (child >= s->n || s->heap[child].node.size <= last.node.size)
			break;
		s->heap[i] = s->heap[child];
		i = child;
	}
	s->heap[i] = last;
	return top;
}

/* Where an object is in the holder tree. */
struct place {
	int64_t holder_id, holder_root_id;
	uint64_t held_size;
	bool reachable;
};

static enum hf_status place_of(struct search *s, int64_t id, struct place *ret, struct hf_err *err)
{
	enum hf_status status = HF_OK;
	hf_rebind(s->holder, "i", id);
	s->look_ups++;
	if (hf_row(s->holder, &status, err))
		*ret = (struct place){hf_column_int(s->holder, 0), hf_column_int(s->holder, 1),
			(uint64_t)hf_column_int(s->holder, 2), hf_column_int(s->holder, 3) != 0};
	else if (status == HF_OK)
		status = HF_E_NOTFOUND;
	sqlite3_reset(s->holder);
	return status;
}

/* The variable of a root word; 0: it has none. */
static enum hf_status variable_of(struct search *s, int64_t root, int64_t *ret, struct hf_err *err)
{
	enum hf_status status = HF_OK;
	hf_rebind(s->owner, "i", root);
	*ret = hf_row(s->owner, &status, err) ? hf_column_int(s->owner, 0) : 0;
	sqlite3_reset(s->owner);
	return status;
}

/* Is an object in the holder tree of what is asked about? What is leaked keeps nothing, and counts
 * as if it were. */
static enum hf_status is_inside(struct search *s, int64_t id, bool *ret, struct hf_err *err)
{
	struct place o;
	enum hf_status status = place_of(s, id, &o, err);
	*ret = id == s->top->object_id || (status == HF_OK && !o.reachable);
	if (status != HF_OK || *ret)
		return status;
	if (s->top->variable_id) {
		int64_t owner = 0;
		status = variable_of(s, o.holder_root_id, &owner, err);
		*ret = owner == s->top->variable_id;
		return status;
	}
	/* A holder holds more than what it holds: past the size of the top it cannot be met. */
	for (int step = 0; o.holder_id && o.held_size <= s->top->held_size && step < MAX_CLIMB;
		step++) {
		if (o.holder_id == s->top->object_id) {
			*ret = true;
			return HF_OK;
		}
		status = place_of(s, o.holder_id, &o, err);
		if (status != HF_OK)
			return status;
	}
	if (o.holder_id && o.held_size <= s->top->held_size) {
		/* Too far away to tell: leave it out, and say so. */
		s->complete = false;
		*ret = true;
	}
	return HF_OK;
}

static void add_entry(struct search *s, const struct hf_also_entry *entry)
{
	if (s->n_entries >= s->max_entries)
		s->complete = false;
	else
		s->entries[s->n_entries++] = *entry;
}

static enum hf_status look_at_words(
	struct search *s, const struct hf_object *o, double weight, struct hf_err *err)
{
	struct hf_also_entry entry = {.target_addr = o->addr,
		.bytes = o->held_size,
		.count = o->held_count,
		.weight = weight,
		.first = s->n_visits - 1};
	enum hf_status status = HF_OK;
	int n = 0;
	hf_rebind(s->roots, "iiii", o->id, o->holder_id ? (int64_t)0 : o->holder_root_id,
		s->top->variable_id, (int64_t)MAX_WORDS);
	while (hf_row(s->roots, &status, err)) {
		entry.root_id = hf_column_int(s->roots, 0);
		entry.variable_id = hf_column_int(s->roots, 1);
		add_entry(s, &entry);
	}
	entry.root_id = entry.variable_id = 0;
	hf_rebind(s->referrers, "iii", o->id, o->holder_id, (int64_t)MAX_WORDS);
	while (s->n_entries < s->max_entries && hf_row(s->referrers, &status, err)) {
		bool inside;
		n++;
		entry.src_id = hf_column_int(s->referrers, 0);
		entry.src_offset = (uint64_t)hf_column_int(s->referrers, 1);
		status = is_inside(s, entry.src_id, &inside, err);
		if (status == HF_OK && !inside)
			add_entry(s, &entry);
	}
	if (n == MAX_WORDS)
		s->complete = false;
	sqlite3_reset(s->roots);
	sqlite3_reset(s->referrers);
	return status;
}

static bool is_small(const struct search *s, uint64_t bytes)
{
	return !s->small_too && hf_percent(bytes, s->top->held_size) < SMALL_PERCENT;
}

static enum hf_status push_below(
	struct search *s, const struct hf_node *node, double weight, struct hf_err *err)
{
	struct hf_child child = {0};
	uint32_t parent = s->n_visits - 1;
	enum hf_status status = hf_children_open(&s->below, node, err);
	bool sampled = s->below.sampled, small = false;
	while (!small && hf_children_next(&s->below, &child, &status, err)) {
		/* Those of a wide node come largest first. */
		small = sampled && is_small(s, child.node.size);
		if (!is_small(s, child.node.size))
			status = push(s,
				&(struct pending){child.node, weight * child.weight, parent}, err);
	}
	if (sampled && !small)
		s->complete = false;
	return status;
}

static enum hf_status look_at(struct search *s, const struct pending *p, struct hf_err *err)
{
	struct hf_object o;
	int64_t id = p->node.id;
	enum hf_status status = hf_heapdb_object(s->db, id, &o, err);
	s->parents[s->n_visits++] = p->parent;
	/* What only its holder leads to has no other word. */
	bool one_way =
		o.holder_id ? o.idom_id == o.holder_id : o.idom_variable_id == s->top->variable_id;
	if (status == HF_OK && (id == s->top->object_id || !one_way))
		status = look_at_words(s, &o, p->weight, err);
	/* What enters below it, all together. */
	if (status != HF_OK || is_small(s, o.held_size - o.retained_size))
		return status;
	return push_below(s,
		&(struct hf_node){
			.id = id, .size = o.held_size, .count = o.held_count, .self_size = o.size},
		p->weight, err);
}

static int by_bytes(const void *a, const void *b)
{
	const struct hf_also_entry *x = a, *y = b;
	if (x->bytes != y->bytes)
		return x->bytes < y->bytes ? 1 : -1;
	if (x->target_addr != y->target_addr)
		return x->target_addr < y->target_addr ? -1 : 1;
	if (x->root_id != y->root_id)
		return x->root_id < y->root_id ? -1 : 1;
	if (x->src_id != y->src_id)
		return x->src_id < y->src_id ? -1 : 1;
	return (x->src_offset > y->src_offset) - (x->src_offset < y->src_offset);
}

/* A member of a set. */
static enum hf_status look_at_member(
	struct search *s, const struct hf_member *m, double weight, struct hf_err *err)
{
	struct hf_object o;
	enum hf_status status = hf_heapdb_object(s->db, m->node.id, &o, err);
	return status == HF_OK ? look_at_words(s, &o, weight, err) : status;
}

/* Words into a set, by some of its members, evenly taken. *ret_bytes: what they reach. */
static enum hf_status look_at_set(
	struct search *s, const struct hf_group *set, double *ret_bytes, struct hf_err *err)
{
	size_t n = set->n < SET_MEMBERS ? set->n : SET_MEMBERS, first = s->n_entries;
	double all = 0, seen = 0;
	enum hf_status status = HF_OK;
	for (size_t i = 0; i < set->n; i++)
		all += set->at[i].weight;
	for (size_t i = 0; i < n; i++)
		seen += set->at[i * set->n / n].weight;
	for (size_t i = 0; i < n && status == HF_OK; i++) {
		const struct hf_member *m = &set->at[i * set->n / n];
		status = look_at_member(s, m, m->weight * all / seen, err);
	}
	*ret_bytes = 0;
	for (size_t i = first; i < s->n_entries; i++) {
		bool same = i > first && s->entries[i].target_addr == s->entries[i - 1].target_addr;
		*ret_bytes += same ? 0 : s->entries[i].weight * (double)s->entries[i].bytes;
	}
	return status;
}

/* The set below a set that holds most: what one object holds, what hangs by one word on many, or by
 * any word, as on arrays. */
static enum hf_status set_below(struct search *s, struct hf_group *set, struct hf_err *err)
{
	_cleanup_(hf_groups_deinit) struct hf_groups below = {0};
	struct hf_group next = {0};
	enum hf_status status = HF_OK;
	if (set->n == 1) {
		status = hf_group_of(&s->below, &set->at[0].node, &next, err);
	} else {
		status = hf_groups_below(&s->below, set, SET_STEPS, &below, err);
		if (status == HF_OK && below.n) {
			next = below.at[0];
			below.at[0] = (struct hf_group){0};
		}
	}
	for (size_t i = 1; next.any_word && i < below.n && status == HF_OK; i++)
		status = hf_group_join(&next, &below.at[i], err);
	hf_group_deinit(set);
	*set = next;
	return status;
}

/* From set to set, as hf_group_bulk() does. What is below a member counts with it, so that the set
 * whose words reach most is all that is kept. */
static enum hf_status look_at_sets(struct search *s, double reached, struct hf_err *err)
{
	_cleanup_(hf_group_deinit) struct hf_group set = {0};
	struct hf_node top = {.id = s->top->object_id ? s->top->object_id : s->top->variable_id,
		.variable = !s->top->object_id,
		.size = s->top->held_size,
		.count = UINT64_MAX};
	size_t before = s->n_entries;
	s->max_entries = s->n_entries + SET_ENTRIES;
	enum hf_status status = hf_group_of(&s->below, &top, &set, err);
	for (int depth = 0; status == HF_OK && set.n && depth < SET_DEPTH; depth++) {
		double bytes = 0;
		size_t first = s->n_entries, n;
		status = look_at_set(s, &set, &bytes, err);
		n = s->n_entries - first;
		if (bytes > reached)
			memmove(s->entries + before, s->entries + first, n * sizeof(*s->entries));
		s->n_entries = bytes > reached ? before + n : first;
		reached = bytes > reached ? bytes : reached;
		if (status == HF_OK)
			status = set_below(s, &set, err);
	}
	if (s->n_entries > before)
		s->complete = false;
	/* None is below another one. */
	for (size_t i = before; i < s->n_entries; i++) {
		struct hf_also_entry *e = &s->entries[i];
		bool same = i > before && e->target_addr == e[-1].target_addr;
		e->first = same ? e[-1].first : s->n_visits + (uint32_t)(i - before);
		e->last = e->first + 1;
	}
	return status;
}

static enum hf_status prepare(struct search *s, struct hf_err *err)
{
	sqlite3 *db = s->db->db;
	hf_children_init(&s->below, s->db, false);
	s->below.sparing = true;
	enum hf_status status = hf_query(db, &s->referrers, err,
		"SELECT src_id, src_offset FROM edge WHERE dst_id = ? AND src_id <> ? "
		"LIMIT ?",
		"");
	if (status == HF_OK)
		status = hf_query(db, &s->roots, err,
			"SELECT id, coalesce(variable_id, 0) FROM root WHERE object_id = ? AND id "
			"<> ? "
			"AND coalesce(variable_id, -1) <> ? LIMIT ?",
			"");
	if (status == HF_OK)
		status = hf_query(
			db, &s->owner, err, "SELECT variable_id FROM root WHERE id = ?", "");
	if (status == HF_OK)
		status = hf_query(db, &s->holder, err,
			"SELECT holder_id, holder_root_id, held_size, reachable FROM object "
			"WHERE id = ?",
			"");
	return status;
}

static enum hf_status push_first(struct search *s, struct hf_err *err)
{
	if (s->top->object_id)
		return push(s,
			&(struct pending){
				{.id = s->top->object_id, .size = s->top->held_size}, 1, 0},
			err);
	struct hf_node variable = {.id = s->top->variable_id,
		.variable = true,
		.size = s->top->held_size,
		.count = UINT64_MAX /* not known here */};
	return push_below(s, &variable, 1, err);
}

static enum hf_status run(struct search *s, struct hf_err *err)
{
	s->n = s->n_entries = 0;
	s->n_visits = 1;
	enum hf_status status = push_first(s, err);
	for (int looked = 0; status == HF_OK && s->n; looked++) {
		if (looked == MAX_LOOKED || s->look_ups > MAX_LOOK_UPS ||
			s->n_entries >= s->max_entries) {
			s->complete = false;
			break;
		}
		struct pending p = pop(s);
		status = look_at(s, &p, err);
	}
	if (status == HF_E_NOTFOUND)
		return hf_err_set(err, HF_E_CORRUPT, "the database lacks an object");
	return status;
}

/* Number the objects that were looked at from the top down, what was found below one right behind
 * it. Entries have the numbers of their visits so far. */
static enum hf_status number_entries(struct search *s, struct hf_err *err)
{
	struct {
		uint32_t size, number, next;
	} *at = calloc(s->n_visits, sizeof(*at));
	if (!at)
		return hf_err_set(err, HF_E_NOMEM, "no memory to look for other holders");
	for (uint32_t i = s->n_visits - 1; i > 0; i--)
		at[s->parents[i]].size += ++at[i].size;
	for (uint32_t i = 1; i < s->n_visits; i++) {
		at[i].number = at[i].next = ++at[s->parents[i]].next;
		at[s->parents[i]].next += at[i].size - 1;
	}
	for (size_t i = 0; i < s->n_entries; i++) {
		struct hf_also_entry *e = &s->entries[i];
		e->last = at[e->first].number + at[e->first].size;
		e->first = at[e->first].number;
	}
	free(at);
	return HF_OK;
}

/* What all entries reach, bytes, of which the top retains nothing: words to an object itself leave
 * it what it retains. */
static double reached(const struct search *s)
{
	double bytes = 0;
	uint32_t end = 0;
	for (size_t i = 0; i < s->n_entries; i++) {
		const struct hf_also_entry *e = &s->entries[i];
		if (e->first < end || (e->first == 1 && s->top->object_id))
			continue;
		bytes += e->weight * (double)e->bytes;
		end = e->last;
	}
	return bytes;
}

/* Words of one root variable, or of one object, into the same target say the same: keep the first.
 */
static void drop_repeated(struct search *s)
{
	size_t n = 0, same_target = 0;
	for (size_t i = 0; i < s->n_entries; i++) {
		struct hf_also_entry e = s->entries[i];
		if (!n || s->entries[n - 1].target_addr != e.target_addr)
			same_target = n;
		bool repeated = false;
		for (size_t j = same_target; j < n && !repeated; j++)
			repeated = s->entries[j].src_id == e.src_id &&
				   s->entries[j].variable_id == e.variable_id &&
				   (e.src_id || e.variable_id);
		if (!repeated)
			s->entries[n++] = e;
	}
	s->n_entries = n;
}

static int by_number(const void *a, const void *b)
{
	const struct hf_also_entry *x = a, *y = b;
	return (x->first > y->first) - (x->first < y->first);
}

static enum hf_status search(struct search *s, struct hf_err *err)
{
	enum hf_status status = run(s, err);
	if (status == HF_OK)
		status = number_entries(s, err);
	if (status == HF_OK)
		qsort(s->entries, s->n_entries, sizeof(*s->entries), by_number);
	return status;
}

enum hf_status hf_also_find(struct hf_heapdb *heap, const struct hf_also_top *top,
	struct hf_also *ret, struct hf_err *err)
{
	_cleanup_(search_destroy) struct search *s = calloc(1, sizeof(*s));
	if (!s)
		return hf_err_set(err, HF_E_NOMEM, "no memory to look for other holders");
	s->db = heap;
	s->top = top;
	s->complete = true;
	s->max_entries = top->thorough ? MAX_ENTRIES : FEW_ENTRIES;
	enum hf_status status = prepare(s, err);
	if (status == HF_OK)
		status = search(s, err);
	bool little = top->retained_size < top->held_size / 2;
	double found = reached(s);
	if (status == HF_OK && little && top->thorough &&
		found * 2 < (double)(top->held_size - top->retained_size))
		status = look_at_sets(s, found, err);
	/* One word into a list whose links hold little each reaches all of them. */
	if (status == HF_OK && !s->n_entries && little) {
		s->small_too = true;
		status = search(s, err);
	}
	if (status != HF_OK)
		return status;
	qsort(s->entries, s->n_entries, sizeof(*s->entries), by_bytes);
	drop_repeated(s);
	struct hf_also_entry *at = malloc((s->n_entries + 1) * sizeof(*at));
	if (!at)
		return hf_err_set(err, HF_E_NOMEM, "no memory to look for other holders");
	memcpy(at, s->entries, s->n_entries * sizeof(*at));
	*ret = (struct hf_also){at, s->n_entries, s->complete};
	return HF_OK;
}

void hf_also_deinit(struct hf_also *also)
{
	free(also->at);
	*also = (struct hf_also){0};
}

enum hf_status hf_also_from(struct hf_text *text, struct hf_heapdb *heap,
	const struct hf_also_entry *entry, const char *dots, struct hf_err *err)
{
	struct hf_object from;
	struct hf_root root;
	enum hf_status status = entry->src_id ? hf_heapdb_object(heap, entry->src_id, &from, err)
					      : hf_heapdb_root(heap, entry->root_id, &root, err);
	if (status == HF_E_NOTFOUND)
		return hf_err_set(err, HF_E_CORRUPT, "the database lacks a root or an object");
	if (status != HF_OK)
		return status;
	if (!entry->src_id) {
		hf_heapdb_root_label(text, &root);
		return HF_OK;
	}
	_cleanup_(hf_text_deinit) struct hf_text what = HF_TEXT_INIT;
	hf_heapdb_object_place(&what, heap, &from, dots);
	struct hf_word word = {.src_offset = entry->src_offset};
	status = hf_heapdb_field(heap, entry->src_id, &word, err);
	if (status != HF_OK)
		return status;
	hf_text_addf(text, "0x%llx", (unsigned long long)from.addr);
	hf_heapdb_word_name(text, &word);
	hf_text_addf(text, "%s%s", what.len ? "  " : "", hf_text_get(&what));
	return HF_OK;
}
