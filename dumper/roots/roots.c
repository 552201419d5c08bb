#include "roots/roots.h"

#include "base/checked.h"
#include "base/fmt.h"
#include "roots/names.h"

struct finder {
	struct hf_roots *roots;
	const struct hf_layout *layout;
	const struct hf_index *index;
	struct hf_reader reader;
	struct hf_root_record now; /* kind, module, thread, variable of the area being scanned */
	bool no_memory;
};

static void add_word(struct finder *f, uint64_t addr, uint64_t value)
{
	uint64_t start;
	int64_t object = hf_index_find(f->index, value, &start);
	if (object == HF_NO_OBJECT)
		return;
	struct hf_root_record *word = hf_vec_push(&f->roots->words);
	if (!word) {
		f->no_memory = true;
		return;
	}
	*word = f->now;
	word->addr = addr;
	word->object = (uint32_t)object;
	word->offset = value - start;
}

static void scan(struct finder *f, uint64_t start, uint64_t end)
{
	for (uint64_t at = hf_align_up(start, 8); at + 8 <= end;) {
		if (!hf_reader_seek(&f->reader, at)) {
			at = hf_align_up(f->reader.win.end, 8);
			continue;
		}
		const struct hf_window *win = &f->reader.win;
		uint64_t stop = win->end < end ? win->end : end;
		for (; at + 8 <= stop; at += 8) {
			uint64_t value;
			memcpy(&value, win->data + (at - win->start), 8);
			if (value - f->index->lo < f->index->hi - f->index->lo)
				add_word(f, at, value);
		}
		if (at + 8 > stop && at < stop)
			at = hf_align_up(stop, 8);
	}
}

/* A variable that owns every word found from now on; made only once a word is found. */
static uint32_t add_variable(struct hf_roots *roots, enum hf_root_kind kind, uint32_t module,
	uint32_t thread, uint64_t addr, uint64_t size, const char *name)
{
	struct hf_variable_record *v = hf_vec_push(&roots->variables);
	if (!v)
		return 0;
	*v = (struct hf_variable_record){kind, module, thread, addr, size, name};
	return (uint32_t)roots->variables.n;
}

static const char *pool_name(struct finder *f, const char *format, uint64_t a, const char *b)
{
	char text[512];
	size_t n = hf_fmt(text, sizeof(text), format, a, b);
	const char *name = hf_pool_strndup(f->roots->pool, text, n);
	return name ? name : "";
}

/* Words of one area whose owner is the area itself (a stack, a mapping …). */
static void scan_whole(struct finder *f, const struct hf_tagged_range *range,
	enum hf_root_kind kind, uint32_t thread,
	const char *(*name)(struct finder *, uint64_t area))
{
	size_t before = f->roots->words.n;
	f->now = (struct hf_root_record){.kind = kind, .thread = thread};
	scan(f, range->start, range->end);
	if (f->roots->words.n == before)
		return;
	uint32_t variable = add_variable(f->roots, kind, 0, thread, range->start,
		range->end - range->start, name(f, range->tag));
	for (size_t i = before; i < f->roots->words.n; i++)
		((struct hf_root_record *)hf_vec_at(&f->roots->words, i))->variable = variable;
}

/* "stack of thread 42 (worker)"; the threads of a core have no names. */
static const char *name_with_thread(struct finder *f, const char *what, uint64_t area)
{
	const struct hf_thread *t = hf_threads_at(f->layout->threads, hf_area_thread(area));
	char text[64];
	size_t n = hf_fmt(text, sizeof(text),
		t->name[0] ? "%s of thread %lu (%s)" : "%s of thread %lu", what, (uint64_t)t->tid,
		t->name);
	const char *name = hf_pool_strndup(f->roots->pool, text, n);
	return name ? name : "";
}

static const char *stack_name(struct finder *f, uint64_t area)
{
	return name_with_thread(f, "stack", area);
}

static const char *register_name(struct finder *f, uint64_t area)
{
	return name_with_thread(f, "registers", area);
}

static const char *control_block_name(struct finder *f, uint64_t area)
{
	return name_with_thread(f, "control block", area);
}

static const char *mapping_name(struct finder *f, uint64_t area)
{
	const struct hf_map *map = hf_maps_at(f->layout->maps, hf_area_index(area));
	const char *what = hf_area_thread(area) ? "(stack of an ended thread)"
			   : map->path[0]       ? map->path
						: "(anonymous)";
	return pool_name(f, "mapping 0x%lx %s", map->start, what);
}

