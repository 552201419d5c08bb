/*
 * A set of numbers that is emptied in ascending order: objects that are to be looked at. Numbers
 * that are close to each other come close after each other, and so does what is read for them.
 *
 * A bitmap; above it bitmaps of which words of the one below have a bit, up to one that is a word.
 * Thread rule: belongs to one thread.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HF_TODO_LEVELS = 6 }; /* 64^6 numbers and more */

struct hf_todo {
	uint64_t *level[HF_TODO_LEVELS]; /* [0] is the set */
	unsigned n_levels;
};

/* Room for the numbers below n, up to 2^32; false: no memory. */
bool hf_todo_init(struct hf_todo *ret, uint64_t n);
void hf_todo_deinit(struct hf_todo *todo);

static inline bool hf_todo_is_empty(const struct hf_todo *todo)
{
	return !todo->level[todo->n_levels - 1][0];
}

static inline bool hf_todo_has(const struct hf_todo *todo, uint32_t number)
{
	return todo->level[0][number / 64] >> (number % 64) & 1;
}

static inline void hf_todo_add(struct hf_todo *todo, uint32_t number)
{
	for (unsigned i = 0; i < todo->n_levels; i++, number /= 64) {
		uint64_t *word = &todo->level[i][number / 64], before = *word;
		*word |= 1ull << (number % 64);
		if (before) /* so the words above know of it */
			return;
	}
}

/* Take the least ones out, max at most; how many. */
size_t hf_todo_take(struct hf_todo *todo, uint32_t *ret, size_t max);
