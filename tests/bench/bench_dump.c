/* bench_dump [OBJECTS [EDGES_PER_OBJECT]]: what writing and reading a dump cost. One JSON line. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "gen_dump.h"
#include "source/dump/dump.h"

static double cpu_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double wall_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static enum hf_status sink_nothing(
	struct hf_sink *sink, const void *data, size_t size, struct hf_err *err)
{
	return HF_OK;
}

/* CPU seconds to generate and write, and the bytes. */
static double write_seconds(const struct gen_options *gen, enum hf_codec codec, uint64_t *ret_bytes)
{
	struct hf_sink sink = {sink_nothing};
	struct hf_writer_options options = {.codec = codec};
	struct hf_writer *writer;
	struct hf_err err;
	double start = cpu_seconds();
	if (hf_writer_create(&sink, &options, &writer, &err) != HF_OK)
		exit(1);
	gen_dump(writer, gen, NULL);
	if (hf_writer_finish(writer, &err) != HF_OK)
		exit(1);
	*ret_bytes = hf_writer_bytes(writer);
	hf_writer_destroy(writer);
	return cpu_seconds() - start;
}

/* Appending alone, without making up objects and without compression. */
static double edge_ns(uint64_t n)
{
	struct hf_sink sink = {sink_nothing};
	struct hf_writer_options options = {.codec = HF_CODEC_NONE};
	struct hf_writer *writer;
	struct hf_err err;
	if (hf_writer_create(&sink, &options, &writer, &err) != HF_OK)
		exit(1);
	uint32_t r = 1;
	double start = cpu_seconds();
	for (uint32_t i = 0; i < n; i++) {
		r = r * 1103515245 + 12345;
		hf_write_edge(writer, i / 3, i % 3 * 8, i / 3 + (r >> 24) * (r >> 28), 0);
	}
	double seconds = cpu_seconds() - start;
	hf_writer_destroy(writer);
	return seconds / (double)n * 1e9;
}

int main(int argc, char **argv)
{
	struct gen_options gen = {.n_objects = argc > 1 ? strtoull(argv[1], NULL, 0) : 1000000,
		.edges_per_object = argc > 2 ? strtod(argv[2], NULL) : 3,
		.seed = 1};
	uint64_t raw, packed;
	double generate = write_seconds(&gen, HF_CODEC_NONE, &raw);
	double all = write_seconds(&gen, HF_CODEC_LZ4, &packed);

	char path[64];
	snprintf(path, sizeof(path), "/tmp/bench_dump.%d.hfd", (int)getpid());
	struct gen_totals totals;
	struct hf_heap heap;
	struct hf_err err;
	double cpu[2] = {0}, wall[2] = {0};
	enum hf_status status = gen_dump_file(path, &gen, &totals, &err);
	for (unsigned n = 1; n <= 2 && status == HF_OK; n++) {
		struct hf_dump_options options = {.n_threads = n};
		double cpu_start = cpu_seconds(), wall_start = wall_seconds();
		status = hf_dump_read(path, &options, &heap, &err);
		cpu[n - 1] = cpu_seconds() - cpu_start;
		wall[n - 1] = wall_seconds() - wall_start;
		if (status == HF_OK && n == 1)
			hf_heap_deinit(&heap);
	}
	unlink(path);
	if (status != HF_OK) {
		fprintf(stderr, "bench_dump: %s\n", err.msg);
		return 1;
	}
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	printf("{\"bench\":\"dump\",\"objects\":%lu,\"edges\":%lu,\"raw_bytes\":%lu,\"file_bytes\":"
	       "%lu,"
	       "\"writer_memory_bytes\":%zu,\"compress_mb_per_s\":%.0f,\"append_ns_per_edge\":%.1f,"
	       "\"read_cpu_s\":%.3f,\"read_wall_s\":%.3f,\"read_2_threads_wall_s\":%.3f,"
	       "\"heap_bytes\":%lu,\"peak_rss_bytes\":%ld}\n",
		totals.n_objects, totals.n_edges, raw, packed, hf_writer_memory_size(),
		(double)raw / (all - generate) / 1e6, edge_ns(10000000), cpu[0], wall[0], wall[1],
		hf_heap_memory(&heap), usage.ru_maxrss * 1024);
	hf_heap_deinit(&heap);
	return 0;
}
