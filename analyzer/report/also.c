#include "report/also.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "report/children.h"
#include "report/db.h"
#include "report/report.h"

/*
 * To find the words that reach in, go down the holder tree, the largest first, but only into
 * objects that retain less than they hold: below the others nothing enters. A word from outside can
 * point to an object only where its dominator is not its holder.
 */

enum {
	MAX_LOOKED = 20000,   /* objects */
	MAX_LOOK_UPS = 12000, /* of holders, to tell what is inside, over all */
	MAX_CLIMB = 20000,    /* steps to tell whether a referrer is inside */
	MAX_WORDS = 2000,     /* that are looked at of an object */
	MAX_ENTRIES = 256,
	SMALL_PERCENT = 1, /* of what is held: smaller parts are not looked at */
};

struct search {
	struct hf_heapdb *db;
	const struct hf_also_top *top;
	struct hf_node *heap; /* binary, largest first */
	struct hf_children below;
	size_t n, cap;
	struct hf_also_entry entries[MAX_ENTRIES];
	size_t n_entries;
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

static enum hf_status push(struct search *s, struct hf_node node, struct hf_err *err)
{
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 256;
		struct hf_node *heap = reallocarray(s->heap, cap, sizeof(*heap));
		if (!heap)
			return hf_err_set(err, HF_E_NOMEM, "no memory to look for other holders");
		s->heap = heap;
		s->cap = cap;
	}
	size_t i = s->n++;
	for (; i && s->heap[(i - 1) / 2].size < node.size; i = (i - 1) / 2)
		s->heap[i] = s->heap[(i - 1) / 2];
	s->heap[i] = node;
	return HF_OK;
}

static struct hf_node pop(struct search *s)
{
	struct hf_node top = s->heap[0], last = s->heap[--s->n];
	size_t i = 0;
	for (;;) {
		size_t child = 2 * i + 1;
		if (child + 1 < s->n && s->heap[child + 1].size > s->heap[child].size)
			child++;
		if (child >= s->n || s->heap[child].size <= last.size)
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
	if (s->n_entries == MAX_ENTRIES)
		s->complete = false;
	else
		s->entries[s->n_entries++] = *entry;
}

static enum hf_status look_at_words(struct search *s, const struct hf_object *o, struct hf_err *err)
{
	struct hf_also_entry entry = {
		.target_addr = o->addr, .bytes = o->held_size, .count = o->held_count};
	enum hf_status status = HF_OK;
	int n = 0;
	hf_rebind(s->roots, "iiii", o->id, o->holder_id ? (int64_t)0 : o->holder_root_id,
		s->top->variable_id, (int64_t)MAX_WORDS);
	while (hf_row(s->roots, &status, err)) {
		entry.root_id = hf_column_int(s->roots, 0);
		add_entry(s, &entry);
	}
	entry.root_id = 0;
	hf_rebind(s->referrers, "iii", o->id, o->holder_id, (int64_t)MAX_WORDS);
	while (s->n_entries < MAX_ENTRIES && hf_row(s->referrers, &status, err)) {
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

static enum hf_status push_below(struct search *s, const struct hf_node *node, struct hf_err *err)
{
	struct hf_child child = {0};
	enum hf_status status = hf_children_open(&s->below, node, err);
	bool sampled = s->below.sampled, small = false;
	while (!small && hf_children_next(&s->below, &child, &status, err)) {
		/* Those of a wide node come largest first. */
		small = sampled && is_small(s, child.node.size);
		if (!is_small(s, child.node.size))
			status = push(s, child.node, err);
	}
	if (sampled && !small)
		s->complete = false;
	return status;
}

static enum hf_status look_at(struct search *s, int64_t id, struct hf_err *err)
{
	struct hf_object o;
	enum hf_status status = hf_heapdb_object(s->db, id, &o, err);
	/* What only its holder leads to has no other word. */
	bool one_way =
		o.holder_id ? o.idom_id == o.holder_id : o.idom_variable_id == s->top->variable_id;
	if (status == HF_OK && (id == s->top->object_id || !one_way))
		status = look_at_words(s, &o, err);
	/* What enters below it, all together. */
	if (status != HF_OK || is_small(s, o.held_size - o.retained_size))
		return status;
	return push_below(s,
		&(struct hf_node){
			.id = id, .size = o.held_size, .count = o.held_count, .self_size = o.size},
		err);
}

static int by_bytes(const void *a, const void *b)
{
	const struct hf_also_entry *x = a, *y = b;
	return x->bytes != y->bytes
		       ? (x->bytes < y->bytes ? 1 : -1)
		       : (x->target_addr > y->target_addr) - (x->target_addr < y->target_addr);
}

static enum hf_status prepare(struct search *s, struct hf_err *err)
{
	sqlite3 *db = s->db->db;
	hf_children_init(&s->below, s->db, false);
	enum hf_status status = hf_query(db, &s->referrers, err,
		"SELECT src_id, src_offset FROM edge WHERE dst_id = ? AND src_id <> ? "
		"LIMIT ?",
		"");
	if (status == HF_OK)
		status = hf_query(db, &s->roots, err,
			"SELECT id FROM root WHERE object_id = ? AND id <> ? "
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
		return push(s, (struct hf_node){.id = s->top->object_id, .size = s->top->held_size},
			err);
	struct hf_node variable = {.id = s->top->variable_id,
		.variable = true,
		.size = s->top->held_size,
		.count = UINT64_MAX /* not known here */};
	return push_below(s, &variable, err);
}

static enum hf_status run(struct search *s, struct hf_err *err)
{
	s->n = 0;
	enum hf_status status = push_first(s, err);
	for (int looked = 0; status == HF_OK && s->n; looked++) {
		if (looked == MAX_LOOKED || s->look_ups > MAX_LOOK_UPS ||
			s->n_entries == MAX_ENTRIES) {
			s->complete = false;
			break;
		}
		status = look_at(s, pop(s).id, err);
	}
	if (status == HF_E_NOTFOUND)
		return hf_err_set(err, HF_E_CORRUPT, "the database lacks an object");
	qsort(s->entries, s->n_entries, sizeof(*s->entries), by_bytes);
	return status;
}

/* Words of one root variable, or of one object, into the same target say the same: keep the first.
 */
static enum hf_status drop_repeated(struct search *s, struct hf_err *err)
{
	int64_t variable[MAX_ENTRIES] = {0};
	size_t n = 0;
	for (size_t i = 0; i < s->n_entries; i++) {
		struct hf_also_entry e = s->entries[i];
		int64_t owner = 0;
		enum hf_status status = e.root_id ? variable_of(s, e.root_id, &owner, err) : HF_OK;
		if (status != HF_OK)
			return status;
		bool repeated = false;
		for (size_t j = 0; j < n && !repeated; j++)
			repeated = s->entries[j].target_addr == e.target_addr &&
				   s->entries[j].src_id == e.src_id && variable[j] == owner &&
				   (e.src_id || owner);
		if (repeated)
			continue;
		s->entries[n] = e;
		variable[n++] = owner;
	}
	s->n_entries = n;
	return HF_OK;
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
	enum hf_status status = prepare(s, err);
	if (status == HF_OK)
		status = run(s, err);
	/* One word into a list whose links hold little each reaches all of them. */
	if (status == HF_OK && !s->n_entries && top->retained_size < top->held_size / 2) {
		s->small_too = true;
		status = run(s, err);
	}
	if (status == HF_OK)
		status = drop_repeated(s, err);
	if (status != HF_OK)
		return status;
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
