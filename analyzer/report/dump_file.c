#include "report/dump_file.h"

#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "emit/text.h"
#include "source/dump/dump.h"

enum { SHOWN_PROBLEMS = 100 };

static const char *section_name(uint32_t section)
{
	static const char *const names[] = {
		[HF_SECTION_PROCESS] = "process",
		[HF_SECTION_MODULE] = "module",
		[HF_SECTION_MAPPING] = "mapping",
		[HF_SECTION_THREAD] = "thread",
		[HF_SECTION_REGISTER] = "register",
		[HF_SECTION_STACK_WORD] = "stack word",
		[HF_SECTION_ARENA] = "arena",
		[HF_SECTION_OBJECT] = "object",
		[HF_SECTION_EDGE] = "edge",
		[HF_SECTION_MODREF] = "module reference",
		[HF_SECTION_VARIABLE] = "variable",
		[HF_SECTION_ROOT] = "root",
		[HF_SECTION_LABEL] = "label",
		[HF_SECTION_COUNTER] = "counter",
		[HF_SECTION_FINDING] = "finding",
		[HF_SECTION_INDEX] = "index",
		[HF_SECTION_SITE] = "site",
		[HF_SECTION_CONTENT] = "content",
	};
	const char *name = section < sizeof(names) / sizeof(names[0]) ? names[section] : NULL;
	return name ? name : "unknown";
}

static void header(struct hf_emit *emit, const char *path, const struct hf_dump_info *info)
{
	char text[64];
	time_t t = (time_t)(info->time_ns / 1000000000);
	struct tm tm;
	hf_emit_title(emit, "%s", path);
	hf_emit_fact(emit, "format", "format", HF_VALUE_TEXT, hf_cell_text(info->heap.format));
	if (info->time_ns && gmtime_r(&t, &tm) &&
		strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm))
		hf_emit_line(emit, "%-14s %s", "dumped", text);
	hf_emit_fact(emit, "time", NULL, HF_VALUE_PLAIN,
		info->time_ns ? hf_cell_int((int64_t)t) : hf_cell_null());
	hf_emit_fact(emit, "file_size", "file size", HF_VALUE_SIZE,
		hf_cell_int((int64_t)info->file_bytes));
	hf_emit_fact(emit, "complete", "complete", HF_VALUE_BOOL, hf_cell_int(info->complete));
	if (!info->complete) {
		hf_emit_fact(emit, "end_offset", NULL, HF_VALUE_PLAIN,
			hf_cell_int((int64_t)info->end_offset));
		if (info->cut)
			hf_emit_line(emit, "%-14s %llu bytes into the file", "whole up to",
				(unsigned long long)info->end_offset);
	}
	hf_emit_fact(emit, "partial", "partial", HF_VALUE_BOOL, hf_cell_int(info->heap.partial));
	if (info->sections[HF_SECTION_CONTENT].n_items)
		hf_emit_warning(emit,
			"this file holds user data: the bytes of the program's objects "
			"(--contents all)");
	for (size_t i = 0; i < info->heap.reasons.n; i++)
		hf_emit_warning(emit, "PARTIAL: %s", info->heap.reasons.at[i]);
}

static void process(struct hf_emit *emit, const struct hf_heap *heap)
{
	hf_emit_title(emit, "Process");
	hf_emit_object_begin(emit, "process");
	for (size_t i = 0; i < heap->properties.n; i++)
		hf_emit_fact(emit, heap->properties.at[i].key, heap->properties.at[i].key,
			HF_VALUE_TEXT, hf_cell_text(heap->properties.at[i].value));
	hf_emit_object_end(emit);
}

static void sections(struct hf_emit *emit, const struct hf_dump_info *info)
{
	static const struct hf_column columns[] = {
		{"section", "SECTION", HF_VALUE_TEXT, 0},
		{"items", "RECORDS", HF_VALUE_COUNT, 0},
		{"blocks", "BLOCKS", HF_VALUE_COUNT, 0},
		{"stored_size", "STORED", HF_VALUE_SIZE, 0},
		{"raw_size", "DECODED", HF_VALUE_SIZE, 0},
	};
	hf_emit_title(emit, "Sections");
	hf_emit_table_begin(emit, "sections", columns, sizeof(columns) / sizeof(columns[0]));
	for (uint32_t i = 0; i < HF_SECTION_END; i++) {
		const struct hf_dump_section *s = &info->sections[i];
		if (!s->n_blocks)
			continue;
		hf_emit_row(emit, HF_NO_ROW,
			(struct hf_cell[]){
				hf_cell_text(section_name(i)),
				hf_cell_int((int64_t)s->n_items),
				hf_cell_int((int64_t)s->n_blocks),
				hf_cell_int((int64_t)s->stored_bytes),
				hf_cell_int((int64_t)s->raw_bytes),
			});
	}
	hf_emit_table_end(emit);
}

