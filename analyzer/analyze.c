#include "analyzer/analyze.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "analyzer/analysis.h"
#include "base/cleanup.h"
#include "base/fmt.h"
#include "frames/frames.h"
#include "sites/sites.h"
#include "source/dump/dump.h"
#include "store/store.h"
#include "store/summaries.h"
#include "symbolize/variables.h"
#include "types/index_cache.h"
#include "types/typing.h"

struct load {
	const struct hf_analyze_options *options;
	struct hf_heap heap;
	struct hf_analysis analysis;
	struct hf_debug_files *files;
	struct hf_sites *sites;
	struct hf_types *types;
	struct hf_typing *typing;
	struct hf_symbolizer *symbolizer;
	struct hf_frames *frames;
	char *cache_dir;             /* of indexes, or NULL */
	const char **variable_names; /* [heap.variables.n] */
	const uint64_t *doubtful;    /* bitmap over edges, of typing */
	struct hf_names names;
	struct hf_store store;
	bool has_store;
	atomic_bool cancelled; /* by the progress hook; read by the other thread too */
};

/* Work on a thread of its own, or, where there is none to be had, when it is waited for. */
struct task {
	enum hf_status (*fn)(void *ctx, struct hf_err *err);
	void *ctx;
	pthread_t thread;
	bool started;
	enum hf_status status;
	struct hf_err err;
};

static void *task_run(void *arg)
{
	struct task *task = arg;
	task->status = task->fn(task->ctx, &task->err);
	return NULL;
}

static void task_start(struct task *task, enum hf_status (*fn)(void *, struct hf_err *), void *ctx)
{
	*task = (struct task){.fn = fn, .ctx = ctx};
	task->started = pthread_create(&task->thread, NULL, task_run, task) == 0;
}

/* status: of the work on this thread meanwhile, which goes first. */
static enum hf_status task_join(struct task *task, enum hf_status status, struct hf_err *err)
{
	if (task->started)
		pthread_join(task->thread, NULL);
	else if (!status)
		task_run(task);
	if (status || !task->status)
		return status;
	if (err)
		*err = task->err;
	return task->status;
}

/* What runs beside the dominators: the edges are written, which needs nothing of the graph; then
 * holders are found, once it is known what is reachable and the search of the dominators is over:
 * the search takes more memory than what follows it. */
struct side {
	struct load *load;
	struct task task;
	sem_t turn; /* posted when it is the holders' turn, or never will be */
	bool posted;
	atomic_bool failed; /* it never will be */
};

static bool on_stage(void *ctx, const char *stage, uint64_t done, uint64_t total)
{
	struct load *load = ctx;
	const struct hf_analyze_options *o = load->options;
	if (o->progress && !o->progress(o->ctx, stage, done, total))
		atomic_store(&load->cancelled, true);
	return !atomic_load(&load->cancelled);
}

static void on_read(void *ctx, uint64_t done_bytes, uint64_t total_bytes)
{
	on_stage(ctx, "reading", done_bytes, total_bytes);
}

/* Called on the other thread too, so the hook is left alone. */
static bool goes_on(struct load *load)
{
	return !atomic_load(&load->cancelled);
}

static bool on_write(void *ctx, uint64_t bytes)
{
	return goes_on(ctx);
}

static bool on_side_stage(void *ctx, const char *stage, uint64_t done, uint64_t total)
{
	return goes_on(ctx);
}

static enum hf_status cancelled(struct load *load, struct hf_err *err)
{
	return atomic_load(&load->cancelled) ? hf_err_set(err, HF_E_FAILED, "cancelled") : HF_OK;
}

static enum hf_status write_edges(struct load *load, struct hf_err *err)
{
	struct hf_heap *heap = &load->heap;
	enum hf_status status = hf_store_edges(&load->store, heap, &load->names, err);
	if (status)
		return status;
	free(heap->edge_dst_off);
	heap->edge_dst_off = NULL;
	return hf_store_edge_index(&load->store, heap, err);
}

static enum hf_status side_run(void *ctx, struct hf_err *err)
{
	struct side *side = ctx;
	struct load *load = side->load;
	enum hf_status status = write_edges(load, err);
	while (sem_wait(&side->turn) && errno == EINTR)
		;
	if (!status && !atomic_load(&side->failed))
		status = hf_analysis_held(&load->analysis, on_side_stage, load, err);
	return status;
}

static void side_start(struct side *side, struct load *load)
{
	*side = (struct side){.load = load};
	sem_init(&side->turn, 0, 0);
	task_start(&side->task, side_run, side);
}

