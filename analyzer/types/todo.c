#include "types/todo.h"

#include <stdlib.h>

bool hf_todo_init(struct hf_todo *ret, uint64_t n)
{
	*ret = (struct hf_todo){0};
	do {
		n = n / 64 + 1;
		uint64_t *words = calloc(n, sizeof(*words));
		if (!words) {
			hf_todo_deinit(ret);
			return false;
		}
		ret->level[ret->n_levels++] = words;
	} while (n > 1);
	return true;
}

void hf_todo_deinit(struct hf_todo *todo)
{
	for (unsigned i = 0; i < todo->n_levels; i++)
		free(todo->level[i]);
	*todo = (struct hf_todo){0};
}

/* The first word of the set that has a bit; it is not empty. */
static uint64_t first_word(const struct hf_todo *todo)
{
	uint64_t at = 0;
	for (unsigned i = todo->n_levels; --i > 0;)
		at = at * 64 + (unsigned)__builtin_ctzll(todo->level[i][at]);
	return at;
}

/* A word of the set has no bit any more. */
static void is_empty_now(struct hf_todo *todo, uint64_t word)
{
	for (unsigned i = 1; i < todo->n_levels; i++, word /= 64) {
		uint64_t *above = &todo->level[i][word / 64];
		*above &= ~(1ull << (word % 64));
		if (*above)
			return;
	}
}

size_t hf_todo_take(struct hf_todo *todo, uint32_t *ret, size_t max)
{
	size_t n = 0;
	while (n < max && !hf_todo_is_empty(todo)) {
		uint64_t at = first_word(todo), bits = todo->level[0][at];
		for (; bits && n < max; bits &= bits - 1)
			ret[n++] = (uint32_t)(at * 64 + (unsigned)__builtin_ctzll(bits));
		todo->level[0][at] = bits;
		if (!bits)
			is_empty_now(todo, at);
	}
	return n;
}
