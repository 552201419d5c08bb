/* CRC-32C (Castagnoli, RFC 3720 appendix B.4). Async-signal-safe; uses SSE 4.2 where the CPU has
 * it. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* CRC of size bytes, continuing from crc (0 to start): crc(a|b) == hf_crc32c(hf_crc32c(0, a), b).
 */
uint32_t hf_crc32c(uint32_t crc, const void *data, size_t size);
