/* Dump files that are cut, damaged or made by an enemy: never a crash, never silently short. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "dump_kit.h"
#include "gen_dump.h"

static void small_dump(struct kit_bytes *bytes, enum hf_codec codec)
{
	struct hf_heap heap;
	kit_model(&heap, 4, 12);
	kit_dump(bytes, &heap, codec);
	hf_heap_deinit(&heap);
	assert_in_range(bytes->n, 500, 4000);
}

static void test_every_truncation(void **state)
{
	(void)state;
	for (int codec = HF_CODEC_NONE; codec <= HF_CODEC_LZ4; codec++) {
		struct kit_bytes bytes;
		small_dump(&bytes, (enum hf_codec)codec);
		size_t whole = bytes.n;
		uint64_t objects_before = 0;
		for (bytes.n = 0; bytes.n <= whole; bytes.n++) {
			struct hf_heap heap;
			struct hf_err err = {0};
			enum hf_status status = kit_read(&bytes, &heap, &err);
			if (bytes.n < sizeof(struct hf_file_header)) {
				assert_int_equal(status, HF_E_CORRUPT);
				assert_true(err.msg[0]);
				continue;
			}
			assert_int_equal(status, HF_OK);
			assert_int_equal(heap.partial, bytes.n < whole);
			kit_check_heap(&heap);
			assert_true(heap.n_objects >= objects_before);
			objects_before = heap.n_objects;
			hf_heap_deinit(&heap);
			assert_int_equal(kit_verify(&bytes) > 0, bytes.n < whole);
		}
		assert_int_equal(objects_before, 12);
		kit_bytes_deinit(&bytes);
	}
}

/* Every bit of a dump matters: its flip is an error, or the heap is partial, or (the index is
 * nobody's data) there is a warning. */
