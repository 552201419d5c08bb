/* Where exports go. Thread rule: none. */
#pragma once
#include <stddef.h>

#include "base/err.h"

/* Write a file that gets its name when it is whole, replacing what has that name; "-" is standard
 * output. */
enum hf_status hf_export_file(const char *path, const void *bytes, size_t n, struct hf_err *err);
