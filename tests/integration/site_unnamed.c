/* A library without symbols that allocates, and (MAIN) a program that has it do so. */
#include <stdlib.h>

void *site_unnamed(size_t size);

#ifdef MAIN
static void *kept[8];

int main(void)
{
	for (int i = 0; i < 8; i++) {
		kept[i] = site_unnamed(5000);
		if (!kept[i])
			return 1;
	}
	return 0;
}
#else
static __attribute__((noinline)) void *inner(size_t size)
{
	void *p = malloc(size);
	__asm__ volatile("" : : "r"(p) : "memory"); /* no tail call */
	return p;
}

static __attribute__((noinline)) void *outer(size_t size)
{
	void *p = inner(size);
	__asm__ volatile("" : : "r"(p) : "memory");
	return p;
}

void *site_unnamed(size_t size)
{
	void *p = outer(size);
	__asm__ volatile("" : : "r"(p) : "memory");
	return p;
}
#endif
