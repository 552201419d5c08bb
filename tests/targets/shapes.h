/* The known heap: every way an object can be held, or not held, built in numbers. */
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { T_MAX_THREADS = 32, T_ROOTS = 2 * T_MAX_THREADS };

/* One builder thread's state; the generator is xorshift64*, so a seed gives the same heap. */
struct t_builder {
	unsigned thread;
	unsigned slot; /* its element in every array of roots: a second build needs another */
	uint64_t random;
};
uint64_t t_random(struct t_builder *b);
/* Uniform enough in [0, n). */
size_t t_below(struct t_builder *b, size_t n);

/* Build about n objects of every shape on the calling thread. Those that hang from thread-local
 * variables are left out unless thread_lives through the dump. */
void t_build(struct t_builder *b, size_t n, int thread_lives);

/* From churn.c. Allocate, free and resize at random n_ops times over n_slots slots, then make the
 * survivors a graph under the root g_churn. */
void t_churn(struct t_builder *b, size_t n_slots, size_t n_ops);
/* Leave n objects for another thread to free, which does it after all have come so far. */
void t_hand_over(struct t_builder *b, size_t n);
void t_free_handed_over(unsigned from_thread);

/* Call fn(context) some frames down, each of which alone holds an object in a local variable. */
void t_hold_on_stack(struct t_builder *b, int depth, void (*fn)(void *), void *context);
