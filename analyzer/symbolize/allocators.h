/*
 * Which functions only hand memory on. The innermost frame that is none of them names a site:
 * nobody wants to read that memory was allocated "at operator new" or "at std::vector". The list
 * is in docs/sites.md.
 *
 * Thread rule: pure functions.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct hf_allocators {
	/* Further ones, the user's: names or glob patterns. The caller's. */
	const char *const *patterns;
	size_t n_patterns;
};

/* One that every thread starts with: _start, clone … */
bool hf_is_thread_start(const char *function);
/* Of the C++ or Rust standard library; function: demangled. */
bool hf_is_standard_library(const char *function);
/* function: demangled. more may be NULL. */
bool hf_is_allocator(const struct hf_allocators *more, const char *function);
