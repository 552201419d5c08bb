/* replay FILE-OR-FOLDER…: run a fuzz target's function over files, without libFuzzer. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int n_files;

static int run_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	if (!file) {
		perror(path);
		return 1;
	}
	fseek(file, 0, SEEK_END);
	long size = ftell(file);
	rewind(file);
	uint8_t *data = malloc(size ? (size_t)size : 1);
	int bad = !data || fread(data, 1, (size_t)size, file) != (size_t)size;
	fclose(file);
	fprintf(stderr, "%s\n", path);
	if (!bad)
		LLVMFuzzerTestOneInput(data, (size_t)size);
	free(data);
	n_files++;
	return bad;
}

static int run(const char *path)
{
	struct stat st;
	if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
		return run_file(path);
	DIR *dir = opendir(path);
	if (!dir) {
		perror(path);
		return 1;
	}
	int bad = 0;
	for (struct dirent *entry; (entry = readdir(dir));) {
		char name[4096];
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		if (entry->d_name[0] != '.')
			bad |= run_file(name);
	}
	closedir(dir);
	return bad;
}

int main(int argc, char **argv)
{
	int bad = 0;
	for (int i = 1; i < argc; i++)
		bad |= run(argv[i]);
	printf("%d files\n", n_files);
	return bad || !n_files;
}
