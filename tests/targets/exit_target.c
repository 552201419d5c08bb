/*
 * Ends of its own will: exit_target WAY
 *
 *   return, exit, _exit, _Exit, quick_exit, thread, pthread_exit, atexit: how
 *   closed       with no stderr
 *   reused       its descriptor 2 is a file of its own by then, which must stay as it is
 *   all-closed   with no descriptor at all
 *   fork, vfork  a child does, with status 3
 *   abort, kill  not of its own will
 *
 * A list of 20000 nodes hangs on g_list. Exit status 7.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { N_NODES = 20000, STATUS = 7, CHILD_STATUS = 3 };

struct node {
	struct node *next;
	char rest[56];
};

struct node *g_list;

static void late(void)
{
	_exit(STATUS);
}

static void *thread_exit(void *arg)
{
	exit(STATUS);
}

static void *thread_return(void *arg)
{
	return arg;
}

static void check_file(void)
{
	struct stat st;
	if (fstat(2, &st) || st.st_size != 5)
		abort();
}

static void wait_child(int pid)
{
	int status;
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
		WEXITSTATUS(status) != CHILD_STATUS)
		abort();
	kill(getpid(), SIGKILL);
}

int main(int argc, char **argv)
{
	const char *way = argv[1];
	for (int i = 0; i < N_NODES; i++) {
		struct node *n = calloc(1, sizeof(*n));
		n->next = g_list;
		g_list = n;
	}
	pthread_t t;
	if (!strcmp(way, "exit"))
		exit(STATUS);
	if (!strcmp(way, "_exit"))
		_exit(STATUS);
	if (!strcmp(way, "_Exit"))
		_Exit(STATUS);
	if (!strcmp(way, "quick_exit"))
		quick_exit(STATUS);
	if (!strcmp(way, "atexit"))
		atexit(late);
	if (!strcmp(way, "abort"))
		abort();
	if (!strcmp(way, "kill"))
		kill(getpid(), SIGKILL);
	if (!strcmp(way, "thread")) {
		pthread_create(&t, NULL, thread_exit, NULL);
		pthread_join(t, NULL);
	}
	if (!strcmp(way, "pthread_exit")) {
		pthread_create(&t, NULL, thread_return, NULL);
		pthread_exit(NULL);
	}
	if (!strcmp(way, "closed"))
		close(2);
	if (!strcmp(way, "reused")) {
		close(2);
		if (open("mine.txt", O_RDWR | O_CREAT | O_EXCL, 0600) != 2 ||
			write(2, "mine\n", 5) != 5)
			abort();
		atexit(check_file);
	}
	if (!strcmp(way, "all-closed")) {
		for (int fd = 0; fd < 1024; fd++)
			close(fd);
	}
	if (!strcmp(way, "fork")) {
		int pid = fork();
		if (pid)
			wait_child(pid);
		_exit(CHILD_STATUS);
	}
	if (!strcmp(way, "vfork")) {
		int pid = vfork();
		if (!pid)
			_exit(CHILD_STATUS);
		wait_child(pid);
	}
	return STATUS;
}
