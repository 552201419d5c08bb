#include "describe.h"

#include <string.h>
#include <sys/random.h>
#include <sys/utsname.h>

#include "base/checked.h"
#include "base/fmt.h"
#include "base/sys.h"
#include "memory/pagemap.h"

void hf_describe_token(uint8_t token[HF_FORMAT_TOKEN_SIZE])
{
	memset(token, 0, HF_FORMAT_TOKEN_SIZE);
	hf_syscall3(SYS_getrandom, token, HF_FORMAT_TOKEN_SIZE, GRND_NONBLOCK);
}

static bool has_fact(const struct hf_describe *d, const char *key)
{
	for (size_t i = 0; i < d->in->n_facts; i++) {
		if (strcmp(d->in->facts[i].key, key) == 0)
			return true;
	}
	return false;
}

/* What /proc and the machine say: the front end's facts go before. */
static void put_found(const struct hf_describe *d, const char *key, const char *value)
{
	if (!has_fact(d, key))
		hf_write_process(d->writer, key, value);
}

static void put_number(const struct hf_describe *d, const char *key, uint64_t value)
{
	char text[24];
	hf_fmt(text, sizeof(text), "%lu", value);
	hf_write_process(d->writer, key, text);
}

static const char *find_line(const char *text, const char *key)
{
	size_t n = strlen(key);
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, n) == 0)
			return line + n;
	}
	return NULL;
}

/* "VmRSS:   1234 kB" of /proc/PID/status, in bytes. */
static void put_status_kb(
	const struct hf_describe *d, const char *status, const char *key, const char *line)
{
	uint64_t kb;
	const char *at = find_line(status, line);
	while (at && (*at == ' ' || *at == '\t'))
		at++;
	if (at && hf_parse_u64(&at, &kb))
		put_number(d, key, kb * 1024);
}

static void put_proc_facts(const struct hf_describe *d)
{
	char path[64], text[4096], target[4096];
	hf_fmt(path, sizeof(path), "%s/exe", d->in->proc_dir);
	long n = hf_syscall4(SYS_readlinkat, -100, path, target, sizeof(target) - 1);
	if (n > 0) {
		target[n] = 0;
		put_found(d, "exe", target);
	}
	hf_fmt(path, sizeof(path), "%s/comm", d->in->proc_dir);
	if ((n = hf_sys_read_file(path, text, sizeof(text))) > 0) {
		text[n - 1] = text[n - 1] == '\n' ? 0 : text[n - 1];
		hf_write_process(d->writer, "program", text);
	}
	hf_fmt(path, sizeof(path), "%s/status", d->in->proc_dir);
	if (hf_sys_read_file(path, text, sizeof(text)) > 0) {
		const char *uid = find_line(text, "Uid:\t");
		uint64_t value;
		if (uid && hf_parse_u64(&uid, &value) && !has_fact(d, "uid"))
			put_number(d, "uid", value);
		if (!d->in->about.rss_bytes)
			put_status_kb(d, text, "rss_bytes", "VmRSS:");
		if (!d->in->about.vm_bytes)
			put_status_kb(d, text, "vm_bytes", "VmSize:");
		put_status_kb(d, text, "swap_bytes", "VmSwap:");
	}
}

void hf_describe_process(const struct hf_describe *d)
{
	const struct hf_dump_about *about = &d->in->about;
	struct utsname uts;
	hf_write_process(d->writer, "tool", "holdfast " HF_VERSION);
	if (d->in->proc_dir)
		put_proc_facts(d);
	for (size_t i = 0; i < d->in->n_facts; i++)
		hf_write_process(d->writer, d->in->facts[i].key, d->in->facts[i].value);
	if (about->pid) { /* a cut core may not tell */
		put_number(d, "pid", (uint64_t)about->pid);
		put_number(d, "ppid", (uint64_t)about->ppid);
	}
	hf_write_process(d->writer, "arch", "x86_64");
	put_number(d, "page_size", HF_PAGE);
	if (d->in->proc_dir && hf_syscall1(SYS_uname, &uts) == 0) {
		put_found(d, "hostname", uts.nodename);
		hf_write_process(d->writer, "kernel", uts.release);
	}
	if (about->trigger)
		hf_write_process(d->writer, "trigger", about->trigger);
	hf_write_process(d->writer, "snapshot", about->snapshot);
	put_number(d, "stop_ns", about->stop_ns);
	put_number(d, "stop_retries", about->retries);
	if (about->rss_bytes)
		put_number(d, "rss_bytes", about->rss_bytes);
	if (about->vm_bytes)
		put_number(d, "vm_bytes", about->vm_bytes);
	hf_write_process(d->writer, "contents", d->in->contents ? "all" : "none");
	if (d->walk->arenas.n)
		hf_write_process(d->writer, "allocator",
			((struct hf_walk_arena *)d->walk->arenas.data)->allocator);
}

