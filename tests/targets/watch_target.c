/*
 * A program whose memory grows as it is told, and that looks whether anybody interferes.
 *
 *   watch_target grow MIB MS       a list of MIB nodes of 1 MiB, in MS milliseconds; "nodes MIB"
 *   watch_target fork MIB MS       a child grows, twice; the parent does not
 *   watch_target exec MIB MS       executes itself to grow
 *   watch_target uid MIB MS        becomes user 65534, with all its threads, then grows
 *   watch_target descriptors MS    has none but those that it opens, numbered from 0
 *   watch_target idle MIB MS       grows, then sleeps; "cpu" and the microseconds of all threads
 *   watch_target chroot MIB MS     into an empty folder below the current one, then grows
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "holdfast/holdfast.h"

enum { NODE = 1 << 20, NOBODY = 65534 };

struct node {
	struct node *next;
	char rest[NODE - sizeof(struct node *)];
};
struct node *g_list;

static void die(const char *what)
{
	perror(what);
	_exit(99);
}

static void pause_us(long us)
{
	struct timespec t = {us / 1000000, us % 1000000 * 1000};
	while (nanosleep(&t, &t))
		;
}

static void grow(long mib, long ms)
{
	for (long i = 0; i < mib; i++) {
		struct node *node = malloc(sizeof(*node));
		if (!node)
			die("malloc");
		memset(node->rest, 'n', sizeof(node->rest));
		node->next = g_list;
		g_list = node;
		pause_us(ms * 1000 / mib);
	}
}

static void in_child(void (*fn)(long, long), long mib, long ms)
{
	int status;
	pid_t pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		fn(mib, ms);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		die("child");
}

/* What all threads must have in common after the change. */
static void check_threads(void)
{
	static const char *const keys[] = {"Uid:", "Gid:", "Groups:", "CapPrm:", "CapEff:"};
	char first[5][128] = {{0}}, path[512], line[256];
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	int n = 0;
	while (dir && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/self/task/%s/status", entry->d_name);
		FILE *file = entry->d_name[0] == '.' ? NULL : fopen(path, "r");
		if (!file)
			continue;
		n++;
		while (fgets(line, sizeof(line), file)) {
			for (int k = 0; k < 5; k++) {
				if (strncmp(line, keys[k], strlen(keys[k])) != 0)
					continue;
				if (n == 1)
					snprintf(first[k], sizeof(first[k]), "%.127s", line);
				else if (strncmp(first[k], line, 127) != 0) {
					printf("a thread with %s", line);
					exit(98);
				}
			}
		}
		fclose(file);
	}
	if (dir)
		closedir(dir);
	printf("threads %d\n", n);
}

static void become_nobody(void)
{
	gid_t group = NOBODY;
	if (setgroups(1, &group) || setresgid(NOBODY, NOBODY, NOBODY) ||
		setresuid(NOBODY, NOBODY, NOBODY))
		die("becoming another user");
	pause_us(700000);
	check_threads();
}

static void own_descriptors(long ms)
{
	struct timespec now, end;
	int out = dup(1);
	close_range(0, ~0u, 0);
	(void)out;
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += ms / 1000;
	do {
		for (int i = 0; i < 3; i++) {
			if (open("/dev/null", O_RDWR) != i)
				_exit(97);
		}
		for (int i = 0; i < 3; i++)
			close(i);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec < end.tv_sec);
	_exit(5);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	long mib = argc > 2 ? atol(argv[2]) : 0, ms = argc > 3 ? atol(argv[3]) : 0;
	if (!strcmp(what, "descriptors"))
		own_descriptors(mib);
	if (!strcmp(what, "exec"))
		execl("/proc/self/exe", argv[0], "grow", argv[2], argv[3], NULL);
	if (!strcmp(what, "fork")) {
		in_child(grow, mib, ms);
		in_child(grow, mib, ms);
	} else {
		if (!strcmp(what, "uid"))
			become_nobody();
		if (!strcmp(what, "chroot") && (mkdir("empty", 0700) || chroot("empty")))
			die("chroot");
		if (!strcmp(what, "idle")) {
			struct rusage before, after;
			grow(mib, 100);
			getrusage(RUSAGE_SELF, &before);
			pause_us(ms * 1000);
			getrusage(RUSAGE_SELF, &after);
			printf("cpu %ld\n",
				(after.ru_utime.tv_sec - before.ru_utime.tv_sec +
					after.ru_stime.tv_sec - before.ru_stime.tv_sec) *
						1000000 +
					after.ru_utime.tv_usec - before.ru_utime.tv_usec +
					after.ru_stime.tv_usec - before.ru_stime.tv_usec);
		} else {
			grow(mib, ms);
		}
		printf("nodes %ld\n", mib);
	}
	return 0;
}
