/*
 * Speed of the pointer scan against the memory bandwidth of one thread, measured in the same run on
 * the same heap. A synthetic heap of small objects (mean 96 bytes, as glibc lays them out) is
 * filled with words, a part of which point to objects, a fifth of those inside them.
 *
 *     bench_scan [MiB=512] [percent of pointers=25] [local=1: pointers go near, 0: anywhere]
 *
 * "touch_gb_s" is what is left of the read's speed when the cells of the index that the pointers
 * need are fetched besides, and nothing is made of them. On one processor, so by one thread. Prints
 * one JSON line for the scan alone ("not written": it finds the edges and counts them) and one for
 * each codec of the writer: medians over rounds in which the plain read and the scan take turns, in
 * GB/s, and their ratio.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "scan/scan.h"

/* CPU time: the machine may be shared. */
static uint64_t cpu_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint8_t *heap;
static uint64_t heap_size;

static void window(struct hf_reader *r, uint64_t addr)
{
	uint64_t start = (uint64_t)heap;
	bool inside = addr >= start && addr < start + heap_size;
	r->win = inside ? (struct hf_window){start, start + heap_size, heap}
			: (struct hf_window){addr, UINT64_MAX, NULL};
}

static enum hf_status discard(
	struct hf_sink *sink, const void *data, size_t size, struct hf_err *err)
{
	(void)sink, (void)data, (void)size, (void)err;
	return HF_OK;
}