static enum hf_status side_join(struct side *side, enum hf_status status, struct hf_err *err)
{
	if (status) /* no point in going on */
		atomic_store(&side->load->cancelled, true);
	status = task_join(&side->task, status, err);
	sem_destroy(&side->turn);
	return status;
}

static void side_turn(struct side *side)
{
	if (!side->posted)
		sem_post(&side->turn);
	side->posted = true;
}

static bool on_dominators(void *ctx, const char *stage, uint64_t done, uint64_t total)
{
	struct side *side = ctx;
	if (!strcmp(stage, "dominators"))
		side_turn(side);
	return on_stage(side->load, stage, done, total);
}

/* Edges written, and every result over the graph. */
static enum hf_status edges_and_graph(struct load *load, struct hf_err *err)
{
	struct side side;
	side_start(&side, load);
	enum hf_status status = hf_analysis_reach(&load->analysis, on_stage, load, err);
	if (!status)
		status = hf_analysis_dominators(&load->analysis, on_dominators, &side, err);
	atomic_store(&side.failed, status != HF_OK);
	side_turn(&side);
	if (!status)
		on_stage(load, "holders", 0, 0);
	return side_join(&side, status, err);
}

static enum hf_status read_heap(struct load *load, const char *path, struct hf_err *err)
{
	struct hf_dump_options options = {.progress = on_read, .progress_ctx = load};
	enum hf_status status = hf_dump_read(path, &options, &load->heap, err);
	return status ? status : cancelled(load, err);
}

/* The file comes first, so that a directory that may not be written is found out before the work.
 */
static enum hf_status make_store(struct load *load, const char *db_path, struct hf_err *err)
{
	struct hf_store_options options = {
		.page_size = load->options->page_size, .progress = on_write, .progress_ctx = load};
	enum hf_status status = hf_store_init(&load->store, db_path, &options, err);
	load->has_store = !status;
	return status;
}

/* Nothing is made of module references from here on. */
static void drop_modrefs(struct hf_heap *heap)
{
	free(heap->modrefs.at);
	heap->modrefs.at = NULL;
	heap->modrefs.n = heap->modrefs.cap = 0;
}

static enum hf_status name_variables(struct load *load, struct hf_err *err)
{
	load->variable_names = calloc(load->heap.variables.n + 1, sizeof(*load->variable_names));
	if (!load->variable_names)
		return hf_err_set(err, HF_E_NOMEM, "no memory for the names of variables");
	hf_variables_demangle(&load->heap, load->variable_names);
	load->names.variable_name = load->variable_names;
	return HF_OK;
}

/* Types of objects; variables that debug information knows and symbols do not, of frames too. */
static enum hf_status find_types(struct load *load, struct hf_err *err)
{
	on_stage(load, "types", 0, 0);
	enum hf_status status = hf_types_create(&load->types, &load->heap, load->files, err);
	load->cache_dir = load->options->no_cache ? NULL : hf_index_cache_dir();
	if (!status)
		load->types->cache_dir = load->cache_dir;
	if (!status)
		status = hf_typing_create(&load->typing, load->types, &load->heap, err);
	if (!status)
		load->typing->tagged_pointers = load->options->tagged_pointers;
	if (!status)
		status = hf_typing_find_variables(load->typing, err);
	if (!status)
		status = hf_symbolizer_create(&load->symbolizer, load->files, err);
	if (!status)
		status = hf_frames_create(&load->frames, &load->heap, load->files, load->symbolizer,
			load->typing, err);
	if (!status)
		status = hf_typing_find_classes(load->typing, err);
	if (!status)
		status = hf_typing_find_python(load->typing, err);
	if (!status)
		status = hf_typing_spread(load->typing, &load->names, err);
	return status;
}

/* Libraries whose own variables interest nobody. */
static bool is_system(const char *path)
{
	static const char *const names[] = {"libc.so", "libc-", "libstdc++", "libm.so", "ld-linux",
		"libpthread", "libgcc_s", "libholdfast", NULL};
	const char *slash = strrchr(path, '/');
	for (const char *const *name = names; *name; name++) {
		if (slash && !strncmp(slash + 1, *name, strlen(*name)))
			return true;
	}
	return path[0] != '/';
}

/* The module whose types would say most: the program; or else what most variables are of. HF_NONE:
 * nothing that matters is missing. */
