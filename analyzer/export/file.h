/* Where exports go. Thread rule: none. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* Is it standard output: "-", or a link to it such as /dev/stdout? */
bool hf_export_is_stdout(const char *path);
/* Would hf_export_file() take it? HF_E_EXISTS: a symbolic link to a file or to nothing, which is
 * neither followed nor replaced; a directory or a disk. */
enum hf_status hf_export_check(const char *path, struct hf_err *err);
/* Write a file that gets its name when it is whole, replacing a file of that name. Standard output,
 * pipes and character devices, also through links, are written into. */
enum hf_status hf_export_file(const char *path, const void *bytes, size_t n, struct hf_err *err);
