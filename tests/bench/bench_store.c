/*
 * The cost of writing a database: CPU seconds of each step, and against prepared INSERT in the same
 * run. One JSON line.
 *
 *     bench_store [OBJECTS [EDGES [PAGE_SIZE]]]      default 1000000 3000000 4096
 *
 * INSERT is measured with at most 1e6 objects, and its cost per row taken for the rest.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "analyzer/analysis.h"
#include "fake_heap.h"
#include "store/store.h"
#include "store/summaries.h"

static double cpu_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void check(enum hf_status status, const struct hf_err *err)
{
	if (!status)
		return;
	fprintf(stderr, "bench_store: %s\n", err->msg);
	exit(1);
}

struct figures {
	double edges, objects, tables, total;
	uint64_t bytes;
};

static struct figures measure(
	const struct fake_heap_options *shape, struct hf_store_options *options)
{
	struct hf_err err;
	struct hf_heap heap;
	struct hf_analysis a;
	check(fake_heap_init(&heap, shape, &err), &err);
	check(hf_analysis_init(&a, &heap, NULL, &err), &err);
	check(hf_analysis_run(&a, NULL, NULL, &err), &err);
	struct hf_store_input input = {.heap = &heap,
		.graph = &a.graph,
		.reach = &a.reach,
		.heads = &a.heads,
		.dominators = &a.dominators,
		.held = &a.held};
	char path[64];
	snprintf(path, sizeof(path), "/tmp/bench_store.%d.hfdb", (int)getpid());
	struct hf_store store;
	double start = cpu_seconds();
	check(hf_store_init(&store, path, options, &err), &err);
	check(hf_store_edges(&store, &heap, NULL, &err), &err);
	check(hf_store_edge_index(&store, &heap, &err), &err);
	double edges = cpu_seconds();
	check(hf_store_objects(&store, &input, &err), &err);
	double objects = cpu_seconds();
	struct hf_summaries summaries;
	check(hf_summaries_init(&summaries, &input, &err), &err);
	check(hf_store_tables(&store, &input, &summaries, &err), &err);
	hf_summaries_deinit(&summaries);
	check(hf_store_commit(&store, &err), &err);
	double tables = cpu_seconds();
	hf_store_deinit(&store);
	struct stat st;
	stat(path, &st);
	unlink(path);
	hf_analysis_deinit(&a);
	hf_heap_deinit(&heap);
	return (struct figures){edges - start, objects - edges, tables - objects, tables - start,
		(uint64_t)st.st_size};
}

int main(int argc, char **argv)
{
	struct fake_heap_options shape = {
		.n_objects = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000,
		.n_arenas = 2,
		.n_variables = 2000,
		.n_roots = 20000,
		.seed = 1,
		.list = true};
	shape.n_edges = argc > 2 ? strtoull(argv[2], NULL, 10) : 3 * shape.n_objects;
	struct hf_store_options options = {
		.page_size = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 0};
	struct figures pages = measure(&shape, &options);
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);

	struct fake_heap_options sample = shape;
	if (sample.n_objects > 1000000) {
		sample.n_edges = (uint64_t)(1e6 * (double)shape.n_edges / (double)shape.n_objects);
		sample.n_objects = 1000000;
	}
	options.by_sql = true;
	struct figures sql = measure(&sample, &options);
	double scale = (double)shape.n_objects / (double)sample.n_objects;
	printf("{\"bench\":\"store\",\"objects\":%llu,\"edges\":%llu,\"page_size\":%u,"
	       "\"cpu_s\":%.2f,\"edges_cpu_s\":%.2f,\"objects_cpu_s\":%.2f,\"tables_cpu_s\":%.2f,"
	       "\"file_bytes\":%llu,\"peak_rss_kb\":%ld,\"insert_objects\":%llu,"
	       "\"insert_cpu_s\":%.2f,\"insert_file_bytes\":%llu,\"ratio\":%.1f}\n",
		(unsigned long long)shape.n_objects, (unsigned long long)shape.n_edges,
		options.page_size ? options.page_size : 4096, pages.total, pages.edges,
		pages.objects, pages.tables, (unsigned long long)pages.bytes, usage.ru_maxrss,
		(unsigned long long)sample.n_objects, sql.total, (unsigned long long)sql.bytes,
		sql.total * scale / pages.total);
	return 0;
}