static void test_every_bit(void **state)
{
	(void)state;
	for (int codec = HF_CODEC_NONE; codec <= HF_CODEC_LZ4; codec++) {
		struct kit_bytes bytes;
		small_dump(&bytes, (enum hf_codec)codec);
		struct hf_heap sound;
		struct hf_err err;
		assert_int_equal(kit_read(&bytes, &sound, &err), HF_OK);
		size_t step = codec == HF_CODEC_NONE ? 7 : 1; /* there, each byte once */
		for (size_t bit = 0; bit < bytes.n * 8; bit += step) {
			bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
			struct hf_heap heap;
			if (kit_read(&bytes, &heap, &err) == HF_OK) {
				kit_check_heap(&heap);
				if (!heap.partial) {
					assert_true(heap.findings.n > sound.findings.n);
					kit_check_equal(&heap, &sound);
				}
				hf_heap_deinit(&heap);
			} else {
				assert_true(err.msg[0]);
			}
			assert_true(kit_verify(&bytes) > 0);
			bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		hf_heap_deinit(&sound);
		kit_bytes_deinit(&bytes);
	}
}

/* Random wounds, several at once, in a dump of many blocks. */
static void test_random_wounds(void **state)
{
	(void)state;
	struct kit_bytes bytes;
	struct gen_totals totals;
	struct gen_options gen = {.n_objects = 70000, .edges_per_object = 2, .seed = 4};
	struct hf_writer_options options = {.codec = HF_CODEC_LZ4};
	struct hf_writer *writer;
	struct hf_err err;
	kit_bytes_init(&bytes);
	assert_int_equal(hf_writer_create(&bytes.sink, &options, &writer, &err), HF_OK);
	gen_dump(writer, &gen, &totals);
	assert_int_equal(hf_writer_finish(writer, &err), HF_OK);
	hf_writer_destroy(writer);
	uint8_t *sound = malloc(bytes.n);
	memcpy(sound, bytes.data, bytes.n);
	size_t whole = bytes.n;
	srand(1);
	for (unsigned round = 0; round < 60; round++) {
		for (unsigned k = 0; k < 1u + round % 4; k++) {
			size_t at = (size_t)rand() % whole, n = 1 + (size_t)rand() % 300;
			for (size_t i = at; i < at + n && i < whole; i++)
				bytes.data[i] = (uint8_t)rand();
		}
		if (round % 3 == 0)
			bytes.n = whole - (size_t)rand() % (whole / 2);
		struct hf_heap heap;
		if (kit_read(&bytes, &heap, &err) == HF_OK) {
			kit_check_heap(&heap);
			assert_true(heap.partial || heap.findings.n > 1);
			hf_heap_deinit(&heap);
		}
		assert_true(kit_verify(&bytes) > 0);
		bytes.n = whole;
		memcpy(bytes.data, sound, whole);
	}
	free(sound);
	kit_bytes_deinit(&bytes);
}

/* --- one block lost --- */

struct loss {
	struct kit_bytes bytes;
	struct hf_heap sound;
};

static void loss_init(struct loss *loss)
{
	struct hf_writer_options options = {.codec = HF_CODEC_LZ4};
	struct gen_options gen = {.n_objects = 200000, .edges_per_object = 3, .seed = 8};
	struct hf_writer *writer;
	struct hf_err err;
	kit_bytes_init(&loss->bytes);
	assert_int_equal(hf_writer_create(&loss->bytes.sink, &options, &writer, &err), HF_OK);
	gen_dump(writer, &gen, NULL);
	assert_int_equal(hf_writer_finish(writer, &err), HF_OK);
	hf_writer_destroy(writer);
	assert_int_equal(kit_read(&loss->bytes, &loss->sound, &err), HF_OK);
	assert_false(loss->sound.partial);
}

static void loss_deinit(struct loss *loss)
{
	hf_heap_deinit(&loss->sound);
	kit_bytes_deinit(&loss->bytes);
}

/* Read with a byte of a block's payload (or header) damaged. */
static struct hf_block_header lose(struct loss *loss, unsigned section, unsigned n, bool header_too,
	bool without_index, struct hf_heap *ret)
{
	size_t at = kit_find_block(&loss->bytes, section, n), whole = loss->bytes.n;
	assert_true(at != SIZE_MAX);
	struct hf_block_header header;
	struct hf_err err;
	memcpy(&header, loss->bytes.data + at, sizeof(header));
	loss->bytes.data[at + sizeof(header) + 5] ^= 0x10;
	if (header_too)
		loss->bytes.data[at + 2] ^= 0x40;
	if (without_index)
		loss->bytes.n -= sizeof(struct hf_file_tail);
	assert_int_equal(kit_read(&loss->bytes, ret, &err), HF_OK);
	assert_true(ret->partial);
	kit_check_heap(ret);
	assert_true(kit_verify(&loss->bytes) > 0);
	loss->bytes.n = whole;
	loss->bytes.data[at + sizeof(header) + 5] ^= 0x10;
	if (header_too)
		loss->bytes.data[at + 2] ^= 0x40;
	return header;
}

/* Every edge of the sound heap whose ends are both there, and no other. */
static void check_remaining_edges(
	const struct hf_heap *sound, const struct hf_heap *heap, uint64_t first, uint64_t n)
{
	uint64_t e = 0, dropped = 0;
	for (uint64_t i = 0; i < sound->n_objects; i++) {
		bool gone = i >= first && i < first + n;
		uint64_t now = i < first ? i : i - n;
		if (!gone)
			assert_int_equal(heap->edge_offset[now], e);
		for (uint64_t k = sound->edge_offset[i]; k < sound->edge_offset[i + 1]; k++) {
			uint64_t dst = sound->edge_dst[k];
			if (gone || (dst >= first && dst < first + n)) {
				dropped++;
				continue;
			}
			assert_int_equal(heap->edge_dst[e], dst < first ? dst : dst - n);
			assert_int_equal(heap->edge_src_off[e], sound->edge_src_off[k]);
			assert_int_equal(heap->edge_dst_off[e], sound->edge_dst_off[k]);
			e++;
		}
	}
	assert_int_equal(heap->n_edges, e);
	assert_int_equal(heap->lost.edges_dropped, dropped);
}

static void test_lost_objects(void **state)
{
	(void)state;
	struct loss loss;
	loss_init(&loss);
	for (unsigned variant = 0; variant < 16; variant++) {
		struct hf_heap heap;
		bool without_index = variant & 2;
		struct hf_block_header h = lose(
			&loss, HF_SECTION_OBJECT, variant / 4, variant & 1, without_index, &heap);
		assert_int_equal(heap.n_objects, loss.sound.n_objects - h.n_items);
		for (uint64_t i = 0; i < heap.n_objects; i++) {
			uint64_t was = i < h.first_item ? i : i + h.n_items;
			assert_int_equal(heap.addr[i], loss.sound.addr[was]);
			assert_int_equal(heap.usable[i], loss.sound.usable[was]);
		}
		check_remaining_edges(&loss.sound, &heap, h.first_item, h.n_items);
		bool last = h.first_item + h.n_items == loss.sound.n_objects;
		/* without the index nobody knows how long the last block of a section was */
		assert_int_equal(heap.lost.objects, last && without_index ? 0 : h.n_items);
		assert_true(heap.lost.blocks == 1 || (without_index && (variant & 1)));
		assert_int_equal(heap.lost.edges, 0);
		hf_heap_deinit(&heap);
	}
	loss_deinit(&loss);
}

static void test_lost_edges(void **state)
{
	(void)state;
	struct loss loss;
	loss_init(&loss);
	for (unsigned n = 0; n < 8; n++) {
		struct hf_heap heap;
		struct hf_block_header h = lose(&loss, HF_SECTION_EDGE, n / 2, n & 1, false, &heap);
		assert_int_equal(heap.n_objects, loss.sound.n_objects);
		assert_int_equal(heap.n_edges, loss.sound.n_edges - h.n_items);
		assert_int_equal(heap.lost.edges, h.n_items);
		for (uint64_t e = 0; e < heap.n_edges; e++) {
			uint64_t was = e < h.first_item ? e : e + h.n_items;
			assert_int_equal(heap.edge_dst[e], loss.sound.edge_dst[was]);
		}
		/* each edge still belongs to its source */
		uint64_t gone = 0;
		for (uint64_t i = 0; i < heap.n_objects; i++) {
			for (uint64_t k = loss.sound.edge_offset[i];
				k < loss.sound.edge_offset[i + 1]; k++)
				gone += k >= h.first_item && k < h.first_item + h.n_items;
			assert_int_equal(
				heap.edge_offset[i + 1], loss.sound.edge_offset[i + 1] - gone);
		}
		hf_heap_deinit(&heap);
	}
	loss_deinit(&loss);
}

static void test_lost_places(void **state)
{
	(void)state;
	struct loss loss;
	struct hf_heap heap;
	loss_init(&loss);
	lose(&loss, HF_SECTION_ARENA, 0, false, false, &heap);
	assert_int_equal(heap.arenas.n, 1);
	assert_non_null(strstr(heap.arenas.at[0].allocator, "unknown"));
	assert_int_equal(heap.arenas.at[0].live_bytes, heap.total_usable);
	assert_int_equal(heap.n_edges, loss.sound.n_edges);
	hf_heap_deinit(&heap);
	lose(&loss, HF_SECTION_MODULE, 0, true, false, &heap);
	assert_int_equal(heap.modrefs.n, 0);
	assert_int_equal(heap.variables.at[0].module, HF_NONE);
	assert_int_equal(heap.roots.n, loss.sound.roots.n);
	hf_heap_deinit(&heap);
	lose(&loss, HF_SECTION_THREAD, 0, false, true, &heap);
	assert_int_equal(heap.stack_words.n, 0);
	assert_int_equal(heap.registers.n, 0);
	hf_heap_deinit(&heap);
	lose(&loss, HF_SECTION_MODREF, 0, false, false, &heap);
	assert_true(heap.modrefs.n < loss.sound.modrefs.n);
	assert_int_equal(heap.n_edges, loss.sound.n_edges);
	hf_heap_deinit(&heap);
	lose(&loss, HF_SECTION_VARIABLE, 0, false, false, &heap);
	assert_int_equal(heap.roots.at[0].variable, HF_NONE);
	hf_heap_deinit(&heap);
	lose(&loss, HF_SECTION_PROCESS, 0, false, false, &heap);
	assert_int_equal(heap.properties.n, 0);
	hf_heap_deinit(&heap);
	loss_deinit(&loss);
}

/* A block that lies about its length does not take its neighbour with it. */
static void test_wrong_length(void **state)
{
	(void)state;
	static const int32_t lies[] = {-20, -1, 1, 8, 60};
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct kit_bytes bytes;
		struct hf_heap heap;
		struct hf_err err;
		small_dump(&bytes, HF_CODEC_NONE);
		bytes.n -= sizeof(struct hf_file_tail);
		size_t at = kit_find_block(&bytes, HF_SECTION_ARENA, 0);
		uint32_t size;
		memcpy(&size, bytes.data + at + 24, sizeof(size));
		size += (uint32_t)lies[i];
		memcpy(bytes.data + at + 24, &size, sizeof(size));
		assert_int_equal(kit_read(&bytes, &heap, &err), HF_OK);
		kit_check_heap(&heap);
		assert_true(heap.partial);
		assert_int_equal(heap.n_objects, 12);
		assert_int_equal(heap.threads.n, 4);
		assert_int_equal(heap.arenas.n, 1); /* the unknown one */
		assert_true(kit_verify(&bytes) > 0);
		hf_heap_deinit(&heap);
		kit_bytes_deinit(&bytes);
	}
}

