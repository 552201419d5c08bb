#include "wipe.h"

#if defined(__x86_64__)
__attribute__((target("avx512f"))) static void wipe_high_vectors(void)
{
	/* memcpy's EVEX variants work in the upper sixteen. */
	__asm__ volatile("vpxorq %%zmm16, %%zmm16, %%zmm16\n vpxorq %%zmm17, %%zmm17, %%zmm17\n"
			 "vpxorq %%zmm18, %%zmm18, %%zmm18\n vpxorq %%zmm19, %%zmm19, %%zmm19\n"
			 "vpxorq %%zmm20, %%zmm20, %%zmm20\n vpxorq %%zmm21, %%zmm21, %%zmm21\n"
			 "vpxorq %%zmm22, %%zmm22, %%zmm22\n vpxorq %%zmm23, %%zmm23, %%zmm23\n"
			 "vpxorq %%zmm24, %%zmm24, %%zmm24\n vpxorq %%zmm25, %%zmm25, %%zmm25\n"
			 "vpxorq %%zmm26, %%zmm26, %%zmm26\n vpxorq %%zmm27, %%zmm27, %%zmm27\n"
			 "vpxorq %%zmm28, %%zmm28, %%zmm28\n vpxorq %%zmm29, %%zmm29, %%zmm29\n"
			 "vpxorq %%zmm30, %%zmm30, %%zmm30\n vpxorq %%zmm31, %%zmm31, %%zmm31\n" ::
				 : "memory");
}

__attribute__((target("avx"))) static void wipe_vectors(void)
{
	__asm__ volatile("vzeroall" ::
				 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
			 "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

/* Called from the assembler below alone. */
void t_wipe_registers(void);
void t_wipe_registers(void)
{
	if (__builtin_cpu_supports("avx512f"))
		wipe_high_vectors();
	if (__builtin_cpu_supports("avx"))
		wipe_vectors();
	__asm__ volatile(
		"xor %%eax, %%eax\n xor %%ecx, %%ecx\n xor %%edx, %%edx\n"
		"xor %%esi, %%esi\n xor %%edi, %%edi\n xor %%r8d, %%r8d\n"
		"xor %%r9d, %%r9d\n xor %%r10d, %%r10d\n xor %%r11d, %%r11d\n" ::
			: "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "cc");
}
/* In assembler because a C function would have a frame, and leave what lay there before. */
__attribute__((naked)) void t_wipe(void)
{
	__asm__("lea -131072(%rsp), %rdi\n"
		"mov $131072 / 8, %ecx\n"
		"xor %eax, %eax\n"
		"rep stosq\n"
		"jmp t_wipe_registers\n");
}
#else
#	error "write t_wipe for this architecture"
#endif
