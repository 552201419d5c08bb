#include "export/flame.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "symbolize/allocators.h"

enum { NONE = UINT32_MAX, MAX_NODES = 50000000, MAX_DEPTH = 512 };

void hf_flame_deinit(struct hf_flame *flame)
{
	free(flame->at);
	*flame = (struct hf_flame){0};
}

static uint32_t new_node(struct hf_flame *flame, uint32_t parent)
{
	if (flame->n == flame->cap) {
		size_t cap = flame->cap ? flame->cap * 2 : 256;
		struct hf_flame_node *bigger =
			cap > MAX_NODES ? NULL : reallocarray(flame->at, cap, sizeof(*bigger));
		if (!bigger)
			return NONE;
		flame->at = bigger;
		flame->cap = cap;
	}
	uint32_t i = (uint32_t)flame->n++;
	flame->at[i] = (struct hf_flame_node){.parent = parent,
		.child = NONE,
		.next = NONE,
		.depth = parent == NONE ? 0 : flame->at[parent].depth + 1};
	if (parent != NONE) {
		flame->at[i].next = flame->at[parent].child;
		flame->at[parent].child = i;
	}
	return i;
}

/* The child of a node for a frame: the same function; of the innermost frame the same line, too. */
static uint32_t child_of(struct hf_flame *flame, const struct hf_stacks *stacks, uint32_t parent,
	const struct hf_stack_frame *f, bool innermost)
{
	uint32_t line = innermost ? f->line : 0, before = NONE;
	for (uint32_t i = flame->at[parent].child; i != NONE; before = i, i = flame->at[i].next) {
		struct hf_flame_node *node = &flame->at[i];
		if (node->function != f->function || node->line != line)
			continue;
		/* Found again soon: to the front. */
		if (before != NONE) {
			flame->at[before].next = node->next;
			node->next = flame->at[parent].child;
			flame->at[parent].child = i;
		}
		return i;
	}
	uint32_t i = new_node(flame, parent);
	if (i == NONE)
		return i;
	flame->at[i].function = f->function;
	flame->at[i].file = f->file;
	flame->at[i].line = line;
	flame->at[i].module = f->module ? stacks->modules[f->module - 1].path : "";
	return i;
}

static bool add(struct hf_flame *flame, const struct hf_stacks *stacks,
	const struct hf_stack *stack, enum hf_export_what what)
{
	const struct hf_stack_frame *frames = stacks->frames + stack->first_frame;
	uint64_t bytes = what == HF_EXPORT_RETAINED ? stack->retained_bytes : stack->live_bytes;
	if (!bytes || !stack->n_frames)
		return true;
	uint32_t outermost = stack->n_frames - 1, node = 0;
	while (outermost > stack->naming && hf_is_thread_start(frames[outermost].function))
		outermost--;
	flame->at[0].bytes += bytes;
	flame->at[0].count += stack->live_count;
	for (uint32_t i = outermost + 1; i-- > stack->naming;) {
		node = child_of(flame, stacks, node, &frames[i], i == stack->naming);
		if (node == NONE)
			return false;
		flame->at[node].bytes += bytes;
		flame->at[node].count += stack->live_count;
		if (flame->at[node].depth >= MAX_DEPTH)
			break;
	}
	if (flame->at[node].depth > flame->max_depth)
		flame->max_depth = flame->at[node].depth;
	return true;
}

static int by_bytes(const void *pa, const void *pb, void *nodes)
{
	const struct hf_flame_node *at = nodes, *a = &at[*(const uint32_t *)pa],
				   *b = &at[*(const uint32_t *)pb];
	if (a->bytes != b->bytes)
		return a->bytes > b->bytes ? -1 : 1;
	int order = strcmp(a->function, b->function);
	return order ? order : a->line < b->line ? -1 : a->line > b->line;
}

static enum hf_status sort_children(struct hf_flame *flame, struct hf_err *err)
{
	_cleanup_(hf_freep) uint32_t *list = calloc(flame->n + 1, sizeof(*list));
	if (!list)
		return hf_err_set(err, HF_E_NOMEM, "no memory for the flame graph");
	for (size_t i = 0; i < flame->n; i++) {
		size_t n = 0;
		for (uint32_t c = flame->at[i].child; c != NONE; c = flame->at[c].next)
			list[n++] = c;
		if (n < 2)
			continue;
		qsort_r(list, n, sizeof(*list), by_bytes, flame->at);
		flame->at[i].child = list[0];
		for (size_t k = 0; k < n; k++)
			flame->at[list[k]].next = k + 1 < n ? list[k + 1] : NONE;
	}
	return HF_OK;
}

enum hf_status hf_flame_init(struct hf_flame *ret, const struct hf_stacks *stacks,
	enum hf_export_what what, struct hf_err *err)
{
	*ret = (struct hf_flame){0};
	bool ok = new_node(ret, NONE) != NONE;
	for (size_t i = 0; ok && i < stacks->n; i++)
		ok = add(ret, stacks, &stacks->at[i], what);
	enum hf_status status = ok ? sort_children(ret, err)
				   : hf_err_set(err, HF_E_NOMEM, "no memory for the flame graph");
	if (status)
		hf_flame_deinit(ret);
	return status;
}
