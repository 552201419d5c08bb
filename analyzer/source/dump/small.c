/* The sections whose records become elements of a list, one block at a time. */
#include <string.h>

#include "source/dump/reader.h"

/* One record after the other out of a block's columns. */
struct rows {
	struct reader *reader;
	struct hf_heap *heap;
	struct column *c;
	unsigned section;
	const char *problem;
};

static const char *text(struct rows *rows, unsigned column)
{
	uint64_t size = 0;
	const uint8_t *bytes = column_s(&rows->c[column], &size);
	if (!bytes)
		return "";
	if (size > HF_FORMAT_MAX_STRING)
		rows->problem = "a string is too long";
	const char *copy = rows->problem ? "" : hf_heap_string(rows->heap, bytes, size);
	if (!copy)
		rows->problem = block_no_memory;
	return copy ? copy : "";
}

static uint32_t u32(struct rows *rows, unsigned column)
{
	uint64_t v = column_u(&rows->c[column]);
	if (v > UINT32_MAX) {
		rows->problem = "a value is out of range";
		return 0;
	}
	return (uint32_t)v;
}

/* An index into another section, or HF_NONE if that record is not there. */
static uint32_t index_of(struct rows *rows, enum hf_section section, uint64_t id)
{
	uint32_t i = ids_get(&rows->reader->ids[section], id);
	if (i == HF_NONE)
		rows->reader->dangling[rows->section]++;
	return i;
}

/* The same of an «index+1» column. */
static uint32_t index_or_none(struct rows *rows, enum hf_section section, unsigned column)
{
	uint64_t id = column_u(&rows->c[column]);
	return id ? index_of(rows, section, id - 1) : HF_NONE;
}

static void row_process(struct rows *rows)
{
	struct hf_heap_property *p = hf_heap_push(&rows->heap->properties);
	const char *key = text(rows, 0), *value = text(rows, 1);
	if (p)
		*p = (struct hf_heap_property){key, value};
	else
		rows->problem = block_no_memory;
}

static void row_module(struct rows *rows)
{
	struct hf_heap_module *m = hf_heap_push(&rows->heap->modules);
	if (!m) {
		rows->problem = block_no_memory;
		return;
	}
	m->base = column_d(&rows->c[0]);
	m->size = column_u(&rows->c[1]);
	m->bias = column_z(&rows->c[2]);
	m->path = text(rows, 3);
	uint64_t size = 0;
	const uint8_t *id = column_s(&rows->c[4], &size);
	m->build_id = (const uint8_t *)(id ? hf_heap_string(rows->heap, id, size) : "");
	m->build_id_size = (uint32_t)size;
	if (!m->build_id)
		rows->problem = block_no_memory;
	if (m->size > UINT64_MAX - m->base)
		rows->problem = "a module ends past the end of memory";
}

static void row_mapping(struct rows *rows)
{
	struct hf_heap_mapping *m = hf_heap_push(&rows->heap->mappings);
	if (!m) {
		rows->problem = block_no_memory;
		return;
	}
	m->start = column_d(&rows->c[0]);
	m->size = column_u(&rows->c[1]);
	m->perms = u32(rows, 2);
	m->kind = u32(rows, 3);
	m->rss_bytes = column_u(&rows->c[4]);
	m->offset = column_u(&rows->c[5]);
	m->path = text(rows, 6);
	if (m->size > UINT64_MAX - m->start)
		rows->problem = "a mapping ends past the end of memory";
}

static void row_thread(struct rows *rows)
{
	struct hf_heap_thread *t = hf_heap_push(&rows->heap->threads);
	if (!t) {
		rows->problem = block_no_memory;
		return;
	}
	uint64_t *const fields[] = {
		&t->tid, &t->flags, &t->pc, &t->sp, &t->stack_start, &t->stack_size, &t->tp};
	for (unsigned k = 0; k < 7; k++)
		*fields[k] = column_u(&rows->c[k]);
	t->name = text(rows, 7);
}

