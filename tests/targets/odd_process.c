/*
 * A process in an odd state, for dumps from outside.
 *
 *   odd_process STATE [SELF]
 *
 * It makes a list of 50 objects that g_list holds, gets into the state, prints "ready" and waits
 * for the end of its standard input; what it checks of itself then is its exit status. Lines before
 * "ready": "held OBJECT SLOT": the only pointer to the object is at SLOT, in memory of its own
 * kind. "skip WHY": the state cannot be had here.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "wipe.h"

enum { N_OBJECTS = 50, PAGE = 4096, HUGE_PAGE = 2 << 20 };

struct node {
	struct node *next;
	char text[92];
};

struct node *g_list;
static const char *self;
static atomic_int stop, failed;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void skip(const char *why)
{
	printf("skip %s (%s)\n", why, strerror(errno));
	fflush(stdout);
	_exit(0);
}

static void *map(size_t size, int prot, int flags, int fd)
{
	void *p = mmap(NULL, size, prot, flags, fd, 0);
	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

/* An object that only the word at slot holds. */
__attribute__((noinline)) static void hold(void *slot)
{
	void *volatile *word = slot;
	*word = calloc(1, 100);
	printf("held %#lx %#lx\n", (unsigned long)*word, (unsigned long)slot);
}

static void wait_for_end(void)
{
	char byte;
	while (read(0, &byte, 1) > 0 || errno == EINTR)
		;
}

static void ready(void)
{
	t_wipe();
	printf("ready\n");
	fflush(stdout);
}

static void start(void *(*fn)(void *), void *arg)
{
	pthread_t thread;
	if (pthread_create(&thread, NULL, fn, arg))
		die("pthread_create");
}

/* States. */

static void plain(void)
{
}

static void no_new_privs(void)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		die("prctl");
}

static void undumpable(void)
{
	prctl(PR_SET_DUMPABLE, 0);
}

/* Only read, write, _exit and sigreturn are allowed from here on; anything else kills. */
static void strict(void)
{
	ready();
	if (prctl(PR_SET_SECCOMP, 1))
		_exit(1);
	char byte;
	while (read(0, &byte, 1) > 0)
		;
	syscall(SYS_exit, 0);
}

static void no_vdso(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	unsigned long from, to;
	while (fgets(line, sizeof(line), maps)) {
		if ((strstr(line, "[vdso]") || strstr(line, "[vvar")) &&
			sscanf(line, "%lx-%lx", &from, &to) == 2)
			munmap((void *)from, to - from);
	}
	fclose(maps);
}

static void *call_vsyscall(void *arg)
{
	long (*vtime)(long *) = (long (*)(long *))0xffffffffff600400;
	while (!stop)
		vtime(NULL);
	return arg;
}

static void vsyscall(void)
{
	start(call_vsyscall, NULL);
}

static void *suspended(void *arg)
{
	pid_t child = vfork();
	if (child == 0) {
		for (;;)
			pause();
	}
	waitpid(child, NULL, 0);
	return arg;
}

/* The only thread is suspended: its child has its memory. */
static void vforked(void)
{
	ready();
	suspended(NULL);
	exit(0);
}

static void vforked_thread(void)
{
	start(suspended, NULL);
	usleep(50000);
}

/* A program that starts itself anew for ever; argv[2] counts. */
static void exec_loop(void)
{
	char count[16];
	struct pollfd end = {0, POLLIN, 0};
	int n = self ? atoi(self) : 0;
	if (n == 0) {
		printf("ready\n");
		fflush(stdout);
	}
	if (poll(&end, 1, n % 7) > 0)
		exit(0);
	snprintf(count, sizeof(count), "%d", n + 1);
	execl("/proc/self/exe", "odd_process", "exec", count, NULL);
	die("exec");
}

/* No other child than our own may be met by wait(). */
static void *fork_loop(void *arg)
{
	while (!stop) {
		pid_t child = fork();
		if (child == 0)
			_exit(7);
		int status;
		pid_t got = wait(&status);
		if (child < 0 || got != child || !WIFEXITED(status) || WEXITSTATUS(status) != 7)
			failed = 1;
	}
	return arg;
}

static void forks(void)
{
	start(fork_loop, NULL);
}

static void *short_life(void *arg)
{
	free(malloc(300));
	return arg;
}

static void *thread_storm(void *arg)
{
	while (!stop) {
		pthread_t threads[8];
		int n = 0;
		while (n < 8 && pthread_create(&threads[n], NULL, short_life, NULL) == 0)
			n++;
		while (n)
			pthread_join(threads[--n], NULL);
	}
	return arg;
}

static void storm(void)
{
	for (int i = 0; i < 4; i++)
		start(thread_storm, NULL);
}

/* The main thread has ended, the process goes on. */
static void *outlive(void *arg)
{
	usleep(50000);
	ready();
	wait_for_end();
	exit(0);
	return arg;
}