void hf_describe_modules(const struct hf_describe *d)
{
	for (size_t i = 0; i < hf_images_count(d->images); i++) {
		const struct hf_image *image = hf_images_at(d->images, i);
		hf_write_module(d->writer, image->base, image->end - image->base, image->bias,
			image->path, image->build_id, image->build_id_size);
	}
}

static bool has_area(const struct hf_describe *d, const struct hf_map *map, enum hf_area_kind kind)
{
	const struct hf_vec *areas = &d->layout->areas.ranges;
	size_t lo = 0, hi = areas->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (((struct hf_tagged_range *)hf_vec_at(areas, mid))->end > map->start)
			hi = mid;
		else
			lo = mid + 1;
	}
	for (; lo < areas->n; lo++) {
		const struct hf_tagged_range *range = hf_vec_at(areas, lo);
		if (range->start >= map->end)
			return false;
		if (hf_area_kind(range->tag) == kind)
			return true;
	}
	return false;
}

static bool is_own(const struct hf_describe *d, const struct hf_map *map)
{
	for (size_t i = 0; i < d->in->n_own; i++) {
		if (map->start < d->in->own[i].end && d->in->own[i].start < map->end)
			return true;
	}
	return false;
}

static enum hf_mapping_kind mapping_kind(const struct hf_describe *d, const struct hf_map *map)
{
	if (!map->inode && !hf_map_is_anonymous(map))
		return HF_MAPPING_KERNEL;
	if (is_own(d, map))
		return HF_MAPPING_OWN;
	if (strcmp(map->path, "[heap]") == 0 || has_area(d, map, HF_AREA_HEAP))
		return HF_MAPPING_HEAP;
	if (strcmp(map->path, "[stack]") == 0 || has_area(d, map, HF_AREA_STACK) ||
		has_area(d, map, HF_AREA_DEAD_STACK))
		return HF_MAPPING_STACK;
	for (size_t i = 0; i < hf_images_count(d->images); i++) {
		const struct hf_image *image = hf_images_at(d->images, i);
		if (map->start >= image->base && map->start < hf_align_up(image->end, HF_PAGE) &&
			(!map->inode || map->inode == image->inode))
			return (int64_t)i == d->layout->own_image ? HF_MAPPING_OWN
								  : HF_MAPPING_MODULE;
	}
	if (map->perms & HF_PERM_SHARED)
		return strncmp(map->path, "/dev/zero", 9) == 0 ||
				       strncmp(map->path, "/memfd:", 7) == 0 ||
				       strncmp(map->path, "/SYSV", 5) == 0 ||
				       strncmp(map->path, "/dev/shm/", 9) == 0
			       ? HF_MAPPING_SHARED
			       : HF_MAPPING_FILE;
	return map->inode ? HF_MAPPING_FILE : HF_MAPPING_OTHER;
}

static int open_pagemap(const char *proc_dir)
{
	char path[64];
	if (!proc_dir)
		return -1;
	hf_fmt(path, sizeof(path), "%s/pagemap", proc_dir);
	return hf_sys_open_read(path);
}

/* A process that has ended, or is a zombie, has no memory: its statm is all zeros. */
static bool target_lives(const struct hf_describe *d)
{
	char path[64], text[64];
	hf_fmt(path, sizeof(path), "%s/statm", d->in->proc_dir);
	return hf_sys_read_file(path, text, sizeof(text)) > 0 && text[0] != '0';
}

/* Private anonymous pages are the snapshot's own; pages of files and shared memory are not copied
 * by fork, so the target is asked, which has moved on a little. */
void hf_describe_mappings(const struct hf_describe *d)
{
	int target = open_pagemap(d->in->proc_dir);
	int snapshot = open_pagemap(d->in->snapshot_dir);
	for (size_t i = 0; i < hf_maps_count(d->in->maps); i++) {
		const struct hf_map *map = hf_maps_at(d->in->maps, i);
		enum hf_mapping_kind kind = mapping_kind(d, map);
		bool copied =
			!map->inode && !(map->perms & HF_PERM_SHARED) && kind != HF_MAPPING_OWN;
		int fd = snapshot >= 0 && copied ? snapshot : target;
		uint64_t rss = 0;
		if (kind != HF_MAPPING_KERNEL && fd >= 0)
			rss = hf_pagemap_present(fd, map->start, map->end);
		hf_write_mapping(d->writer, map->start, map->end - map->start, map->perms, kind,
			rss, map->offset, map->path);
	}
	if (d->in->proc_dir && !target_lives(d))
		hf_write_finding(d->writer, HF_WARNING, 0,
			"the process ended before its resident file pages were counted: they show "
			"as unaccounted");
	else if (d->in->proc_dir && target < 0)
		hf_write_finding(d->writer, HF_WARNING, 0,
			"the process is not dumpable, its resident file pages could not be "
			"counted: they show as unaccounted");
	if (target >= 0)
		hf_sys_close(target);
	if (snapshot >= 0)
		hf_sys_close(snapshot);
}

