#include "gen_dump.h"

#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "write/sink_file.h"

enum {
	N_TYPES = 24,
	PHASE = 4096, /* objects that one pattern of types made */
	MAX_PATTERN = 4,
	ARRAY_EVERY = 2048, /* one object in so many is an array of pointers */
	N_THREADS = 4,
	CHUNK_HEADER = 8, /* bytes between neighbours, as glibc has it */
};

static const uint64_t MAIN_BASE = 0x555555800000, THREAD_BASE = 0x7fffe8000030,
		      STACK_BASE = 0x7ffff7000000, EXE_BASE = 0x555555554000;

struct generator {
	struct hf_writer *w;
	uint64_t n, seed;
	double edges_per_object;
	uint64_t first_of_thread_arena; /* objects from here on are in arena 1 */
	struct gen_totals totals;
};

static uint64_t mix(uint64_t v)
{
	v = (v ^ (v >> 30)) * 0xbf58476d1ce4e5b9;
	v = (v ^ (v >> 27)) * 0x94d049bb133111eb;
	return v ^ (v >> 31);
}

static uint64_t hash(const struct generator *g, uint64_t a, uint64_t b)
{
	return mix(g->seed + mix(a * 0x9e3779b97f4a7c15 + b));
}

/* What kind of object number i is. */
struct shape {
	uint64_t usable;  /* bytes */
	unsigned pattern; /* objects until the next of this kind in its phase */
	unsigned n_slots; /* words that may hold pointers */
	bool vtable;      /* the first word points into the program; slots come after it */
	bool array;
};

static struct shape shape_of(const struct generator *g, uint64_t i)
{
	static const uint16_t words[N_TYPES] = {
		3, 3, 3, 5, 5, 5, 7, 7, 9, 9, 11, 13, 15, 17, 21, 3, 5, 7, 9, 25, 33, 65, 129, 5};
	static const uint8_t slots[N_TYPES] = {
		1, 2, 0, 2, 3, 1, 3, 4, 2, 5, 3, 6, 4, 7, 2, 0, 3, 2, 4, 6, 3, 8, 12, 4};
	uint64_t phase = hash(g, i / PHASE, 1), own = hash(g, i, 2);
	struct shape shape = {.pattern = 1 + (unsigned)(phase % MAX_PATTERN)};
	if (own % ARRAY_EVERY == 0) {
		uint64_t n = 64 + (own >> 32) % 2048;
		shape.n_slots = (unsigned)n;
		shape.usable = ((n + 1) | 1) * 8;
		shape.array = true;
		return shape;
	}
	bool stray = own % 32 == 1;
	unsigned place = (unsigned)(i % shape.pattern);
	unsigned type = (unsigned)((stray ? own >> 20 : mix(phase + place)) % N_TYPES);
	shape.usable = words[type] * 8u;
	shape.vtable = type % 3 == 1;
	double wanted = slots[type] * g->edges_per_object / 3.6;
	double most = words[type] - shape.vtable;
	shape.n_slots = (unsigned)((wanted < most ? wanted : most) + (double)(own >> 48) / 65536);
	return shape;
}

/* Where slot `slot` of object i points, or g->n: null. */
static uint64_t target_of(
	const struct generator *g, uint64_t i, const struct shape *shape, unsigned slot)
{
	uint64_t h = hash(g, i, 16 + slot);
	if (shape->array) {
		if (h % 4 == 0)
			return g->n;
		uint64_t at = i / PHASE * PHASE + (uint64_t)slot * shape->pattern;
		return at < g->n ? at : g->n;
	}
	if (h % 8 == 0)
		return g->n;
	uint64_t at = i;
	switch ((slot + (i % shape->pattern)) % 6) {
	case 0: /* its payload */
		at = i + 1;
		break;
	case 1: /* the next of its kind */
		at = i + shape->pattern;
		break;
	case 2: /* the one before */
		at = i - shape->pattern;
		break;
	case 3: /* somewhere near */
		at = i + 64 - (h >> 8) % (1u << (1 + (h >> 40) % 11));
		break;
	case 4: /* a hub of its phase */
		at = i / PHASE * PHASE + (h >> 8) % 4;
		break;
	default: { /* anywhere; the older the more often */
		double u = (double)(h >> 11) * 0x1p-53;
		at = (uint64_t)(u * u * u * (double)g->n);
	}
	}
	return at < g->n ? at : g->n;
}

static unsigned arena_of(const struct generator *g, uint64_t i)
{
	return i >= g->first_of_thread_arena;
}

