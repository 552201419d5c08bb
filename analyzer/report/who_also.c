#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "report/who_all.h"

/*
 * What an object retains is a part of what it holds: the rest is reached from outside, too. To find
 * the words that do it, go down the holder tree, the largest first, but only into objects that
 * retain less than they hold: below the others nothing enters. A word from outside can
 * point to an object only where its dominator is not its holder.
 */

enum {
	MAX_LOOKED = 20000, /* objects */
	MAX_CLIMB = 20000,  /* steps to tell whether a referrer is inside */
	MAX_WORDS = 2000,   /* that are looked at of an object */
	MAX_ENTRIES = 256,
	SMALL_PERCENT = 1, /* of what is held: smaller parts are not looked at */
};

struct entry {
	int64_t src_id, root_id; /* one of them */
	uint64_t src_offset;
	uint64_t target_addr;
	uint64_t bytes, count; /* what it reaches: held by its target */
};

struct node {
	int64_t id;
	uint64_t held;
};

struct search {
	struct hf_report *report;
	const struct hf_object *top;
	struct node *heap; /* binary, largest first */
	size_t n, cap;
	struct entry entries[MAX_ENTRIES];
	size_t n_entries;
	bool small_too; /* look at small parts as well */
	bool complete;
	sqlite3_stmt *children, *referrers, *roots;
};

static void search_destroy(struct search **s)
{
	if (!*s)
		return;
	free((*s)->heap);
	hf_stmt_done(&(*s)->children);
	hf_stmt_done(&(*s)->referrers);
	hf_stmt_done(&(*s)->roots);
	free(*s);
}

static enum hf_status push(struct search *s, struct node node, struct hf_err *err)
{
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 256;
		struct node *heap = reallocarray(s->heap, cap, sizeof(*heap));
		if (!heap)
			return hf_err_set(err, HF_E_NOMEM, "no memory to look for other holders");
		s->heap = heap;
		s->cap = cap;
	}
	size_t i = s->n++;
	for (; i && s->heap[(i - 1) / 2].held < node.held; i = (i - 1) / 2)
		s->heap[i] = s->heap[(i - 1) / 2];
	s->heap[i] = node;
	return HF_OK;
}

static struct node pop(struct search *s)
{
	struct node top = s->heap[0], last = s->heap[--s->n];
	size_t i = 0;
	for (;;) {
		size_t child = 2 * i + 1;
		if (child + 1 < s->n && s->heap[child + 1].held > s->heap[child].held)
			child++;
		if (child >= s->n || s->heap[child].held <= last.held)
			break;
		s->heap[i] = s->heap[child];
		i = child;
	}
	s->heap[i] = last;
	return top;
}

/* Is an object in the holder tree of the one asked about? */
static enum hf_status is_inside(struct search *s, int64_t id, bool *ret, struct hf_err *err)
{
	struct hf_object o = {.holder_id = id};
	*ret = false;
	/* A holder holds more than what it holds: past the size of the top it cannot be met. */
	for (int step = 0; o.holder_id && o.held_size <= s->top->held_size && step < MAX_CLIMB;
		step++) {
		if (o.holder_id == s->top->id) {
			*ret = true;
			return HF_OK;
		}
		enum hf_status status = hf_heapdb_object(&s->report->heap, o.holder_id, &o, err);
		if (status != HF_OK)
			return status == HF_E_NOTFOUND ? hf_err_set(err, HF_E_CORRUPT,
								 "the database lacks a holder")
						       : status;
	}
	if (o.holder_id && o.held_size <= s->top->held_size) {
		/* Too far away to tell: leave it out, and say so. */
		s->complete = false;
		*ret = true;
	}
	return HF_OK;
}

static void add_entry(struct search *s, const struct entry *entry)
{
	if (s->n_entries == MAX_ENTRIES)
		s->complete = false;
	else
		s->entries[s->n_entries++] = *entry;
}