/* --- headers --- */

static void expect(const void *data, size_t size, enum hf_status status, const char *words)
{
	struct hf_heap heap;
	struct hf_err err;
	const char *path = kit_path(data, size);
	assert_int_equal(hf_dump_read(path, NULL, &heap, &err), status);
	if (!strstr(err.msg, words))
		fail_msg("\"%s\" does not say \"%s\"", err.msg, words);
	assert_non_null(strstr(err.msg, path));
}

static void test_headers(void **state)
{
	(void)state;
	struct kit_bytes bytes;
	struct hf_heap heap;
	struct hf_err err;
	expect("SQLite format 3\0rest", 20, HF_E_UNSUPPORTED, "use it directly as INPUT");
	expect("\177ELF....", 8, HF_E_UNSUPPORTED, "--core");
	expect("go1.7 heap dump\n", 16, HF_E_UNSUPPORTED, "Go heap dump");
	expect("\037\213\010\0\0\0\0\0", 8, HF_E_UNSUPPORTED, "--profile");
	expect("hello world", 11, HF_E_UNSUPPORTED, "not a Holdfast dump");
	expect("", 0, HF_E_CORRUPT, "empty");
	expect("HOLDFAST\1\0\0\0", 12, HF_E_CORRUPT, "cut off");
	assert_int_equal(hf_dump_read("/nonexistent/x.hfd", NULL, &heap, &err), HF_E_NOTFOUND);
	assert_non_null(strstr(err.msg, "no such file"));
	assert_int_equal(hf_dump_read("/", NULL, &heap, &err), HF_E_UNSUPPORTED);
	assert_non_null(strstr(err.msg, "directory"));
	char pipe_path[] =
		"/tmp/holdfast-test-XXXXXX"; /* nobody writes to it: no waiting for that */
	assert_non_null(mkdtemp(pipe_path));
	rmdir(pipe_path);
	assert_int_equal(mkfifo(pipe_path, 0600), 0);
	assert_int_equal(hf_dump_read(pipe_path, NULL, &heap, &err), HF_E_UNSUPPORTED);
	assert_non_null(strstr(err.msg, "not a regular file"));
	assert_false(hf_dump_is_dump(pipe_path));
	unlink(pipe_path);

	static const struct {
		size_t at;
		uint8_t value;
		enum hf_status status;
		const char *words;
	} changes[] = {
		{8, 3, HF_E_UNSUPPORTED, "format 3.1, but this holdfast"},
		{8, 3, HF_E_UNSUPPORTED, "reads formats up to 2.x: use a newer holdfast"},
		{8, 0, HF_E_UNSUPPORTED, "format 0.1"},
		{12, 8, HF_E_CORRUPT, "damaged"},
		{14, 9, HF_E_CORRUPT, "damaged"},
		{16, 2, HF_E_UNSUPPORTED, "byte order 2"},
		{17, 4, HF_E_UNSUPPORTED, "pointer size 4"},
		{18, 1, HF_E_CORRUPT, "reserved"},
		{20, 1, HF_E_UNSUPPORTED, "features 0x1"},
		{28, 1, HF_E_CORRUPT, "reserved"},
		{56, 1, HF_E_CORRUPT, "reserved"},
	};
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		small_dump(&bytes, HF_CODEC_NONE);
		bytes.data[changes[i].at] = changes[i].value;
		if (changes[i].at < 12 || changes[i].at > 15)
			kit_seal_header(&bytes);
		expect(bytes.data, bytes.n, changes[i].status, changes[i].words);
		kit_bytes_deinit(&bytes);
	}
}