static bool worth_keeping(const struct hf_describe *d, uint64_t value)
{
	uint64_t start;
	return hf_index_find(d->index, value, &start) != HF_NO_OBJECT ||
	       hf_images_find(d->images, value) >= 0 || hf_layout_in_stack(d->layout, value);
}

struct register_ctx {
	const struct hf_describe *d;
	uint32_t thread;
};

static void write_register(void *ctx, uint32_t number, uint64_t value)
{
	struct register_ctx *r = ctx;
	if (worth_keeping(r->d, value))
		hf_write_register(r->d->writer, r->thread, number, value);
}

static void write_stack_words(const struct hf_describe *d, uint32_t thread)
{
	const struct hf_stack_layout *stack = &d->layout->stacks[thread];
	struct hf_reader r;
	hf_reader_init(&r, d->in->mem);
	for (uint64_t at = stack->live_start; at + 8 <= stack->live_end;) {
		uint64_t value;
		if (!hf_reader_u64(&r, at, &value)) {
			at = hf_align_up(r.win.end, 8);
			continue;
		}
		if (value >= HF_PAGE && worth_keeping(d, value))
			hf_write_stack_word(d->writer, thread, at, value);
		at += 8;
	}
	hf_reader_deinit(&r);
}

void hf_describe_threads(const struct hf_describe *d)
{
	size_t n = hf_threads_count(d->layout->threads);
	for (size_t i = 0; i < n; i++) {
		const struct hf_thread *t = hf_threads_at(d->layout->threads, i);
		const struct hf_stack_layout *s = &d->layout->stacks[i];
		hf_write_thread(d->writer,
			&(struct hf_thread_record){(uint64_t)t->tid, t->flags, s->pc, s->sp,
				s->live_start, s->live_end - s->live_start, s->tp, t->name});
	}
	for (size_t i = 0; i < n; i++) {
		struct register_ctx ctx = {d, (uint32_t)i};
		hf_thread_each_register(hf_threads_at(d->layout->threads, i), write_register, &ctx);
		if (!(hf_threads_at(d->layout->threads, i)->flags & HF_THREAD_NO_REGISTERS))
			write_register(&ctx, HF_REG_RIP, d->layout->stacks[i].pc);
	}
	for (size_t i = 0; i < n; i++)
		write_stack_words(d, (uint32_t)i);
}

void hf_describe_arenas(const struct hf_describe *d)
{
	size_t n = d->walk->arenas.n;
	struct hf_arena_record *records = hf_pool_alloc(d->in->pool, (n + 1) * sizeof(*records));
	if (!records)
		return;
	for (size_t i = 0; i < d->index->regions.n; i++) {
		const struct hf_index_region *region = hf_vec_at(&d->index->regions, i);
		if (region->arena < n) {
			records[region->arena].live_bytes += region->live_bytes;
			records[region->arena].live_count += region->n_live;
		}
	}
	for (size_t i = 0; i < n; i++) {
		const struct hf_walk_arena *arena = hf_vec_at(&d->walk->arenas, i);
		records[i].allocator = arena->allocator;
		records[i].kind = arena->kind;
		records[i].addr = arena->addr;
		records[i].size_bytes = arena->size_bytes;
		/* A chunk on its way from one list to another may have been met in both. What is
		   live was counted once, so it is the rest that gives way; the counters tell. */
		uint64_t rest = arena->size_bytes > records[i].live_bytes
					? arena->size_bytes - records[i].live_bytes
					: 0;
		records[i].free_bytes =
			arena->free_bytes < rest || !arena->size_bytes ? arena->free_bytes : rest;
		records[i].free_count = arena->free_count;
		records[i].metadata_bytes =
			rest > records[i].free_bytes ? rest - records[i].free_bytes : 0;
		hf_write_arena(d->writer, &records[i]);
	}
}

