#include "frames/unwind.h"

#include <dwarf.h>
#include <stdlib.h>

#include "frames/expression.h"

struct module_cfi {
	bool looked;
	Dwarf_CFI *eh;    /* owned */
	Dwarf_CFI *debug; /* of the Dwarf */
	uint64_t bias;
};

struct hf_unwind {
	const struct hf_heap *heap;
	struct hf_debug_files *files;
	struct hf_heap_stack_word *words; /* owned: by thread, then address */
	size_t *first;                    /* owned: [threads.n + 1] */
	size_t n_modules;
	struct module_cfi modules[];
};

static int by_place(const void *pa, const void *pb)
{
	const struct hf_heap_stack_word *a = pa, *b = pb;
	if (a->thread != b->thread)
		return a->thread < b->thread ? -1 : 1;
	return a->addr < b->addr ? -1 : a->addr > b->addr;
}

enum hf_status hf_unwind_create(struct hf_unwind **ret, const struct hf_heap *heap,
	struct hf_debug_files *files, struct hf_err *err)
{
	size_t n_modules = heap->modules.n, n = heap->stack_words.n;
	struct hf_unwind *u = calloc(1, sizeof(*u) + n_modules * sizeof(*u->modules));
	if (u) {
		u->words = calloc(n + 1, sizeof(*u->words));
		u->first = calloc(heap->threads.n + 1, sizeof(*u->first));
	}
	if (!u || !u->words || !u->first) {
		hf_unwind_destroy(u);
		return hf_err_set(err, HF_E_NOMEM, "no memory for the stacks of %zu threads",
			heap->threads.n);
	}
	u->heap = heap;
	u->files = files;
	u->n_modules = n_modules;
	for (size_t i = 0; i < n; i++)
		u->words[i] = heap->stack_words.at[i];
	if (n)
		qsort(u->words, n, sizeof(*u->words), by_place);
	size_t at = 0;
	for (size_t t = 0; t < heap->threads.n; t++) {
		while (at < n && u->words[at].thread < t)
			at++;
		u->first[t] = at;
	}
	u->first[heap->threads.n] = n;
	*ret = u;
	return HF_OK;
}

void hf_unwind_destroy(struct hf_unwind *u)
{
	if (!u)
		return;
	for (size_t i = 0; i < u->n_modules; i++) {
		if (u->modules[i].eh)
			dwarf_cfi_end(u->modules[i].eh);
	}
	free(u->words);
	free(u->first);
	free(u);
}

struct hf_unwind_stack hf_unwind_stack(const struct hf_unwind *u, uint32_t thread)
{
	size_t first = u->first[thread], end = u->first[thread + 1];
	return (struct hf_unwind_stack){u->words + first, end > first ? end - first : 0};
}

bool hf_unwind_read(const struct hf_unwind_stack *stack, uint64_t addr, uint64_t *ret)
{
	size_t low = 0, high = stack->n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (stack->words[middle].addr < addr)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == stack->n || stack->words[low].addr != addr)
		return false;
	*ret = stack->words[low].value;
	return true;
}

/* Modules do not overlap; there are few. */
static uint32_t module_at(const struct hf_heap *heap, uint64_t pc)
{
	for (size_t i = 0; i < heap->modules.n; i++) {
		const struct hf_heap_module *m = &heap->modules.at[i];
		if (pc >= m->base && pc - m->base < m->size)
			return (uint32_t)i;
	}
	return HF_NONE;
}

static struct module_cfi *cfi_of(struct hf_unwind *u, uint32_t module)
{
	struct module_cfi *c = &u->modules[module];
	if (c->looked)
		return c;
	c->looked = true;
	const struct hf_debug_module *m = hf_debug_module(u->files, module);
	c->bias = m->bias;
	if (m->elf)
		c->eh = dwarf_getcfi_elf(m->elf);
	if (m->dwarf)
		c->debug = dwarf_getcfi(m->dwarf);
	return c;
}

static void set_pc(struct hf_unwind *u, struct hf_unwind_frame *frame, uint64_t pc, bool is_call)
{
	frame->pc = pc;
	frame->lookup = pc - is_call;
	frame->module = module_at(u->heap, frame->lookup);
}