/* What a later minor version may bring, this one reads. */
static void test_later_minor(void **state)
{
	(void)state;
	struct kit_bytes bytes, old;
	struct hf_heap heap;
	struct hf_err err;
	small_dump(&old, HF_CODEC_NONE);
	/* a longer header, a compatible feature, an unknown section, a further column */
	kit_bytes_init(&bytes);
	kit_header(&bytes);
	struct hf_file_header header;
	memcpy(&header, bytes.data, sizeof(header));
	header.minor = 7;
	header.compatible = 0x80;
	header.header_size += 16;
	memcpy(bytes.data, &header, sizeof(header));
	kit_append(&bytes, "sixteen bytes...", 16);
	kit_seal_header(&bytes);
	static const uint64_t ones[3] = {1, 1, 1}, sizes[3] = {16, 16, 16}, addrs[3] = {64, 64, 64},
			      zeros[3] = {0, 0, 0};
	const uint64_t *const unknown[] = {ones};
	kit_block(&bytes, 99, 0, 3, 1, unknown);
	const uint64_t *const objects[] = {addrs, sizes, zeros, ones};
	kit_block(&bytes, HF_SECTION_OBJECT, 0, 3, 4, objects);
	kit_tail(&bytes, 0);
	assert_int_equal(kit_read(&bytes, &heap, &err), HF_OK);
	assert_int_equal(heap.n_objects, 3);
	assert_string_equal(heap.format, "holdfast 2.7");
	kit_check_heap(&heap);
	hf_heap_deinit(&heap);
	kit_bytes_deinit(&bytes);
	kit_bytes_deinit(&old);
}

/* --- sound checksums, wrong contents --- */

/* A file of some objects and whatever block comes after; the problem must be found and the objects
 * stay. */
static void hostile(unsigned section, uint64_t first_item, uint32_t n_items, unsigned n_columns,
	const uint64_t *const *columns, const char *words)
{
	static const uint64_t addrs[4] = {4096, 64, 64, 64}, sizes[4] = {24, 24, 24, 24},
			      zeros[4] = {0, 0, 0, 0};
	static const uint64_t *const objects[] = {addrs, sizes, zeros};
	struct kit_bytes bytes;
	struct hf_heap heap;
	struct hf_err err;
	kit_bytes_init(&bytes);
	kit_header(&bytes);
	kit_block(&bytes, HF_SECTION_OBJECT, 0, 4, 3, objects);
	kit_block(&bytes, section, first_item, n_items, n_columns, columns);
	kit_tail(&bytes, 0);
	assert_int_equal(kit_read(&bytes, &heap, &err), HF_OK);
	kit_check_heap(&heap);
	assert_int_equal(heap.n_objects, 4);
	assert_int_equal(heap.properties.n + heap.threads.n + heap.labels.n + heap.registers.n, 0);
	assert_true(heap.partial);
	bool found = false;
	for (size_t i = 0; i < heap.reasons.n; i++)
		found |= strstr(heap.reasons.at[i], words) != NULL;
	if (!found)
		fail_msg("section %u: none of the reasons says \"%s\"", section, words);
	assert_true(kit_verify(&bytes) > 0);
	hf_heap_deinit(&heap);
	kit_bytes_deinit(&bytes);
}

