/*
 * Programs that do what ordinary ones do not, while they are dumped. Each prints what it has to say
 * on the descriptor that it finds right and has an exit status of its own.
 *
 *   odd_program CASE [ARG]
 *
 *   api N           N dumps of itself in a row, then waits for standard input to end
 *   threads N       N threads ask for dumps at the same time until each has had one
 *   family N        N children dump themselves at the same time, every other one where it cannot
 *   signal-thread   SIGUSR2 to each of its threads, on stacks of 16 KiB and small signal stacks
 *   blocked         SIGUSR2 blocked in all threads, sent, then let in
 *   handler-before  SIGUSR2 is ignored when it starts (see ignore)
 *   handler-after   its own handler for SIGUSR2, which must run
 *   descriptors     closes all, opens a file that gets number 2, is dumped
 *   pidns           a child in a PID namespace of its own, with the /proc from outside
 *   noproc          the same without any /proc
 *   linked          says what holdfast_dump() returns, then sends itself SIGUSR2
 *   ignore PROGRAM… executes PROGRAM with SIGUSR2 ignored
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "holdfast/holdfast.h"

enum { N_THREADS = 4, N_OBJECTS = 1000 };

void *g_objects[N_OBJECTS];
static atomic_int n_handled;

static void die(const char *what)
{
	perror(what);
	_exit(99);
}

static void make_objects(void)
{
	for (int i = 0; i < N_OBJECTS; i++)
		g_objects[i] = malloc((size_t)(i % 500 + 1));
}

static int api(int n)
{
	for (int i = 0; i < n; i++) {
		int result = holdfast_dump(NULL);
		if (result) {
			errno = -result;
			die("holdfast_dump");
		}
		if (i == 0 || i == n - 1) {
			char c;
			printf("dumped %d\n", i + 1);
			fflush(stdout);
			while (read(0, &c, 1) > 0 && c != '\n')
				;
		}
	}
	return 0;
}

static atomic_int n_again;

static void *ask(void *arg)
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "thread.%d.hfd", (int)(long)arg);
	for (;;) {
		int result = holdfast_dump(path);
		if (result == 0)
			return NULL;
		if (result != -EAGAIN) {
			errno = -result;
			die("holdfast_dump");
		}
		atomic_fetch_add(&n_again, 1);
		usleep(1000);
	}
}

static int threads(int n)
{
	pthread_t all[64];
	for (int i = 0; i < n; i++)
		pthread_create(&all[i], NULL, ask, (void *)(long)i);
	for (int i = 0; i < n; i++)
		pthread_join(all[i], NULL);
	printf("all %d dumped\n", n);
	return 0;
}

/* What each is told is about its own dump. */
static void be_child(int id, int ready)
{
	enum { ROUNDS = 20 };
	char path[64], byte;
	if (read(ready, &byte, 1) != 0)
		die("read");
	for (int i = 0; i < ROUNDS; i++) {
		snprintf(path, sizeof(path), "%s%d.%d.hfd", id % 2 ? "nowhere/" : "", id, i);
		int result = holdfast_dump(path);
		if (result != (id % 2 ? -ENOENT : 0)) {
			printf("child %d, dump %d: %s\n", id, i, strerror(-result));
			fflush(stdout);
			_exit(1);
		}
	}
	_exit(0);
}

static int family(int n)
{
	int ready[2], status, failed = 0;
	if (pipe(ready))
		die("pipe");
	for (int i = 0; i < n; i++) {
		if (fork() == 0) {
			close(ready[1]);
			be_child(i, ready[0]);
		}
	}
	close(ready[1]);
	while (wait(&status) > 0)
		failed += status != 0;
	printf("%d children failed\n", failed);
	return 0;
}

static atomic_int stop;

static void *wait_for_stop(void *arg)
{
	stack_t stack = {.ss_sp = arg, .ss_size = 4096};
	if (arg && sigaltstack(&stack, NULL))
		die("sigaltstack");
	while (!stop)
		usleep(1000);
	return NULL;
}