static void arenas(struct hf_emit *emit, const struct hf_heap *heap)
{
	static const struct hf_column columns[] = {
		{"allocator", "ALLOCATOR", HF_VALUE_TEXT, 0},
		{"addr", "ARENA", HF_VALUE_ADDRESS, 0},
		{"system_size", "SYSTEM", HF_VALUE_SIZE, 0},
		{"size", "LIVE", HF_VALUE_SIZE, 0},
		{"count", "OBJECTS", HF_VALUE_COUNT, 0},
		{"free_bytes", "FREE", HF_VALUE_SIZE, 0},
	};
	if (heap->arenas.n)
		hf_emit_title(emit, "Allocators");
	hf_emit_table_begin(emit, "arenas", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < heap->arenas.n; i++) {
		const struct hf_heap_arena *a = &heap->arenas.at[i];
		hf_emit_row(emit, HF_NO_ROW,
			(struct hf_cell[]){
				hf_cell_text(a->allocator),
				hf_cell_int((int64_t)a->addr),
				hf_cell_int((int64_t)a->size_bytes),
				hf_cell_int((int64_t)a->live_bytes),
				hf_cell_int((int64_t)a->live_count),
				hf_cell_int((int64_t)a->free_bytes),
			});
	}
	hf_emit_table_end(emit);
}

static void counters(struct hf_emit *emit, const struct hf_heap *heap)
{
	static const struct hf_column columns[] = {
		{"name", "CROSS-CHECK", HF_VALUE_TEXT, 0},
		{"expected", "ALLOCATOR SAYS", HF_VALUE_COUNT, 0},
		{"found", "WALK FOUND", HF_VALUE_COUNT, 0},
		{"result", "", HF_VALUE_TEXT, 0},
		{"must_match", "", HF_VALUE_BOOL, HF_COLUMN_JSON},
	};
	if (heap->counters.n)
		hf_emit_title(emit, "The walk against the allocators' own counters");
	hf_emit_table_begin(emit, "counters", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < heap->counters.n; i++) {
		const struct hf_heap_counter *c = &heap->counters.at[i];
		hf_emit_row(emit, HF_NO_ROW,
			(struct hf_cell[]){
				hf_cell_text(c->name),
				hf_cell_int((int64_t)c->allocator),
				hf_cell_int((int64_t)c->walked),
				hf_cell_text(c->allocator == c->walked ? "ok"
					     : c->must_match           ? "FAILED"
								       : "differs"),
				hf_cell_int(c->must_match),
			});
	}
	hf_emit_table_end(emit);
}

static void findings(struct hf_emit *emit, const struct hf_heap *heap)
{
	static const struct hf_column columns[] = {
		{"severity", "SEVERITY", HF_VALUE_TEXT, 0},
		{"addr", "", HF_VALUE_ADDRESS, HF_COLUMN_JSON},
		{"text", "FINDING", HF_VALUE_TEXT, HF_COLUMN_WRAP},
	};
	static const char *const severities[] = {"", "info", "warning", "partial"};
	if (heap->findings.n)
		hf_emit_title(emit, "Findings");
	hf_emit_table_begin(emit, "findings", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < heap->findings.n; i++) {
		const struct hf_heap_finding *f = &heap->findings.at[i];
		hf_emit_row(emit, HF_NO_ROW,
			(struct hf_cell[]){
				hf_cell_text(f->severity <= HF_PARTIAL ? severities[f->severity]
								       : "unknown"),
				f->addr ? hf_cell_int((int64_t)f->addr) : hf_cell_null(),
				hf_cell_text(f->text),
			});
	}
	hf_emit_table_end(emit);
}