/* Free memory before object i. */
static uint64_t gap_before(const struct generator *g, uint64_t i)
{
	uint64_t h = hash(g, i, 3);
	return h % 16 ? 0 : 32 + (h >> 32) % 128 * 16;
}

static void write_process(struct generator *g)
{
	static const char *const pairs[][2] = {{"program", "synthetic"},
		{"exe", "/usr/bin/synthetic"}, {"pid", "4242"}, {"ppid", "1"}, {"uid", "1000"},
		{"arch", "x86_64"}, {"page_size", "4096"}, {"trigger", "api"},
		{"libc", "glibc 2.36"}, {"snapshot", "fork"}, {"contents", "none"},
		{"tool", HF_VERSION}};
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		hf_write_process(g->w, pairs[i][0], pairs[i][1]);
}

static void write_places(struct generator *g, const struct hf_arena_record *arenas)
{
	hf_write_module(g->w, EXE_BASE, 0x200000, EXE_BASE, "/usr/bin/synthetic",
		"\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67",
		20);
	hf_write_module(g->w, 0x7ffff7c00000, 0x200000, 0x7ffff7c00000,
		"/lib/x86_64-linux-gnu/libc.so.6", "\xfe\xdc\xba\x98", 4);
	hf_write_mapping(
		g->w, EXE_BASE, 0x200000, 5, HF_MAPPING_MODULE, 0x80000, 0, "/usr/bin/synthetic");
	hf_write_mapping(g->w, arenas[0].addr, arenas[0].size_bytes, 3, HF_MAPPING_HEAP,
		arenas[0].size_bytes, 0, "[heap]");
	hf_write_mapping(g->w, arenas[1].addr, arenas[1].size_bytes, 3, HF_MAPPING_HEAP,
		arenas[1].size_bytes, 0, "");
	hf_write_mapping(g->w, 0x7fffff000000, 0x21000, 3, HF_MAPPING_STACK, 0x8000, 0, "[stack]");
	for (unsigned t = 0; t < N_THREADS; t++) {
		char name[16];
		hf_fmt(name, sizeof(name), "worker-%u", t);
		struct hf_thread_record thread = {.tid = 4242 + t,
			.flags = t ? 0 : HF_THREAD_CALLER,
			.pc = EXE_BASE + 0x4000,
			.sp = STACK_BASE + t * 0x800000,
			.stack_start = STACK_BASE + t * 0x800000,
			.stack_size = 0x2000,
			.tp = STACK_BASE + t * 0x800000 + 0x6000,
			.name = name};
		hf_write_thread(g->w, &thread);
	}
	for (unsigned t = 0; t < N_THREADS; t++)
		hf_write_register(g->w, t, HF_REG_RIP, EXE_BASE + 0x4000);
	for (unsigned t = 0; t < N_THREADS; t++) {
		for (unsigned k = 0; k < 8; k++)
			hf_write_stack_word(g->w, t, STACK_BASE + t * 0x800000 + k * 24,
				EXE_BASE + 0x1000 + k * 0x51);
	}
	for (unsigned a = 0; a < 2; a++)
		hf_write_arena(g->w, &arenas[a]);
}

/* Go over all objects; write them, or only sum up what the arenas will hold. */
static void each_object(struct generator *g, struct hf_arena_record *arenas, bool write)
{
	uint64_t at[2] = {MAIN_BASE + 16, THREAD_BASE};
	for (uint64_t i = 0; i < g->n; i++) {
		unsigned a = arena_of(g, i);
		uint64_t gap = gap_before(g, i), usable = shape_of(g, i).usable;
		uint64_t addr = at[a] + gap;
		at[a] = addr + usable + CHUNK_HEADER;
		if (write) {
			hf_write_object(g->w, addr, usable, a);
			continue;
		}
		arenas[a].live_bytes += usable;
		arenas[a].live_count++;
		arenas[a].free_bytes += gap;
		arenas[a].free_count += gap != 0;
	}
	if (write)
		return;
	for (unsigned a = 0; a < 2; a++) {
		arenas[a].size_bytes = ((at[a] - arenas[a].addr) | 0xfff) + 1;
		arenas[a].metadata_bytes =
			arenas[a].size_bytes - arenas[a].live_bytes - arenas[a].free_bytes;
	}
}

static void write_references(struct generator *g, uint64_t i)
{
	struct shape shape = shape_of(g, i);
	if (shape.vtable) {
		hf_write_modref(g->w, (uint32_t)i, 0, 0, 0x1c000 + shape.usable * 8);
		g->totals.n_modrefs++;
	}
	for (unsigned slot = 0; slot < shape.n_slots; slot++) {
		uint64_t dst = target_of(g, i, &shape, slot);
		if (dst >= g->n)
			continue;
		uint64_t h = hash(g, dst, 4);
		uint64_t into = h % 16 == 0 ? (h >> 8) % shape_of(g, dst).usable & ~7ull : 0;
		hf_write_edge(g->w, (uint32_t)i, (slot + shape.vtable) * 8u, (uint32_t)dst, into);
		g->totals.n_edges++;
	}
}