static enum hf_status look_at_words(struct search *s, const struct hf_object *o, struct hf_err *err)
{
	struct entry entry = {
		.target_addr = o->addr, .bytes = o->held_size, .count = o->held_count};
	enum hf_status status = HF_OK;
	int n = 0;
	hf_rebind(s->roots, "iii", o->id, o->holder_id ? (int64_t)0 : o->holder_root_id,
		(int64_t)MAX_WORDS);
	while (hf_row(s->roots, &status, err)) {
		entry.root_id = hf_column_int(s->roots, 0);
		add_entry(s, &entry);
	}
	entry.root_id = 0;
	hf_rebind(s->referrers, "iii", o->id, o->holder_id, (int64_t)MAX_WORDS);
	while (hf_row(s->referrers, &status, err)) {
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

static enum hf_status look_at(struct search *s, int64_t id, struct hf_err *err)
{
	struct hf_object o;
	enum hf_status status = hf_heapdb_object(&s->report->heap, id, &o, err);
	if (status == HF_OK && (id == s->top->id || o.idom_id != o.holder_id))
		status = look_at_words(s, &o, err);
	/* What enters below it, all together. */
	if (status != HF_OK || is_small(s, o.held_size - o.retained_size))
		return status;
	hf_rebind(s->children, "i", id);
	while (hf_row(s->children, &status, err)) {
		struct node child = {
			hf_column_int(s->children, 0), (uint64_t)hf_column_int(s->children, 1)};
		if (!is_small(s, child.held))
			status = push(s, child, err);
	}
	sqlite3_reset(s->children);
	return status;
}

static int by_bytes(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	return x->bytes != y->bytes
		       ? (x->bytes < y->bytes ? 1 : -1)
		       : (x->target_addr > y->target_addr) - (x->target_addr < y->target_addr);
}

static enum hf_status run(struct search *s, struct hf_err *err)
{
	sqlite3 *db = s->report->heap.db;
	enum hf_status status = hf_query(db, &s->children, err,
		"SELECT o.id, o.held_size FROM holder_child c CROSS JOIN object o "
		"ON o.id = c.child_id WHERE c.parent_id = ?",
		"");
	if (status == HF_OK)
		status = hf_query(db, &s->referrers, err,
			"SELECT src_id, src_offset FROM edge WHERE dst_id = ? AND src_id <> ? "
			"LIMIT ?",
			"");
	if (status == HF_OK)
		status = hf_query(db, &s->roots, err,
			"SELECT id FROM root WHERE object_id = ? AND id <> ? LIMIT ?", "");
	if (status == HF_OK)
		status = push(s, (struct node){s->top->id, s->top->held_size}, err);
	for (int looked = 0; status == HF_OK && s->n; looked++) {
		if (looked == MAX_LOOKED) {
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

/* Words of one root variable, or of one object, into the same target say the same. */
static bool said_before(const struct search *s, size_t i, const struct hf_root *roots)
{
	for (size_t j = 0; j < i; j++) {
		const struct entry *a = &s->entries[j], *b = &s->entries[i];
		if (a->target_addr == b->target_addr && a->src_id == b->src_id &&
			roots[j].variable_id == roots[i].variable_id &&
			(b->src_id || roots[i].variable_id))
			return true;
	}
	return false;
}

static enum hf_status emit_entry(
	struct search *s, const struct entry *e, const struct hf_root *root, struct hf_err *err)
{
	struct hf_object from = {0};
	_cleanup_(hf_text_deinit) struct hf_text text = HF_TEXT_INIT;
	if (e->src_id) {
		enum hf_status status = hf_heapdb_object(&s->report->heap, e->src_id, &from, err);
		if (status != HF_OK)
			return status;
		_cleanup_(hf_text_deinit) struct hf_text what = HF_TEXT_INIT;
		hf_heapdb_object_place(
			&what, &s->report->heap, &from, hf_emit_dots(s->report->emit));
		struct hf_word word = {.src_offset = e->src_offset};
		status = hf_heapdb_field(&s->report->heap, e->src_id, &word, err);
		if (status != HF_OK)
			return status;
		hf_text_addf(&text, "0x%llx", (unsigned long long)from.addr);
		hf_heapdb_word_name(&text, &word);
		hf_text_addf(&text, "%s%s", what.len ? "  " : "", hf_text_get(&what));
	} else {
		hf_heapdb_root_label(&text, root);
	}
	hf_emit_row(s->report->emit, HF_NO_ROW,
		(struct hf_cell[]){
			hf_cell_int((int64_t)e->bytes),
			hf_cell_int((int64_t)e->count),
			hf_cell_int((int64_t)e->target_addr),
			hf_cell_text(hf_text_get(&text)),
			hf_cell_text(e->src_id ? "object" : root->kind),
			e->src_id    ? hf_cell_int((int64_t)from.addr)
			: root->addr ? hf_cell_int((int64_t)root->addr)
				     : hf_cell_null(),
		});
	return HF_OK;
}

static enum hf_status emit_entries(struct search *s, int n, struct hf_err *err)
{
	static const struct hf_column columns[] = {
		{"bytes", "REACHES", HF_VALUE_SIZE, 0},
		{"count", "OBJECTS", HF_VALUE_COUNT, 0},
		{"target_addr", "INTO", HF_VALUE_ADDRESS, 0},
		{"from", "FROM", HF_VALUE_TEXT, HF_COLUMN_ELIDE},
		{"kind", "", HF_VALUE_TEXT, HF_COLUMN_JSON},
		{"from_addr", "", HF_VALUE_ADDRESS, HF_COLUMN_JSON},
	};
	struct hf_root *roots = calloc(s->n_entries + 1, sizeof(*roots));
	if (!roots)
		return hf_err_set(err, HF_E_NOMEM, "no memory for other holders");
	enum hf_status status = HF_OK;
	int shown = 0, left = 0;
	hf_emit_table_begin(
		s->report->emit, "also_holds", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < s->n_entries && status == HF_OK; i++) {
		if (s->entries[i].root_id)
			status = hf_heapdb_root(
				&s->report->heap, s->entries[i].root_id, &roots[i], err);
		if (status != HF_OK || said_before(s, i, roots))
			continue;
		if (shown == n) {
			left++;
			continue;
		}
		status = emit_entry(s, &s->entries[i], &roots[i], err);
		shown++;
	}
	hf_emit_table_end(s->report->emit);
	free(roots);
	if (status == HF_E_NOTFOUND)
		return hf_err_set(err, HF_E_CORRUPT, "the database lacks a root or an object");
	if (left)
		hf_emit_line(
			s->report->emit, "%s and %d more", hf_emit_dots(s->report->emit), left);
	return status;
}

enum hf_status hf_who_also(
	struct hf_report *report, const struct hf_object *object, int n, struct hf_err *err)
{
	struct hf_emit *emit = report->emit;
	/* Where all is retained, and the one way in is the holder, there is nothing to find. */
	if (!object->reachable ||
		(object->retained_count == object->held_count && object->holder_id &&
			object->idom_id == object->holder_id)) {
		hf_emit_fact(emit, "also_holds_complete", NULL, HF_VALUE_BOOL, hf_cell_int(1));
		return HF_OK;
	}
	_cleanup_(search_destroy) struct search *s = calloc(1, sizeof(*s));
	if (!s)
		return hf_err_set(err, HF_E_NOMEM, "no memory to look for other holders");
	s->report = report;
	s->top = object;
	s->complete = true;
	enum hf_status status = run(s, err);
	/* One word into a list whose links hold little each reaches all of them. */
	if (status == HF_OK && !s->n_entries && object->retained_size < object->held_size / 2) {
		s->small_too = true;
		s->n = 0;
		hf_stmt_done(&s->children);
		hf_stmt_done(&s->referrers);
		hf_stmt_done(&s->roots);
		status = run(s, err);
	}
	if (status != HF_OK)
		return status;
	char held[HF_NUMBER_SIZE], retained[HF_NUMBER_SIZE];
	if (s->n_entries && object->retained_count == object->held_count)
		hf_emit_title(emit, "Also reached from outside");
	else if (s->n_entries)
		hf_emit_title(emit, "Why it retains %s of the %s: words that also reach in",
			hf_human_size(retained, object->retained_size),
			hf_human_size(held, object->held_size));
	status = emit_entries(s, n, err);
	hf_emit_fact(emit, "also_holds_complete", NULL, HF_VALUE_BOOL, hf_cell_int(s->complete));
	if (!s->complete)
		hf_emit_line(emit, "(there is too much below it to look at all of it)");
	return status;
}
