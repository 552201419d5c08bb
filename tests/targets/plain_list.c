/*
 * A list of 50 objects in whatever malloc the program is linked with or preloads; waits for the end
 * of its standard input.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct node {
	struct node *next;
	char text[92];
};

struct node *g_list;

int main(void)
{
	char byte;
	for (int i = 0; i < 50; i++) {
		struct node *node = calloc(1, sizeof(*node));
		node->next = g_list;
		g_list = node;
	}
	free(malloc(300));
	printf("ready\n");
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	return 0;
}
