/*
 * In the way of a dump: stuck_target WHAT [NODES]
 *
 *   locks          threads hold the loader's lock, those of stdout and stderr, and malloc's, all
 * the time; one more has all signals blocked filter-kill    a seccomp filter kills whoever calls
 * ptrace filter-refuse  … says EPERM plain          nothing is
 *
 * A list of NODES nodes (20000) hangs on g_list. Prints "ready"; then for each line on stdin dumps
 * itself to the file named there and prints what holdfast_dump() returned. Ends with stdin, by
 * _exit(0) if the line is "end".
 */
#include <holdfast/holdfast.h>
#include <link.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

struct node {
	struct node *next;
	char rest[56];
};

enum { NOBODY = 65534 };

struct node *g_list;
static sem_t held;

static void hold(void)
{
	sem_post(&held);
	for (;;)
		pause();
}

static int in_loader(struct dl_phdr_info *info, size_t size, void *arg)
{
	hold();
	return 1;
}

static void *hold_loader(void *arg)
{
	dl_iterate_phdr(in_loader, NULL);
	return NULL;
}

static void *hold_stdio(void *arg)
{
	flockfile(stderr);
	flockfile(stdin);
	hold();
	return NULL;
}

static void *churn(void *arg)
{
	sem_post(&held);
	for (;;) {
		void *p[100];
		for (int i = 0; i < 100; i++)
			p[i] = malloc((size_t)(i * 37));
		for (int i = 0; i < 100; i++)
			free(p[i]);
	}
	return NULL;
}

static void *deaf(void *arg)
{
	sigset_t all;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	hold();
	return NULL;
}

static void locks(void)
{
	void *(*const threads[])(void *) = {hold_loader, hold_stdio, churn, churn, deaf};
	pthread_t t;
	sem_init(&held, 0, 0);
	for (size_t i = 0; i < sizeof(threads) / sizeof(threads[0]); i++) {
		pthread_create(&t, NULL, threads[i], NULL);
		sem_wait(&held);
	}
}

static void one_thread(void)
{
	pthread_t t;
	sem_init(&held, 0, 0);
	pthread_create(&t, NULL, deaf, NULL);
	sem_wait(&held);
}

static void filter(unsigned action)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ptrace, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	one_thread();
	struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		_exit(99);
}

static void put(const char *text)
{
	if (write(1, text, strlen(text)) < 0)
		_exit(98);
}

int main(int argc, char **argv)
{
	unsigned long n_nodes = argc > 2 ? strtoul(argv[2], NULL, 0) : 20000;
	for (unsigned long i = 0; i < n_nodes; i++) {
		struct node *n = calloc(1, sizeof(*n));
		n->next = g_list;
		g_list = n;
	}
	if (!strcmp(argv[1], "locks"))
		locks();
	else if (!strcmp(argv[1], "filter-kill"))
		filter(SECCOMP_RET_KILL_PROCESS);
	else if (!strcmp(argv[1], "filter-refuse"))
		filter(SECCOMP_RET_ERRNO | 1 /* EPERM */);
	else if (!strcmp(argv[1], "processes")) {
		struct rlimit one = {1, 1};
		if (setgid(NOBODY) || setuid(NOBODY - 1) || setrlimit(RLIMIT_NPROC, &one))
			_exit(96);
	} else if (!strcmp(argv[1], "user")) {
		one_thread();
		if (setgid(NOBODY) || setuid(NOBODY))
			_exit(97);
	}
	put("ready\n");
	static char line[4096];
	for (;;) {
		ssize_t n = read(0, line, sizeof(line) - 1);
		if (n <= 0)
			_exit(1);
		line[n - 1] = 0;
		if (!strcmp(line, "end"))
			_exit(0);
		char answer[32];
		snprintf(answer, sizeof(answer), "%d\n", holdfast_dump(line));
		put(answer);
	}
}