static uint64_t rng = 88172645463325252ull;
static uint64_t next_random(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

static uint32_t *make_heap(struct hf_index *index, uint32_t *ret_n)
{
	uint64_t base = (uint64_t)heap, at = 16;
	uint32_t n = 0, cap = (uint32_t)(heap_size / 32);
	uint32_t *offsets = malloc(cap * sizeof(*offsets)); /* of starts, in granules */
	int64_t region = hf_index_add_region(index, base + 16, base + heap_size, 0, 8);
	while (at + 512 < heap_size) {
		offsets[n++] = (uint32_t)(at / 16);
		hf_index_put(index, region, base + at, next_random() % 16 != 0);
		at += 16 * (2 + next_random() % 9);
	}
	hf_index_put(index, region, base + at, false);
	*ret_n = n;
	return offsets;
}

static void fill(const uint32_t *offsets, uint32_t n, unsigned percent, bool local)
{
	uint64_t *words = (uint64_t *)heap, base = (uint64_t)heap;
	uint32_t near = 0;
	for (uint64_t i = 0; i < heap_size / 8; i++) {
		while (near + 1 < n && (uint64_t)offsets[near + 1] * 2 <= i)
			near++;
		uint64_t r = next_random();
		if (r % 100 >= percent) {
			words[i] = r % 3 ? r >> 40 : 0;
			continue;
		}
		uint64_t to = local ? (near + (r >> 32) % 2000) % n : (r >> 32) * n >> 32;
		words[i] = base + (uint64_t)offsets[to] * 16 + (r >> 8 & 3 ? 0 : 8);
	}
}

static double read_gb_s(void)
{
	uint64_t t = cpu_ns(), sum[8] = {0};
	const uint64_t *w = (const uint64_t *)heap;
	for (uint64_t i = 0; i + 8 <= heap_size / 8; i += 8) {
		for (int j = 0; j < 8; j++)
			sum[j] += w[i + j];
	}
	__asm__ volatile("" : : "r"(sum) : "memory");
	return (double)heap_size / (double)(cpu_ns() - t);
}

/* The cells that the words of the heap ask for, in their order. */
static uint32_t *wanted;
static uint64_t n_wanted;

static void collect_wanted(const struct hf_index *index)
{
	const struct hf_index_region *region = index->regions.data;
	const uint64_t *words = (uint64_t *)heap;
	wanted = malloc(heap_size / 8 * sizeof(*wanted));
	for (uint64_t i = 0; i < heap_size / 8; i++) {
		if (words[i] - region->start < region->end - region->start)
			wanted[n_wanted++] = (uint32_t)((words[i] - region->start) / HF_CELL_BYTES);
	}
}

static uint64_t touch_ns(const struct hf_index *index)
{
	enum { AHEAD = 64 };
	const struct hf_index_cell *cells = ((struct hf_index_region *)index->regions.data)->cells;
	uint64_t t = cpu_ns(), sum = 0;
	for (uint64_t i = 0; i + AHEAD < n_wanted; i++) {
		__builtin_prefetch(&cells[wanted[i + AHEAD]]);
		sum += cells[wanted[i]].starts;
	}
	__asm__ volatile("" : : "r"(sum) : "memory");
	return cpu_ns() - t;
}

enum { NO_WRITER = 100, ROUNDS = 7 };

static double scan_gb_s(
	const struct hf_index *index, int codec, struct hf_scan_totals *ret, uint64_t *ret_bytes)
{
	static const struct hf_mem_ops ops = {.window = window};
	struct hf_mem mem = {&ops, NULL};
	struct hf_images images = {0};
	struct hf_sink sink = {discard};
	struct hf_writer *writer = NULL;
	struct hf_writer_options options = {.codec = codec == NO_WRITER ? 0 : codec};
	if (codec != NO_WRITER && hf_writer_create(&sink, &options, &writer, NULL))
		exit(1);
	uint64_t t = cpu_ns();
	if (hf_scan_objects(&mem, index, &images, writer, ret, NULL))
		exit(1);
	if (writer)
		hf_writer_finish(writer, NULL);
	double gb_s = (double)ret->scanned_bytes / (double)(cpu_ns() - t);
	*ret_bytes = writer ? hf_writer_bytes(writer) : 0;
	hf_writer_destroy(writer);
	return gb_s;
}

static int by_size(const void *a, const void *b)
{
	const double *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

static double median(double *values)
{
	qsort(values, ROUNDS, sizeof(*values), by_size);
	return values[ROUNDS / 2];
}

static void bench(const struct hf_index *index, int codec, unsigned percent, bool local)
{
	struct hf_scan_totals totals;
	uint64_t bytes = 0;
	double reads[ROUNDS], touches[ROUNDS], scans[ROUNDS], ratios[ROUNDS];
	for (int k = 0; k < ROUNDS; k++) {
		reads[k] = read_gb_s();
		touches[k] = 1 / (1 / reads[k] + (double)touch_ns(index) / (double)heap_size);
		scans[k] = scan_gb_s(index, codec, &totals, &bytes);
		ratios[k] = scans[k] / reads[k];
	}
	const double scan = median(scans);
	printf("{\"bench\":\"scan\",\"codec\":\"%s\",\"mib\":%lu,\"percent\":%u,\"local\":%d,"
	       "\"objects\":%u,\"edges\":%lu,\"edges_per_s\":%.3g,\"scan_gb_s\":%.2f,"
	       "\"read_gb_s\":%.2f,\"touch_gb_s\":%.2f,\"ratio\":%.3f,\"file_mb\":%.1f}\n",
		codec == NO_WRITER ? "not written"
		: codec            ? "lz4"
				   : "none",
		heap_size >> 20, percent, local, index->n_objects, totals.n_edges,
		(double)totals.n_edges * scan * 1e9 / (double)totals.scanned_bytes, scan,
		median(reads), median(touches), median(ratios), (double)bytes / 1e6);
}

static void use_one_processor(void)
{
	cpu_set_t one;
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		exit(1);
}

int main(int argc, char **argv)
{
	heap_size = (argc > 1 ? strtoull(argv[1], NULL, 10) : 512) << 20;
	unsigned percent = argc > 2 ? (unsigned)atoi(argv[2]) : 25;
	bool local = argc > 3 ? atoi(argv[3]) : true;
	heap = mmap(NULL, heap_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (heap == MAP_FAILED)
		return 1;
	use_one_processor();
	struct hf_index index;
	uint32_t n;
	hf_index_init(&index);
	uint32_t *offsets = make_heap(&index, &n);
	fill(offsets, n, percent, local);
	free(offsets);
	if (hf_index_seal(&index, NULL))
		return 1;
	collect_wanted(&index);
	bench(&index, NO_WRITER, percent, local);
	bench(&index, HF_CODEC_NONE, percent, local);
	bench(&index, HF_CODEC_LZ4, percent, local);
	free(wanted);
	hf_index_deinit(&index);
	return 0;
}
