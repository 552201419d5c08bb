#include "base/cpu.h"

#include <stdbool.h>

static enum hf_cpu limit = HF_CPU_AVX512;

void hf_cpu_limit(enum hf_cpu most)
{
	limit = most;
}

enum hf_cpu hf_cpu(void)
{
	/* GCC has no name for LZCNT here; whatever has AVX2 and BMI 2 has it. */
	const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
			  __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
	const bool avx512 =
		avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
		__builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512vbmi2") &&
		__builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vpopcntdq");
	const enum hf_cpu found = avx512 ? HF_CPU_AVX512 : avx2 ? HF_CPU_AVX2 : HF_CPU_ANY;
	return found < limit ? found : limit;
}