static uint32_t untyped_module(struct load *load)
{
	const struct hf_heap *heap = &load->heap;
	const char *exe = hf_heap_property(heap, "exe");
	size_t most = 0;
	uint32_t found = HF_NONE;
	for (uint32_t m = 0; m < heap->modules.n; m++) {
		const char *path = heap->modules.at[m].path;
		bool is_exe = exe && !strcmp(path, exe);
		size_t n = 0;
		if (is_system(path))
			continue;
		for (size_t i = 0; i < heap->roots.n; i++)
			n += heap->roots.at[i].module == m;
		bool missing = hf_debug_module(load->files, m)->state != HF_DEBUG_OK;
		if (is_exe && missing)
			return m;
		if (n > most) {
			most = n;
			found = missing ? m : HF_NONE;
		}
	}
	return found;
}

/* The module that most of the frames without a name are in, those of one that is spared apart. */
static uint32_t unnamed_module(struct load *load, uint32_t spared)
{
	const struct hf_heap *heap = &load->heap;
	const struct hf_names *names = &load->names;
	uint32_t *n = calloc(heap->modules.n + 1, sizeof(*n)), found = HF_NONE;
	for (size_t i = 0; n && i < names->n_site_frames; i++) {
		uint32_t module = names->site_frames[i].module;
		if (module && module <= heap->modules.n && !names->site_frames[i].function)
			n[module - 1]++;
	}
	for (uint32_t m = 0; n && m < heap->modules.n; m++) {
		if (n[m] && m != spared && !is_system(heap->modules.at[m].path) &&
			hf_debug_module(load->files, m)->state != HF_DEBUG_OK &&
			(found == HF_NONE || n[m] > n[found]))
			found = m;
	}
	free(n);
	return found;
}

static void say_advice(struct load *load, const char *of, const char *advice)
{
	if (!advice[0])
		return;
	hf_heap_finding(&load->heap, HF_INFO, 0, "%s: %s", of, advice);
	if (load->options->message)
		load->options->message(load->options->ctx, advice);
}

/* One line where debug information is missing, one where it is of frames of call stacks, and one of
 * each module with split DWARF that is not all read. */
static void advise(struct load *load)
{
	static const char types[] = "types and field names";
	uint32_t module = untyped_module(load);
	if (module != HF_NONE)
		say_advice(load, types, hf_debug_advice(load->files, module));
	uint32_t unnamed = unnamed_module(load, module);
	if (unnamed != HF_NONE)
		say_advice(load, "functions of call stacks", hf_debug_advice(load->files, unnamed));
	for (uint32_t m = 0; m < load->heap.modules.n; m++)
		say_advice(load, types, hf_debug_split_advice(load->files, m));
}

/* Names of variables, types, fields and allocation sites. */
static enum hf_status find_names(struct load *load, const char *path, struct hf_err *err)
{
	const struct hf_analyze_options *o = load->options;
	struct hf_debug_options debug = {
		.dirs = o->debug_dirs, .n_dirs = o->n_debug_dirs, .sysroot = o->sysroot};
	struct hf_sites_options options = {.dump_path = path,
		.profile_path = o->profile,
		.debug = &debug,
		.allocators = {o->allocators, o->n_allocators},
		.message = o->message,
		.ctx = o->ctx};
	on_stage(load, "names", 0, 0);
	enum hf_status status = hf_debug_files_create(&load->files, &load->heap, &debug, err);
	if (!status)
		status = hf_sites_create(&load->sites, &load->heap, load->files, &options, err);
	if (!status)
		hf_sites_names(load->sites, &load->names);
	if (!status)
		status = find_types(load, err);
	if (!status)
		advise(load);
	if (!status)
		status = name_variables(load, err);
	if (!status)
		status = hf_typing_result(load->typing, &load->names, &load->doubtful, err);
	if (!status)
		status = hf_frames_names(load->frames, &load->names, err);
	return status ? status : cancelled(load, err);
}

/* A small dump can stand for a large heap: say so before the disk is full. */
static enum hf_status check_room(struct load *load, struct hf_err *err)
{
	enum { WORTH_SAYING = 200 << 20 };
	const struct hf_analyze_options *o = load->options;
	uint64_t need = hf_store_estimate(&load->heap, &load->names);
	struct statvfs disk;
	if (fstatvfs(load->store.output.fd, &disk) == 0 && need / disk.f_frsize > disk.f_bavail)
		return hf_err_set(err, HF_E_IO,
			"the database will take about %lu MB, but %lu MB are free: choose another "
			"place with -o",
			need / 1000000, disk.f_bavail * disk.f_frsize / 1000000);
	if (need >= WORTH_SAYING && o->message) {
		char text[100];
		hf_fmt(text, sizeof(text), "writing a database of about %lu MB", need / 1000000);
		o->message(o->ctx, text);
	}
	return HF_OK;
}