static void row_register(struct rows *rows)
{
	struct hf_heap_register r = {
		.thread = index_of(rows, HF_SECTION_THREAD, column_u(&rows->c[0]))};
	r.number = u32(rows, 1);
	r.value = column_u(&rows->c[2]);
	if (r.thread == HF_NONE) {
		rows->reader->dropped[rows->section]++;
		return;
	}
	struct hf_heap_register *to = hf_heap_push(&rows->heap->registers);
	if (to)
		*to = r;
	else
		rows->problem = block_no_memory;
}

static void row_stack_word(struct rows *rows)
{
	struct hf_heap_stack_word word = {
		.thread = index_of(rows, HF_SECTION_THREAD, column_u(&rows->c[0]))};
	word.addr = column_z(&rows->c[1]);
	word.value = column_z(&rows->c[2]);
	if (word.thread == HF_NONE) {
		rows->reader->dropped[rows->section]++;
		return;
	}
	struct hf_heap_stack_word *to = hf_heap_push(&rows->heap->stack_words);
	if (to)
		*to = word;
	else
		rows->problem = block_no_memory;
}

static void row_arena(struct rows *rows)
{
	struct hf_heap_arena *a = hf_heap_push(&rows->heap->arenas);
	if (!a) {
		rows->problem = block_no_memory;
		return;
	}
	a->allocator = text(rows, 0);
	a->kind = u32(rows, 1);
	uint64_t *const fields[] = {&a->addr, &a->size_bytes, &a->live_bytes, &a->live_count,
		&a->free_bytes, &a->free_count, &a->metadata_bytes};
	for (unsigned k = 0; k < 7; k++)
		*fields[k] = column_u(&rows->c[2 + k]);
}

static void row_variable(struct rows *rows)
{
	struct hf_heap_variable *v = hf_heap_push(&rows->heap->variables);
	if (!v) {
		rows->problem = block_no_memory;
		return;
	}
	v->kind = u32(rows, 0);
	v->module = index_or_none(rows, HF_SECTION_MODULE, 1);
	v->thread = index_or_none(rows, HF_SECTION_THREAD, 2);
	v->addr = column_u(&rows->c[3]);
	v->size_bytes = column_u(&rows->c[4]);
	v->name = text(rows, 5);
}

static void row_root(struct rows *rows)
{
	struct hf_heap_root root = {.kind = u32(rows, 0)};
	root.variable = index_or_none(rows, HF_SECTION_VARIABLE, 1);
	root.module = index_or_none(rows, HF_SECTION_MODULE, 2);
	root.thread = index_or_none(rows, HF_SECTION_THREAD, 3);
	root.addr = column_z(&rows->c[4]);
	root.object = ids_get(&rows->reader->ids[HF_SECTION_OBJECT], column_u(&rows->c[5]));
	root.offset = column_u(&rows->c[6]);
	if (root.object == HF_NONE) {
		rows->reader->dropped[rows->section]++;
		return;
	}
	struct hf_heap_root *to = hf_heap_push(&rows->heap->roots);
	if (to)
		*to = root;
	else
		rows->problem = block_no_memory;
}

static void row_label(struct rows *rows)
{
	uint32_t object = ids_get(&rows->reader->ids[HF_SECTION_OBJECT], column_u(&rows->c[0]));
	const char *label = text(rows, 1);
	if (object == HF_NONE) {
		rows->reader->dropped[rows->section]++;
		return;
	}
	struct hf_heap_label *to = hf_heap_push(&rows->heap->labels);
	if (to)
		*to = (struct hf_heap_label){object, label};
	else
		rows->problem = block_no_memory;
}

static void row_counter(struct rows *rows)
{
	struct hf_heap_counter *c = hf_heap_push(&rows->heap->counters);
	if (!c) {
		rows->problem = block_no_memory;
		return;
	}
	c->name = text(rows, 0);
	c->allocator = column_u(&rows->c[1]);
	c->walked = column_u(&rows->c[2]);
	c->must_match = column_u(&rows->c[3]) & 1;
}

