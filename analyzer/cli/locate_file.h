/* Files of our own that lie near the executable, installed or in the build tree. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

/* The directory of the running executable, without a slash at its end. */
bool hf_self_directory(char *buf, size_t size);
/* The first readable of DIRECTORY/each/name. */
bool hf_near_self(const char *const *each, const char *name, char *buf, size_t size);
