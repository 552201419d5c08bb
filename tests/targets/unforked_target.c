/*
 * Has pointers in memory that fork does not hand on: unforked_target
 *
 * Each object is held by one word of a mapping: "dontfork" by one that children do not have,
 * "wiped" by one that is empty in children, "readonly" by one of those that cannot be written;
 * "plain" by an ordinary one. Prints "NAME ADDRESS" for each, dumps itself to the file given
 * (without one it waits for the end of its input) and checks that all is as it was.
 */
#include <holdfast/holdfast.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SIZE = 4 << 20, OFFSET = 3 << 20 };

#ifndef MADV_WIPEONFORK
#	define MADV_WIPEONFORK 18
#endif

static const struct {
	const char *name;
	int advice; /* 0: none */
	int prot;
} kinds[] = {
	{"plain", 0, PROT_READ | PROT_WRITE},
	{"dontfork", MADV_DONTFORK, PROT_READ | PROT_WRITE},
	{"dontfork-readonly", MADV_DONTFORK, PROT_READ},
	{"wiped", MADV_WIPEONFORK, PROT_READ | PROT_WRITE},
	{"wiped-readonly", MADV_WIPEONFORK, PROT_READ},
};
enum { N = sizeof(kinds) / sizeof(kinds[0]) };

int main(int argc, char **argv)
{
	static uintptr_t masked[N]; /* addresses that hold nothing */
	char *maps[N];
	for (int i = 0; i < N; i++) {
		/* not side by side: mappings of one kind would be one */
		maps[i] = mmap(NULL, SIZE + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		maps[i] = mmap(maps[i] + 4096, SIZE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		memset(maps[i], 1, 2 << 20);
		void *object = calloc(1, 200);
		memcpy(maps[i] + OFFSET + 8, &object, sizeof(object));
		masked[i] = (uintptr_t)object ^ 0x5a5a5a5a5a5a5a5a;
		if ((kinds[i].advice && madvise(maps[i], SIZE, kinds[i].advice)) ||
			mprotect(maps[i], SIZE, kinds[i].prot))
			return 99;
		printf("%s %#lx\n", kinds[i].name, (unsigned long)(masked[i] ^ 0x5a5a5a5a5a5a5a5a));
		object = NULL;
	}
	fflush(stdout);
	int result = argc > 1 ? holdfast_dump(argv[1]) : 0;
	char byte;
	while (argc == 1 && read(0, &byte, 1) > 0)
		;
	for (int i = 0; i < N; i++) {
		uintptr_t word;
		memcpy(&word, maps[i] + OFFSET + 8, sizeof(word));
		if (word != (masked[i] ^ 0x5a5a5a5a5a5a5a5a) || maps[i][100] != 1)
			return 98;
	}
	printf("result %d\n", result);
	return 0;
}
