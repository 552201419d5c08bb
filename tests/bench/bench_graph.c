/*
 * bench_graph [N_OBJECTS [EDGES_PER_OBJECT [PERCENT_LOCAL [REPEATS]]]]
 * bench_graph DUMP [REPEATS]
 *
 * CPU time and peak memory of every stage of the graph module on a generated heap, or on that of a
 * dump; one JSON line. ns_per_edge is the median of the repeats; peak_mib is the highest resident
 * memory while the stage runs, with the input and the results of earlier stages that analysis
 * keeps.
 *
 * With the Boost graph library or igraph at configure time their dominators are measured too, on
 * the same graph (Boost recurses along paths, on a thread with a stack of 16 GiB). They take 0.3
 * KiB of memory an edge, and are left out where that is not to be had.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "analyzer/analysis.h"
#include "graph/dominator.h"
#include "graph/held.h"
#include "graph/holders.h"
#include "graph/reach.h"
#include "graph/transpose.h"
#include "heap_graph.h"
#include "source/dump/dump.h"

enum { MAX_REPEATS = 99 };

static uint64_t cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void reset_peak(void)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "5", 1) != 1)
		fprintf(stderr, "bench_graph: cannot reset the peak of resident memory\n");
	if (fd >= 0)
		close(fd);
}

static double peak_mib(void)
{
	char line[256];
	double kib = 0;
	FILE *f = fopen("/proc/self/status", "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "VmHWM: %lf", &kib) == 1)
			break;
	}
	if (f)
		fclose(f);
	return kib / 1024;
}

struct run {
	struct heap_graph h;
	struct hf_graph_reach reach;
	struct hf_graph_heads heads;
	struct hf_graph_dominators dominators;
	struct hf_graph_held held;
	struct hf_graph_transpose transpose;
	struct hf_graph_holders holders;
	struct hf_err err;
};

static enum hf_status stage_check(struct run *r)
{
	return hf_graph_check(&r->h.g, &r->err);
}

static enum hf_status stage_reach(struct run *r)
{
	hf_graph_reach_deinit(&r->reach);
	return hf_graph_reach_init(&r->reach, &r->h.g, &r->err);
}

static enum hf_status stage_heads(struct run *r)
{
	hf_graph_heads_deinit(&r->heads);
	return hf_graph_heads_init(
		&r->heads, &r->h.g, r->reach.reachable, r->reach.n_reachable, &r->err);
}

static enum hf_status stage_dominators(struct run *r)
{
	hf_graph_dominators_deinit(&r->dominators);
	return hf_graph_dominators_init(&r->dominators, &r->h.g, &r->heads, &r->err);
}

static enum hf_status stage_held(struct run *r)
{
	hf_graph_held_deinit(&r->held);
	return hf_graph_held_init(&r->held, &r->h.g, &r->heads, &r->err);
}

static enum hf_status stage_transpose(struct run *r)
{
	hf_graph_transpose_deinit(&r->transpose);
	return hf_graph_transpose_init(&r->transpose, &r->h.g, true, &r->err);
}

static enum hf_status stage_holders(struct run *r)
{
	hf_graph_holders_deinit(&r->holders);
	return hf_graph_holders_init(
		&r->holders, &r->h.g, &r->transpose, &r->reach, &r->heads, &r->held, &r->err);
}

static const struct stage {
	const char *name;
	enum hf_status (*fn)(struct run *r);
	bool whole; /* counts towards the whole graph step */
} STAGES[] = {
	{"check", stage_check, true},
	{"reach", stage_reach, true},
	{"heads", stage_heads, true},
	{"dominators", stage_dominators, true},
	{"held", stage_held, true},
	{"transpose", stage_transpose, true},
	{"holders", stage_holders, false},
};

static int compare_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

/* Median CPU seconds, or a negative number. */
static double run_stage(struct run *r, const struct stage *stage, int repeats, double *ret_peak)
{
	double seconds[MAX_REPEATS];
	*ret_peak = 0;
	for (int i = 0; i < repeats; i++) {
		reset_peak();
		uint64_t start = cpu_ns();
		if (stage->fn(r)) {
			fprintf(stderr, "bench_graph: %s\n", r->err.msg);
			return -1;
		}
		seconds[i] = (double)(cpu_ns() - start) / 1e9;
		double peak = peak_mib();
		*ret_peak = peak > *ret_peak ? peak : *ret_peak;
	}
	qsort(seconds, (size_t)repeats, sizeof(*seconds), compare_double);
	return seconds[repeats / 2];
}

