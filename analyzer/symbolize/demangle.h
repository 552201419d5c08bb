/*
 * Names as people write them: C++ (Itanium ABI) and Rust (legacy and v0), without parameters and
 * return types. The names are a stranger's: what a short one may expand to is bounded.
 *
 * Thread rule: safe from any thread.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

enum { HF_DEMANGLED_SIZE = 4096 };

/* Does it look mangled? */
bool hf_is_mangled(const char *name);
/* The demangled name in buf, or `name` itself if it is not mangled, damaged, or too long for buf.
 * Compilers' suffixes of copies (.constprop.0, .isra.0, .part.0, .cold, .lto_priv.1, .llvm.7) are
 * left out. */
const char *hf_demangle(const char *name, char *buf, size_t size);
