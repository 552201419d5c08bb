/*
 * Comes to an end that it deserves: fatal_target WAY [HANDLER]
 *
 *   WAY      null, wild, bus, abort, fpe, ill, raise, overflow, thread-null, thread-overflow,
 *            late-overflow, all-threads: a signal; race: another thread would end the program
 *            soon after; heap-size, heap-bins, heap-tcache, heap-top,
 *            double-free: a heap damaged first, by which malloc itself aborts with its lock held
 *   HANDLER  none; of the program: siginfo, plain, resethand, onstack, longjmp, fix, ignore, sysv,
 *            mask, again
 *
 * A list of 20000 nodes hangs on g_list. A handler writes what it was told to stdout, so the output
 * and the exit status must be the same with and without a library that handles the signals.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <threads.h>
#include <unistd.h>

enum { N_NODES = 20000, N_THREADS = 4, DONE = 42 };

struct node {
	struct node *next;
	char rest[56];
};

struct node *g_list;
static sigjmp_buf recover;
static int n_recovered;
static char *page;
static void *volatile sink;

static void put(const char *text)
{
	if (write(1, text, strlen(text)) < 0)
		_exit(99);
}

static void put_hex(const char *what, unsigned long value)
{
	char line[80];
	snprintf(line, sizeof(line), "%s %#lx\n", what, value);
	put(line);
}

/* Handlers of a program. */

static int on_altstack(void)
{
	stack_t now;
	sigaltstack(NULL, &now);
	return (now.ss_flags & SS_ONSTACK) != 0;
}

static void with_siginfo(int number, siginfo_t *info, void *context)
{
	sigset_t mask;
	const ucontext_t *uc = context;
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	put_hex("signal", (unsigned long)number);
	put_hex("code", (unsigned long)info->si_code);
	/* addresses differ from run to run */
	if (info->si_code > 0 && number == SIGSEGV)
		put_hex("address is NULL", info->si_addr == NULL);
	else if (info->si_code > 0)
		put_hex("at the instruction",
			(greg_t)info->si_addr == uc->uc_mcontext.gregs[REG_RIP]);
	else
		put_hex("from itself", info->si_pid == getpid());
	put_hex("instruction", uc->uc_mcontext.gregs[REG_RIP] != 0);
	put_hex("blocked", (unsigned long)sigismember(&mask, number));
	put_hex("usr1 blocked", (unsigned long)sigismember(&mask, SIGUSR1));
	put_hex("signal stack", (unsigned long)on_altstack());
	_exit(DONE);
}

static void plain(int number)
{
	put_hex("plain", (unsigned long)number);
	_exit(DONE);
}

/* Returns, so that the instruction fails again; by then the handler is gone. */
static void returning(int number)
{
	put_hex("once", (unsigned long)number);
}

static void jump(int number)
{
	put_hex("jump", (unsigned long)number);
	siglongjmp(recover, 1);
}

static void fix(int number, siginfo_t *info, void *context)
{
	put_hex("fix", (unsigned long)((char *)info->si_addr - page));
	mprotect(page, 4096, PROT_READ | PROT_WRITE);
}

/* As runtimes do: say what happened, then let it happen. */
static void again(int number)
{
	put_hex("again", (unsigned long)number);
	signal(number, SIG_DFL);
	raise(number);
}

