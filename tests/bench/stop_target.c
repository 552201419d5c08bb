/*
 * A heap of a given number of objects, and a thread that uses it and notes the longest time from
 * one use to the next.
 *
 *   stop_target OBJECTS
 *
 * Prints "ready PID" and obeys lines of standard input: "reset" forgets the stalls, "stall" prints
 * the longest one since (nanoseconds), "fork" makes a bare fork of the process and prints how long
 * the call took, "quiet" lets the thread leave the heap alone and "busy" no longer. Ends with
 * standard input.
 */
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TICK_NS = 1000000 };

static void **objects;
static size_t n_objects;
static uint64_t longest; /* atomic */
static int quiet;        /* atomic */

static uint64_t now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Of real-time priority where that is permitted, so that only a stop or a fault delays it. */
static void *tick(void *arg)
{
	struct sched_param priority = {.sched_priority = 1};
	uint64_t state = 88172645463325252ull;
	pthread_setschedparam(pthread_self(), SCHED_FIFO, &priority);
	for (uint64_t last = now();;) {
		nanosleep(&(struct timespec){0, TICK_NS}, NULL);
		if (!__atomic_load_n(&quiet, __ATOMIC_RELAXED))
			((char *)objects[next_random(&state) % n_objects])[15]++;
		uint64_t at = now(), stall = at - last;
		last = at;
		if (stall > __atomic_load_n(&longest, __ATOMIC_RELAXED) && stall < 1ull << 60)
			__atomic_store_n(&longest, stall, __ATOMIC_RELAXED);
	}
	return arg;
}

/* Lists of lists: each object points to the one before and to a random earlier one. */
static void build(void)
{
	uint64_t state = 1234567;
	objects = malloc(n_objects * sizeof(*objects));
	for (size_t i = 0; objects && i < n_objects; i++) {
		size_t size = 24 + next_random(&state) % 128;
		objects[i] = malloc(size);
		if (!objects[i])
			exit(1);
		memset(objects[i], 0, size);
		((void **)objects[i])[0] = i ? objects[i - 1] : NULL;
		((void **)objects[i])[2] = i ? objects[next_random(&state) % i] : NULL;
	}
}

static void bare_fork(void)
{
	uint64_t start = now();
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	printf("%llu\n", (unsigned long long)(now() - start));
	waitpid(pid, NULL, 0);
}

int main(int argc, char **argv)
{
	char line[64];
	pthread_t thread;
	n_objects = argc == 2 ? (size_t)strtod(argv[1], NULL) : 0;
	if (!n_objects)
		return 2;
	build();
	if (!objects || pthread_create(&thread, NULL, tick, NULL))
		return 1;
	printf("ready %d\n", (int)getpid());
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (strcmp(line, "reset\n") == 0) {
			__atomic_store_n(&longest, 0, __ATOMIC_RELAXED);
			puts("0");
		} else if (strcmp(line, "stall\n") == 0) {
			printf("%llu\n",
				(unsigned long long)__atomic_load_n(&longest, __ATOMIC_RELAXED));
		} else if (strcmp(line, "fork\n") == 0) {
			bare_fork();
		} else if (strcmp(line, "quiet\n") == 0 || strcmp(line, "busy\n") == 0) {
			__atomic_store_n(&quiet, line[0] == 'q', __ATOMIC_RELAXED);
			puts("0");
		}
		fflush(stdout);
	}
	return 0;
}
