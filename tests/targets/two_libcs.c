/*
 * A program with two C libraries, each with a malloc of its own: by dlmopen(), or because it is
 * static and loads a module.
 *
 *   two_libcs MODULE     1000 objects of its own and 500 by the module's malloc; waits
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void *g_mine[1000];

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	for (int i = 0; i < 1000; i++)
		g_mine[i] = malloc(100);
#ifdef TWO_LIBCS_STATIC
	void *handle = dlopen(argv[1], RTLD_NOW);
#else
	void *handle = dlmopen(LM_ID_NEWLM, argv[1], RTLD_NOW);
#endif
	if (!handle) {
		fprintf(stderr, "%s\n", dlerror());
		return 77;
	}
	void (*make)(int) = (void (*)(int))dlsym(handle, "two_libcs_make");
	if (!make)
		return 3;
	make(500);
	printf("ready %d\n", (int)getpid());
	fflush(stdout);
	char c;
	return read(0, &c, 1) < 0;
}
