/* Names of variables as people write them. Thread rule: the heap belongs to the caller. */
#pragma once
#include "source/heap.h"

/* For each variable of the heap whose symbol is mangled and ret[i] is NULL: its readable name,
 * which lives as long as the heap. ret has heap->variables.n elements. How many were set. */
size_t hf_variables_demangle(struct hf_heap *heap, const char **ret);