static void test_hostile_blocks(void **state)
{
	(void)state;
	static const uint64_t zero[3],
		one[3] = {1, 1, 1}, big[3] = {UINT64_MAX, UINT64_MAX, UINT64_MAX},
		far[3] = {1ull << 40, 1, 1}, wrap[2] = {1, UINT64_MAX}, near[3] = {4096, 64, 64},
		after[3] = {8192, 8, 64}, sizes[3] = {24, 24, 24}, late[3] = {UINT64_MAX - 8, 0, 0};
	const uint64_t *const overlap_before[] = {near, sizes, zero};
	const uint64_t *const overlap_inside[] = {after, sizes, zero};
	const uint64_t *const same_place[] = {far, zero, zero};
	const uint64_t *const past_end[] = {late, sizes, zero};
	const uint64_t *const wraps[] = {big, zero, zero};
	hostile(HF_SECTION_OBJECT, 4, 1, 3, overlap_before, "overlap");
	hostile(HF_SECTION_OBJECT, 4, 3, 3, overlap_inside, "overlap");
	hostile(HF_SECTION_OBJECT, 3, 1, 3, same_place, "numbers of others");
	hostile(HF_SECTION_OBJECT, 4, 1, 3, past_end, "past the end");
	hostile(HF_SECTION_OBJECT, 4, 3, 3, wraps, "out of order");

	const uint64_t *const twice[] = {zero, zero, zero, zero};
	const uint64_t *const bad_src[] = {far, one, zero, zero};
	const uint64_t *const bad_dst[] = {one, one, far, zero};
	const uint64_t *const bad_unit[] = {one, big, zero, zero};
	hostile(HF_SECTION_EDGE, 0, 2, 4, twice, "out of order");
	hostile(HF_SECTION_EDGE, 0, 1, 4, bad_src, "not in the file");
	hostile(HF_SECTION_EDGE, 0, 2, 4, bad_dst, "not in the file");
	hostile(HF_SECTION_EDGE, 0, 1, 4, bad_unit, "out of range");
	hostile(HF_SECTION_MODREF, 0, 1, 4, twice, "not in the file");
	hostile(HF_SECTION_MODREF, 0, 2, 4, twice, "out of order");

	const uint64_t *const root[] = {one, one, one, one, zero, far, zero};
	const uint64_t *const root_names[] = {one, one, one, one, zero, zero, zero};
	const uint64_t *const root_kind[] = {big, zero, zero, zero, zero, zero, zero};
	hostile(HF_SECTION_ROOT, 0, 1, 7, root, "not in the file");
	hostile(HF_SECTION_ROOT, 0, 1, 7, root_names, "not in the file");
	hostile(HF_SECTION_ROOT, 0, 1, 7, root_kind, "out of range");
	const uint64_t *const reg[] = {far, zero, zero};
	hostile(HF_SECTION_REGISTER, 0, 1, 3, reg, "not in the file");
	hostile(HF_SECTION_STACK_WORD, 0, 1, 3, reg, "not in the file");
	const uint64_t *const site_twice[] = {zero, one, one}, *const site_id[] = {one, far, one};
	hostile(HF_SECTION_SITE, 0, 2, 3, site_twice, "out of order");
	hostile(HF_SECTION_SITE, 0, 1, 3, site_id, "out of range");
	/* 1.0 had no more than these three columns; fewer are none */
	hostile(HF_SECTION_SITE, 0, 1, 2, site_id, "number of columns");
	const uint64_t *const piece_far[] = {one, far, zero},
			      *const piece_empty[] = {one, zero, zero},
			      *const piece_cut[] = {one, zero, far};
	hostile(HF_SECTION_CONTENT, 0, 1, 3, piece_far, "longer than its object");
	hostile(HF_SECTION_CONTENT, 0, 1, 3, piece_empty, "empty");
	hostile(HF_SECTION_CONTENT, 0, 1, 3, piece_cut, "column is damaged");
	const uint64_t *const mapping[] = {wrap, zero, zero, zero, zero, zero, zero};
	hostile(HF_SECTION_MAPPING, 0, 2, 7, mapping, "column is damaged");
	const uint64_t *const text[] = {big, far};
	hostile(HF_SECTION_PROCESS, 0, 1, 2, text, "column is damaged");
	hostile(HF_SECTION_LABEL, 0, 1, 2, text, "column is damaged");
	hostile(HF_SECTION_LABEL, 1ull << 60, 1, 2, text, "column is damaged");
	const uint64_t *const numbers[] = {one, one, one, one, one, one, one, one, one};
	hostile(HF_SECTION_THREAD, 0, 1, 7, numbers, "number of columns");
}

