#include "cli/locate_file.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool hf_self_directory(char *buf, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", buf, size - 1);
	if (n <= 0 || (size_t)n >= size - 1)
		return false;
	buf[n] = 0;
	char *slash = strrchr(buf, '/');
	if (!slash)
		return false;
	*slash = 0;
	return true;
}

bool hf_near_self(const char *const *each, const char *name, char *buf, size_t size)
{
	char self[PATH_MAX];
	if (!hf_self_directory(self, sizeof(self)))
		return false;
	for (; *each; each++) {
		int n = snprintf(buf, size, "%s/%s%s%s", self, *each, **each ? "/" : "", name);
		if (n > 0 && (size_t)n < size && access(buf, R_OK) == 0)
			return true;
	}
	return false;
}
