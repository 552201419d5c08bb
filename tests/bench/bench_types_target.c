/* A heap of N objects whose types are all known: users in a hash table, with names, sessions in
 * intrusive lists, and trees: bench_types_target N. Dumps itself by SIGUSR2. */
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct link {
	struct link *next, *prev;
};
struct session {
	struct link link;
	struct user *of;
	uint64_t started, bytes;
};
struct tree {
	struct tree *left, *right;
	uint64_t key;
	void *value;
};
struct user {
	char *name;
	struct user *next;
	struct link sessions;
	struct tree *tree;
	double score;
};
struct table {
	size_t n;
	struct user *bucket[];
};
struct table *g_table;

static void *make(size_t size)
{
	void *p = malloc(size);
	if (!p)
		exit(2);
	return memset(p, 0, size);
}

static uint64_t state = 1;
static uint64_t next_random(void)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return state >> 33;
}

int main(int argc, char **argv)
{
	size_t n = argc > 1 ? strtoull(argv[1], NULL, 0) : 1000000, n_users = n / 5;
	struct user *last = NULL;
	g_table = make(sizeof(*g_table) + n_users * sizeof(g_table->bucket[0]));
	g_table->n = n_users;
	for (size_t i = 0; i < n_users; i++) {
		struct user *user = make(sizeof(*user));
		struct user **bucket = &g_table->bucket[next_random() % n_users];
		user->name = make(20);
		user->next = *bucket;
		*bucket = user;
		user->sessions = (struct link){&user->sessions, &user->sessions};
		for (int k = 0; k < 2; k++) {
			struct session *s = make(sizeof(*s));
			s->of = k ? last : user;
			s->link = (struct link){user->sessions.next, &user->sessions};
			user->sessions.next->prev = &s->link;
			user->sessions.next = &s->link;
		}
		user->tree = make(sizeof(*user->tree));
		user->tree->left = last ? last->tree : NULL;
		user->tree->value = user;
		last = user;
	}
	raise(SIGUSR2);
	return g_table->n != n_users;
}