/* A block that is sound by itself but does not follow the one before it is left out. */
static void test_blocks_out_of_order(void **state)
{
	(void)state;
	static const uint64_t addrs[4] = {4096, 64, 64, 64}, sizes[4] = {24, 24, 24, 24},
			      zeros[4] = {0, 0, 0, 0}, two[1] = {2}, one[2] = {1, 1},
			      base[1] = {64};
	static const uint64_t *const objects[] = {addrs, sizes, zeros},
				     *const module[] = {base, base, zeros, zeros, zeros},
				     *const from_2[] = {two, zeros, zeros, zeros},
				     *const from_1[] = {one, zeros, zeros, zeros};
	static const unsigned sections[] = {HF_SECTION_EDGE, HF_SECTION_MODREF};
	for (unsigned k = 0; k < 2; k++) {
		struct kit_bytes bytes;
		struct hf_heap heap;
		struct hf_err err;
		kit_bytes_init(&bytes);
		kit_header(&bytes);
		kit_block(&bytes, HF_SECTION_MODULE, 0, 1, 5, module);
		kit_block(&bytes, HF_SECTION_OBJECT, 0, 4, 3, objects);
		kit_block(&bytes, sections[k], 0, 1, 4, from_2);
		kit_block(&bytes, sections[k], 1, 2, 4, from_1);
		kit_block(&bytes, sections[k], 3, 1, 4, from_2);
		kit_tail(&bytes, 0);
		assert_int_equal(kit_read(&bytes, &heap, &err), HF_OK);
		kit_check_heap(&heap);
		assert_int_equal(k ? heap.modrefs.n : heap.n_edges, 1);
		assert_int_equal(heap.lost.blocks, 2);
		if (!k)
			assert_int_equal(heap.edge_offset[3] - heap.edge_offset[2], 1);
		hf_heap_deinit(&heap);
		kit_bytes_deinit(&bytes);
	}
}

/* Where references are dropped, wide offsets stay with the others. */
static void test_dropped_among_wide(void **state)
{
	(void)state;
	static const uint64_t base[1] = {64}, zeros[5], small[1] = {24}, huge[1] = {1ull << 40},
			      module_size[1] = {1ull << 34};
	static const uint64_t *const module[] = {base, module_size, zeros, zeros, zeros},
				     *const lost[] = {base, small, zeros},
				     *const kept[] = {huge, huge, zeros};
	/* D source, U word, E target (zigzag of target - source), U offset */
	static const uint64_t edge_src[3] = {0, 1, 0}, edge_word[3] = {0, 0, 1},
			      edge_dst[3] = {2, 1, 0}, edge_off[3] = {0, 0, 1ull << 33},
			      next_src[2] = {1, 0}, next_word[2] = {1ull << 33, (1ull << 33) + 1},
			      next_dst[2] = {1, 0}, next_off[2] = {0, 5};
	static const uint64_t *const edges[] = {edge_src, edge_word, edge_dst, edge_off},
				     *const next[] = {next_src, next_word, next_dst, next_off};
	static const uint64_t ref_src[4] = {0, 1, 0, 0}, ref_word[4] = {0, 0, 1, 1ull << 33},
			      ref_module[4] = {0, 0, 7, 0},
			      ref_off[4] = {1ull << 33, 1ull << 33, 1ull << 33, 5};
	static const uint64_t *const refs[] = {ref_src, ref_word, ref_module, ref_off};
	struct kit_bytes bytes;
	struct hf_heap heap;
	struct hf_err err;
	kit_bytes_init(&bytes);
	kit_header(&bytes);
	kit_block(&bytes, HF_SECTION_MODULE, 0, 1, 5, module);
	size_t wound = bytes.n + sizeof(struct hf_block_header) + 2;
	kit_block(&bytes, HF_SECTION_OBJECT, 0, 1, 3, lost);
	kit_block(&bytes, HF_SECTION_OBJECT, 1, 1, 3, kept);
	kit_block(&bytes, HF_SECTION_EDGE, 0, 3, 4, edges);
	kit_block(&bytes, HF_SECTION_EDGE, 3, 2, 4, next);
	kit_block(&bytes, HF_SECTION_MODREF, 0, 4, 4, refs);
	kit_tail(&bytes, 0);
	bytes.data[wound] ^= 1;
	assert_int_equal(kit_read(&bytes, &heap, &err), HF_OK);
	kit_check_heap(&heap);
	assert_int_equal(heap.n_objects, 1);
	assert_int_equal(heap.n_edges, 2);
	assert_int_equal(heap.lost.edges_dropped, 3);
	assert_int_equal(hf_heap_src_off(&heap, 0), 8);
	assert_int_equal(hf_heap_dst_off(&heap, 0), 1ull << 33);
	assert_int_equal(hf_heap_src_off(&heap, 1), 8 * ((1ull << 33) + 1));
	assert_int_equal(hf_heap_dst_off(&heap, 1), 5);
	assert_int_equal(heap.modrefs.n, 2);
	assert_int_equal(hf_heap_modref_module_off(&heap, 0), 1ull << 33);
	assert_int_equal(hf_heap_modref_src_off(&heap, 1), 1ull << 36);
	assert_int_equal(hf_heap_modref_module_off(&heap, 1), 5);
	hf_heap_deinit(&heap);
	kit_bytes_deinit(&bytes);
}

