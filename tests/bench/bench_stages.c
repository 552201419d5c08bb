/*
 * bench_stages DUMP: what each step of a load costs, one after the other on one thread (reading
 * uses its own): CPU seconds of user and system, resident memory at its highest. One JSON line.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "analyzer/analysis.h"
#include "source/dump/dump.h"
#include "store/store.h"
#include "store/summaries.h"

static double seconds(struct timeval t)
{
	return (double)t.tv_sec + 1e-6 * (double)t.tv_usec;
}

static double peak_mb(void)
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
	int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		ssize_t n = write(fd, "5", 1); /* the peak starts again */
		(void)n;
		close(fd);
	}
	return kib * 1024 / 1e6;
}

static struct rusage before;

static void stage(const char *name, enum hf_status status, const struct hf_err *err)
{
	if (status) {
		fprintf(stderr, "bench_stages: %s: %s\n", name, err->msg);
		exit(1);
	}
	struct rusage now;
	getrusage(RUSAGE_SELF, &now);
	printf(", \"%s\": {\"user_s\": %.2f, \"sys_s\": %.2f, \"peak_mb\": %.0f}", name,
		seconds(now.ru_utime) - seconds(before.ru_utime),
		seconds(now.ru_stime) - seconds(before.ru_stime), peak_mb());
	fflush(stdout);
	before = now;
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	struct hf_err err;
	struct hf_heap heap;
	struct hf_analysis a;
	struct hf_store store;
	struct hf_store_options options = {0};
	char path[4096];
	snprintf(path, sizeof(path), "%s.stages", argv[1]);

	printf("{\"bench\": \"stages\"");
	stage("read", hf_dump_read(argv[1], NULL, &heap, &err), &err);
	printf(", \"objects\": %lu, \"edges\": %lu", heap.n_objects, heap.n_edges);
	stage("schema", hf_store_init(&store, path, &options, &err), &err);
	stage("edges", hf_store_edges(&store, &heap, NULL, &err), &err);
	free(heap.edge_dst_off);
	heap.edge_dst_off = NULL;
	stage("edge_index", hf_store_edge_index(&store, &heap, &err), &err);
	enum hf_status status = hf_analysis_init(&a, &heap, NULL, &err);
	const struct hf_graph *g = &a.graph;
	stage("check", status ? status : hf_graph_check(g, &err), &err);
	stage("reach", hf_graph_reach_init(&a.reach, g, &err), &err);
	stage("heads",
		hf_graph_heads_init(&a.heads, g, a.reach.reachable, a.reach.n_reachable, &err),
		&err);
	stage("dominators", hf_graph_dominators_init(&a.dominators, g, &a.heads, &err), &err);
	stage("held", hf_graph_held_init(&a.held, g, &a.heads, &err), &err);
	struct hf_store_input input = {.heap = &heap,
		.graph = g,
		.reach = &a.reach,
		.heads = &a.heads,
		.dominators = &a.dominators,
		.held = &a.held};
	stage("objects", hf_store_objects(&store, &input, &err), &err);
	struct hf_summaries summaries;
	stage("summaries", hf_summaries_init(&summaries, &input, &err), &err);
	stage("tables", hf_store_tables(&store, &input, &summaries, &err), &err);
	hf_summaries_deinit(&summaries);
	stage("commit", hf_store_commit(&store, &err), &err);
	hf_store_deinit(&store);
	hf_analysis_deinit(&a);
	hf_heap_deinit(&heap);
	unlink(path);
	struct rusage all;
	getrusage(RUSAGE_SELF, &all);
	printf(", \"cpu_s\": %.2f}\n", seconds(all.ru_utime) + seconds(all.ru_stime));
	return 0;
}
