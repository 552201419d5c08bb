/*
 * A table of SESSIONS buckets with a session in most of them, as a server has it: each session has
 * a user with a name and an avatar of 64 to 575 bytes, and all of them point to one configuration.
 * Ten of the avatars are of 64 KiB. As many counters hang on a global array. Waits for the end of
 * its standard input.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct config {
	char *path;
	int limit;
};

struct user {
	char *name;
	char *avatar;
};

struct session {
	struct session *next;
	struct user *user;
	struct config *config;
};

struct table {
	struct session **buckets;
	size_t n;
};

struct table *g_sessions;
int *g_counters[1000000];

int main(int argc, char **argv)
{
	size_t n = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
	struct config *config = malloc(sizeof(*config));
	*config = (struct config){strdup("/etc/server.conf"), 3};
	g_sessions = malloc(sizeof(*g_sessions));
	*g_sessions = (struct table){calloc(n, sizeof(*g_sessions->buckets)), n};
	for (size_t i = 0; i < n; i++) {
		struct session *s = malloc(sizeof(*s)),
			       **at = &g_sessions->buckets[i * 2654435761u % n];
		struct user *u = malloc(sizeof(*u));
		*u = (struct user){
			strdup("somebody"), malloc(i % (n / 10) ? 64 + i * 7919 % 512 : 65536)};
		*s = (struct session){*at, u, config};
		*at = s;
	}
	/* A variable of very many words. */
	for (size_t i = 0; i < n && i < sizeof(g_counters) / sizeof(*g_counters); i++)
		g_counters[i] = malloc(24);
	char byte;
	printf("ready\n");
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	return 0;
}
