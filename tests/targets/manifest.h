/*
 * What a target knows about its own heap: every object, edge, root and leak, recorded as it is
 * built and written as text (grammar: README.md beside this file) just before the dump.
 *
 * The records live in mmap'ed pages with every address XORed, so that the manifest itself holds no
 * object; t_manifest_write unmaps them. Recording is safe from several threads at once. Nothing
 * here calls malloc but the t_new functions, whose purpose it is.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum t_root_kind { T_GLOBAL, T_STATIC, T_TLS, T_STACK, T_MAPPING, T_REGISTERED };

/* Room for n_objects objects with their edges and roots. Exits the process on failure, as
 * everything here does: a target that cannot build its heap is of no use. */
void t_manifest_open(size_t n_objects);

/* A recorded object of at least size bytes from malloc, calloc, aligned_alloc or realloc (which
 * first allocates size / 3 bytes). All its usable bytes are overwritten with what is no address. */
void *t_new(size_t size);
void *t_new_zeroed(size_t size);
void *t_new_aligned(size_t alignment, size_t size);
void *t_new_grown(size_t size);
void *t_new_shrunk(size_t size);
/* Record an object that was allocated otherwise, and overwrite it likewise. */
void t_adopt(void *object);

/* Let the word at src + src_offset point to dst + dst_offset. */
void t_link(void *src, size_t src_offset, void *dst, size_t dst_offset);
/* Let *slot, a variable with that name (a literal), point to object + offset. */
void t_root(
	enum t_root_kind kind, const char *name, void *volatile *slot, void *object, size_t offset);
/* Whether what this thread allocates from now on is leaked. */
void t_set_leaking(int leaking);
/* It is free now; an object recorded before at that address is no more. */
void t_freed(void *object);
/* The recorded objects have edges that the manifest does not know. */
void t_opaque(void);
/* object carries that label (a literal). */
void t_label(void *object, const char *label);
void t_counter(const char *name, uint64_t value);

/* Append mallinfo2's counters, write all to path (created or emptied) and unmap the records. */
void t_manifest_write(const char *path);

/* An array of n words in pages of its own that is no root, because it keeps addresses XORed; free
 * it with t_hidden_free. */
struct t_hidden {
	uint64_t *word;
	size_t n;
};
struct t_hidden t_hidden_alloc(size_t n);
void t_hidden_free(struct t_hidden *hidden);
void *t_hidden_get(const struct t_hidden *hidden, size_t i);
void t_hidden_set(struct t_hidden *hidden, size_t i, void *object);

/* Write the message and exit with status 1. */
void t_die(const char *what) __attribute__((noreturn));

#ifdef __cplusplus
}
#endif
