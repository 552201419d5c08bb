#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/fmt.h"
#include "store/account.h"
#include "store/insert.h"
#include "store/tables.h"

struct hf_rows_objects hf_tables_objects(const struct hf_store_input *input)
{
	return (struct hf_rows_objects){.heap = input->heap,
		.names = input->names,
		.size = input->graph->size,
		.reach = input->reach->link,
		.dominance = input->dominators->node,
		.held = input->held};
}

/* Rows of meta; the last value of a key stays: ours, not that of a property of the same name. */
struct meta {
	struct hf_insert insert;
	struct hf_err *err;
	enum hf_status status;
};

static void meta_row(struct meta *m)
{
	if (!m->status)
		m->status = hf_insert_row(&m->insert, m->err);
}

static void meta_u64(struct meta *m, const char *key, uint64_t v)
{
	hf_insert_text(&m->insert, key);
	hf_insert_u64(&m->insert, v);
	meta_row(m);
}

static void meta_text(struct meta *m, const char *key, const char *v)
{
	hf_insert_text(&m->insert, key);
	hf_insert_text(&m->insert, v);
	meta_row(m);
}

/* Numbers as numbers: "4711", but not "007", "-1" or what 63 bits do not hold. */
static void meta_property(struct meta *m, const struct hf_heap_property *p)
{
	uint64_t v;
	const char *text = p->value;
	size_t digits = strspn(text, "0123456789");
	if (digits && digits < 19 && !text[digits] && (text[0] != '0' || digits == 1) &&
		hf_parse_u64(&text, &v))
		meta_u64(m, p->key, v);
	else
		meta_text(m, p->key, p->value);
}

static void hex(char *ret, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		hf_fmt(ret + 2 * i, 3, "%02x", bytes[i]);
	ret[2 * n] = 0;
}

static void meta_totals(struct meta *m, const struct hf_store_input *in)
{
	const struct hf_heap *heap = in->heap;
	uint64_t leak_count = heap->n_objects - in->reach->n_reachable;
	meta_u64(m, "object_count", heap->n_objects);
	meta_u64(m, "live_size", in->reach->total_bytes);
	meta_u64(m, "live_usable", heap->total_usable);
	meta_u64(m, "edge_count", heap->n_edges);
	meta_u64(m, "root_count", heap->roots.n);
	meta_u64(m, "reachable_count", in->reach->n_reachable);
	meta_u64(m, "reachable_size", in->reach->reachable_bytes);
	meta_u64(m, "leak_count", leak_count);
	meta_u64(m, "leak_size", in->reach->total_bytes - in->reach->reachable_bytes);
	meta_u64(m, "leak_head_count", in->heads->n);
	meta_u64(m, "sizes_requested", heap->requested != NULL);
	meta_u64(m, "sites", heap->site != NULL);
	meta_u64(m, "dump_size", heap->file_bytes);
	meta_u64(m, "lost_objects", heap->lost.objects);
	meta_u64(m, "lost_edges", heap->lost.edges + heap->lost.edges_dropped);
	for (size_t i = 0; i < in->n_figures; i++)
		meta_u64(m, in->figures[i].key, in->figures[i].value);
}

/* Why the heap is partial, a line each; NULL if it is not. */
static char *join_reasons(const struct hf_heap *heap)
{
	size_t size = 1;
	for (size_t i = 0; i < heap->reasons.n; i++)
		size += strlen(heap->reasons.at[i]) + 1;
	char *text = heap->reasons.n ? malloc(size) : NULL, *end = text;
	for (size_t i = 0; text && i < heap->reasons.n; i++)
		end += hf_fmt(
			end, size - (size_t)(end - text), i ? "\n%s" : "%s", heap->reasons.at[i]);
	return text;
}

static enum hf_status insert_meta(sqlite3 *db, const struct hf_store_input *in, struct hf_err *err)
{
	const struct hf_heap *heap = in->heap;
	struct meta m = {.err = err};
	enum hf_status status = hf_insert_init_or_replace(&m.insert, db, "meta", 2, err);
	if (status)
		return status;
	for (size_t i = 0; i < heap->properties.n; i++)
		meta_property(&m, &heap->properties.at[i]);
	meta_text(&m, "format_version", heap->format);
	meta_u64(&m, "schema_version", HF_SCHEMA_VERSION);
	meta_text(&m, "holdfast_version", HF_VERSION);
	if (heap->time_ns) {
		meta_u64(&m, "time", heap->time_ns / 1000000000);
		meta_u64(&m, "time_ns", heap->time_ns);
	}
	if (heap->has_token) {
		char token[2 * HF_FORMAT_TOKEN_SIZE + 1];
		hex(token, heap->token, HF_FORMAT_TOKEN_SIZE);
		meta_text(&m, "token", token);
	}
	meta_u64(&m, "partial", heap->partial);
	_cleanup_(hf_freep) char *reasons = join_reasons(heap);
	if (reasons)
		meta_text(&m, "partial_reasons", reasons);
	meta_totals(&m, in);
	hf_insert_deinit(&m.insert);
	return m.status;
}

