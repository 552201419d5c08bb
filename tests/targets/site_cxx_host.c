/* A C program that opens a C++ module for itself alone: site_cxx_host MODULE. The operators new and
 * delete of the module come from a runtime that is not in the program's search order. */
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	void *module = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
	int (*work)(void) = module ? (int (*)(void))dlsym(module, "site_cxx_work") : NULL;
	if (!work) {
		fprintf(stderr, "%s\n", module ? "no function" : dlerror());
		return 2;
	}
	return work();
}