static void headless(void)
{
	start(outlive, NULL);
	pthread_exit(NULL);
}

/* A thread of the kernel's, that is one of this process. */
static void uring(void)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SQPOLL, .sq_thread_idle = 1000 /* ms */};
	if (syscall(SYS_io_uring_setup, 8, &params) < 0)
		skip("io_uring_setup");
}

static char *malloc_pages(size_t n)
{
	char *p = malloc((n + 1) * PAGE);
	if (!p)
		die("malloc");
	return p + PAGE - (uintptr_t)p % PAGE;
}

/* Pages of what malloc gave, in the heap and in a mapping of its own, that are protected. */
static void guards(void)
{
	for (size_t pages = 8; pages < 1000; pages *= 64) {
		char *p = malloc_pages(pages);
		memset(p, 1, pages * PAGE);
		if (mprotect(p + PAGE, PAGE, PROT_NONE) || mprotect(p + 3 * PAGE, PAGE, PROT_READ))
			die("mprotect");
	}
}

/* A thread whose stack is from malloc. */
static void own_stack(void)
{
	enum { STACK = 256 * PAGE };
	pthread_t thread;
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	if (pthread_attr_setstack(&attr, malloc_pages(STACK / PAGE), STACK) ||
		pthread_create(&thread, &attr, outlive, NULL))
		die("pthread_create");
}

static void names(void)
{
	char dir[] = "oddnames.XXXXXX", path[700];
	if (!mkdtemp(dir))
		die(dir);
	static const char *const odd[] = {"two\nlines", " (deleted)", "spaces  and\ttabs",
		"\xff\xfe\x80", "7f0000000000-7f0000001000 rw-p 00000000 00:00 0 "};
	for (size_t i = 0; i <= sizeof(odd) / sizeof(odd[0]); i++) {
		int n = snprintf(path, sizeof(path), "%s/", dir);
		if (i < sizeof(odd) / sizeof(odd[0])) {
			snprintf(path + n, sizeof(path) - n, "%s", odd[i]);
		} else {
			memset(path + n, 'x', 255);
			path[n + 255] = 0;
		}
		int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
		if (fd < 0 || ftruncate(fd, PAGE))
			die(path);
		hold(map(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd));
		close(fd);
		if (i % 2)
			unlink(path);
	}
	int fd = (int)syscall(SYS_memfd_create, "a memfd\nwith a line", 0);
	if (fd < 0 || ftruncate(fd, PAGE))
		die("memfd");
	hold(map(PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd));
}

/* As many mappings as may be: neighbours that cannot be merged. */
static void many(void)
{
	enum { N = 60000 };
	char *p = map((size_t)N * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	hold(p + (size_t)(N / 2) * PAGE);
	for (size_t i = 1; i < N; i += 2) {
		if (mprotect(p + i * PAGE, PAGE, PROT_READ)) {
			if (i < N / 4)
				skip("mprotect");
			break;
		}
	}
}

static void reserve(void)
{
	const size_t size = 1ull << 40;
	map(size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		skip("1 TB of address space");
	for (size_t at = 0; at < size; at += size / 16)
		hold(p + at + PAGE * 3);
	hold(p + size - PAGE);
}

static void huge(void)
{
	char *p = map(4 * HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	p = (char *)(((uintptr_t)p + HUGE_PAGE - 1) & -(uintptr_t)HUGE_PAGE);
	madvise(p, 2 * HUGE_PAGE, MADV_HUGEPAGE);
	memset(p, 0, HUGE_PAGE);
	hold(p + HUGE_PAGE / 2 + 8);
	char *q = mmap(NULL, HUGE_PAGE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (q != MAP_FAILED)
		hold(q + HUGE_PAGE - 64);
	q = mmap(NULL, HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB,
		-1, 0);
	if (q != MAP_FAILED)
		memset(q, 0, HUGE_PAGE);
}

/* Pages whose file ends before them raise SIGBUS; private ones that were written to stay. */
static void shrink(void)
{
	FILE *file = tmpfile();
	if (ftruncate(fileno(file), 16 * PAGE))
		die("ftruncate");
	char *p = map(16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fileno(file));
	char *q = map(16 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(file));
	memset(q, 1, 16 * PAGE);
	hold(p + PAGE);
	if (ftruncate(fileno(file), 2 * PAGE))
		die("ftruncate");
}

/* A file's mapping that grows and shrinks without end. */
static void *resize(void *arg)
{
	int fd = fileno((FILE *)arg);
	while (!stop) {
		if (ftruncate(fd, PAGE) || ftruncate(fd, 64 * PAGE))
			failed = 1;
	}
	return arg;
}

static void resizing(void)
{
	FILE *file = tmpfile();
	map(64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fileno(file));
	map(64 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(file));
	start(resize, file);
}

/* Mappings of drivers: what is there of these. */
static void device(void)
{
	enum { KVM_CREATE_VM = 0xae01, KVM_GET_VCPU_MMAP_SIZE = 0xae04, KVM_CREATE_VCPU = 0xae41 };
	int n = 0, kvm = open("/dev/kvm", O_RDWR);
	int vm = kvm >= 0 ? ioctl(kvm, KVM_CREATE_VM, 0) : -1;
	int vcpu = vm >= 0 ? ioctl(vm, KVM_CREATE_VCPU, 0) : -1;
	if (vcpu >= 0) {
		int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
		n += mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0) !=
		     MAP_FAILED;
	}
	static const char *const paths[] = {"/dev/mem", "/dev/hpet", "/dev/fb0",
		"/sys/bus/pci/devices/0000:00:00.0/resource0",
		"/sys/bus/pci/devices/0000:00:02.0/resource0"};
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		int fd = open(paths[i], O_RDWR);
		n += fd >= 0 &&
		     mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED;
	}
	uint32_t params[30] = {0};
	int ring = (int)syscall(425 /* io_uring_setup */, 8, params);
	if (ring >= 0)
		n += mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, 0) !=
		     MAP_FAILED;
	if (!n)
		skip("no device to map");
}

static int open_uffd(uint64_t features)
{
	struct uffdio_api api = {.api = UFFD_API, .features = features};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || ioctl(fd, UFFDIO_API, &api))
		skip("userfaultfd");
	return fd;
}