static void use_handler(const char *kind)
{
	static const int all[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
	struct sigaction action = {0}, old;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		int number = all[i];
		if (sigaction(number, NULL, &old) || old.sa_handler != SIG_DFL)
			put("the action was not the default one\n");
		if (!strcmp(kind, "plain")) {
			if (signal(number, plain) != SIG_DFL || signal(number, plain) != plain)
				put("signal() tells something else\n");
			continue;
		}
		if (!strcmp(kind, "ignore")) {
			signal(number, SIG_IGN);
			continue;
		}
		if (!strcmp(kind, "sysv")) {
			extern void (*__sysv_signal(int, void (*)(int)))(int);
			__sysv_signal(number, returning);
			continue;
		}
		action.sa_flags = SA_SIGINFO;
		action.sa_sigaction = with_siginfo;
		if (!strcmp(kind, "mask"))
			sigaddset(&action.sa_mask, SIGUSR1);
		if (!strcmp(kind, "fix"))
			action.sa_sigaction = fix;
		if (!strcmp(kind, "again")) {
			action.sa_flags = SA_NODEFER | SA_ONSTACK;
			action.sa_handler = again;
		}
		if (!strcmp(kind, "longjmp")) {
			action.sa_flags = 0;
			action.sa_handler = jump;
		}
		if (!strcmp(kind, "resethand")) {
			action.sa_flags = (int)SA_RESETHAND;
			action.sa_handler = returning;
		}
		if (!strcmp(kind, "onstack"))
			action.sa_flags |= SA_ONSTACK;
		if (sigaction(number, &action, NULL))
			put("sigaction failed\n");
		if (sigaction(number, NULL, &old) || old.sa_sigaction != action.sa_sigaction ||
			(old.sa_flags & (SA_SIGINFO | SA_ONSTACK | SA_NODEFER |
						(int)SA_RESETHAND)) != action.sa_flags)
			put("sigaction() tells something else\n");
	}
	if (!strcmp(kind, "onstack")) {
		stack_t own = {.ss_sp = malloc(64 << 10), .ss_size = 64 << 10};
		if (sigaltstack(&own, NULL))
			put("sigaltstack failed\n");
	}
}

/* Ends. */

/* An argument that the compiler cannot follow keeps each frame. */
static __attribute__((noinline)) int overflow(volatile char *above)
{
	volatile char frame[1000];
	frame[0] = above ? above[0] : 0;
	if (frame[0]) /* never */
		return 1;
	return overflow(frame) + frame[0];
}

static __attribute__((noinline)) void store(volatile char *at)
{
	*at = 1;
}

static void *thread_null(void *arg)
{
	if (arg)
		pthread_barrier_wait(arg);
	store(NULL);
	return NULL;
}

static void *thread_overflow(void *arg)
{
	return (void *)(intptr_t)overflow(arg);
}

static int c11_overflow(void *arg)
{
	return overflow(arg);
}

/* The program has ended long before. */
static void *too_late(void *arg)
{
	pthread_barrier_wait(arg);
	for (int i = 0; i < 25; i++) /* time that it runs, not that goes by */
		usleep(1000);
	_exit(1);
}

static void *nothing(void *arg)
{
	return arg;
}

static void bus(void)
{
	FILE *f = tmpfile();
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(f), 0);
	store(p + 4096);
}

static void run_thread(void *(*fn)(void *))
{
	pthread_t t;
	pthread_create(&t, NULL, fn, NULL);
	pthread_join(t, NULL);
}

/* The size word of the chunk behind an object. */
static void smash(void *object, size_t value)
{
	size_t *end = (size_t *)((char *)object + malloc_usable_size(object));
	*end = value;
}

static void heap(const char *way)
{
	void *p[16];
	if (!strcmp(way, "double-free")) {
		for (int i = 0; i < 16; i++)
			p[i] = malloc(2000);
		free(p[4]);
		free(p[4]);
	} else if (!strcmp(way, "heap-size")) {
		for (int i = 0; i < 16; i++)
			p[i] = malloc(2000);
		smash(p[4], 0x4141414141414141);
		free(p[4]);
	} else if (!strcmp(way, "heap-top")) {
		/* what is behind the last chunk is the top */
		sink = malloc(100);
		smash(sink, ~0ul);
		sink = malloc(200000 - 4096);
		sink = malloc(100000);
	} else if (!strcmp(way, "heap-bins")) {
		/* free chunks that lead nowhere, and in a circle */
		for (int i = 0; i < 16; i++)
			p[i] = malloc(2000);
		free(p[2]);
		free(p[6]);
		free(p[10]);
		((void **)p[6])[0] = (char *)p[6] - 16;
		((void **)p[6])[1] = (void *)0x123450;
		sink = malloc(5000);
	} else if (!strcmp(way, "heap-tcache")) {
		for (int i = 0; i < 16; i++)
			p[i] = malloc(200);
		free(p[3]);
		free(p[4]);
		/* as glibc hides links since 2.32; it sees that it is no address of a chunk */
		((uintptr_t *)p[4])[0] = (uintptr_t)p[4] >> 12 ^ 0x6161616161616161;
		for (int i = 0; i < 4; i++)
			sink = malloc(200);
	}
	abort();
}

