#include "base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

int hf_sys_open_read(const char *path)
{
	return (int)hf_syscall4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NOCTTY, 0);
}

int hf_sys_open_below(const char *root_dir, const char *path)
{
	enum { OPENAT2 = 437 /* Linux 5.6 */, IN_ROOT = 0x10, NO_MAGICLINKS = 0x02 };
	enum { FLAGS = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK };
	struct {
		uint64_t flags, mode, resolve;
	} how = {FLAGS, 0, IN_ROOT | NO_MAGICLINKS};
	int dir = (int)hf_syscall4(
		SYS_openat, AT_FDCWD, root_dir, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	if (dir < 0)
		return dir;
	int fd = (int)hf_syscall4(OPENAT2, dir, path, &how, sizeof(how));
	if (fd == -ENOSYS) {
		path += strspn(path, "/");
		fd = (int)hf_syscall4(SYS_openat, dir, path, FLAGS, 0);
	}
	hf_sys_close(dir);
	return fd;
}

int64_t hf_sys_read_full(int fd, void *buf, size_t size)
{
	size_t done = 0;
	while (done < size) {
		long n = hf_syscall3(SYS_read, fd, (char *)buf + done, size - done);
		if (n == -EINTR)
			continue;
		if (n < 0)
			return n;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (int64_t)done;
}

int64_t hf_sys_pread_full(int fd, void *buf, size_t size, uint64_t offset)
{
	size_t done = 0;
	while (done < size) {
		long n = hf_syscall4(
			SYS_pread64, fd, (char *)buf + done, size - done, offset + done);
		if (n == -EINTR)
			continue;
		if (n < 0)
			return n;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (int64_t)done;
}

int hf_sys_write_full(int fd, const void *buf, size_t size)
{
	size_t done = 0;
	while (done < size) {
		long n = hf_syscall3(SYS_write, fd, (const char *)buf + done, size - done);
		if (n == -EINTR)
			continue;
		if (n < 0)
			return (int)n;
		if (n == 0)
			return -ENOSPC;
		done += (size_t)n;
	}
	return 0;
}

int hf_sys_close(int fd)
{
	return (int)hf_syscall1(SYS_close, fd);
}

static uint64_t clock_ns(int clock)
{
	struct timespec ts = {0};
	hf_syscall2(SYS_clock_gettime, clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

long hf_sys_clone(unsigned long flags, void *stack, size_t stack_size, uint32_t *child_tid,
	int (*fn)(void *), void *arg)
{
	uintptr_t top = ((uintptr_t)stack + stack_size) & ~(uintptr_t)15;
	long ret;
	register uintptr_t r8 __asm__("r8") = (uintptr_t)fn;
	register uintptr_t r9 __asm__("r9") = (uintptr_t)arg;
	register uint32_t *r10 __asm__("r10") = child_tid;
	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "mov %%r9, %%rdi\n\t"
			 "call *%%r8\n\t"
			 "mov %%eax, %%edi\n\t"
			 "mov %[exit], %%eax\n\t"
			 "syscall\n\t"
			 "hlt\n\t"
			 "1:"
			 : "=a"(ret)
			 : "a"((long)SYS_clone), "D"(flags), "S"(top), "d"(0l), "r"(r10), "r"(r8),
			 "r"(r9), [exit] "i"(SYS_exit)
			 : "rcx", "r11", "memory");
	return ret;
}

uint64_t hf_sys_monotonic_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t hf_sys_realtime_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

void hf_sys_sleep_ns(uint64_t ns)
{
	struct timespec ts = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
	hf_syscall2(SYS_nanosleep, &ts, 0);
}

int64_t hf_sys_read_file(const char *path, char *buf, size_t size)
{
	int fd = hf_sys_open_read(path);
	if (fd < 0)
		return fd;
	int64_t n = hf_sys_read_full(fd, buf, size - 1);
	hf_sys_close(fd);
	if (n >= 0)
		buf[n] = 0;
	return n;
}

uint64_t hf_sys_ignored_signals(void)
{
	enum { BY_DEFAULT = 4, LAST = 64 };
	static const int by_default[BY_DEFAULT] = {SIGCHLD, SIGURG, SIGWINCH, SIGCONT};
	uint64_t ignored = 0, could_be = 0;
	if (hf_syscall1(SYS_prctl, PR_GET_SECCOMP) != 0)
		return 0;
	for (int i = 0; i < BY_DEFAULT; i++)
		could_be |= 1ull << (by_default[i] - 1);
	for (int signal = 1; signal <= LAST; signal++) {
		struct {
			void (*handler)(int);
			unsigned long flags;
			void *restorer;
			uint64_t mask;
		} action = {0};
		uint64_t bit = 1ull << (signal - 1);
		if (hf_syscall4(SYS_rt_sigaction, signal, 0, &action, sizeof(action.mask)) == 0 &&
			(action.handler == SIG_IGN ||
				(action.handler == SIG_DFL && (could_be & bit))))
			ignored |= bit;
	}
	return ignored;
}
