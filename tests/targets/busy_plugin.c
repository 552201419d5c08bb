/* Loaded and unloaded all the time by busy.cc: data, thread-local data and objects of its own. */
#include <stdlib.h>
#include <string.h>

static __thread char *last; /* dynamic TLS */
static void *kept;

__attribute__((constructor)) static void load(void)
{
	kept = malloc(1000);
}

__attribute__((destructor)) static void unload(void)
{
	free(kept);
}

size_t busy_plugin_work(const char *text);

size_t busy_plugin_work(const char *text)
{
	free(last);
	last = strdup(text);
	size_t n = last ? strlen(last) : 0;
	free(last);
	last = NULL;
	return n;
}
