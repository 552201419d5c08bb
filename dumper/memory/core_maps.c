/*
 * The mappings of a dead process: what PT_LOAD says about memory and NT_FILE about files, laid over
 * each other. A core does not say what is shared: known names of shared memory are, and file
 * mappings that are writable but were not dumped.
 */
#include <string.h>

#include "memory/core_file.h"

struct builder {
	const struct hf_core *core;
	const char *exe, *exe_in_core;
	struct hf_pool *pool;
	struct hf_vec *maps;
	uint64_t stack, vdso;
	bool no_memory;
};

static bool is_shared_memory(const char *path)
{
	return strncmp(path, "/dev/zero", 9) == 0 || strncmp(path, "/SYSV", 5) == 0 ||
	       strncmp(path, "/memfd:", 7) == 0 || strncmp(path, "/dev/shm/", 9) == 0;
}

/* A number for a path: the place of its first mapping, never 0. */
static uint64_t number_of(const struct builder *b, const char *path)
{
	for (size_t i = 0; i < b->core->mapped.n; i++) {
		const struct hf_core_mapped *m = hf_vec_at(&b->core->mapped, i);
		if (m->path == path || strcmp(m->path, path) == 0)
			return i + 1;
	}
	return b->core->mapped.n + 1;
}

static void add(struct builder *b, uint64_t start, uint64_t end,
	const struct hf_core_segment *segment, const struct hf_core_mapped *mapped)
{
	if (start >= end)
		return;
	struct hf_map *map = hf_vec_push(b->maps);
	if (!map) {
		b->no_memory = true;
		return;
	}
	*map = (struct hf_map){.start = start, .end = end, .path = ""};
	map->perms = segment ? segment->perms : HF_PERM_R;
	if (mapped) {
		map->path = b->exe && b->exe_in_core && strcmp(mapped->path, b->exe_in_core) == 0
				    ? b->exe
				    : mapped->path;
		map->offset = mapped->offset + (start - mapped->start);
		map->inode = number_of(b, mapped->path);
		map->dev = HF_DEV_NONE;
		if (is_shared_memory(mapped->path) || !segment ||
			((map->perms & HF_PERM_W) && !segment->dumped))
			map->perms |= map->perms & HF_PERM_W ? HF_PERM_SHARED : 0;
	} else if (b->stack >= start && b->stack < end) {
		map->path = "[stack]";
	} else if (b->vdso >= start && b->vdso < end) {
		map->path = "[vdso]";
	} else if (start >= 0xffffffffff600000) {
		map->path = "[vsyscall]";
	}
}

/* Files lie wholly inside segments mostly; a piece between two of them is anonymous. */
static void lay_over(struct builder *b, const struct hf_core_segment *s, size_t *next)
{
	const struct hf_vec *mapped = &b->core->mapped;
	uint64_t at = s->start;
	for (; *next < mapped->n; (*next)++) {
		const struct hf_core_mapped *m = hf_vec_at(mapped, *next);
		if (m->start >= s->end)
			break;
		uint64_t start = m->start > at ? m->start : at;
		uint64_t end = m->end < s->end ? m->end : s->end;
		add(b, at, start, s, NULL);
		add(b, start, end, s, m);
		at = end > at ? end : at;
		if (m->end > s->end)
			break;
	}
	add(b, at, s->end, s, NULL);
}

/* Files where the core has no segment. */
static void add_before(struct builder *b, uint64_t from, uint64_t to, size_t *next)
{
	const struct hf_vec *mapped = &b->core->mapped;
	for (; *next < mapped->n; (*next)++) {
		const struct hf_core_mapped *m = hf_vec_at(mapped, *next);
		if (m->start >= to)
			break;
		uint64_t start = m->start > from ? m->start : from;
		add(b, start, m->end < to ? m->end : to, NULL, m);
		from = m->end > from ? m->end : from;
		if (m->end > to)
			break;
	}
}

/* The kernel puts the random bytes of AT_RANDOM at the top of the first stack. */
static uint64_t main_stack(const struct hf_core *core)
{
	enum { RSP = 19 * 8 };
	uint64_t sp = 0;
	if (core->at_random)
		return core->at_random;
	for (size_t i = 0; i < core->threads.n; i++) {
		const struct hf_core_thread *t = hf_vec_at(&core->threads, i);
		if (t->tid == core->pid)
			memcpy(&sp, t->regs + RSP, sizeof(sp));
	}
	return sp;
}

enum hf_status hf_core_maps(const struct hf_core *core, const char *exe, struct hf_pool *pool,
	struct hf_maps *ret, struct hf_err *err)
{
	struct builder b = {.core = core,
		.exe = exe,
		.exe_in_core = hf_core_exe(core),
		.pool = pool,
		.maps = &ret->maps,
		.stack = main_stack(core),
		.vdso = core->at_sysinfo_ehdr};
	size_t next = 0;
	uint64_t from = 0;
	hf_vec_init(&ret->maps, sizeof(struct hf_map));
	for (size_t i = 0; i < core->segments.n; i++) {
		const struct hf_core_segment *s = hf_core_segment_at(core, i);
		add_before(&b, from, s->start, &next);
		lay_over(&b, s, &next);
		from = s->end;
	}
	add_before(&b, from, UINT64_MAX, &next);
	if (b.no_memory) {
		hf_maps_deinit(ret);
		return hf_err_set(err, HF_E_NOMEM, "no memory for the list of mappings");
	}
	return HF_OK;
}
