/*
 * What this CPU can do, for code that exists in several versions. All versions of a function give
 * the same results.
 * Thread and signal safety: async-signal-safe.
 */
#pragma once

enum hf_cpu {
	HF_CPU_ANY,
	HF_CPU_AVX2,   /* and BMI 1 and 2, LZCNT, POPCNT */
	HF_CPU_AVX512, /* F, BW, CD, DQ, VBMI2 and VPOPCNTDQ, and the above */
};

/* For __attribute__((target())) of the versions. */
#define HF_TARGET_AVX2 "avx2,bmi,bmi2,lzcnt,popcnt"
#define HF_TARGET_AVX512                                                                           \
	HF_TARGET_AVX2 ",avx512f,avx512bw,avx512cd,avx512dq,avx512vbmi2,avx512vpopcntdq"

enum hf_cpu hf_cpu(void);
/* For tests of the versions: hf_cpu() says no more than this from now on. */
void hf_cpu_limit(enum hf_cpu most);
