/* Paths as text. Async-signal-safe. */
#pragma once
#include <string.h>

/* The last component: "libc.so.6" of "/lib/x86_64-linux-gnu/libc.so.6"; all of a path that ends
 * with a slash or has none. Never NULL, inside of path. */
static inline const char *hf_base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash && slash[1] ? slash + 1 : path;
}
