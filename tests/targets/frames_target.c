/*
 * Objects that are held by variables of frames alone, for tests of their names: built without and
 * with optimization. Threads wait, deep in calls; then the program prints "ready" and the addresses
 * that a test asks for, a line each: what it is, address.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N_THREADS = 4 };

struct request {
	int id;
	char *body;
	struct request *next;
};

static pthread_barrier_t there;
static pthread_mutex_t hold = PTHREAD_MUTEX_INITIALIZER;
static uintptr_t said[N_THREADS][8]; /* inverted, so that this table holds nothing */

#define NOINLINE __attribute__((noinline, noclone))

static void say(int thread, int what, const void *object)
{
	said[thread][what] = ~(uintptr_t)object;
}

/* Keeps a variable alive up to here without taking its address. */
#define USE(variable) __asm__ volatile("" : : "r"(variable) : "memory")

NOINLINE static void wait_for_end(void)
{
	pthread_barrier_wait(&there);
	pthread_mutex_lock(&hold);
	pthread_mutex_unlock(&hold);
}

NOINLINE static int read_more(int thread, long depth)
{
	long on_stack[6] = {depth};
	wait_for_end();
	USE(on_stack[0]);
	return (int)on_stack[0] + thread;
}

static inline __attribute__((always_inline)) int parse(int thread, struct request *head)
{
	char *token = calloc(1, 333);
	say(thread, 2, token);
	int n = read_more(thread, 7);
	USE(token);
	free(token);
	return n + head->id;
}

NOINLINE static int handle_request(int thread, struct request *first)
{
	char *buf = malloc(5000);
	memset(buf, 'b', 5000);
	say(thread, 0, buf);
	int n = parse(thread, first);
	USE(buf);
	USE(first);
	free(buf);
	return n;
}

NOINLINE static int serve(int thread)
{
	struct request local = {.id = thread, .body = calloc(1, 777)};
	struct request *volatile chain = calloc(1, sizeof(*chain));
	say(thread, 1, local.body);
	say(thread, 3, chain);
	chain->body = malloc(99);
	say(thread, 4, chain->body);
	int n = handle_request(thread, &local);
	free(local.body);
	return n;
}

static void *run(void *arg)
{
	int thread = (int)(intptr_t)arg;
	char name[16];
	snprintf(name, sizeof(name), "worker-%d", thread);
	pthread_setname_np(pthread_self(), name);
	serve(thread);
	return NULL;
}

int main(void)
{
	static const char *const what[] = {"buf", "body", "token", "chain", "chain_body"};
	pthread_t threads[N_THREADS];
	pthread_barrier_init(&there, NULL, N_THREADS + 1);
	pthread_mutex_lock(&hold);
	for (intptr_t i = 0; i < N_THREADS; i++)
		pthread_create(&threads[i], NULL, run, (void *)i);
	pthread_barrier_wait(&there);
	puts("ready");
	for (int i = 0; i < N_THREADS; i++) {
		for (int w = 0; w < 5; w++)
			printf("%d %s 0x%llx\n", i, what[w], (unsigned long long)~said[i][w]);
	}
	fflush(stdout);
	getchar();
	pthread_mutex_unlock(&hold);
	for (int i = 0; i < N_THREADS; i++)
		pthread_join(threads[i], NULL);
	return 0;
}
