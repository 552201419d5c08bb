/* The debuginfod client, through libdebuginfod, which is loaded when it is wanted. */
#include <dlfcn.h>
#include <stdlib.h>

#include "symbolize/debug_find.h"

/* As in <elfutils/debuginfod.h>, whose package need not be there to build. */
struct client {
	void *library;
	void *(*begin)(void);
	int (*find)(void *client, const unsigned char *build_id, int size, char **path);
	void (*end)(void *client);
};

bool hf_debuginfod_wanted(void)
{
	const char *urls = getenv("DEBUGINFOD_URLS");
	return urls && urls[0];
}

/* Not unloaded again: the library starts curl, which does not like it. */
static const struct client *load(void)
{
	static struct client client;
	if (client.library)
		return client.find ? &client : NULL;
	client.library = dlopen("libdebuginfod.so.1", RTLD_NOW | RTLD_LOCAL);
	if (!client.library)
		return NULL;
	client.begin = (void *(*)(void))dlsym(client.library, "debuginfod_begin");
	client.end = (void (*)(void *))dlsym(client.library, "debuginfod_end");
	if (client.begin && client.end)
		client.find = (int (*)(void *, const unsigned char *, int, char **))dlsym(
			client.library, "debuginfod_find_debuginfo");
	return client.find ? &client : NULL;
}

bool hf_debuginfod_present(void)
{
	return load() != NULL;
}

int hf_debuginfod_find(const uint8_t *build_id, size_t size, char **ret_path)
{
	const struct client *c = hf_debuginfod_wanted() && size ? load() : NULL;
	void *handle = c ? c->begin() : NULL;
	if (!handle)
		return -1;
	char *path = NULL;
	int fd = c->find(handle, build_id, (int)size, &path);
	c->end(handle);
	if (fd < 0) {
		free(path);
		return -1;
	}
	*ret_path = path;
	return fd;
}