static void row_finding(struct rows *rows)
{
	struct hf_heap_finding *f = hf_heap_push(&rows->heap->findings);
	if (!f) {
		rows->problem = block_no_memory;
		return;
	}
	f->severity = u32(rows, 0);
	f->addr = column_u(&rows->c[1]);
	f->text = text(rows, 2);
}

/* The list that a section fills: its row function and where its length stands. */
struct list {
	void (*row)(struct rows *rows);
	size_t *n;
};

static struct list list_of(struct hf_heap *heap, unsigned section)
{
	switch (section) {
	case HF_SECTION_PROCESS:
		return (struct list){row_process, &heap->properties.n};
	case HF_SECTION_MODULE:
		return (struct list){row_module, &heap->modules.n};
	case HF_SECTION_MAPPING:
		return (struct list){row_mapping, &heap->mappings.n};
	case HF_SECTION_THREAD:
		return (struct list){row_thread, &heap->threads.n};
	case HF_SECTION_REGISTER:
		return (struct list){row_register, &heap->registers.n};
	case HF_SECTION_STACK_WORD:
		return (struct list){row_stack_word, &heap->stack_words.n};
	case HF_SECTION_ARENA:
		return (struct list){row_arena, &heap->arenas.n};
	case HF_SECTION_VARIABLE:
		return (struct list){row_variable, &heap->variables.n};
	case HF_SECTION_ROOT:
		return (struct list){row_root, &heap->roots.n};
	case HF_SECTION_LABEL:
		return (struct list){row_label, &heap->labels.n};
	case HF_SECTION_COUNTER:
		return (struct list){row_counter, &heap->counters.n};
	case HF_SECTION_FINDING:
		return (struct list){row_finding, &heap->findings.n};
	default:
		return (struct list){0};
	}
}

static const char *read_rows(struct rows *rows, const struct list *list, uint32_t n_items)
{
	unsigned n_columns = (unsigned)strlen(hf_format_columns(rows->section));
	for (uint32_t i = 0; i < n_items && !rows->problem; i++) {
		for (unsigned c = 0; c < n_columns; c++) {
			if (!column_more(&rows->c[c]))
				return "a column is cut off";
		}
		list->row(rows);
	}
	for (unsigned c = 0; c < n_columns && !rows->problem; c++) {
		if (!column_done(&rows->c[c]))
			return "a column is damaged";
	}
	return rows->problem;
}

const char *decode_small(
	struct reader *reader, struct block_buffer *buffer, struct dump_block *block)
{
	struct list list = list_of(reader->heap, block->section);
	struct rows rows = {.reader = reader,
		.heap = reader->heap,
		.c = buffer->columns,
		.section = block->section};
	uint64_t dangling = reader->dangling[block->section];
	uint64_t dropped = reader->dropped[block->section];
	size_t before = *list.n;
	const char *problem = read_rows(&rows, &list, block->n_items);
	if (!problem)
		problem = ids_add(&reader->ids[block->section], block, before);
	if (problem) {
		*list.n = before;
		reader->dangling[block->section] = dangling;
		reader->dropped[block->section] = dropped;
	}
	return problem;
}

enum hf_status read_small(
	struct reader *reader, const uint16_t *sections, size_t n_sections, struct hf_err *err)
{
	struct block_buffer buffer = {0};
	enum hf_status status = HF_OK;
	for (size_t s = 0; s < n_sections; s++) {
		for (size_t i = 0; i < reader->blocks.n && status == HF_OK; i++) {
			struct dump_block *block = &reader->blocks.at[i];
			if (block->section != sections[s] || block->problem)
				continue;
			block->problem = block_load(&buffer, &reader->file, block);
			if (!block->problem)
				block->problem = decode_small(reader, &buffer, block);
			if (block->problem == block_no_memory)
				status = hf_err_set(err, HF_E_NOMEM, "%s: no memory to decode it",
					reader->file.name);
		}
	}
	block_buffer_free(&buffer);
	return status;
}
