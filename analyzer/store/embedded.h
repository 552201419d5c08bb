/* A text file of the source tree as it stands in the binary (cmake/embed.cmake makes the arrays).
 */
#pragma once
#include <stddef.h>

struct hf_embedded {
	const char *name; /* NULL ends an array */
	const char *text; /* NUL-terminated */
	size_t size;      /* bytes without the NUL */
};
