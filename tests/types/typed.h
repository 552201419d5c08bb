/* What a target says of its own objects: a line "object ADDR<tab>TYPE<tab>PATH" each, in a file
 * that is closed before the dump. */
#pragma once
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static FILE *typed_out;

static inline void typed_open(const char *path)
{
	typed_out = fopen(path, "w");
	if (!typed_out)
		exit(2);
}

__attribute__((format(printf, 3, 4))) static inline void typed(
	const void *object, const char *type, const char *path, ...)
{
	va_list args;
	va_start(args, path);
	fprintf(typed_out, "object %p\t%s\t", object, type);
	vfprintf(typed_out, path, args);
	fputc('\n', typed_out);
	va_end(args);
}

static inline void typed_dump(void)
{
	fclose(typed_out);
	typed_out = NULL;
	raise(SIGUSR2);
}
