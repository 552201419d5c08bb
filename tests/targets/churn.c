/* Random allocation and freeing, as long-lived programs leave it behind: full tcaches, fastbins,
 * merged free chunks, holes of every size. */
#include <stdlib.h>
#include <string.h>

#include "manifest.h"
#include "shapes.h"
#include "wipe.h"

enum { HAND_OVER_MAX = 4096, FREED_RECORDED = 512 };

void *g_churn[T_ROOTS];

/* What a thread leaves for another to free; both sides only touch it on their side of a barrier. */
static struct t_hidden handed_over[T_MAX_THREADS];

static size_t churn_size(struct t_builder *b)
{
	switch (t_below(b, 64)) {
	case 0:
		return t_below(b, 20000);
	case 1:
	case 2:
	case 3:
		return t_below(b, 3000);
	default:
		return t_below(b, 400);
	}
}

static void *churn_alloc(struct t_builder *b)
{
	void *object = malloc(churn_size(b));
	if (!object)
		t_die("malloc");
	return object;
}

static void churn_step(struct t_builder *b, struct t_hidden *slots)
{
	size_t i = t_below(b, slots->n);
	void *object = t_hidden_get(slots, i);
	if (!object) {
		object = churn_alloc(b);
	} else if (t_below(b, 8) == 0) {
		object = realloc(object, churn_size(b) + 1);
	} else {
		free(object);
		object = NULL;
	}
	t_hidden_set(slots, i, object);
}

/* A chain through all survivors, and a second pointer to any earlier one where there is room. */
static void link_survivors(struct t_builder *b, const struct t_hidden *slots)
{
	enum { NEXT = 0, OTHER = 16 };
	void *previous = NULL;
	for (size_t i = 0; i < slots->n; i++) {
		void *object = t_hidden_get(slots, i);
		if (!object)
			continue;
		t_adopt(object);
		if (previous)
			t_link(object, NEXT, previous, 0);
		size_t other = t_below(b, i + 1);
		if (t_hidden_get(slots, other))
			t_link(object, OTHER, t_hidden_get(slots, other), 0);
		previous = object;
	}
	if (previous)
		t_root(T_GLOBAL, "g_churn", (void *volatile *)&g_churn[b->slot], previous, 0);
}

static __attribute__((noinline)) void churn(struct t_builder *b, size_t n_slots, size_t n_ops)
{
	struct t_hidden slots = t_hidden_alloc(n_slots);
	for (size_t i = 0; i < n_ops; i++)
		churn_step(b, &slots);
	link_survivors(b, &slots);
	t_hidden_free(&slots);
}

void t_churn(struct t_builder *b, size_t n_slots, size_t n_ops)
{
	churn(b, n_slots, n_ops);
	t_wipe();
}

void t_hand_over(struct t_builder *b, size_t n)
{
	handed_over[b->thread] = t_hidden_alloc(n < HAND_OVER_MAX ? n : HAND_OVER_MAX);
	for (size_t i = 0; i < handed_over[b->thread].n; i++)
		t_hidden_set(&handed_over[b->thread], i, churn_alloc(b));
	t_wipe();
}

void t_free_handed_over(unsigned from_thread)
{
	struct t_hidden *slots = &handed_over[from_thread];
	for (size_t i = 0; i < slots->n; i++) {
		void *object = t_hidden_get(slots, i);
		if (i < FREED_RECORDED)
			t_freed(object);
		free(object);
	}
	t_hidden_free(slots);
	t_wipe();
}
