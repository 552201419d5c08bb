/* Which Debian package a file is from: dpkg keeps a list of files for each. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "symbolize/debug_find.h"

static void close_dir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

static void close_file(FILE **file)
{
	if (*file)
		fclose(*file);
}

static bool lists(const char *list_path, const char *path)
{
	_cleanup_(close_file) FILE *list = fopen(list_path, "re");
	_cleanup_(hf_freep) char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	while (list && (n = getline(&line, &cap, list)) > 0) {
		if (line[n - 1] == '\n')
			line[n - 1] = 0;
		/* /lib is /usr/lib on merged systems, and lists have either */
		const char *entry = strncmp(line, "/usr/", 5) ? line : line + 4;
		if (!strcmp(entry, path))
			return true;
	}
	return false;
}

bool hf_debug_package(const char *sysroot, const char *path, char *ret, size_t size)
{
	char dir_path[HF_DEBUG_PATH_SIZE], list_path[2 * HF_DEBUG_PATH_SIZE];
	snprintf(dir_path, sizeof(dir_path), "%s/var/lib/dpkg/info", sysroot);
	_cleanup_(close_dir) DIR *dir = opendir(dir_path);
	const char *wanted = strncmp(path, "/usr/", 5) ? path : path + 4;
	for (struct dirent *e; dir && (e = readdir(dir));) {
		size_t n = strlen(e->d_name);
		if (n < 6 || strcmp(e->d_name + n - 5, ".list"))
			continue;
		snprintf(list_path, sizeof(list_path), "%s/%s", dir_path, e->d_name);
		if (!lists(list_path, wanted))
			continue;
		n = strcspn(e->d_name, ":") < n - 5 ? strcspn(e->d_name, ":") : n - 5;
		snprintf(ret, size, "%.*s", (int)n, e->d_name);
		return true;
	}
	return false;
}