bool hf_unwind_first(struct hf_unwind *u, uint32_t thread, struct hf_unwind_frame *ret)
{
	const struct hf_heap_thread *t = &u->heap->threads.at[thread];
	if ((t->flags & HF_THREAD_NO_REGISTERS) || !t->pc || !t->sp)
		return false;
	*ret = (struct hf_unwind_frame){0};
	for (size_t i = 0; i < u->heap->registers.n; i++) {
		const struct hf_heap_register *r = &u->heap->registers.at[i];
		if (r->thread == thread && r->number < HF_UNWIND_REGISTERS)
			ret->registers[r->number] =
				(struct hf_unwind_register){.known = true, .value = r->value};
	}
	for (unsigned i = 0; i < HF_UNWIND_REGISTERS; i++) {
		ret->registers[i].somewhere = true;
		ret->registers[i].at = i;
	}
	ret->registers[HF_REG_RSP].known = true;
	ret->registers[HF_REG_RSP].value = t->sp;
	set_pc(u, ret, t->pc, false);
	return true;
}

static Dwarf_Frame *rules_at(struct hf_unwind *u, const struct hf_unwind_frame *frame)
{
	if (frame->module == HF_NONE)
		return NULL;
	struct module_cfi *c = cfi_of(u, frame->module);
	Dwarf_Frame *rules = NULL;
	uint64_t address = frame->lookup - c->bias;
	if (c->eh && dwarf_cfi_addrframe(c->eh, address, &rules) == 0)
		return rules;
	if (c->debug && dwarf_cfi_addrframe(c->debug, address, &rules) == 0)
		return rules;
	return NULL;
}

/* What a register was in the caller. */
static struct hf_unwind_register restore(
	const struct hf_expression_context *context, Dwarf_Frame *rules, unsigned number)
{
	struct hf_unwind_register ret = {0};
	const struct hf_unwind_register *now = &context->frame->registers[number];
	struct hf_place place[HF_PLACE_MAX];
	Dwarf_Op own[3], *ops;
	size_t n;
	if (dwarf_frame_register(rules, (int)number, own, &ops, &n) != 0)
		return ret;
	if (!n) /* no operations: the same value if there is no array either, else undefined */
		return ops ? ret : *now;
	if (hf_expression_places(context, ops, n, place) != 1)
		return ret;
	if (place[0].kind == HF_PLACE_VALUE) {
		ret.known = true;
		ret.value = place[0].at;
	} else if (place[0].is_register) {
		ret = context->frame->registers[place[0].at];
	} else {
		ret.somewhere = ret.in_memory = true;
		ret.at = place[0].at;
		ret.known = hf_unwind_read(context->stack, ret.at, &ret.value);
	}
	return ret;
}

static bool find_cfa(const struct hf_expression_context *context, Dwarf_Frame *rules, uint64_t *ret)
{
	struct hf_place place[HF_PLACE_MAX];
	Dwarf_Op *ops;
	size_t n;
	if (dwarf_frame_cfa(rules, &ops, &n) != 0 ||
		hf_expression_places(context, ops, n, place) != 1 || place[0].is_register)
		return false;
	*ret = place[0].at;
	return true;
}

bool hf_unwind_next(struct hf_unwind *u, const struct hf_unwind_stack *stack,
	struct hf_unwind_frame *frame, struct hf_unwind_frame *ret)
{
	Dwarf_Frame *rules = rules_at(u, frame);
	struct hf_expression_context context = {.frame = frame, .stack = stack};
	bool found = false, signal = false;
	Dwarf_Addr start, end;
	*ret = (struct hf_unwind_frame){0};
	if (!rules)
		return false;
	int ra = dwarf_frame_info(rules, &start, &end, &signal);
	if (ra >= 0 && ra < HF_UNWIND_REGISTERS && find_cfa(&context, rules, &frame->cfa)) {
		for (unsigned i = 0; i < HF_UNWIND_REGISTERS; i++)
			ret->registers[i] = restore(&context, rules, i);
		struct hf_unwind_register *sp = &ret->registers[HF_REG_RSP];
		if (!sp->known)
			*sp = (struct hf_unwind_register){.known = true, .value = frame->cfa};
		const struct hf_unwind_register *back = &ret->registers[ra];
		/* A signal may have come on another stack: there the order says nothing. */
		bool onwards = signal || sp->value > frame->registers[HF_REG_RSP].value;
		found = back->known && back->value && onwards;
		ret->signal = signal;
		if (found)
			set_pc(u, ret, back->value, !signal);
	}
	free(rules);
	return found && ret->module != HF_NONE;
}
