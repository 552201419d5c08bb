// The heap of maker.c, without what was freed, as gperftools' sampler sees it: sampled text on
// standard output.
#include <cstdio>
#include <cstdlib>
#include <gperftools/malloc_extension.h>
#include <string>
#include <thread>

#define NOINLINE __attribute__((noinline))
#define STAY     __asm__ volatile("" ::: "memory")

enum { KEPT = 4000 };
static void *kept[KEPT];

static NOINLINE void *small_one()
{
	void *p = std::malloc(100);
	STAY;
	return p;
}

static NOINLINE void *large_one()
{
	void *p = std::malloc(10000);
	STAY;
	return p;
}

static NOINLINE void fill()
{
	for (int i = 0; i < KEPT; i++)
		kept[i] = i % 4 ? small_one() : large_one();
}

int main()
{
	std::thread(fill).join();
	std::string text;
	MallocExtension::instance()->GetHeapSample(&text);
	std::fputs(text.c_str(), stdout);
	return 0;
}
