/*
 * A process that crashes in a thread with a name, while other threads wait.
 *
 *   crash_target segv|abort|stack|gone    how: a store to 0x1234, abort(), a stack that overflows,
 * or a store to a file's page that is no more (SIGBUS)
 *
 * Prints "OBJECT TID" before: the only pointer to the object is in a register or on the stack of
 * the thread that crashes.
 */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static volatile const char *volatile how;
static volatile uintptr_t bad = 0x1234;

static void *wait_forever(void *arg)
{
	for (;;)
		pause();
	return arg;
}

__attribute__((noinline)) static int overflow(volatile char *above)
{
	volatile char here[4096];
	here[0] = above ? above[0] : 0;
	return bad ? overflow(here) + here[0] : 0;
}

static void *crash(void *arg)
{
	pthread_setname_np(pthread_self(), "crasher");
	char *volatile object = malloc(1234);
	memset(object, 0, 1234);
	printf("%#lx %ld\n", (unsigned long)object, syscall(SYS_gettid));
	fflush(stdout);
	switch (how[0]) {
	case 's':
		if (how[1] == 't')
			overflow(NULL);
		*(volatile int *)bad = 1;
		break;
	case 'g': {
		FILE *file = tmpfile();
		char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(file), 0);
		page[16] = 1; /* SIGBUS */
		break;
	}
	default:
		abort();
	}
	return object;
}

int main(int argc, char **argv)
{
	pthread_t threads[3], crasher;
	how = argc > 1 ? argv[1] : "abort";
	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, wait_forever, NULL);
	pthread_create(&crasher, NULL, crash, NULL);
	pthread_join(crasher, NULL);
	return 0;
}