void hf_describe_roots(const struct hf_describe *d)
{
	for (size_t i = 0; i < d->roots->variables.n; i++)
		hf_write_variable(d->writer, hf_vec_at(&d->roots->variables, i));
	for (size_t i = 0; i < d->roots->words.n; i++)
		hf_write_root(d->writer, hf_vec_at(&d->roots->words, i));
}

void hf_describe_labels(const struct hf_describe *d)
{
	for (size_t i = 0; i < d->in->n_labels; i++) {
		uint64_t start;
		int64_t object = hf_index_find(d->index, d->in->labels[i].addr, &start);
		if (object != HF_NO_OBJECT)
			hf_write_label(d->writer, (uint32_t)object, d->in->labels[i].text);
	}
}

static void finding(
	const struct hf_describe *d, enum hf_severity severity, const char *format, uint64_t n)
{
	char text[HF_FINDING_TEXT];
	hf_fmt(text, sizeof(text), format, n);
	hf_write_finding(d->writer, severity, 0, text);
}

void hf_describe_checks(const struct hf_describe *d, const struct hf_scan_totals *totals)
{
	for (size_t i = 0; i < d->walk->counters.n; i++) {
		const struct hf_walk_counter *c = hf_vec_at(&d->walk->counters, i);
		hf_write_counter(d->writer, c->name, c->allocator, c->walked, c->must_match);
	}
	for (size_t i = 0; i < d->in->n_findings; i++)
		hf_write_finding(d->writer, d->in->findings[i].severity, d->in->findings[i].addr,
			d->in->findings[i].text);
	for (size_t i = 0; i < d->walk->findings.n; i++) {
		const struct hf_walk_finding *f = hf_vec_at(&d->walk->findings, i);
		hf_write_finding(d->writer, f->severity, f->addr, f->text);
	}
	if (d->index->regions_dropped)
		finding(d, HF_PARTIAL, "%lu heap regions overlapped others and were left out",
			d->index->regions_dropped);
	if (d->broken_images)
		finding(d, HF_WARNING,
			"%lu mapped files look like ELF modules but could not be read",
			d->broken_images);
	if (d->layout->tls.unknown)
		finding(d, HF_INFO,
			"%lu modules have thread-local variables whose place is not known (loaded "
			"by dlopen): "
			"they are found as objects, without names",
			d->layout->tls.unknown);
	if (d->roots->n_unnamed_images)
		finding(d, HF_INFO, "%lu modules have no symbols: their roots are shown by address",
			d->roots->n_unnamed_images);
	finding(d, HF_INFO, "%lu bytes of heap were there and scanned", totals->scanned_bytes);
}

static void put_site(const struct hf_describe *d, const struct hf_object *object)
{
	struct hf_site_facts facts;
	/* a record that cannot be of this object is one that a free was not seen of */
	if (d->in->site_of(d->in->site_ctx, object->addr, &facts) &&
		facts.requested_bytes <= object->usable)
		hf_write_site(d->writer, object->id, &facts);
}

void hf_describe_sites(const struct hf_describe *d)
{
	uint64_t start, end;
	if (!d->in->site_of)
		return;
	/* Where a sample is recorded, most of the heap has nothing to look for. */
	for (uint64_t at = d->index->lo;
		at < d->index->hi && d->in->next_sites(d->in->site_ctx, at, &start, &end);
		at = end) {
		struct hf_index_iter iter;
		struct hf_object object;
		hf_index_iter_range(&iter, d->index, start, end);
		while (hf_index_next(&iter, &object))
			put_site(d, &object);
	}
}

/* The resident bytes of one object. */
static void put_content(const struct hf_describe *d, struct hf_reader *r, uint32_t id,
	const struct hf_object *object)
{
	enum { PIECE = 32 << 10 };
	for (uint64_t offset = 0; offset < object->usable;) {
		uint64_t at = object->addr + offset, left = object->usable - offset;
		bool resident = hf_reader_seek(r, at);
		uint64_t run = r->win.end - at;
		uint64_t n = run < left ? run : left;
		if (resident && n > PIECE)
			n = PIECE;
		if (resident)
			hf_write_content(d->writer, id, offset, r->win.data + (at - r->win.start),
				(size_t)n);
		offset += n;
	}
}

void hf_describe_contents(const struct hf_describe *d)
{
	struct hf_index_iter iter;
	struct hf_object object;
	struct hf_reader reader;
	if (!d->in->contents)
		return;
	hf_reader_init(&reader, d->in->mem);
	hf_index_iter_init(&iter, d->index);
	for (uint32_t i = 0; hf_index_next(&iter, &object) && !hf_writer_failed(d->writer); i++)
		put_content(d, &reader, i, &object);
	hf_reader_deinit(&reader);
}
