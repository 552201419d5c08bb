#include "base/fmt.h"

#include <stdbool.h>
#include <string.h>

struct out {
	char *buf;
	size_t size, len;
};

static void put(struct out *o, char c)
{
	if (o->len + 1 < o->size)
		o->buf[o->len++] = c;
}

static void put_padded(struct out *o, const char *s, size_t n, int width, bool left, char pad)
{
	int fill = width > 0 && (size_t)width > n ? width - (int)n : 0;
	for (int i = 0; !left && i < fill; i++)
		put(o, pad);
	for (size_t i = 0; i < n; i++)
		put(o, s[i]);
	for (int i = 0; left && i < fill; i++)
		put(o, ' ');
}

static void put_number(
	struct out *o, uint64_t v, bool negative, unsigned base, int width, bool left, char pad)
{
	char digits[24];
	size_t n = sizeof(digits);
	do {
		digits[--n] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	if (negative && pad == '0') {
		put(o, '-');
		width--;
	} else if (negative) {
		digits[--n] = '-';
	}
	put_padded(o, digits + n, sizeof(digits) - n, width, left, pad);
}

size_t hf_vfmt(char *buf, size_t size, const char *f, va_list ap)
{
	struct out o = {buf, size, 0};
	for (; *f; f++) {
		if (*f != '%') {
			put(&o, *f);
			continue;
		}
		const char *start = f++;
		bool left = false;
		char pad = ' ';
		int width = 0, precision = -1, longs = 0;
		for (; *f == '-' || *f == '0'; f++) {
			left |= *f == '-';
			pad = *f == '0' ? '0' : pad;
		}
		if (*f == '*') {
			width = va_arg(ap, int);
			f++;
		}
		for (; *f >= '0' && *f <= '9'; f++)
			width = width * 10 + (*f - '0');
		if (*f == '.') {
			precision = 0;
			if (*++f == '*') {
				precision = va_arg(ap, int);
				f++;
			}
			for (; *f >= '0' && *f <= '9'; f++)
				precision = precision * 10 + (*f - '0');
		}
		for (; *f == 'l' || *f == 'z'; f++)
			longs++;
		uint64_t u;
		int64_t d;
		switch (*f) {
		case 's': {
			const char *s = va_arg(ap, const char *);
			s = s ? s : "(null)";
			put_padded(&o, s,
				precision >= 0 ? strnlen(s, (size_t)precision) : strlen(s), width,
				left, ' ');
			break;
		}
		case 'c': {
			char c = (char)va_arg(ap, int);
			put_padded(&o, &c, 1, width, left, ' ');
			break;
		}
		case 'd':
		case 'i':
			d = longs ? va_arg(ap, int64_t) : va_arg(ap, int);
			put_number(&o, d < 0 ? -(uint64_t)d : (uint64_t)d, d < 0, 10, width, left,
				pad);
			break;
		case 'u':
		case 'x':
			u = longs ? va_arg(ap, uint64_t) : va_arg(ap, unsigned);
			put_number(&o, u, false, *f == 'x' ? 16 : 10, width, left, pad);
			break;
		case 'p':
			put(&o, '0');
			put(&o, 'x');
			put_number(&o, (uintptr_t)va_arg(ap, void *), false, 16, width, left, pad);
			break;
		case '%':
			put(&o, '%');
			break;
		default:
			while (start < f)
				put(&o, *start++);
			if (!*f)
				f--;
			else
				put(&o, *f);
		}
	}
	if (size)
		buf[o.len] = 0;
	return o.len;
}

size_t hf_fmt(char *buf, size_t size, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	size_t n = hf_vfmt(buf, size, format, ap);
	va_end(ap);
	return n;
}

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 99;
}

int hf_parse_u64(const char **text, uint64_t *ret)
{
	const char *s = *text;
	int base = 10;
	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X') && digit_value(s[2]) < 16) {
		base = 16;
		s += 2;
	}
	if (digit_value(*s) >= base)
		return 0;
	uint64_t v = 0;
	for (; digit_value(*s) < base; s++) {
		if (__builtin_mul_overflow(v, (uint64_t)base, &v) ||
			__builtin_add_overflow(v, (uint64_t)digit_value(*s), &v))
			return 0;
	}
	*text = s;
	*ret = v;
	return 1;
}

int hf_parse_size(const char *text, uint64_t *ret_bytes)
{
	uint64_t v;
	if (!hf_parse_u64(&text, &v))
		return 0;
	static const char units[] = "kmgt";
	char c = (char)(*text | 0x20);
	const char *unit = *text ? strchr(units, c) : NULL;
	if (unit) {
		int shift = 10 * (int)(unit - units + 1);
		if (v > UINT64_MAX >> shift)
			return 0;
		v <<= shift;
		text++;
		if (*text == 'i')
			text++;
	}
	if (*text == 'B' || *text == 'b')
		text++;
	if (*text)
		return 0;
	*ret_bytes = v;
	return 1;
}