static void write_roots(struct generator *g)
{
	/* four phases of five are held by a global, the others leak unless somebody points there */
	uint64_t n_phases = (g->n + PHASE - 1) / PHASE;
	uint32_t variables = 0;
	for (uint64_t p = 0; p < n_phases; p++) {
		if (p % 5 == 4)
			continue;
		char name[32];
		hf_fmt(name, sizeof(name), "g_table_%lu", p);
		struct hf_variable_record variable = {
			.kind = p % 2 ? HF_ROOT_STATIC : HF_ROOT_GLOBAL,
			.module = 1,
			.addr = EXE_BASE + 0x100000 + p * 32,
			.size_bytes = 32,
			.name = name};
		hf_write_variable(g->w, &variable);
		variables++;
	}
	for (uint32_t v = 0; v < variables; v++) {
		uint64_t p = v / 4 * 5 + v % 4;
		for (unsigned k = 0; k < 4 && p * PHASE + k < g->n; k++) {
			struct hf_root_record root = {
				.kind = p % 2 ? HF_ROOT_STATIC : HF_ROOT_GLOBAL,
				.variable = v + 1,
				.module = 1,
				.addr = EXE_BASE + 0x100000 + p * 32 + k * 8,
				.object = (uint32_t)(p * PHASE + k)};
			hf_write_root(g->w, &root);
			g->totals.n_roots++;
		}
	}
	for (unsigned t = 0; t < N_THREADS && g->n; t++) {
		struct hf_root_record root = {.kind = HF_ROOT_STACK,
			.thread = t + 1,
			.addr = STACK_BASE + t * 0x800000 + 8,
			.object = (uint32_t)(hash(g, t, 5) % g->n)};
		hf_write_root(g->w, &root);
		g->totals.n_roots++;
	}
	if (g->n)
		hf_write_label(g->w, 0, "first");
}

void gen_dump(struct hf_writer *writer, const struct gen_options *options, struct gen_totals *ret)
{
	struct generator g = {.w = writer,
		.n = options->n_objects,
		.seed = mix(options->seed),
		.edges_per_object = options->edges_per_object,
		.first_of_thread_arena = options->n_objects - options->n_objects / 16};
	struct hf_arena_record arenas[2] = {
		{.allocator = "glibc 2.36", .kind = HF_ARENA_MAIN, .addr = MAIN_BASE},
		{.allocator = "glibc 2.36", .kind = HF_ARENA_THREAD, .addr = THREAD_BASE - 0x30}};
	each_object(&g, arenas, false);
	write_process(&g);
	write_places(&g, arenas);
	each_object(&g, NULL, true);
	for (uint64_t i = 0; i < g.n && !hf_writer_failed(writer); i++)
		write_references(&g, i);
	write_roots(&g);
	for (unsigned a = 0; a < 2; a++) {
		char name[40];
		hf_fmt(name, sizeof(name), "glibc arena %u in use", a);
		hf_write_counter(writer, name, arenas[a].live_bytes, arenas[a].live_bytes, true);
		g.totals.usable_bytes += arenas[a].live_bytes;
	}
	hf_write_finding(writer, HF_INFO, 0, "a synthetic heap");
	g.totals.n_objects = g.n;
	if (ret)
		*ret = g.totals;
}

enum hf_status gen_dump_file(const char *path, const struct gen_options *options,
	struct gen_totals *ret, struct hf_err *err)
{
	static const struct hf_writer_options writer_options = {.codec = HF_CODEC_LZ4,
		.time_ns = 1700000000000000000,
		.token = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};
	struct hf_sink_file *file = malloc(sizeof(*file));
	if (!file)
		return hf_err_set(err, HF_E_NOMEM, "no memory");
	struct hf_writer *writer = NULL;
	enum hf_status status = hf_sink_file_open(file, path, err);
	if (status == HF_OK) {
		status = hf_writer_create(&file->sink, &writer_options, &writer, err);
		if (status == HF_OK) {
			gen_dump(writer, options, ret);
			status = hf_writer_finish(writer, err);
		}
		hf_writer_destroy(writer);
		if (status == HF_OK)
			status = hf_sink_file_commit(file, err);
		else
			hf_sink_file_abort(file);
	}
	free(file);
	return status;
}
