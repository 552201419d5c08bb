#include <string.h>
#include <sys/stat.h>

#include "base/fmt.h"
#include "frontend/outside.h"

enum { MAX_NUMBER = 100000 };

enum hf_status hf_outside_open(struct hf_sink_file *file, const char *output, const char *program,
	int pid, struct hf_err *err)
{
	char path[HF_PATH_MAX], name[64];
	struct stat st;
	if (output)
		return hf_sink_file_open(file, output, err);
	hf_fmt(name, sizeof(name), "%s", program && *program ? program : "process");
	for (char *p = name; *p; p++)
		*p = *p == '/' || (unsigned char)*p < ' ' ? '_' : *p;
	for (unsigned n = 1; n < MAX_NUMBER; n++) {
		hf_fmt(path, sizeof(path), "%s.%d.%u.hfd", name, pid, n);
		if (lstat(path, &st))
			return hf_sink_file_open(file, path, err);
	}
	return hf_err_set(
		err, HF_E_EXISTS, "%s.%d.N.hfd: all names up to %d exist", name, pid, MAX_NUMBER);
}

static int by_start(const void *a, const void *b)
{
	const struct hf_walk_range *x = a, *y = b;
	return (x->start > y->start) - (x->start < y->start);
}

static void read_table(struct hf_mem *mem, uint64_t addr, struct hf_vec *own)
{
	static struct hf_page_table table;
	if (hf_mem_read(mem, addr, &table, sizeof(table), NULL))
		return;
	for (size_t i = 0; i < HF_PAGE_RANGES; i++) {
		const struct hf_page_range *range = &table.ranges[i];
		struct hf_walk_range *slot;
		if (range->start && range->end > range->start && (slot = hf_vec_push(own)))
			*slot = (struct hf_walk_range){range->start, range->end};
	}
}

static void search_table(struct hf_mem *mem, uint64_t start, uint64_t end, struct hf_vec *own)
{
	struct hf_reader r;
	hf_reader_init(&r, mem);
	for (uint64_t at = start; at + 16 <= end; at += 16) {
		char magic[16];
		if (hf_reader_copy(&r, at, magic, sizeof(magic)) &&
			memcmp(magic, HF_PAGE_TABLE_MAGIC, sizeof(magic)) == 0) {
			read_table(mem, at, own);
			break;
		}
	}
	hf_reader_deinit(&r);
}

uint64_t hf_outside_own(struct hf_mem *mem, struct hf_vec *own)
{
	uint64_t code = 0;
	for (size_t i = 0; i < hf_maps_count(mem->maps); i++) {
		const struct hf_map *map = hf_maps_at(mem->maps, i);
		const char *name = strrchr(map->path, '/');
		if (!name || strncmp(name, "/libholdfast.so", 15) != 0)
			continue;
		code = code ? code : map->start;
		if ((map->perms & HF_PERM_W) && map->end - map->start < 64 << 20)
			search_table(mem, map->start, map->end, own);
	}
	hf_sort(own->data, own->n, own->elem, by_start);
	return code;
}
