/*
 * Allocators that are present but cannot be walked. Internal to walk/.
 *
 * Recognised by the name of a module's file and, for what is linked into a program or carries
 * another name, by symbols that the module exports or, in the symbol table of its file, has data
 * of; Go by the mark that its linker leaves. A malloc that is none of these is named by its module.
 * Async-signal-safe.
 */
#pragma once
#include <stddef.h>

#include "walk/walk.h"

/* A finding of severity HF_PARTIAL for each allocator found; returns how many. */
size_t hf_walk_name_others(struct hf_walk *walk);
