/*
 * Holdfast's C API: for programs that want to ask for a heap dump of themselves, name their roots
 * or label their objects. Plain C, usable from C++.
 *
 * The functions work when libholdfast.so is preloaded or linked. When it is absent they return
 * -ENOSYS, so a program may call them always and needs nothing at link time.
 *
 * Thread and signal safety: every function may be called from any thread; holdfast_dump() also from
 * a signal handler.
 */
#ifndef HOLDFAST_H
#define HOLDFAST_H

#include <errno.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The library's own entry points; weak, so that their absence is seen at run time. */
extern int holdfast_v1_dump(const char *path) __attribute__((weak));
extern int holdfast_v1_register_root(const void *addr, size_t size, const char *name)
	__attribute__((weak));
extern int holdfast_v1_unregister_root(const void *addr) __attribute__((weak));
extern int holdfast_v1_label(const void *object, const char *label) __attribute__((weak));
extern int holdfast_v1_sample(size_t bytes) __attribute__((weak));

/*
 * Write a heap dump and wait until it is whole. path: the file to write, which must not exist; NULL
 * takes the file name pattern that the library was started with. The other threads are stopped only
 * for the moment of the snapshot. Returns 0, or a negative errno value: -EEXIST the file exists,
 * -ENOSPC, -EACCES …; -EAGAIN another dump is under way; -ENODATA a dump was written but is
 * partial; -ENOSYS the library is absent.
 */
static inline int holdfast_dump(const char *path)
{
	return holdfast_v1_dump ? holdfast_v1_dump(path) : -ENOSYS;
}

/*
 * Have the size bytes at addr (8-byte aligned) scanned for pointers in every dump from now on and
 * shown as a root of the given name: for memory that Holdfast does not know as a root by itself,
 * and to give a name to what it does. The name is copied (63 characters at most). Returns 0;
 * -EINVAL addr is NULL or not aligned, or size is 0; -ENOSPC 256 roots are registered.
 */
static inline int holdfast_register_root(const void *addr, size_t size, const char *name)
{
	return holdfast_v1_register_root ? holdfast_v1_register_root(addr, size, name) : -ENOSYS;
}

/* Undo it. Returns 0, or -ENOENT if no root is registered at addr. */
static inline int holdfast_unregister_root(const void *addr)
{
	return holdfast_v1_unregister_root ? holdfast_v1_unregister_root(addr) : -ENOSYS;
}

/*
 * Show label (copied, 63 characters at most) on the paths that go through the heap object that
 * contains the address. A second call for the same address replaces the label; NULL takes it away.
 * The label stays with the address: take it away before the object is freed. Returns 0, or -ENOSPC
 * if 1024 objects are labelled.
 */
static inline int holdfast_label(const void *object, const char *label)
{
	return holdfast_v1_label ? holdfast_v1_label(object, label) : -ENOSYS;
}

/*
 * Record allocation sites from now on: one sample per so many bytes on average, 1: every
 * allocation, 0: none. Each thread follows when it has allocated another 256 KiB at most, and at
 * once when it records every allocation. Returns 0, or -EINVAL for more than 1 GiB.
 */
static inline int holdfast_sample(size_t bytes)
{
	return holdfast_v1_sample ? holdfast_v1_sample(bytes) : -ENOSYS;
}

#ifdef __cplusplus
}
#endif
#endif
