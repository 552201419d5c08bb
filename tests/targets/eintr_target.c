/*
 * A program that must not notice the dumps that are made of it: it handles no signal, so no call
 * may return EINTR. Threads sleep in every kind of call that a stop or an ignored signal can cut
 * short (signal(7)), while others make children, whose SIGCHLD is ignored, and others hold malloc's
 * locks.
 *
 *   eintr_target FORKERS MALLOCERS [everybody] [nobody]
 *
 * Prints "ready PID" and, at the end of standard input, one line: how many children there were, and
 * which calls returned EINTR how often. Exit status 1 if any did. SIGUSR2 is for a thread that
 * sleeps in a call that is restarted behind a handler; with "everybody", for every thread but the
 * main one. With "nobody" it becomes that user, so that its own processes may not trace it.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/poll.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { NOBODY = 65534 };

static void fail(const char *what)
{
	perror(what);
	_exit(99);
}

static int pair[2], silent[2], epoll, semaphores, inotify;

static int in_epoll(void)
{
	struct epoll_event event;
	return epoll_wait(epoll, &event, 1, -1);
}

static int in_epoll_for_a_moment(void)
{
	struct epoll_event event;
	return epoll_wait(epoll, &event, 1, 1);
}

static int in_semop(void)
{
	struct sembuf take = {.sem_num = 0, .sem_op = -1};
	return semop(semaphores, &take, 1);
}

static int in_sigtimedwait(void)
{
	sigset_t set;
	struct timespec hour = {3600, 0};
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 9);
	return sigtimedwait(&set, NULL, &hour);
}

static int in_recv(void)
{
	char byte;
	return (int)recv(pair[0], &byte, 1, 0);
}

static int in_inotify(void)
{
	char event[512];
	return (int)read(inotify, event, sizeof(event));
}

static int in_poll(void)
{
	struct pollfd fd = {silent[0], POLLIN, 0};
	return poll(&fd, 1, 5);
}

static int in_nanosleep(void)
{
	struct timespec pause = {0, 3000000};
	return nanosleep(&pause, NULL);
}

static int in_read(void)
{
	char byte;
	return (int)read(silent[0], &byte, 1);
}

static struct sleeper {
	const char *name;
	int (*call)(void);
	atomic_long n_eintr;
} sleepers[] = {
	{.name = "epoll_wait", .call = in_epoll},
	{.name = "epoll_wait 1 ms", .call = in_epoll_for_a_moment},
	{.name = "semop", .call = in_semop},
	{.name = "sigtimedwait", .call = in_sigtimedwait},
	{.name = "recv", .call = in_recv},
	{.name = "inotify", .call = in_inotify},
	{.name = "poll", .call = in_poll},
	{.name = "nanosleep", .call = in_nanosleep},
	{.name = "read", .call = in_read},
};
enum { N_SLEEPERS = sizeof(sleepers) / sizeof(sleepers[0]) };

static atomic_bool done;
static atomic_long n_children;

static bool everybody;

static void let_signals_in(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void *sleep_always(void *arg)
{
	struct sleeper *s = arg;
	if (everybody)
		let_signals_in();
	while (!atomic_load(&done)) {
		errno = 0;
		if (s->call() < 0 && errno == EINTR)
			atomic_fetch_add(&s->n_eintr, 1);
	}
	return NULL;
}

static void *fork_always(void *arg)
{
	(void)arg;
	while (!atomic_load(&done)) {
		int status;
		pid_t pid = fork();
		if (pid == 0)
			_exit(0);
		if (pid < 0)
			fail("fork");
		if (waitpid(pid, &status, 0) != pid)
			fail("waitpid");
		atomic_fetch_add(&n_children, 1);
	}
	return NULL;
}

static void *malloc_always(void *arg)
{
	void *blocks[64] = {0};
	unsigned seed = (unsigned)(size_t)arg;
	while (!atomic_load(&done)) {
		seed = seed * 1103515245 + 12345;
		void **at = &blocks[seed >> 16 & 63];
		free(*at);
		*at = malloc(1100 + (seed >> 8 & 0xffff));
	}
	return NULL;
}

static void *take_signals(void *arg)
{
	(void)arg;
	let_signals_in();
	while (!atomic_load(&done)) {
		if (in_read() < 0)
			fail("a read that is to be restarted");
	}
	return NULL;
}

static void start(void *(*fn)(void *), void *arg)
{
	pthread_t thread;
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	if (pthread_create(&thread, &attr, fn, arg))
		fail("pthread_create");
}

int main(int argc, char **argv)
{
	sigset_t set;
	struct timeval hour = {3600, 0};
	struct pollfd input = {STDIN_FILENO, POLLIN, 0};
	int n_forkers = argc > 1 ? atoi(argv[1]) : 2, n_mallocers = argc > 2 ? atoi(argv[2]) : 2;
	for (int i = 3; i < argc; i++) {
		if (!strcmp(argv[i], "nobody") && (setgid(NOBODY) || setuid(NOBODY)))
			fail("to become another user");
		everybody = everybody || !strcmp(argv[i], "everybody");
	}
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGRTMIN + 9);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	semaphores = semget(IPC_PRIVATE, 1, 0600);
	inotify = inotify_init1(IN_CLOEXEC);
	if (epoll < 0 || semaphores < 0 || inotify < 0 || pipe(silent) ||
		socketpair(AF_UNIX, SOCK_STREAM, 0, pair) ||
		setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &hour, sizeof(hour)))
		fail("something to sleep in");
	for (size_t i = 0; i < N_SLEEPERS; i++)
		start(sleep_always, &sleepers[i]);
	for (int i = 0; i < n_forkers; i++)
		start(fork_always, NULL);
	for (int i = 0; i < n_mallocers; i++)
		start(malloc_always, (void *)(size_t)(i + 1));
	start(take_signals, NULL);
	printf("ready %d\n", getpid());
	fflush(stdout);
	if (poll(&input, 1, -1) < 0)
		fail("poll");
	atomic_store(&done, true);
	semctl(semaphores, 0, IPC_RMID);
	printf("children %ld", atomic_load(&n_children));
	long n = 0;
	for (size_t i = 0; i < N_SLEEPERS; i++) {
		long n_eintr = atomic_load(&sleepers[i].n_eintr);
		n += n_eintr;
		if (n_eintr)
			printf(", %s %ld", sleepers[i].name, n_eintr);
	}
	printf("\n");
	fflush(stdout);
	_exit(n ? 1 : 0);
}