static char *register_uffd(int fd, size_t size, uint64_t mode, int flags, int file)
{
	char *p = map(size, PROT_READ | PROT_WRITE, flags, file);
	struct uffdio_register reg = {.range = {(uintptr_t)p, size}, .mode = mode};
	hold(p);
	if (ioctl(fd, UFFDIO_REGISTER, &reg))
		skip("UFFDIO_REGISTER");
	return p;
}

/* Pages that are missing wait for somebody who never serves them. */
static void uffd(void)
{
	int fd = open_uffd(0);
	register_uffd(fd, 64 * PAGE, UFFDIO_REGISTER_MODE_MISSING, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	int file = (int)syscall(SYS_memfd_create, "shared", 0);
	if (ftruncate(file, 64 * PAGE))
		die("memfd");
	register_uffd(fd, 64 * PAGE, UFFDIO_REGISTER_MODE_MISSING, MAP_SHARED, file);
}

/* A monitor that forks are reported to: a fork waits until it has heard of it. */
static void *monitor(void *arg)
{
	int fd = (int)(intptr_t)arg;
	while (!stop) {
		struct uffd_msg message;
		struct pollfd p = {fd, POLLIN, 0};
		if (poll(&p, 1, 20) > 0 && read(fd, &message, sizeof(message)) == sizeof(message) &&
			message.event == UFFD_EVENT_FORK)
			close((int)message.arg.fork.ufd);
	}
	return NULL;
}

static void uffd_fork(void)
{
	int fd = open_uffd(UFFD_FEATURE_EVENT_FORK);
	register_uffd(fd, 64 * PAGE, UFFDIO_REGISTER_MODE_MISSING, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	start(monitor, (void *)(intptr_t)fd);
}

/* A file of a file system whose server does not answer any more: its path is the argument. */
static void hanging(void)
{
	int fd = open(self, O_RDONLY);
	if (fd < 0)
		die(self);
	map(16 * PAGE, PROT_READ, MAP_PRIVATE, fd);
	map(16 * PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd);
	hold(map(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1));
}

static const struct state {
	const char *name;
	void (*enter)(void);
} states[] = {
	{"plain", plain},
	{"undumpable", undumpable},
	{"no_new_privs", no_new_privs},
	{"strict", strict},
	{"no_vdso", no_vdso},
	{"vsyscall", vsyscall},
	{"vfork", vforked},
	{"vfork_thread", vforked_thread},
	{"exec", exec_loop},
	{"forks", forks},
	{"storm", storm},
	{"headless", headless},
	{"uring", uring},
	{"guards", guards},
	{"own_stack", own_stack},
	{"names", names},
	{"many", many},
	{"reserve", reserve},
	{"huge", huge},
	{"shrink", shrink},
	{"resizing", resizing},
	{"device", device},
	{"uffd", uffd},
	{"uffd_fork", uffd_fork},
	{"hanging", hanging},
};

int main(int argc, char **argv)
{
	self = argc > 2 ? argv[2] : NULL;
	for (int i = 0; i < N_OBJECTS; i++) {
		struct node *node = calloc(1, sizeof(*node));
		node->next = g_list;
		g_list = node;
	}
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		if (argc > 1 && strcmp(states[i].name, argv[1]) == 0) {
			states[i].enter();
			ready();
			wait_for_end();
			stop = 1;
			usleep(30000);
			return failed;
		}
	}
	fprintf(stderr, "usage: odd_process STATE\n");
	return 2;
}
