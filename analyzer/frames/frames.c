#include "frames/frames.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "frames/locals.h"
#include "frames/unwind.h"

enum {
	NAME_SIZE = 512,
	MAX_FRAMES = 1 << 20, /* of all threads */
};

/* Of a variable that was added: which frame. */
struct owner {
	uint32_t variable, frame; /* frame: index+1 */
};

/* The part of a stack that is a frame's. */
struct extent {
	uint64_t start, end;
	uint32_t frame; /* index */
};

struct hf_frames {
	struct hf_heap *heap;
	struct hf_debug_files *files;
	struct hf_symbolizer *symbolizer;
	struct hf_typing *typing;
	struct hf_unwind *unwind;
	struct hf_names_frame *frames; /* owned */
	size_t n, cap;
	struct owner *owners; /* owned */
	size_t n_owners, cap_owners;
	uint32_t *variable_frame; /* owned, made at the end */
	/* root words of stacks and registers, by thread, registers first, then address */
	uint32_t *roots; /* owned: indexes into heap->roots */
	uint64_t *taken; /* owned: bitmap over roots */
	size_t n_roots;
	struct extent *extents; /* owned: of the frames of one thread */
	size_t n_extents, cap_extents;
	struct hf_local locals[HF_LOCALS_MAX];
};

/* A physical frame: functions inlined into one another, innermost first. */
struct physical {
	const struct hf_unwind_frame *frame;
	const struct hf_unwind_stack *stack;
	uint32_t thread;
	uint32_t first; /* of frames */
	uint32_t n;
};

static enum hf_status no_memory(struct hf_err *err)
{
	return hf_err_set(err, HF_E_NOMEM, "no memory for the frames of threads");
}

static bool is_of_frame(const struct hf_heap_root *r)
{
	return (r->kind == HF_ROOT_STACK || r->kind == HF_ROOT_REGISTER) && r->thread != HF_NONE;
}

static int by_place(const void *pa, const void *pb, void *heap)
{
	const struct hf_heap_root *roots = ((struct hf_heap *)heap)->roots.at;
	const struct hf_heap_root *a = &roots[*(const uint32_t *)pa],
				  *b = &roots[*(const uint32_t *)pb];
	if (a->thread != b->thread)
		return a->thread < b->thread ? -1 : 1;
	if (a->kind != b->kind)
		return a->kind == HF_ROOT_REGISTER ? -1 : 1;
	return a->addr < b->addr ? -1 : a->addr > b->addr;
}

static enum hf_status sort_roots(struct hf_frames *f, struct hf_err *err)
{
	size_t n = f->heap->roots.n;
	f->roots = calloc(n + 1, sizeof(*f->roots));
	f->taken = calloc(n / 64 + 1, sizeof(*f->taken));
	if (!f->roots || !f->taken)
		return no_memory(err);
	for (size_t i = 0; i < n; i++) {
		if (is_of_frame(&f->heap->roots.at[i]))
			f->roots[f->n_roots++] = (uint32_t)i;
	}
	if (f->n_roots)
		qsort_r(f->roots, f->n_roots, sizeof(*f->roots), by_place, f->heap);
	return HF_OK;
}

