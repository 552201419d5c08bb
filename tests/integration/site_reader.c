/*
 * Reads the file that a recorder keeps its records in: site_reader FILE lists the live objects, a
 * line each: address, size, thread, then the frames, innermost first, as path+file offset of the
 * call. site_reader FILE OUT writes the heap profile instead.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "site/live.h"
#include "site/modules.h"
#include "site/profile.h"
#include "site/stacks.h"

struct file {
	struct hf_sink sink;
	int fd;
};

static enum hf_status write_file(
	struct hf_sink *sink, const void *data, size_t size, struct hf_err *err)
{
	struct file *file = (struct file *)sink;
	return write(file->fd, data, size) == (ssize_t)size
		       ? HF_OK
		       : hf_err_set(err, HF_E_IO, "cannot write");
}

static void print_object(void *ctx, const struct hf_live_object *o)
{
	const struct hf_site_store *s = ctx;
	const uint64_t *pcs;
	uint32_t n = hf_stacks_frames(s, o->site, &pcs);
	printf("0x%lx %lu %u", o->addr, o->size, o->tid);
	for (uint32_t i = 0; i < n; i++) {
		int module = hf_modules_find(s, pcs[i] - 1);
		if (module < 0)
			printf(" ?");
		else
			printf(" %s+0x%lx", s->modules[module].path,
				pcs[i] - 1 - s->modules[module].start +
					s->modules[module].file_offset);
	}
	printf("\n");
}

static int write_profile(const struct hf_site_store *s, const char *path)
{
	static const uint8_t token[HF_FORMAT_TOKEN_SIZE] = {0xab, 0xcd, 0xef};
	struct hf_err err;
	struct hf_profile_options options = {s->start_realtime_ns + 1000000000u, token, NULL};
	struct file file = {{write_file}, open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600)};
	if (hf_profile_write(s, &options, &file.sink, &err) || close(file.fd)) {
		fprintf(stderr, "%s\n", err.msg);
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct hf_site_store *s;
	struct hf_err err;
	if (argc < 2)
		return 2;
	if (hf_store_open(argv[1], &s, &err)) {
		fprintf(stderr, "%s\n", err.msg);
		return 1;
	}
	fprintf(stderr, "lost %u %u %u sites %u modules %u\n", s->lost_stacks, s->lost_objects,
		s->lost_nested, s->n_sites, s->n_modules);
	if (argc == 3)
		return write_profile(s, argv[2]);
	hf_live_each(s, print_object, s);
	return 0;
}