static const char *registered_name(struct finder *f, uint64_t area)
{
	return f->layout->registered[hf_area_index(area)].name;
}

static void scan_area(struct finder *f, const struct hf_tagged_range *range)
{
	size_t thread = hf_area_thread(range->tag), index = hf_area_index(range->tag);
	switch (hf_area_kind(range->tag)) {
	case HF_AREA_STATIC:
		f->now = (struct hf_root_record){
			.kind = HF_ROOT_STATIC, .module = (uint32_t)index + 1};
		scan(f, range->start, range->end);
		break;
	case HF_AREA_TLS:
		if (index == HF_AREA_NO_IMAGE) {
			scan_whole(f, range, HF_ROOT_TLS, (uint32_t)thread + 1, control_block_name);
			break;
		}
		f->now = (struct hf_root_record){.kind = HF_ROOT_TLS,
			.module = (uint32_t)index + 1,
			.thread = (uint32_t)thread + 1};
		scan(f, range->start, range->end);
		break;
	case HF_AREA_STACK:
		scan_whole(f, range, HF_ROOT_STACK, (uint32_t)thread + 1, stack_name);
		break;
	case HF_AREA_MAPPING:
		scan_whole(f, range, HF_ROOT_MAPPING, 0, mapping_name);
		break;
	case HF_AREA_REGISTERED:
		scan_whole(f, range, HF_ROOT_REGISTERED, 0, registered_name);
		break;
	case HF_AREA_SKIP:
	case HF_AREA_HEAP:
	case HF_AREA_DEAD_STACK:
		break;
	}
}

static void add_register(void *ctx, uint32_t number, uint64_t value)
{
	add_word(ctx, number, value);
}

static void scan_registers(struct finder *f, size_t thread)
{
	size_t before = f->roots->words.n;
	f->now = (struct hf_root_record){.kind = HF_ROOT_REGISTER, .thread = (uint32_t)thread + 1};
	hf_thread_each_register(hf_threads_at(f->layout->threads, thread), add_register, f);
	if (f->roots->words.n == before)
		return;
	uint32_t variable = add_variable(f->roots, HF_ROOT_REGISTER, 0, (uint32_t)thread + 1, 0, 0,
		register_name(f, hf_area(HF_AREA_STACK, thread, 0)));
	for (size_t i = before; i < f->roots->words.n; i++)
		((struct hf_root_record *)hf_vec_at(&f->roots->words, i))->variable = variable;
}

/* A registered root may lie inside the heap, whose words are edges anyway: it is scanned by itself.
 */
static void scan_registered_in_heap(struct finder *f)
{
	for (size_t i = 0; i < f->layout->n_registered; i++) {
		const struct hf_registered_root *root = &f->layout->registered[i];
		const struct hf_tagged_range *area =
			hf_rangeset_find(&f->layout->areas, root->addr);
		if (!area || hf_area_kind(area->tag) != HF_AREA_HEAP)
			continue;
		struct hf_tagged_range range = {
			root->addr, root->addr + root->size, hf_area(HF_AREA_REGISTERED, 0, i)};
		scan_whole(f, &range, HF_ROOT_REGISTERED, 0, registered_name);
	}
}

enum hf_status hf_roots_find(struct hf_roots *roots, const struct hf_layout *layout,
	const struct hf_index *index, struct hf_pool *pool, const struct hf_image_files *files,
	struct hf_err *err)
{
	struct finder f = {.roots = roots, .layout = layout, .index = index};
	roots->pool = pool;
	roots->n_unnamed_images = 0;
	hf_vec_init(&roots->words, sizeof(struct hf_root_record));
	hf_vec_init(&roots->variables, sizeof(struct hf_variable_record));
	hf_reader_init(&f.reader, layout->mem);
	for (size_t i = 0; i < layout->areas.ranges.n; i++)
		scan_area(&f, hf_vec_at(&layout->areas.ranges, i));
	for (size_t t = 0; t < hf_threads_count(layout->threads); t++)
		scan_registers(&f, t);
	scan_registered_in_heap(&f);
	hf_reader_deinit(&f.reader);
	if (f.no_memory)
		return hf_err_set(err, HF_E_NOMEM, "no memory for the list of roots");
	return hf_names_assign(roots, layout, files, err);
}

void hf_roots_deinit(struct hf_roots *roots)
{
	hf_vec_deinit(&roots->words);
	hf_vec_deinit(&roots->variables);
}