struct summing {
	const struct hf_store_input *input;
	struct hf_summaries summaries;
};

static enum hf_status sum_up(void *ctx, struct hf_err *err)
{
	struct summing *summing = ctx;
	return hf_summaries_init(&summing->summaries, summing->input, err);
}

/* All that is left; what is summed up over the objects is worked out while they are written. */
static enum hf_status write_rest(
	struct load *load, const struct hf_store_input *input, struct hf_err *err)
{
	struct summing summing = {.input = input};
	struct task task;
	task_start(&task, sum_up, &summing);
	enum hf_status status = hf_store_objects(&load->store, input, err);
	status = task_join(&task, status, err);
	if (!status)
		status = hf_store_tables(&load->store, input, &summing.summaries, err);
	hf_summaries_deinit(&summing.summaries);
	return status;
}

static enum hf_status write_all(struct load *load, struct hf_err *err)
{
	enum hf_status status = hf_analysis_init(&load->analysis, &load->heap, load->doubtful, err);
	if (!status)
		status = check_room(load, err);
	if (status)
		return status;

	/* Of the heap and the results, by count: the same on every machine. */
	uint64_t memory = hf_heap_memory(&load->heap);
	load->analysis.precise = load->options->precise;
	drop_modrefs(&load->heap);
	status = edges_and_graph(load, err);
	if (status)
		return status;
	const struct hf_analysis *a = &load->analysis;
	const struct hf_store_figure figures[] = {{"load_memory", memory + hf_analysis_memory(a)},
		{"doubtful_edge_count", a->n_doubtful}, {"doubtful_count", a->doubtful_count},
		{"doubtful_size", a->doubtful_size}, {"precise", a->precise},
		{"tagged_pointers", load->options->tagged_pointers}};
	struct hf_store_input input = {.heap = &load->heap,
		.graph = &a->graph,
		.reach = &a->reach,
		.heads = &a->heads,
		.dominators = &a->dominators,
		.held = &a->held,
		.names = &load->names,
		.figures = figures,
		.n_figures = sizeof(figures) / sizeof(figures[0])};
	on_stage(load, "writing objects", 0, 0);
	status = write_rest(load, &input, err);
	if (!status)
		status = cancelled(load, err);
	if (!status)
		status = hf_store_commit(&load->store, err);
	return status;
}

static void load_deinit(struct load *load)
{
	if (load->has_store)
		hf_store_deinit(&load->store);
	hf_frames_destroy(load->frames);
	hf_symbolizer_destroy(load->symbolizer);
	hf_typing_destroy(load->typing);
	hf_types_destroy(load->types);
	hf_sites_destroy(load->sites);
	hf_debug_files_destroy(load->files);
	free(load->variable_names);
	free(load->cache_dir);
	hf_analysis_deinit(&load->analysis);
	hf_heap_deinit(&load->heap);
}

/* status, but "disk I/O error" alone does not say which disk. */
static enum hf_status name_database(enum hf_status status, const char *db_path, struct hf_err *err)
{
	if (!err || (status != HF_E_IO && status != HF_E_FAILED) || strstr(err->msg, db_path))
		return status;
	struct hf_err inner = *err;
	return hf_err_set(err, status, "%s: %s", db_path, inner.msg);
}

enum hf_status hf_analyze(const char *input_path, const char *db_path,
	const struct hf_analyze_options *options, struct hf_analyze_result *ret, struct hf_err *err)
{
	static const struct hf_analyze_options none;
	_cleanup_(load_deinit) struct load load = {.options = options ? options : &none};
	hf_heap_init(&load.heap);
	enum hf_status status = HF_OK;
	if (hf_dump_is_dump(input_path))
		status = name_database(make_store(&load, db_path, err), db_path, err);
	if (!status)
		status = read_heap(&load, input_path, err); /* fails for what is not a dump */
	if (!status)
		status = find_names(&load, input_path, err);
	if (!status)
		status = name_database(write_all(&load, err), db_path, err);
	if (!status && ret)
		*ret = (struct hf_analyze_result){.partial = load.heap.partial,
			.n_objects = load.heap.n_objects,
			.n_edges = load.heap.n_edges};
	return status;
}