static void end(const char *way)
{
	volatile int zero = 0;
	if (!strcmp(way, "null")) {
		store(NULL);
	} else if (!strcmp(way, "wild")) {
		store((char *)0x4141414141414141); /* no address: the kernel tells none */
	} else if (!strcmp(way, "protected")) {
		store(page + 40);
	} else if (!strcmp(way, "bus")) {
		bus();
	} else if (!strcmp(way, "abort")) {
		abort();
	} else if (!strcmp(way, "fpe")) {
		zero = 100 / zero;
	} else if (!strcmp(way, "ill")) {
		__asm__ volatile("ud2");
	} else if (!strcmp(way, "raise")) {
		raise(SIGSEGV);
	} else if (!strcmp(way, "overflow")) {
		overflow(NULL);
	} else if (!strcmp(way, "thread-null")) {
		run_thread(thread_null);
	} else if (!strcmp(way, "thread-overflow")) {
		run_thread(thread_overflow);
	} else if (!strcmp(way, "c11-overflow")) {
		thrd_t t;
		thrd_create(&t, c11_overflow, NULL);
		thrd_join(t, NULL);
	} else if (!strcmp(way, "late-overflow")) {
		for (int i = 0; i < 1000; i++)
			run_thread(nothing);
		run_thread(thread_overflow);
	} else if (!strcmp(way, "race")) {
		pthread_t t;
		pthread_barrier_t barrier;
		for (int i = 0; i < 1000000; i++) /* a dump takes longer than the other thread */
			sink = calloc(1, 64);
		pthread_barrier_init(&barrier, NULL, 2);
		pthread_create(&t, NULL, too_late, &barrier);
		pthread_barrier_wait(&barrier);
		store(NULL);
	} else if (!strcmp(way, "all-threads")) {
		pthread_t t[N_THREADS];
		pthread_barrier_t barrier;
		pthread_barrier_init(&barrier, NULL, N_THREADS);
		for (int i = 0; i < N_THREADS; i++)
			pthread_create(&t[i], NULL, thread_null, &barrier);
		for (int i = 0; i < N_THREADS; i++)
			pthread_join(t[i], NULL);
	} else {
		heap(way);
	}
}

/* The library's memory is gone: its dump crashes. What is between two inaccessible pages is its. */
static void break_library(void)
{
	unsigned long start[3], stop[3];
	char perms[3][5];
	char line[512];
	FILE *f = fopen("/proc/self/maps", "r");
	for (int n = 0; f && fgets(line, sizeof(line), f); n++) {
		int i = n % 3, before = (n + 1) % 3, middle = (n + 2) % 3;
		if (sscanf(line, "%lx-%lx %4s", &start[i], &stop[i], perms[i]) != 3)
			break;
		if (n >= 2 && !strcmp(perms[i], "---p") && !strcmp(perms[before], "---p") &&
			stop[i] - start[i] <= 8192 && !strcmp(perms[middle], "rw-p") &&
			stop[middle] == start[i] && stop[before] == start[middle])
			mprotect((void *)start[middle], stop[middle] - start[middle], PROT_NONE);
	}
	fclose(f);
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IONBF, 0);
	page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < N_NODES; i++) {
		struct node *n = calloc(1, sizeof(*n));
		n->next = g_list;
		g_list = n;
	}
	const char *handler = argc > 2 ? argv[2] : "none";
	if (!strcmp(handler, "break"))
		break_library();
	else if (strcmp(handler, "none"))
		use_handler(handler);
	if (!strcmp(handler, "longjmp")) {
		for (volatile int i = 0; i < 3; i++) {
			if (!sigsetjmp(recover, 1))
				end(argv[1]);
			n_recovered++;
		}
		put_hex("recovered", (unsigned long)n_recovered);
		return 0;
	}
	end(argv[1]);
	put("went on\n");
	return 0;
}
