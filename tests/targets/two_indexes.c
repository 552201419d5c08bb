/*
 * N entries with a payload each, in a table; seven of ten are in lists, too, so that neither index
 * retains them. The lists have the payload of every hundredth as well. Waits for the end of its
 * standard input.
 */
#include <stdio.h>
#include <stdlib.h>

enum { LISTS = 64, PAYLOAD = 200 };

struct entry {
	char *payload;
	long id;
};

struct node {
	struct node *next;
	struct entry *entry;
	char *payload;
};

struct entry **g_table;
struct node *g_lists[LISTS];

static void *make(size_t n, size_t size)
{
	void *p = calloc(n, size);
	if (!p)
		exit(2);
	return p;
}

/* A function of its own: no register of main's has the table. */
__attribute__((noinline, noclone)) static void build(long n)
{
	g_table = make((size_t)n, sizeof(struct entry *));
	for (long i = 0; i < n; i++) {
		struct entry *entry = g_table[i] = make(1, sizeof(*entry));
		entry->payload = make(1, PAYLOAD);
		entry->id = i;
		if (i % 10 >= 7)
			continue;
		struct node *node = make(1, sizeof(*node));
		node->entry = entry;
		node->payload = i % 100 ? NULL : entry->payload;
		node->next = g_lists[i % LISTS];
		g_lists[i % LISTS] = node;
	}
}

int main(int argc, char **argv)
{
	long n = argc > 1 ? atol(argv[1]) : 0;
	if (n <= 0)
		return 2;
	build(n);
	puts("ready");
	fflush(stdout);
	getchar();
	return 0;
}