static enum hf_status insert_modules(sqlite3 *db, const struct hf_heap *heap, struct hf_err *err)
{
	_cleanup_(hf_insert_deinit) struct hf_insert ins;
	enum hf_status status = hf_insert_init(&ins, db, "module", 6, err);
	for (size_t i = 0; !status && i < heap->modules.n; i++) {
		const struct hf_heap_module *m = &heap->modules.at[i];
		char build_id[2 * 64 + 1];
		uint32_t n = m->build_id_size < 64 ? m->build_id_size : 64;
		hex(build_id, m->build_id, n);
		hf_insert_u64(&ins, i + 1);
		hf_insert_text(&ins, m->path);
		hf_insert_text(&ins, n ? build_id : NULL);
		hf_insert_u64(&ins, m->base);
		hf_insert_u64(&ins, m->size);
		hf_insert_u64(&ins, m->bias);
		status = hf_insert_row(&ins, err);
	}
	return status;
}

static const char *mapping_kind(uint32_t kind)
{
	static const char *const names[] = {
		[HF_MAPPING_OTHER] = "other",
		[HF_MAPPING_HEAP] = "heap",
		[HF_MAPPING_STACK] = "stack",
		[HF_MAPPING_MODULE] = "module",
		[HF_MAPPING_FILE] = "file",
		[HF_MAPPING_SHARED] = "shared",
		[HF_MAPPING_KERNEL] = "kernel",
		[HF_MAPPING_OWN] = "own",
	};
	return kind <= HF_MAPPING_OWN ? names[kind] : "other";
}

static enum hf_status insert_mappings(sqlite3 *db, const struct hf_heap *heap, struct hf_err *err)
{
	_cleanup_(hf_insert_deinit) struct hf_insert ins;
	enum hf_status status = hf_insert_init(&ins, db, "mapping", 8, err);
	bool known = hf_account_resident_known(heap);
	for (size_t i = 0; !status && i < heap->mappings.n; i++) {
		const struct hf_heap_mapping *m = &heap->mappings.at[i];
		char perms[5] = {m->perms & 1 ? 'r' : '-', m->perms & 2 ? 'w' : '-',
			m->perms & 4 ? 'x' : '-', m->perms & 8 ? 's' : 'p', 0};
		hf_insert_u64(&ins, i + 1);
		hf_insert_u64(&ins, m->start);
		hf_insert_u64(&ins, m->size);
		hf_insert_text(&ins, perms);
		hf_insert_text(&ins, m->path);
		hf_insert_text(&ins, mapping_kind(m->kind));
		if (known)
			hf_insert_u64(&ins, m->rss_bytes);
		else
			hf_insert_null(&ins);
		hf_insert_u64(&ins, m->offset);
		status = hf_insert_row(&ins, err);
	}
	return status;
}

static enum hf_status insert_threads(sqlite3 *db, const struct hf_heap *heap, struct hf_err *err)
{
	_cleanup_(hf_insert_deinit) struct hf_insert ins;
	enum hf_status status = hf_insert_init(&ins, db, "thread", 11, err);
	for (size_t i = 0; !status && i < heap->threads.n; i++) {
		const struct hf_heap_thread *t = &heap->threads.at[i];
		hf_insert_u64(&ins, i + 1);
		hf_insert_u64(&ins, t->tid);
		hf_insert_text(&ins, t->name);
		hf_insert_u64(&ins, t->stack_start);
		hf_insert_u64(&ins, t->stack_size);
		hf_insert_u64(&ins, t->pc);
		hf_insert_u64(&ins, t->sp);
		hf_insert_u64(&ins, t->tp);
		hf_insert_u64(&ins, !(t->flags & HF_THREAD_NO_REGISTERS));
		hf_insert_u64(&ins, !!(t->flags & HF_THREAD_CALLER));
		hf_insert_u64(&ins, !!(t->flags & HF_THREAD_CRASHED));
		status = hf_insert_row(&ins, err);
	}
	return status;
}

static enum hf_status insert_checks(sqlite3 *db, const struct hf_heap *heap, struct hf_err *err)
{
	_cleanup_(hf_insert_deinit) struct hf_insert counters, findings = {0};
	enum hf_status status = hf_insert_init(&counters, db, "counter", 5, err);
	for (size_t i = 0; !status && i < heap->counters.n; i++) {
		const struct hf_heap_counter *c = &heap->counters.at[i];
		hf_insert_u64(&counters, i + 1);
		hf_insert_text(&counters, c->name);
		hf_insert_u64(&counters, c->allocator);
		hf_insert_u64(&counters, c->walked);
		hf_insert_u64(&counters, c->must_match);
		status = hf_insert_row(&counters, err);
	}
	if (!status)
		status = hf_insert_init(&findings, db, "finding", 4, err);
	for (size_t i = 0; !status && i < heap->findings.n; i++) {
		const struct hf_heap_finding *f = &heap->findings.at[i];
		hf_insert_u64(&findings, i + 1);
		hf_insert_text(&findings, f->severity >= HF_PARTIAL   ? "partial"
					  : f->severity == HF_WARNING ? "warning"
								      : "info");
		if (f->addr)
			hf_insert_u64(&findings, f->addr);
		else
			hf_insert_null(&findings);
		hf_insert_text(&findings, f->text);
		status = hf_insert_row(&findings, err);
	}
	hf_insert_deinit(&findings);
	return status;
}

enum hf_status hf_tables_process(
	sqlite3 *db, const struct hf_store_input *input, struct hf_err *err)
{
	enum hf_status status = insert_meta(db, input, err);
	if (!status)
		status = insert_modules(db, input->heap, err);
	if (!status)
		status = insert_mappings(db, input->heap, err);
	if (!status)
		status = insert_threads(db, input->heap, err);
	if (!status)
		status = insert_checks(db, input->heap, err);
	if (!status && input->names)
		status = hf_tables_names(db, input->names, err);
	return status;
}
