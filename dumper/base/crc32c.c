#include "base/crc32c.h"

#include <string.h>

enum { POLY_REFLECTED = (int)0x82f63b78 };

static uint32_t crc_bytewise(uint32_t crc, const uint8_t *p, size_t n)
{
	for (; n; n--) {
		crc ^= *p++;
		for (int k = 0; k < 8; k++)
			crc = (crc >> 1) ^ ((uint32_t)POLY_REFLECTED & -(crc & 1));
	}
	return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_sse42(
	uint32_t crc, const uint8_t *p, size_t n)
{
	uint64_t c = crc;
	for (; n >= 8; n -= 8, p += 8) {
		uint64_t w;
		memcpy(&w, p, 8);
		c = __builtin_ia32_crc32di(c, w);
	}
	for (; n; n--)
		c = __builtin_ia32_crc32qi((uint32_t)c, *p++);
	return (uint32_t)c;
}

static int has_sse42(void)
{
	unsigned a = 1, b, c = 0, d;
	__asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return (c >> 20) & 1;
}
#endif

uint32_t hf_crc32c(uint32_t crc, const void *data, size_t size)
{
	crc = ~crc;
#if defined(__x86_64__)
	static int known; /* 0 not asked, 1 no, 2 yes; a race writes the same value twice */
	int k = __atomic_load_n(&known, __ATOMIC_RELAXED);
	if (!k) {
		k = 1 + has_sse42();
		__atomic_store_n(&known, k, __ATOMIC_RELAXED);
	}
	if (k == 2)
		return ~crc_sse42(crc, data, size);
#endif
	return ~crc_bytewise(crc, data, size);
}