/* Bytes behind the end of a block's compressed stream are not overlooked. */
static void bytes_after_stream(enum hf_codec codec)
{
	struct kit_bytes bytes, longer;
	struct hf_heap heap;
	struct hf_err err;
	kit_model(&heap, 6, 20000);
	kit_dump(&bytes, &heap, codec);
	hf_heap_deinit(&heap);
	size_t at = kit_find_block(&bytes, HF_SECTION_OBJECT, 0);
	struct hf_block_header header;
	memcpy(&header, bytes.data + at, sizeof(header));
	assert_int_equal(header.codec, codec);
	size_t end = at + sizeof(header) + header.stored_size;
	kit_bytes_init(&longer);
	kit_append(&longer, bytes.data, end);
	kit_append(&longer, "more", 4);
	header.stored_size += 4;
	memcpy(longer.data + at, &header, sizeof(header));
	kit_seal_block(&longer, at);
	kit_append(&longer, bytes.data + end, bytes.n - end);
	assert_int_equal(kit_read(&longer, &heap, &err), HF_OK);
	assert_true(heap.partial);
	assert_int_equal(heap.n_objects, 0);
	kit_check_heap(&heap);
	hf_heap_deinit(&heap);
	kit_bytes_deinit(&bytes);
	kit_bytes_deinit(&longer);
}

static void test_bytes_after_stream(void **state)
{
	(void)state;
	bytes_after_stream(HF_CODEC_ZLIB);
	bytes_after_stream(HF_CODEC_LZ4);
}

/* A recorder may be wrong about a size; what it says is then not used. */
static void test_sites(void **state)
{
	(void)state;
	static const uint64_t addrs[4] = {4096, 64, 64, 64}, sizes[4] = {24, 24, 24, 24}, zeros[4],
			      some[3] = {0, 2, 7}, ids[3] = {5, 6, 7}, requested[3] = {20, 25, 1};
	static const uint64_t *const objects[] = {addrs, sizes, zeros}, *const sites[] = {some, ids,
										requested};
	struct kit_bytes bytes;
	struct hf_heap heap;
	struct hf_err err;
	kit_bytes_init(&bytes);
	kit_header(&bytes);
	kit_block(&bytes, HF_SECTION_OBJECT, 0, 4, 3, objects);
	kit_block(&bytes, HF_SECTION_SITE, 0, 3, 3, sites);
	kit_tail(&bytes, 0);
	assert_int_equal(kit_read(&bytes, &heap, &err), HF_OK);
	kit_check_heap(&heap);
	assert_true(heap.site[0] == 5 && heap.requested[0] == 20);
	assert_true(heap.site[1] == 0 && heap.requested[1] == 24);
	assert_true(heap.site[2] == 6 && heap.requested[2] == 24);
	assert_int_equal(heap.lost.others_dropped, 1);
	assert_true(heap.partial);
	hf_heap_deinit(&heap);
	kit_bytes_deinit(&bytes);
}

/* A gap in the numbers is records that are missing, however many. */
static void test_gap(void **state)
{
	(void)state;
	static const uint64_t addrs[1] = {64}, sizes[1] = {16}, zeros[1] = {0};
	static const uint64_t *const objects[] = {addrs, sizes, zeros};
	static const uint64_t far[1] = {1ull << 40};
	static const uint64_t *const far_objects[] = {far, sizes, zeros};
	struct kit_bytes bytes;
	struct hf_heap heap;
	struct hf_err err;
	kit_bytes_init(&bytes);
	kit_header(&bytes);
	kit_block(&bytes, HF_SECTION_OBJECT, 0, 1, 3, objects);
	kit_block(&bytes, HF_SECTION_OBJECT, 1ull << 60, 1, 3, far_objects);
	kit_tail(&bytes, 0);
	assert_int_equal(kit_read(&bytes, &heap, &err), HF_OK);
	kit_check_heap(&heap);
	assert_int_equal(heap.n_objects, 2);
	assert_int_equal(heap.lost.objects, (1ull << 60) - 1);
	assert_true(heap.partial);
	hf_heap_deinit(&heap);
	kit_bytes_deinit(&bytes);
}

/* Claims in headers that the bytes do not back. */
static void test_hostile_headers(void **state)
{
	(void)state;
	static const struct {
		size_t at;
		uint32_t value;
		unsigned size;
	} lies[] = {{7, 17, 1}, {7, 0, 1}, {6, 9, 1}, {16, 0, 4}, {16, 65537, 4}, {16, 60000, 4},
		{20, 17 << 20, 4}, {20, 1, 4}, {28, 1, 4}, {32, 1, 4}, {12, 0xffffffff, 4},
		{40, 0xffffffff, 4}, {40, 0, 4}, {44, 1, 4}};
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct kit_bytes bytes;
		struct hf_heap heap;
		struct hf_err err;
		small_dump(&bytes, HF_CODEC_NONE);
		size_t at = kit_find_block(&bytes, HF_SECTION_OBJECT, 0);
		memcpy(bytes.data + at + lies[i].at, &lies[i].value, lies[i].size);
		kit_seal_block(&bytes, at);
		assert_int_equal(kit_read(&bytes, &heap, &err), HF_OK);
		kit_check_heap(&heap);
		assert_true(heap.partial);
		assert_int_equal(heap.n_objects, 0);
		assert_int_equal(heap.lost.objects, 12);
		hf_heap_deinit(&heap);
		assert_true(kit_verify(&bytes) > 0);
		kit_bytes_deinit(&bytes);
	}
}

