#include "symbolize/demangle.h"

#include <setjmp.h>
#include <string.h>

#include <libiberty/demangle.h>

/* The demangler of C++ recurses, at most once a character. */
enum { MAX_MANGLED = 8192 };

struct output {
	char *buf;
	size_t size, n;
	jmp_buf full;
};

bool hf_is_mangled(const char *name)
{
	return !strncmp(name, "_Z", 2) || !strncmp(name, "_R", 2) || !strncmp(name, "__Z", 3);
}

/* A few bytes can stand for gigabytes: the way out when the buffer is full. The demanglers keep
 * what they need on the stack (a decoded Rust identifier at most is lost). */
static void put(const char *text, size_t n, void *ctx)
{
	struct output *o = ctx;
	if (n >= o->size - o->n)
		longjmp(o->full, 1);
	memcpy(o->buf + o->n, text, n);
	o->n += n;
	o->buf[o->n] = 0;
}

static bool demangle_into(const char *name, struct output *o)
{
	if (setjmp(o->full))
		return false;
	if (rust_demangle_callback(name, 0, put, o) && o->n)
		return true;
	o->n = 0;
	return cplus_demangle_v3_callback(name, DMGL_ANSI | DMGL_NO_RECURSE_LIMIT, put, o) && o->n;
}

/* ".constprop.0.isra.0" at the end of a name: where it starts. */
static size_t without_suffixes(const char *name, size_t n)
{
	static const char *const marks[] = {
		".constprop", ".isra", ".part", ".cold", ".lto_priv", ".llvm", ".localalias"};
	size_t end = n;
	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		const char *at = strstr(name, marks[i]);
		if (at && at > name && (size_t)(at - name) < end)
			end = (size_t)(at - name);
	}
	return end;
}

const char *hf_demangle(const char *name, char *buf, size_t size)
{
	size_t n = strlen(name), end = n;
	if (n >= MAX_MANGLED || size < 2)
		return name;
	/* glibc's second names of its own functions */
	if (!strncmp(name, "__GI_", 5) && n > 5)
		return hf_demangle(name + 5, buf, size);
	if (strchr(name, '.'))
		end = without_suffixes(name, n);
	if (!hf_is_mangled(name)) {
		if (end == n || end >= size)
			return name;
		memcpy(buf, name, end);
		buf[end] = 0;
		return buf;
	}
	char copy[MAX_MANGLED];
	memcpy(copy, name, end);
	copy[end] = 0;
	struct output o = {.buf = buf, .size = size};
	return demangle_into(copy, &o) ? buf : name;
}
