/*
 * A call on another stack: of a handler whose own is small, or back on the stack that a signal
 * interrupted. x86-64; async-signal-safe.
 */
#pragma once
#include <stdint.h>

/* Run fn(arg) with the stack that ends at top. */
static inline void hf_call_on_stack(uint64_t top, void (*fn)(void *arg), void *arg)
{
	top &= ~15ull;
	__asm__ volatile("mov %%rsp, %%rbx\n\t"
			 "mov %[top], %%rsp\n\t"
			 "call *%[fn]\n\t"
			 "mov %%rbx, %%rsp"
			 : "+D"(arg)
			 : [top] "r"(top), [fn] "r"(fn)
			 : "rbx", "rax", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory",
			 "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
			 "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}