enum hf_status hf_report_dump_info(
	struct hf_emit *emit, const char *path, bool *ret_partial, struct hf_err *err)
{
	struct hf_dump_info info;
	enum hf_status status = hf_dump_info(path, NULL, &info, err);
	if (status != HF_OK)
		return status;
	header(emit, path, &info);
	process(emit, &info.heap);
	arenas(emit, &info.heap);
	counters(emit, &info.heap);
	findings(emit, &info.heap);
	sections(emit, &info);
	*ret_partial = info.heap.partial || !info.complete;
	hf_dump_info_deinit(&info);
	return HF_OK;
}

static void problems(struct hf_emit *emit, const struct hf_dump_verdict *verdict)
{
	static const struct hf_column columns[] = {
		{"offset", "OFFSET", HF_VALUE_ADDRESS, 0},
		{"section", "SECTION", HF_VALUE_TEXT, 0},
		{"text", "PROBLEM", HF_VALUE_TEXT, HF_COLUMN_WRAP},
	};
	char more[HF_NUMBER_SIZE];
	hf_emit_table_begin(emit, "problems", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < verdict->n; i++) {
		const struct hf_dump_problem *p = &verdict->problems[i];
		hf_emit_row(emit, HF_NO_ROW,
			(struct hf_cell[]){
				hf_cell_int((int64_t)p->offset),
				hf_cell_text(p->section ? section_name(p->section) : NULL),
				hf_cell_text(p->text),
			});
	}
	hf_emit_table_end(emit);
	if (verdict->n_problems > verdict->n)
		hf_emit_line(emit, "%s and %s more", hf_emit_dots(emit),
			hf_human_count(more, verdict->n_problems - verdict->n));
}

static void checked(struct hf_emit *emit, const struct hf_dump_verdict *v)
{
	char blocks[HF_NUMBER_SIZE], objects[HF_NUMBER_SIZE], edges[HF_NUMBER_SIZE],
		roots[HF_NUMBER_SIZE];
	hf_emit_fact(emit, "blocks", NULL, HF_VALUE_COUNT, hf_cell_int((int64_t)v->n_blocks));
	hf_emit_fact(emit, "objects", NULL, HF_VALUE_COUNT, hf_cell_int((int64_t)v->n_objects));
	hf_emit_fact(emit, "edges", NULL, HF_VALUE_COUNT, hf_cell_int((int64_t)v->n_edges));
	hf_emit_fact(emit, "roots", NULL, HF_VALUE_COUNT, hf_cell_int((int64_t)v->n_roots));
	hf_emit_fact(emit, "truncated", NULL, HF_VALUE_BOOL, hf_cell_int(v->truncated));
	hf_emit_fact(emit, "partial", NULL, HF_VALUE_BOOL, hf_cell_int(v->declared_partial));
	hf_emit_fact(
		emit, "problem_count", NULL, HF_VALUE_COUNT, hf_cell_int((int64_t)v->n_problems));
	hf_emit_line(emit, "checked %s blocks: %s objects, %s edges, %s roots",
		hf_human_count(blocks, v->n_blocks), hf_human_count(objects, v->n_objects),
		hf_human_count(edges, v->n_edges), hf_human_count(roots, v->n_roots));
}

enum hf_status hf_report_dump_verify(
	struct hf_emit *emit, const char *path, bool *ret_partial, struct hf_err *err)
{
	struct hf_dump_verdict verdict;
	char number[HF_NUMBER_SIZE];
	enum hf_status status = hf_dump_verify(path, NULL, SHOWN_PROBLEMS, &verdict, err);
	if (status != HF_OK)
		return status;
	checked(emit, &verdict);
	problems(emit, &verdict);
	if (verdict.truncated)
		status = hf_err_set(err, HF_E_PARTIAL,
			"%s is cut off: what is there can be loaded and is marked partial", path);
	else if (verdict.n_problems)
		status = hf_err_set(err, HF_E_CORRUPT, "%s: %s problems", path,
			hf_human_count(number, verdict.n_problems));
	else if (verdict.declared_partial)
		hf_emit_line(emit, "sound, but PARTIAL: the dumper could not have all; see info");
	else
		hf_emit_line(emit, "sound and complete");
	*ret_partial = verdict.declared_partial;
	hf_dump_verdict_deinit(&verdict);
	return status;
}