static void *peers_thread(void *arg)
{
	struct run *r = arg;
	double ns = bench_boost_dominators(&r->h.g, r->heads.object, r->heads.n);
	if (ns >= 0)
		printf(", \"boost_dominators_ns_per_edge\": %.1f", ns);
	fflush(stdout);
	ns = bench_igraph_dominators(&r->h.g, r->heads.object, r->heads.n);
	if (ns >= 0)
		printf(", \"igraph_dominators_ns_per_edge\": %.1f", ns);
	return NULL;
}

static bool peers_have_room(const struct hf_graph *g)
{
	char line[256];
	double kib = 0;
	FILE *f = fopen("/proc/meminfo", "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "MemAvailable: %lf", &kib) == 1)
			break;
	}
	if (f)
		fclose(f);
	return (double)(hf_graph_n_edges(g) + g->n_objects) * 300 < kib * 1024;
}

static void compare_with_peers(struct run *r)
{
	pthread_attr_t attr;
	pthread_t thread;
	if (!peers_have_room(&r->h.g))
		return;
	pthread_attr_init(&attr);
	if (pthread_attr_setstacksize(&attr, 16ull << 30) == 0 &&
		pthread_create(&thread, &attr, peers_thread, r) == 0)
		pthread_join(thread, NULL);
	pthread_attr_destroy(&attr);
}

static int measure(struct run *r, unsigned percent_local, int repeats)
{
	double m = (double)hf_graph_n_edges(&r->h.g), whole = 0;
	printf("{\"bench\": \"graph\", \"objects\": %u, \"edges\": %.0f, \"percent_local\": %u",
		r->h.g.n_objects, m, percent_local);
	for (size_t i = 0; i < sizeof(STAGES) / sizeof(STAGES[0]); i++) {
		double peak, seconds = run_stage(r, &STAGES[i], repeats, &peak);
		if (seconds < 0)
			return 1;
		whole += STAGES[i].whole ? seconds : 0;
		printf(", \"%s\": {\"ns_per_edge\": %.1f, \"cpu_s\": %.3f, \"peak_mib\": %.0f}",
			STAGES[i].name, seconds * 1e9 / m, seconds, peak);
		fflush(stdout);
	}
	printf(", \"whole_cpu_s\": %.3f, \"reachable\": %.3f, \"heads\": %u", whole,
		(double)r->reach.n_reachable / r->h.g.n_objects, r->heads.n);
	compare_with_peers(r);
	printf("}\n");
	return 0;
}

static int measure_dump(struct run *r, const char *path, int repeats)
{
	static struct hf_heap heap;
	static struct hf_analysis analysis;
	enum hf_status status = hf_dump_read(path, NULL, &heap, &r->err);
	if (!status)
		status = hf_analysis_init(&analysis, &heap, NULL, &r->err);
	if (status) {
		fprintf(stderr, "bench_graph: %s\n", r->err.msg);
		return 1;
	}
	r->h.g = analysis.graph;
	return measure(r, 0, repeats);
}

static int repeats_of(const char *arg)
{
	int n = arg ? atoi(arg) : 3;
	return n >= 1 && n <= MAX_REPEATS ? n : 0;
}

int main(int argc, char **argv)
{
	struct heap_graph_options o = {.n_objects = 1000000,
		.edges_per_object = 3,
		.percent_local = 0,
		.seed = 0x9e3779b97f4a7c15};
	static struct run r;
	if (argc > 1 && strtoul(argv[1], NULL, 0) == 0) {
		int repeats = repeats_of(argc > 2 ? argv[2] : NULL);
		return repeats ? measure_dump(&r, argv[1], repeats) : 2;
	}
	if (argc > 1)
		o.n_objects = (uint32_t)strtoul(argv[1], NULL, 0);
	if (argc > 2)
		o.edges_per_object = strtod(argv[2], NULL);
	if (argc > 3)
		o.percent_local = (unsigned)strtoul(argv[3], NULL, 0);
	int repeats = repeats_of(argc > 4 ? argv[4] : NULL);
	if (!repeats || o.n_objects < 10)
		return 2;
	return heap_graph_init(&r.h, &o) ? measure(&r, o.percent_local, repeats) : 1;
}