/* The first of f->roots of the thread and kind at an address (a register: number) ≥ from. */
static size_t first_root(
	const struct hf_frames *f, uint32_t thread, bool in_register, uint64_t from)
{
	size_t low = 0, high = f->n_roots;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct hf_heap_root *r = &f->heap->roots.at[f->roots[middle]];
		bool is_register = r->kind == HF_ROOT_REGISTER, before;
		if (r->thread != thread)
			before = r->thread < thread;
		else if (is_register != in_register)
			before = is_register;
		else
			before = r->addr < from;
		if (before)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* A text that lives as long as the heap. */
static const char *keep(struct hf_frames *f, const char *text)
{
	return hf_heap_string(f->heap, text, strlen(text));
}

static enum hf_status add_frame(
	struct hf_frames *f, const struct hf_names_frame *frame, struct hf_err *err)
{
	if (f->n == f->cap) {
		size_t cap = f->cap ? f->cap * 2 : 256;
		struct hf_names_frame *frames = reallocarray(f->frames, cap, sizeof(*frames));
		if (!frames)
			return no_memory(err);
		f->frames = frames;
		f->cap = cap;
	}
	f->frames[f->n++] = *frame;
	return HF_OK;
}

/* The functions at the frame's place, inlined ones first; one without a name where there is none.
 */
static enum hf_status add_functions(
	struct hf_frames *f, struct physical *p, uint32_t *depth, struct hf_err *err)
{
	struct hf_symbol_frame at[HF_SYMBOL_MAX_FRAMES] = {{0}};
	size_t n = hf_symbolize(
		f->symbolizer, p->frame->module, p->frame->lookup, at, HF_SYMBOL_MAX_FRAMES);
	p->first = (uint32_t)f->n;
	p->n = n ? (uint32_t)n : 1;
	for (uint32_t i = 0; i < p->n; i++) {
		struct hf_names_frame frame = {.of = p->thread,
			.depth = (*depth)++,
			.module = p->frame->module + 1,
			.pc = p->frame->pc,
			.function = at[i].function,
			.file = at[i].file,
			.line = at[i].line};
		enum hf_status status = add_frame(f, &frame, err);
		if (status != HF_OK)
			return status;
	}
	return HF_OK;
}

/* "handle_request()", "libfoo.so+0x1234" */
static void function_text(
	const struct hf_frames *f, const struct hf_names_frame *frame, char *ret, size_t size)
{
	const struct hf_heap_module *m = &f->heap->modules.at[frame->module - 1];
	if (!frame->function)
		snprintf(ret, size, "%s+0x%llx", hf_base_name(m->path),
			(unsigned long long)(frame->pc - m->base));
	else if (strchr(frame->function, '('))
		snprintf(ret, size, "%s", frame->function);
	else
		snprintf(ret, size, "%s()", frame->function);
}

/* A variable of the heap for a variable of a frame, or for what else is in it (name NULL). */
static enum hf_status add_variable(struct hf_frames *f, uint32_t frame, const char *name,
	const struct hf_heap_variable *like, uint32_t type, uint32_t *ret, struct hf_err *err)
{
	char function[NAME_SIZE / 2], text[NAME_SIZE];
	function_text(f, &f->frames[frame], function, sizeof(function));
	snprintf(text, sizeof(text), "thread %s › %s%s%s", f->heap->threads.at[like->thread].name,
		function, name ? " › " : "", name ? name : "");
	const char *kept = keep(f, text);
	struct hf_heap_variable *v = hf_heap_push(&f->heap->variables);
	if (!v || !kept || hf_typing_grow(f->typing, err) != HF_OK)
		return no_memory(err);
	*v = *like;
	v->name = kept;
	v->declared = name != NULL;
	*ret = (uint32_t)f->heap->variables.n - 1;
	hf_typing_set_variable(f->typing, *ret, type);
	if (f->n_owners == f->cap_owners) {
		size_t cap = f->cap_owners ? f->cap_owners * 2 : 256;
		struct owner *owners = reallocarray(f->owners, cap, sizeof(*owners));
		if (!owners)
			return no_memory(err);
		f->owners = owners;
		f->cap_owners = cap;
	}
	f->owners[f->n_owners++] = (struct owner){*ret, frame + 1};
	return HF_OK;
}

static bool take(struct hf_frames *f, size_t i)
{
	bool is_new = !(f->taken[i / 64] >> (i % 64) & 1);
	f->taken[i / 64] |= 1ull << (i % 64);
	return is_new;
}

/* What is at [addr, addr + size) of a stack, or in a register (size 1), becomes the variable's, as
 * far as it is not another one's already. *variable: HF_NONE until it has a word. */
struct claim {
	uint32_t frame;   /* index */
	const char *name; /* NULL: what is left of a frame */
	uint32_t type;
	struct hf_heap_variable like;
	uint32_t variable;
};

static enum hf_status claim_words(struct hf_frames *f, struct claim *claim, bool in_register,
	uint64_t addr, uint64_t size, struct hf_err *err)
{
	size_t i = first_root(f, claim->like.thread, in_register, addr);
	for (; i < f->n_roots; i++) {
		struct hf_heap_root *r = &f->heap->roots.at[f->roots[i]];
		if (r->thread != claim->like.thread ||
			(r->kind == HF_ROOT_REGISTER) != in_register || r->addr - addr >= size)
			break;
		if (!take(f, i))
			continue;
		if (claim->variable == HF_NONE) {
			enum hf_status status = add_variable(f, claim->frame, claim->name,
				&claim->like, claim->type, &claim->variable, err);
			if (status != HF_OK)
				return status;
		}
		r->variable = claim->variable;
	}
	return HF_OK;
}

/* Where a place is in terms of roots: a register of an outer frame may be saved on the stack. */
static bool resolve(const struct physical *p, const struct hf_place *place, bool *ret_in_register,
	uint64_t *ret_addr)
{
	if (place->kind != HF_PLACE_STACK)
		return false;
	*ret_in_register = false;
	*ret_addr = place->at;
	if (!place->is_register)
		return true;
	const struct hf_unwind_register *r = &p->frame->registers[place->at];
	*ret_in_register = !r->in_memory;
	*ret_addr = r->at;
	return r->somewhere;
}

static enum hf_status claim_local(
	struct hf_frames *f, const struct physical *p, struct hf_local *local, struct hf_err *err)
{
	uint32_t type = hf_types_of_variable(f->typing->types, p->frame->module, &local->die);
	uint64_t size = type ? f->typing->types->at[type].size : 8;
	/* Innermost first: what is declared in the function itself is in the last one. */
	uint32_t level = local->inlined < p->n ? p->n - 1 - local->inlined : 0;
	for (size_t i = 0; i < local->n_places; i++) {
		const struct hf_place *place = &local->places[i];
		bool in_register;
		uint64_t addr, part = place->size ? place->size : size;
		if (!resolve(p, place, &in_register, &addr) || part > (1u << 30))
			continue;
		struct claim claim = {.frame = p->first + level,
			.name = local->name,
			.type = place->offset ? 0 : type,
			.like = {.addr = addr - place->offset,
				.size_bytes = size ? size : 8,
				.kind = in_register ? HF_ROOT_REGISTER : HF_ROOT_STACK,
				.module = HF_NONE,
				.thread = p->thread},
			.variable = HF_NONE};
		enum hf_status status = claim_words(
			f, &claim, in_register, addr, in_register ? 1 : (part + 7) & ~7ull, err);
		if (status != HF_OK)
			return status;
	}
	return HF_OK;
}

static enum hf_status claim_locals(
	struct hf_frames *f, const struct physical *p, struct hf_err *err)
{
	Dwarf_Die function;
	enum hf_status status = HF_OK;
	if (!hf_symbolizer_function(f->symbolizer, p->frame->module, p->frame->lookup, &function))
		return HF_OK;
	size_t n = hf_locals(&function, hf_debug_module(f->files, p->frame->module)->bias, p->frame,
		p->stack, f->locals, HF_LOCALS_MAX);
	for (size_t i = 0; i < n && status == HF_OK; i++)
		status = claim_local(f, p, &f->locals[i], err);
	return status;
}

static enum hf_status add_extent(struct hf_frames *f, const struct physical *p, struct hf_err *err)
{
	const struct hf_unwind_register *sp = &p->frame->registers[HF_REG_RSP];
	if (!sp->known || p->frame->cfa <= sp->value)
		return HF_OK;
	if (f->n_extents == f->cap_extents) {
		size_t cap = f->cap_extents ? f->cap_extents * 2 : 64;
		struct extent *extents = reallocarray(f->extents, cap, sizeof(*extents));
		if (!extents)
			return no_memory(err);
		f->extents = extents;
		f->cap_extents = cap;
	}
	f->extents[f->n_extents++] = (struct extent){sp->value, p->frame->cfa, p->first + p->n - 1};
	return HF_OK;
}

/* What no variable claimed is its frame's. After all frames of the thread: a callee saves registers
 * that are variables of its callers. */
static enum hf_status claim_rest(struct hf_frames *f, uint32_t thread, struct hf_err *err)
{
	enum hf_status status = HF_OK;
	for (size_t i = 0; i < f->n_extents && status == HF_OK; i++) {
		const struct extent *e = &f->extents[i];
		uint64_t size = e->end - e->start;
		struct claim claim = {.frame = e->frame,
			.like = {.addr = e->start,
				.size_bytes = size,
				.kind = HF_ROOT_STACK,
				.module = HF_NONE,
				.thread = thread},
			.variable = HF_NONE};
		status = claim_words(f, &claim, false, e->start, size, err);
	}
	f->n_extents = 0;
	return status;
}

static enum hf_status unwind_thread(struct hf_frames *f, uint32_t thread, struct hf_err *err)
{
	struct hf_unwind_stack stack = hf_unwind_stack(f->unwind, thread);
	struct hf_unwind_frame frame, next;
	uint32_t depth = 0;
	enum hf_status status = HF_OK;
	bool more = hf_unwind_first(f->unwind, thread, &frame);
	for (int i = 0; more && status == HF_OK && i < HF_UNWIND_MAX_FRAMES; i++) {
		more = hf_unwind_next(f->unwind, &stack, &frame, &next);
		if (frame.module == HF_NONE || f->n >= MAX_FRAMES)
			break;
		struct physical p = {.frame = &frame, .stack = &stack, .thread = thread};
		status = add_functions(f, &p, &depth, err);
		if (status == HF_OK)
			status = claim_locals(f, &p, err);
		if (status == HF_OK)
			status = add_extent(f, &p, err);
		frame = next;
	}
	return status == HF_OK ? claim_rest(f, thread, err) : status;
}

enum hf_status hf_frames_create(struct hf_frames **ret, struct hf_heap *heap,
	struct hf_debug_files *files, struct hf_symbolizer *symbolizer, struct hf_typing *typing,
	struct hf_err *err)
{
	struct hf_frames *f = calloc(1, sizeof(*f));
	if (!f)
		return no_memory(err);
	f->heap = heap;
	f->files = files;
	f->symbolizer = symbolizer;
	f->typing = typing;
	enum hf_status status = sort_roots(f, err);
	if (status == HF_OK)
		status = hf_unwind_create(&f->unwind, heap, files, err);
	for (uint32_t t = 0; t < heap->threads.n && status == HF_OK; t++)
		status = unwind_thread(f, t, err);
	if (status != HF_OK) {
		hf_frames_destroy(f);
		return status;
	}
	*ret = f;
	return HF_OK;
}

void hf_frames_destroy(struct hf_frames *f)
{
	if (!f)
		return;
	hf_unwind_destroy(f->unwind);
	free(f->frames);
	free(f->owners);
	free(f->variable_frame);
	free(f->roots);
	free(f->taken);
	free(f->extents);
	free(f);
}

enum hf_status hf_frames_names(struct hf_frames *f, struct hf_names *names, struct hf_err *err)
{
	f->variable_frame = calloc(f->heap->variables.n + 1, sizeof(*f->variable_frame));
	if (!f->variable_frame)
		return no_memory(err);
	for (size_t i = 0; i < f->n_owners; i++)
		f->variable_frame[f->owners[i].variable] = f->owners[i].frame;
	names->frames = f->frames;
	names->n_frames = f->n;
	names->variable_frame = f->variable_frame;
	return HF_OK;
}
