/*
 * Text without stdio: a small printf into a buffer of the caller.
 *
 * Understands %s %c %d %i %u %x %p %% with the lengths none, l, ll, z, a width, the flags 0 and -,
 * and a precision (".*" too) for %s. Anything else is copied as it stands.
 * Thread and signal safety: async-signal-safe, no locale, no allocation.
 */
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* Write at most size bytes including the terminating NUL; returns the number of characters that
 * were written, without the NUL (never more than size - 1: the text is cut, not counted further).
 */
size_t hf_fmt(char *buf, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
size_t hf_vfmt(char *buf, size_t size, const char *format, va_list ap);

/* Parse an unsigned decimal, or hexadecimal with 0x, number at *text and advance *text past it.
 * Returns 0 and leaves *ret untouched if there is none or it does not fit 64 bits; else 1. */
int hf_parse_u64(const char **text, uint64_t *ret);

/* Parse "64", "512K", "4M", "2G", "1T" (powers of 1024, lower case too, an optional trailing B or
 * iB) that must be the whole text. Returns 1 and sets *ret_bytes, or 0. */
int hf_parse_size(const char *text, uint64_t *ret_bytes);
