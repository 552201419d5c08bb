/*
 * In the way of a dump: stuck_target WHAT [NODES]
 *
 *   locks          threads hold the locks of the loader, of stdout and stderr, and of malloc,
 *                  all the time; one more has all signals blocked
 *   filter-kill    a seccomp filter kills whoever calls ptrace
 *   filter-refuse  one says EPERM
 *   no-return      one says EPERM, and kills whoever returns from a signal handler
 *   deaf           one says EPERM, and a thread blocks libc's own signals, too
 *   user           another user, so that its own processes may not trace it
 *   processes      as many processes as it may have
 *   thread         one more thread
 *   plain          nothing is
 *
 * A list of NODES nodes (20000) hangs on g_list. Prints "ready"; then for each line on stdin dumps
 * itself to the file named there and prints what holdfast_dump() returned. Ends with stdin; if the
 * line is "end", by _exit(0), once it has cancelled the thread that it has made, if any.
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

enum { NOBODY = 65534, REFUSE = SECCOMP_RET_ERRNO | 1 /* EPERM */ };

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

/* Past libc, which lets nobody block its own signals. */
static void *stone_deaf(void *arg)
{
	unsigned long all = ~0ul;
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, sizeof(all));
	hold();
	return NULL;
}

static pthread_t helper;
static int has_helper;

static void one_thread(void *(*fn)(void *))
{
	sem_init(&held, 0, 0);
	has_helper = pthread_create(&helper, NULL, fn, NULL) == 0;
	sem_wait(&held);
}

/* libc does that by a signal, the one by which threads are parked. */
static int cancel_helper(void)
{
	void *result;
	return pthread_cancel(helper) == 0 && pthread_join(helper, &result) == 0 &&
	       result == PTHREAD_CANCELED;
}

/* What is done to who calls ptrace, and to who returns from a signal handler. */
static void filter(unsigned action, unsigned on_return)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ptrace, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, on_return),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
		syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program))
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
	else if (!strcmp(argv[1], "filter-kill")) {
		one_thread(deaf);
		filter(SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_ALLOW);
	} else if (!strcmp(argv[1], "filter-refuse")) {
		one_thread(deaf);
		filter(REFUSE, SECCOMP_RET_ALLOW);
	} else if (!strcmp(argv[1], "no-return")) {
		one_thread(deaf);
		filter(REFUSE, SECCOMP_RET_KILL_PROCESS);
	} else if (!strcmp(argv[1], "deaf")) {
		one_thread(stone_deaf);
		filter(REFUSE, SECCOMP_RET_ALLOW);
	} else if (!strcmp(argv[1], "thread"))
		one_thread(deaf);
	else if (!strcmp(argv[1], "processes")) {
		struct rlimit one = {1, 1};
		one_thread(deaf);
		if (setgid(NOBODY) || setuid(NOBODY - 1) || setrlimit(RLIMIT_NPROC, &one))
			_exit(96);
	} else if (!strcmp(argv[1], "user")) {
		one_thread(deaf);
		if (!cancel_helper()) /* libc's handler is there before ours */
			_exit(94);
		one_thread(deaf);
		if (setgid(NOBODY) || setuid(NOBODY))
			_exit(97);
	}
	int may_cancel = strcmp(argv[1], "no-return") != 0 && strcmp(argv[1], "deaf") != 0;
	put("ready\n");
	static char line[4096];
	for (;;) {
		ssize_t n = read(0, line, sizeof(line) - 1);
		if (n <= 0)
			_exit(1);
		line[n - 1] = 0;
		if (!strcmp(line, "end"))
			_exit(has_helper && may_cancel && !cancel_helper() ? 95 : 0);
		char answer[32];
		snprintf(answer, sizeof(answer), "%d\n", holdfast_dump(line));
		put(answer);
	}
}
