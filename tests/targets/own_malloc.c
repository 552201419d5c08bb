/*
 * An allocator that nobody knows, to be preloaded: memory is given out in order and never taken
 * back. Like Chromium's, it exports names of glibc's own, too.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { ALIGN = 16, SPACE = 1 << 24 };

static _Alignas(ALIGN) unsigned char space[SPACE];
static size_t used;

__attribute__((visibility("default"))) void *malloc(size_t size)
{
	size_t at = __atomic_fetch_add(
		&used, ALIGN + (size + ALIGN - 1) / ALIGN * ALIGN, __ATOMIC_RELAXED);
	if (at + ALIGN + size > SPACE)
		return NULL;
	memcpy(space + at, &size, sizeof(size));
	return space + at + ALIGN;
}

__attribute__((visibility("default"), alias("malloc"))) void *__libc_malloc(size_t size);

__attribute__((visibility("default"))) void free(void *object)
{
	(void)object;
}

__attribute__((visibility("default"))) void *calloc(size_t n, size_t size)
{
	return malloc(n * size); /* the space is zeros */
}

__attribute__((visibility("default"))) void *realloc(void *object, size_t size)
{
	size_t had = 0;
	void *moved = malloc(size);
	if (object)
		memcpy(&had, (unsigned char *)object - ALIGN, sizeof(had));
	if (moved && object)
		memcpy(moved, object, had < size ? had : size);
	return moved;
}