/* INDEX blocks that lead astray are not followed for ever. */
static void test_hostile_index(void **state)
{
	(void)state;
	for (unsigned variant = 0; variant < 5; variant++) {
		static const uint64_t addrs[1] = {64}, sizes[1] = {16}, zeros[1] = {0};
		static const uint64_t *const objects[] = {addrs, sizes, zeros};
		struct kit_bytes bytes;
		struct hf_heap heap;
		struct hf_err err;
		kit_bytes_init(&bytes);
		kit_header(&bytes);
		kit_block(&bytes, HF_SECTION_OBJECT, 0, 1, 3, objects);
		size_t index = bytes.n;
		const uint64_t sections[2] = {
			variant == 0 ? HF_SECTION_INDEX : HF_SECTION_OBJECT, HF_SECTION_OBJECT};
		const uint64_t offsets[2] = {variant == 0   ? index
					     : variant == 1 ? 1000000
					     : variant == 2 ? 63
					     : variant == 3 ? 64
							    : UINT64_MAX,
			0};
		const uint64_t ones[2] = {1, 1}, none[2] = {0, 0};
		const uint64_t *const entries[] = {sections, offsets, ones, none};
		kit_block(&bytes, HF_SECTION_INDEX, 0, variant == 3 ? 2 : 1, 4, entries);
		kit_tail(&bytes, index);
		assert_int_equal(kit_read(&bytes, &heap, &err), HF_OK);
		kit_check_heap(&heap);
		assert_int_equal(heap.n_objects, 1);
		assert_true(heap.findings.n > 0);
		hf_heap_deinit(&heap);
		assert_true(kit_verify(&bytes) > 0);
		kit_bytes_deinit(&bytes);
	}
}

/* What only the verification looks at. */
static void test_verify_details(void **state)
{
	(void)state;
	static const struct {
		const char *words;
		unsigned section;
	} faults[] = {{"source offset", HF_SECTION_EDGE}, {"target offset", HF_SECTION_EDGE},
		{"outside object", HF_SECTION_ROOT}, {"objects of", HF_SECTION_ARENA},
		{"add up", HF_SECTION_ARENA}, {"outside module", HF_SECTION_MODREF},
		{"source offset", HF_SECTION_MODREF}, {"overlaps", HF_SECTION_MAPPING},
		{"resident", HF_SECTION_MAPPING}};
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		struct hf_heap heap;
		struct kit_bytes bytes;
		struct hf_err err;
		kit_model(&heap, 21, 200);
		switch (i) {
		case 0:
			heap.edge_src_off[heap.edge_offset[10] - 1] = 100000;
			break;
		case 1:
			heap.edge_dst_off[0] = 3000000000;
			break;
		case 2:
			heap.roots.at[0].offset = 1ull << 50;
			break;
		case 3:
			heap.arenas.at[1].live_count++;
			break;
		case 4:
			heap.arenas.at[1].metadata_bytes++;
			break;
		case 5:
			heap.modrefs.at[1].module = 0;
			heap.modrefs.at[1].module_off = 0x10000;
			break;
		case 6:
			heap.modrefs.at[heap.modrefs.n - 1].src_off = 5000;
			break;
		case 7:
			heap.mappings.at[2].size++;
			break;
		default:
			heap.mappings.at[2].rss_bytes = 1ull << 40;
		}
		kit_dump(&bytes, &heap, HF_CODEC_ZLIB);
		hf_heap_deinit(&heap);
		struct hf_dump_verdict verdict;
		assert_int_equal(
			hf_dump_verify(kit_path(bytes.data, bytes.n), NULL, 9, &verdict, &err),
			HF_OK);
		assert_int_equal(verdict.n_problems, 1);
		assert_int_equal(verdict.problems[0].section, faults[i].section);
		if (!strstr(verdict.problems[0].text, faults[i].words))
			fail_msg("\"%s\" does not say \"%s\"", verdict.problems[0].text,
				faults[i].words);
		hf_dump_verdict_deinit(&verdict);
		kit_bytes_deinit(&bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_truncation),
		cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_random_wounds),
		cmocka_unit_test(test_lost_objects),
		cmocka_unit_test(test_lost_edges),
		cmocka_unit_test(test_lost_places),
		cmocka_unit_test(test_wrong_length),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_later_minor),
		cmocka_unit_test(test_hostile_blocks),
		cmocka_unit_test(test_blocks_out_of_order),
		cmocka_unit_test(test_dropped_among_wide),
		cmocka_unit_test(test_bytes_after_stream),
		cmocka_unit_test(test_sites),
		cmocka_unit_test(test_gap),
		cmocka_unit_test(test_hostile_headers),
		cmocka_unit_test(test_hostile_index),
		cmocka_unit_test(test_verify_details),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
