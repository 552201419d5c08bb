/*
 * System calls without libc: no errno, no cancellation, no interposition. Each returns the kernel's
 * value: negative errno values on failure. Async-signal-safe; usable on a thread that has no TLS of
 * its own and in a vfork- or clone-made child.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#if !defined(__x86_64__)
#	error "this version of Holdfast captures on x86-64 only"
#endif

static inline long hf_syscall6(long n, long a, long b, long c, long d, long e, long f)
{
	long ret;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

#define hf_syscall0(n)             hf_syscall6(n, 0, 0, 0, 0, 0, 0)
#define hf_syscall1(n, a)          hf_syscall6(n, (long)(a), 0, 0, 0, 0, 0)
#define hf_syscall2(n, a, b)       hf_syscall6(n, (long)(a), (long)(b), 0, 0, 0, 0)
#define hf_syscall3(n, a, b, c)    hf_syscall6(n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define hf_syscall4(n, a, b, c, d) hf_syscall6(n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define hf_syscall5(n, a, b, c, d, e)                                                              \
	hf_syscall6(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)

/* Open for reading with O_CLOEXEC; a descriptor or a negative errno. */
int hf_sys_open_read(const char *path);
/* Open a regular-looking path below root_dir as a process with that root would find it: no link
 * leads out of it, and a FIFO does not block. A descriptor or a negative errno. */
int hf_sys_open_below(const char *root_dir, const char *path);
/* Read until size bytes, end of file or an error; EINTR is retried. Bytes read or a negative errno.
 */
int64_t hf_sys_read_full(int fd, void *buf, size_t size);
/* The same at a file offset. */
int64_t hf_sys_pread_full(int fd, void *buf, size_t size, uint64_t offset);
/* Write all of it; EINTR and short writes are retried. 0 or a negative errno. */
int hf_sys_write_full(int fd, const void *buf, size_t size);
int hf_sys_close(int fd);
/* clone(2) onto another stack: the child runs fn(arg) and ends (the thread, not the process) with
 * its value. child_tid is for flags that use it. The child's id or a negative errno. */
long hf_sys_clone(unsigned long flags, void *stack, size_t stack_size, uint32_t *child_tid,
	int (*fn)(void *), void *arg);
/* Nanoseconds of CLOCK_MONOTONIC and CLOCK_REALTIME. */
uint64_t hf_sys_monotonic_ns(void);
uint64_t hf_sys_realtime_ns(void);
void hf_sys_sleep_ns(uint64_t ns);
/* Read a whole small file (of /proc, say) into buf and terminate it with NUL; bytes or a negative
 * errno. A file longer than size - 1 is cut. */
int64_t hf_sys_read_file(const char *path, char *buf, size_t size);
/* The signals that this process ignores, signal N at bit N - 1: by its own wish or by default.
 * Under a seccomp filter, which may kill for the question, none. */
uint64_t hf_sys_ignored_signals(void);