/* The dump of one signal is taken before the handler returns, so one after the other is enough. */
static int signal_thread(void)
{
	pthread_t all[N_THREADS];
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 16384);
	for (int i = 0; i < N_THREADS; i++)
		pthread_create(&all[i], &attr, wait_for_stop, i % 2 ? malloc(4096) : NULL);
	usleep(50000);
	for (int i = 0; i < N_THREADS; i++) {
		pthread_kill(all[i], SIGUSR2);
		usleep(100000);
	}
	stop = 1;
	for (int i = 0; i < N_THREADS; i++)
		pthread_join(all[i], NULL);
	puts("threads signalled");
	return 0;
}

static int blocked(void)
{
	sigset_t set, pending;
	pthread_t thread;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	pthread_create(&thread, NULL, wait_for_stop, NULL);
	kill(getpid(), SIGUSR2);
	usleep(100000);
	sigpending(&pending);
	printf("pending %d\n", sigismember(&pending, SIGUSR2));
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	sigpending(&pending);
	printf("pending %d\n", sigismember(&pending, SIGUSR2));
	stop = 1;
	pthread_join(thread, NULL);
	return 0;
}

static void count(int sig)
{
	n_handled += sig == SIGUSR2;
}

static int handler_after(void)
{
	struct sigaction old;
	sigaction(SIGUSR2, NULL, &old);
	printf("before %s\n", old.sa_handler == SIG_DFL ? "default" : "something");
	signal(SIGUSR2, count);
	raise(SIGUSR2);
	printf("handled %d\n", n_handled);
	return 0;
}

/* What the library has to say must not go into the program's files. */
static int descriptors(void)
{
	int dir = open(".", O_RDONLY | O_DIRECTORY);
	close_range(0, ~0u, 0);
	dir = open(".", O_RDONLY | O_DIRECTORY); /* 0 */
	int other = open("/dev/null", O_RDWR);   /* 1 */
	int file = openat(dir, "precious", O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (other != 1 || file != 2 || write(file, "mine\n", 5) != 5)
		return 98;
	raise(SIGUSR2);
	int result = holdfast_dump("by-api.hfd");
	raise(SIGUSR2);
	char text[64];
	if (result || pread(file, text, sizeof(text), 0) != 5 || open("/dev/null", O_RDONLY) != 3)
		return 97;
	return 6;
}

static int pid_namespace(int keep_proc)
{
	if (unshare(CLONE_NEWPID | CLONE_NEWNS))
		die("unshare");
	pid_t pid = fork();
	if (pid == 0) {
		if (!keep_proc && (mount(NULL, "/proc", NULL, MS_REC | MS_PRIVATE, NULL) ||
					  mount("nothing", "/proc", "tmpfs", 0, NULL)))
			die("mount");
		int result = holdfast_dump("namespace.hfd");
		printf("pid %d: %s\n", getpid(), result ? strerror(-result) : "dumped");
		fflush(stdout);
		_exit(4);
	}
	int status;
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	printf("child %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + status);
	return 0;
}

static int linked(void)
{
	int result = holdfast_dump("linked.hfd");
	printf("holdfast_dump: %s\n", result ? strerror(-result) : "dumped");
	fflush(stdout);
	raise(SIGUSR2);
	puts("alive");
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	int n = argc > 2 ? atoi(argv[2]) : 1;
	make_objects();
	if (!strcmp(what, "api"))
		return api(n);
	if (!strcmp(what, "threads"))
		return threads(n);
	if (!strcmp(what, "family"))
		return family(n);
	if (!strcmp(what, "signal-thread"))
		return signal_thread();
	if (!strcmp(what, "blocked"))
		return blocked();
	if (!strcmp(what, "handler-before"))
		return raise(SIGUSR2);
	if (!strcmp(what, "handler-after"))
		return handler_after();
	if (!strcmp(what, "descriptors"))
		return descriptors();
	if (!strcmp(what, "pidns") || !strcmp(what, "noproc"))
		return pid_namespace(!strcmp(what, "pidns"));
	if (!strcmp(what, "linked"))
		return linked();
	if (!strcmp(what, "ignore") && argc > 2) {
		signal(SIGUSR2, SIG_IGN);
		execv(argv[2], argv + 2);
	}
	return 2;
}
