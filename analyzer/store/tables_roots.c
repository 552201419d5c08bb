#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "store/insert.h"
#include "store/root_name.h"
#include "store/tables.h"

enum { KIND_OTHER = HF_ROOT_REGISTERED + 1, N_KINDS };

/* The kind of a word, kinds that we do not know as one. */
static uint32_t bare_kind(const struct hf_heap_root *root)
{
	return root->kind && root->kind < KIND_OTHER ? root->kind : KIND_OTHER;
}

/* A root word by its owner: a variable, or, past the last variable, the kind of a word without. */
struct word {
	uint32_t owner, object;
};

/* What the words of one owner point to directly. */
struct direct {
	uint64_t words, count, size;
	/* Of the objects that nothing but the virtual root dominates: only asked for where there is
	 * no variable to ask. */
	uint64_t retained_size, retained_count;
};

static int compare_words(const void *pa, const void *pb)
{
	const struct word *a = pa, *b = pb;
	if (a->owner != b->owner)
		return a->owner < b->owner ? -1 : 1;
	return a->object < b->object ? -1 : a->object > b->object;
}

/* ret has room for every variable and then for N_KINDS. */
static enum hf_status find_direct(
	struct direct *ret, const struct hf_store_input *in, struct hf_err *err)
{
	const struct hf_heap *heap = in->heap;
	size_t n = heap->roots.n;
	_cleanup_(hf_freep) struct word *word = malloc((n + 1) * sizeof(*word));
	if (!word)
		return hf_err_set(err, HF_E_NOMEM, "no memory to sort %zu root words", n);
	uint32_t n_variables = (uint32_t)heap->variables.n;
	for (size_t i = 0; i < n; i++) {
		const struct hf_heap_root *r = &heap->roots.at[i];
		word[i] = (struct word){
			r->variable != HF_NONE ? r->variable : n_variables + bare_kind(r),
			r->object};
	}
	qsort(word, n, sizeof(*word), compare_words);
	for (size_t i = 0; i < n; i++) {
		struct direct *d = &ret[word[i].owner];
		d->words++;
		if (i && !compare_words(&word[i], &word[i - 1]))
			continue;
		const struct hf_graph_dominance *dom = &in->dominators->node[word[i].object];
		d->count++;
		d->size += in->graph->size[word[i].object];
		if (dom->idom == HF_GRAPH_NONE) {
			d->retained_size += dom->retained_size;
			d->retained_count += dom->retained_count;
		}
	}
	return HF_OK;
}

static enum hf_status insert_variables(sqlite3 *db, const struct hf_store_input *in,
	const struct direct *direct, struct hf_err *err)
{
	const struct hf_heap *heap = in->heap;
	const struct hf_names *names = in->names;
	_cleanup_(hf_insert_deinit) struct hf_insert ins;
	enum hf_status status = hf_insert_init(&ins, db, "variable", 16, err);
	for (uint32_t i = 0; !status && i < heap->variables.n; i++) {
		const struct hf_heap_variable *v = &heap->variables.at[i];
		const struct hf_graph_dominance *dom =
			&in->dominators->node[in->graph->n_objects + i];
		hf_insert_u64(&ins, i + 1ull);
		hf_insert_text(&ins, hf_root_kind_name(v->kind));
		hf_insert_text(&ins, hf_variable_name(heap, names, i));
		hf_insert_index(&ins, v->module);
		hf_insert_index(&ins, v->thread);
		hf_insert_id(&ins, names && names->variable_frame ? names->variable_frame[i] : 0);
		hf_insert_id(&ins, names && names->variable_type ? names->variable_type[i] : 0);
		if (v->kind == HF_ROOT_REGISTER)
			hf_insert_null(&ins);
		else
			hf_insert_u64(&ins, v->addr);
		hf_insert_u64(&ins, v->size_bytes);
		hf_insert_u64(&ins, direct[i].words);
		hf_insert_u64(&ins, direct[i].count);
		hf_insert_u64(&ins, direct[i].size);
		hf_insert_u64(&ins, dom->retained_size);
		hf_insert_u64(&ins, dom->retained_count);
		hf_insert_u64(&ins, in->held->variable[i].size);
		hf_insert_u64(&ins, in->held->variable[i].count);
		status = hf_insert_row(&ins, err);
	}
	return status;
}

static enum hf_status insert_roots(sqlite3 *db, const struct hf_store_input *in, struct hf_err *err)
{
	const struct hf_heap *heap = in->heap;
	const uint32_t *frame = in->names ? in->names->variable_frame : NULL;
	_cleanup_(hf_insert_deinit) struct hf_insert ins;
	enum hf_status status = hf_insert_init(&ins, db, "root", 10, err);
	for (uint32_t i = 0; !status && i < heap->roots.n; i++) {
		const struct hf_heap_root *r = &heap->roots.at[i];
		char name[HF_ROOT_NAME_SIZE];
		hf_root_name(name, heap, in->names, i);
		hf_insert_u64(&ins, i + 1ull);
		hf_insert_text(&ins, hf_root_kind_name(r->kind));
		hf_insert_text(&ins, name);
		if (r->kind == HF_ROOT_REGISTER)
			hf_insert_null(&ins);
		else
			hf_insert_u64(&ins, r->addr);
		hf_insert_u64(&ins, r->object + 1ull);
		hf_insert_u64(&ins, r->offset);
		hf_insert_index(&ins, r->module);
		hf_insert_index(&ins, r->thread);
		hf_insert_id(&ins, frame && r->variable != HF_NONE ? frame[r->variable] : 0);
		hf_insert_index(&ins, r->variable);
		status = hf_insert_row(&ins, err);
	}
	return status;
}

static enum hf_status insert_bare(
	sqlite3 *db, const struct hf_store_input *in, const struct direct *bare, struct hf_err *err)
{
	struct hf_graph_sum held[N_KINDS] = {0};
	for (size_t i = 0; i < in->heap->roots.n; i++) {
		const struct hf_heap_root *r = &in->heap->roots.at[i];
		if (r->variable != HF_NONE)
			continue;
		held[bare_kind(r)].size += in->held->root[i].size;
		held[bare_kind(r)].count += in->held->root[i].count;
	}
	_cleanup_(hf_insert_deinit) struct hf_insert ins;
	enum hf_status status = hf_insert_init(&ins, db, "stat_bare_root", 8, err);
	for (uint32_t kind = 0; !status && kind < N_KINDS; kind++) {
		const struct direct *d = &bare[kind];
		if (!d->words)
			continue;
		hf_insert_text(&ins, hf_root_kind_name(kind));
		hf_insert_u64(&ins, d->words);
		hf_insert_u64(&ins, d->count);
		hf_insert_u64(&ins, d->size);
		hf_insert_u64(&ins, d->retained_size);
		hf_insert_u64(&ins, d->retained_count);
		hf_insert_u64(&ins, held[kind].size);
		hf_insert_u64(&ins, held[kind].count);
		status = hf_insert_row(&ins, err);
	}
	return status;
}

enum hf_status hf_tables_roots(sqlite3 *db, const struct hf_store_input *input, struct hf_err *err)
{
	size_t n = input->heap->variables.n;
	_cleanup_(hf_freep) struct direct *direct = calloc(n + N_KINDS, sizeof(*direct));
	if (!direct)
		return hf_err_set(err, HF_E_NOMEM, "no memory for %zu variables", n);
	enum hf_status status = find_direct(direct, input, err);
	if (!status)
		status = insert_variables(db, input, direct, err);
	if (!status)
		status = insert_roots(db, input, err);
	if (!status)
		status = insert_bare(db, input, direct + n, err);
	return status;
}
