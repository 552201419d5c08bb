/* Size arithmetic on numbers that came from a stranger: each returns true when the result fits. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

static inline bool hf_add_u64(uint64_t a, uint64_t b, uint64_t *ret)
{
	return !__builtin_add_overflow(a, b, ret);
}

static inline bool hf_sub_u64(uint64_t a, uint64_t b, uint64_t *ret)
{
	return !__builtin_sub_overflow(a, b, ret);
}

static inline bool hf_mul_u64(uint64_t a, uint64_t b, uint64_t *ret)
{
	return !__builtin_mul_overflow(a, b, ret);
}

/* Is [addr, addr + size) inside [start, end)? False if it wraps. An empty range is inside at its
 * ends. */
static inline bool hf_in_range(uint64_t addr, uint64_t size, uint64_t start, uint64_t end)
{
	return addr >= start && addr <= end && size <= end - addr;
}

/* align is a power of two. */
static inline uint64_t hf_align_down(uint64_t v, uint64_t align)
{
	return v & ~(align - 1);
}

/* Wraps to 0 at the very top of the address space; addresses of user space never get there. */
static inline uint64_t hf_align_up(uint64_t v, uint64_t align)
{
	return (v + align - 1) & ~(align - 1);
}
