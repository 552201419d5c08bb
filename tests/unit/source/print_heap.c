#include <stdio.h>

#include "dump_kit.h"

static long number(uint32_t index)
{
	return index == HF_NONE ? -1 : (long)index;
}

static void print_places(FILE *out, const struct hf_heap *heap)
{
	for (size_t i = 0; i < heap->properties.n; i++)
		fprintf(out, "property %s = %s\n", heap->properties.at[i].key,
			heap->properties.at[i].value);
	for (size_t i = 0; i < heap->modules.n; i++) {
		const struct hf_heap_module *m = &heap->modules.at[i];
		fprintf(out, "module %zu: 0x%lx + 0x%lx bias 0x%lx %s ", i, m->base, m->size,
			m->bias, m->path);
		for (uint32_t k = 0; k < m->build_id_size; k++)
			fprintf(out, "%02x", m->build_id[k]);
		fprintf(out, "\n");
	}
	for (size_t i = 0; i < heap->mappings.n; i++) {
		const struct hf_heap_mapping *m = &heap->mappings.at[i];
		fprintf(out, "mapping 0x%lx + 0x%lx perms %u kind %u rss %lu offset 0x%lx %s\n",
			m->start, m->size, m->perms, m->kind, m->rss_bytes, m->offset, m->path);
	}
	for (size_t i = 0; i < heap->threads.n; i++) {
		const struct hf_heap_thread *t = &heap->threads.at[i];
		fprintf(out,
			"thread %zu: tid %lu flags %lu pc 0x%lx sp 0x%lx stack 0x%lx + 0x%lx tp "
			"0x%lx %s\n",
			i, t->tid, t->flags, t->pc, t->sp, t->stack_start, t->stack_size, t->tp,
			t->name);
	}
	for (size_t i = 0; i < heap->registers.n; i++)
		fprintf(out, "register %u of thread %u: 0x%lx\n", heap->registers.at[i].number,
			heap->registers.at[i].thread, heap->registers.at[i].value);
	for (size_t i = 0; i < heap->stack_words.n; i++)
		fprintf(out, "stack word of thread %u at 0x%lx: 0x%lx\n",
			heap->stack_words.at[i].thread, heap->stack_words.at[i].addr,
			heap->stack_words.at[i].value);
	for (size_t i = 0; i < heap->arenas.n; i++) {
		const struct hf_heap_arena *a = &heap->arenas.at[i];
		fprintf(out,
			"arena %zu: %s kind %u at 0x%lx size %lu live %lu in %lu free %lu in %lu "
			"metadata %lu\n",
			i, a->allocator, a->kind, a->addr, a->size_bytes, a->live_bytes,
			a->live_count, a->free_bytes, a->free_count, a->metadata_bytes);
	}
}

static void print_objects(FILE *out, const struct hf_heap *heap)
{
	size_t ref = 0;
	for (uint64_t i = 0; i < heap->n_objects; i++) {
		fprintf(out, "object %lu: 0x%lx + %lu arena %u", i, heap->addr[i], heap->usable[i],
			heap->arena[i]);
		if (heap->site)
			fprintf(out, " site %u requested %lu", heap->site[i], heap->requested[i]);
		fprintf(out, "\n");
		for (uint64_t e = heap->edge_offset[i]; e < heap->edge_offset[i + 1]; e++)
			fprintf(out, "\t+%lu -> %u +%lu\n", hf_heap_src_off(heap, e),
				heap->edge_dst[e], hf_heap_dst_off(heap, e));
		for (; ref < heap->modrefs.n && heap->modrefs.at[ref].src == i; ref++)
			fprintf(out, "\t+%lu -> module %u +0x%lx\n",
				hf_heap_modref_src_off(heap, ref), heap->modrefs.at[ref].module,
				hf_heap_modref_module_off(heap, ref));
	}
}

void kit_print(FILE *out, const struct hf_heap *heap)
{
	print_places(out, heap);
	print_objects(out, heap);
	for (size_t i = 0; i < heap->variables.n; i++) {
		const struct hf_heap_variable *v = &heap->variables.at[i];
		fprintf(out, "variable %zu: kind %u module %ld thread %ld 0x%lx + %lu %s\n", i,
			v->kind, number(v->module), number(v->thread), v->addr, v->size_bytes,
			v->name);
	}
	for (size_t i = 0; i < heap->roots.n; i++) {
		const struct hf_heap_root *r = &heap->roots.at[i];
		fprintf(out, "root kind %u variable %ld module %ld thread %ld 0x%lx -> %u +%lu\n",
			r->kind, number(r->variable), number(r->module), number(r->thread), r->addr,
			r->object, r->offset);
	}
	for (size_t i = 0; i < heap->labels.n; i++)
		fprintf(out, "label of %u: %s\n", heap->labels.at[i].object,
			heap->labels.at[i].text);
	for (size_t i = 0; i < heap->counters.n; i++)
		fprintf(out, "counter %s: %lu, walked %lu%s\n", heap->counters.at[i].name,
			heap->counters.at[i].allocator, heap->counters.at[i].walked,
			heap->counters.at[i].must_match ? ", must match" : "");
	for (size_t i = 0; i < heap->findings.n; i++)
		fprintf(out, "finding %u 0x%lx %s\n", heap->findings.at[i].severity,
			heap->findings.at[i].addr, heap->findings.at[i].text);
}
