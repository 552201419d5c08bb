#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/page_alloc.h"
#include "dump_kit.h"
#include "write/sink_file.h"

static void count_pages(void *ctx, uint64_t start, uint64_t end)
{
	*(uint64_t *)ctx += end - start;
}

static uint64_t pages_held(void)
{
	uint64_t bytes = 0;
	hf_page_each(count_pages, &bytes);
	return bytes;
}

/* A writer takes what it says, at the start, and gives it back; or nothing, if it is given memory.
 */
static void test_memory(void **state)
{
	(void)state;
	enum { CANARY = 64 };
	size_t size = hf_writer_memory_size();
	assert_in_range(size, 1 << 20, 3 << 20);
	uint64_t before = pages_held();
	uint8_t *memory = aligned_alloc(4096, (size + CANARY + 4095) & ~4095ul);
	memset(memory, 0xa5, size + CANARY);
	for (int own = 0; own < 2; own++) {
		struct hf_writer_options options = {
			.codec = HF_CODEC_LZ4, .memory = own ? memory : NULL};
		struct hf_writer *writer;
		struct hf_heap heap;
		struct kit_bytes bytes;
		struct hf_err err;
		kit_bytes_init(&bytes);
		kit_model(&heap, 1, 5000);
		assert_int_equal(hf_writer_create(&bytes.sink, &options, &writer, &err), HF_OK);
		uint64_t held = pages_held() - before;
		assert_in_range(held, own ? 0 : size, own ? 0 : size + 4 * HF_PAGE);
		kit_write_model(writer, &heap);
		assert_int_equal(hf_writer_finish(writer, &err), HF_OK);
		assert_int_equal(pages_held() - before, held);
		hf_writer_destroy(writer);
		assert_int_equal(pages_held(), before);
		assert_int_equal(kit_verify(&bytes), 0);
		hf_heap_deinit(&heap);
		kit_bytes_deinit(&bytes);
	}
	for (size_t i = 0; i < CANARY; i++)
		assert_int_equal(memory[size + i], 0xa5);
	free(memory);
	hf_writer_destroy(NULL);
}

/* The disk is full at every byte once. */
static void test_full_disk(void **state)
{
	(void)state;
	struct hf_heap heap;
	struct kit_bytes bytes;
	struct hf_err err;
	kit_model(&heap, 4, 12);
	kit_dump(&bytes, &heap, HF_CODEC_LZ4);
	size_t whole = bytes.n;
	kit_bytes_deinit(&bytes);
	struct hf_writer_options options = {.codec = HF_CODEC_LZ4, .time_ns = 42, .token = {7}};
	for (size_t room = 1; room <= whole; room++) {
		struct hf_writer *writer = NULL;
		kit_bytes_init(&bytes);
		bytes.room = room;
		memset(&err, 0, sizeof(err));
		enum hf_status status = hf_writer_create(&bytes.sink, &options, &writer, &err);
		if (status == HF_OK) {
			kit_write_model(writer, &heap);
			status = hf_writer_finish(writer, &err);
			assert_int_equal(hf_writer_failed(writer), room < whole);
			assert_int_equal(hf_writer_finish(writer, NULL), status);
			assert_int_equal(hf_writer_bytes(writer), bytes.n);
			hf_writer_destroy(writer);
		} else {
			assert_true(room < sizeof(struct hf_file_header));
			assert_null(writer);
		}
		assert_int_equal(status, room < whole ? HF_E_IO : HF_OK);
		if (room < whole)
			assert_string_equal(err.msg, "full");
		kit_bytes_deinit(&bytes);
	}
	hf_heap_deinit(&heap);
}

static struct hf_writer *start(struct kit_bytes *bytes, enum hf_codec codec)
{
	struct hf_writer_options options = {.codec = codec};
	struct hf_writer *writer;
	struct hf_err err;
	kit_bytes_init(bytes);
	assert_int_equal(hf_writer_create(&bytes->sink, &options, &writer, &err), HF_OK);
	return writer;
}

static void expect_failure(struct hf_writer *writer, struct kit_bytes *bytes, const char *words)
{
	struct hf_err err = {0};
	assert_true(hf_writer_failed(writer));
	assert_int_equal(hf_writer_finish(writer, &err), HF_E_FAILED);
	if (!strstr(err.msg, words))
		fail_msg("\"%s\" does not say \"%s\"", err.msg, words);
	hf_writer_destroy(writer);
	kit_bytes_deinit(bytes);
}

/* A caller that breaks the order gets an error, not a dump that nobody can read. */
static void test_order(void **state)
{
	(void)state;
	struct kit_bytes bytes;
	struct hf_writer *w = start(&bytes, HF_CODEC_NONE);
	hf_write_object(w, 4096, 64, 0);
	hf_write_object(w, 4159, 64, 0);
	expect_failure(w, &bytes, "objects out of order");
	w = start(&bytes, HF_CODEC_NONE);
	hf_write_edge(w, 0, 0, 0, 0);
	hf_write_edge(w, 3, 16, 0, 0);
	assert_false(hf_writer_failed(w));
	hf_write_edge(w, 3, 16, 1, 0);
	expect_failure(w, &bytes, "edges out of order");
	w = start(&bytes, HF_CODEC_NONE);
	hf_write_edge(w, 3, 12, 0, 0);
	expect_failure(w, &bytes, "edges out of order");
	w = start(&bytes, HF_CODEC_NONE);
	hf_write_modref(w, 3, 0, 0, 0);
	hf_write_modref(w, 2, 8, 0, 0);
	expect_failure(w, &bytes, "module references out of order");
	w = start(&bytes, HF_CODEC_NONE);
	hf_write_mapping(w, 8192, 4096, 3, HF_MAPPING_HEAP, 0, 0, "");
	hf_write_mapping(w, 4096, 4096, 3, HF_MAPPING_HEAP, 0, 0, "");
	expect_failure(w, &bytes, "mappings out of order");
}

/* A cut file has what comes first: sections by their ids, whatever is interleaved. */
static void test_sections_in_order(void **state)
{
	(void)state;
	struct hf_heap heap;
	struct kit_bytes bytes;
	kit_model(&heap, 7, 3001);
	kit_dump(&bytes, &heap, HF_CODEC_LZ4);
	unsigned last = 0;
	for (unsigned n = 0;; n++) {
		size_t at = kit_find_block(&bytes, 0, n);
		struct hf_block_header header;
		if (at == SIZE_MAX)
			break;
		memcpy(&header, bytes.data + at, sizeof(header));
		if (header.section == HF_SECTION_INDEX || header.section == HF_SECTION_COUNTER ||
			header.section == HF_SECTION_FINDING)
			continue;
		assert_true(header.section >= last);
		last = header.section;
	}
	assert_int_equal(last, HF_SECTION_CONTENT);
	hf_heap_deinit(&heap);
	kit_bytes_deinit(&bytes);
}

static void test_strings(void **state)
{
	(void)state;
	struct kit_bytes bytes;
	struct hf_heap heap;
	struct hf_err err;
	static char text[HF_FORMAT_MAX_STRING + 100];
	memset(text, 'y', sizeof(text) - 1);
	struct hf_writer *w = start(&bytes, HF_CODEC_LZ4);
	for (unsigned i = 0; i < 20; i++)
		hf_write_process(w, text, NULL);
	hf_write_module(w, 0, 1, 0, text, text, sizeof(text));
	hf_write_label(w, 0, text); /* of no object: dropped by the reader */
	for (unsigned i = 0; i < 5; i++)
		hf_write_finding(w, HF_INFO, 0, text);
	assert_int_equal(hf_writer_finish(w, &err), HF_OK);
	hf_writer_destroy(w);
	assert_int_equal(kit_read(&bytes, &heap, &err), HF_OK);
	assert_int_equal(heap.properties.n, 20);
	assert_int_equal(strlen(heap.properties.at[19].key), HF_FORMAT_MAX_STRING);
	assert_string_equal(heap.properties.at[19].value, "");
	assert_int_equal(heap.modules.at[0].build_id_size, HF_FORMAT_MAX_STRING);
	assert_int_equal(strlen(heap.findings.at[4].text), HF_FORMAT_MAX_STRING);
	assert_int_equal(heap.lost.others_dropped, 1);
	hf_heap_deinit(&heap);
	kit_bytes_deinit(&bytes);
}

static void test_partial(void **state)
{
	(void)state;
	struct kit_bytes bytes;
	struct hf_writer *w = start(&bytes, HF_CODEC_NONE);
	hf_write_finding(w, HF_WARNING, 0, "odd");
	hf_write_counter(w, "a", 1, 2, false);
	hf_write_counter(w, "b", 2, 2, true);
	assert_false(hf_writer_partial(w));
	hf_write_counter(w, "c", 1, 2, true);
	assert_true(hf_writer_partial(w));
	hf_writer_destroy(w);
	kit_bytes_deinit(&bytes);
	w = start(&bytes, HF_CODEC_NONE);
	hf_write_finding(w, HF_PARTIAL, 0, "gone");
	assert_true(hf_writer_partial(w));
	hf_writer_destroy(w);
	kit_bytes_deinit(&bytes);
}

/* Bytes that no compressor makes smaller are stored as they are. */
static void test_incompressible(void **state)
{
	(void)state;
	struct kit_bytes bytes;
	struct hf_heap heap;
	struct hf_err err;
	struct hf_writer *w = start(&bytes, HF_CODEC_LZ4);
	uint64_t r = 88172645463325252ull;
	enum { N = 100000 };
	hf_write_thread(w, &(struct hf_thread_record){.tid = 1, .name = "t"});
	for (unsigned i = 0; i < N; i++) {
		r ^= r << 13, r ^= r >> 7, r ^= r << 17;
		hf_write_register(w, 0, (uint32_t)r, r | 1ull << 63);
	}
	for (unsigned i = 0; i < N; i++) /* compressible again: the codec has recovered */
		hf_write_stack_word(w, 0, i * 8, 0x1000);
	assert_int_equal(hf_writer_finish(w, &err), HF_OK);
	hf_writer_destroy(w);
	struct hf_block_header header;
	memcpy(&header, bytes.data + kit_find_block(&bytes, HF_SECTION_STACK_WORD, 0),
		sizeof(header));
	assert_int_equal(header.codec, HF_CODEC_LZ4);
	assert_int_equal(kit_read(&bytes, &heap, &err), HF_OK);
	assert_int_equal(heap.registers.n, N);
	assert_int_equal(heap.stack_words.at[N - 1].addr, (N - 1) * 8);
	assert_int_equal(kit_verify(&bytes), 0);
	hf_heap_deinit(&heap);
	kit_bytes_deinit(&bytes);
}

/* The example of docs/format.md is what the writer writes, byte by byte. */
static void test_documented_example(void **state)
{
	(void)state;
	struct kit_bytes bytes;
	struct hf_err err;
	struct hf_writer_options options = {.codec = HF_CODEC_NONE, .time_ns = 1700000000000000000};
	for (unsigned i = 0; i < sizeof(options.token); i++)
		options.token[i] = (uint8_t)(0xa0 + i);
	struct hf_writer *w;
	kit_bytes_init(&bytes);
	assert_int_equal(hf_writer_create(&bytes.sink, &options, &w, &err), HF_OK);
	hf_write_process(w, "pid", "42");
	struct hf_arena_record arena = {
		"glibc 2.36", HF_ARENA_MAIN, 0x1000, 0x1000, 72, 2, 0, 0, 4024};
	hf_write_arena(w, &arena);
	hf_write_object(w, 0x1010, 24, 0);
	hf_write_object(w, 0x1200, 48, 0);
	hf_write_edge(w, 0, 8, 1, 16);
	hf_write_edge(w, 1, 0, 0, 0);
	assert_int_equal(hf_writer_finish(w, &err), HF_OK);
	hf_writer_destroy(w);

	FILE *text = fopen(HF_SOURCE_DIR "/docs/format.md", "r");
	assert_non_null(text);
	char line[256];
	size_t at = 0;
	while (fgets(line, sizeof(line), text)) {
		unsigned offset;
		int n;
		if (strncmp(line, "    0", 5) || sscanf(line, " %6x%n", &offset, &n) != 1)
			continue;
		assert_int_equal(offset, at);
		for (const char *p = line + n; strncmp(p, "  ", 2) && *p != '\n';) {
			unsigned byte;
			if (sscanf(p, " %2x%n", &byte, &n) == 1) {
				assert_true(at < bytes.n);
				assert_int_equal(byte, bytes.data[at++]);
				p += n;
			} else {
				p += 2; /* " |" */
			}
		}
	}
	fclose(text);
	assert_int_equal(at, bytes.n);
	kit_bytes_deinit(&bytes);
}

/* --- the file --- */

static char folder[64];

static int make_folder(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/holdfast-test-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	(void)state;
	return rmdir(folder); /* fails if a test left something behind */
}

static const char *in_folder(const char *name)
{
	static char path[400];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

typedef enum hf_status (*open_fn)(struct hf_sink_file *file, const char *path, struct hf_err *err);

static void whole_or_absent(open_fn open_file)
{
	struct hf_sink_file *file = calloc(1, sizeof(*file));
	struct hf_err err;
	struct stat st;
	umask(0);
	assert_int_equal(open_file(file, in_folder("a.hfd"), &err), HF_OK);
	assert_true(file->fd > 2);
	assert_int_equal(file->sink.write(&file->sink, "abc", 3, &err), HF_OK);
	assert_int_equal(stat(in_folder("a.hfd"), &st), -1);
	bool named = file->temp[0];
	if (named)
		assert_int_equal(stat(file->temp, &st), 0);
	char temp[HF_PATH_MAX];
	strcpy(temp, file->temp);
	assert_int_equal(hf_sink_file_commit(file, &err), HF_OK);
	hf_sink_file_abort(file);
	if (named)
		assert_int_equal(stat(temp, &st), -1);
	assert_int_equal(stat(in_folder("a.hfd"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, 3);
	/* never over a file */
	assert_int_equal(open_file(file, in_folder("a.hfd"), &err), HF_E_EXISTS);
	unlink(in_folder("a.hfd"));
	/* not even over one that came meanwhile */
	assert_int_equal(open_file(file, in_folder("b.hfd"), &err), HF_OK);
	assert_int_equal(symlink("/nonexistent", in_folder("b.hfd")), 0);
	assert_int_equal(hf_sink_file_commit(file, &err), HF_E_EXISTS);
	assert_int_equal(lstat(in_folder("b.hfd"), &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	/* nor through a symbolic link */
	assert_int_equal(open_file(file, in_folder("b.hfd"), &err), HF_E_EXISTS);
	unlink(in_folder("b.hfd"));
	/* aborted: nothing is left */
	assert_int_equal(open_file(file, in_folder("c.hfd"), &err), HF_OK);
	hf_sink_file_abort(file);
	hf_sink_file_abort(file);
	assert_int_equal(stat(in_folder("c.hfd"), &st), -1);
	assert_int_equal(hf_sink_file_commit(file, &err), HF_E_FAILED);
	unlink(in_folder("b.hfd"));
	free(file);
}

static void test_file_is_whole_or_absent(void **state)
{
	(void)state;
	whole_or_absent(hf_sink_file_open);
	whole_or_absent(hf_sink_file_open_named);
}

static void test_file_names(void **state)
{
	(void)state;
	struct hf_sink_file *file = calloc(1, sizeof(*file)), *other = calloc(1, sizeof(*other));
	struct hf_err err;
	char name[300];
	memset(name, 'n', 255);
	name[255] = 0;
	assert_int_equal(hf_sink_file_open_named(file, in_folder(name), &err), HF_OK);
	/* two writers of the same name do not disturb each other; the first to finish has it */
	assert_int_equal(hf_sink_file_open_named(other, in_folder(name), &err), HF_OK);
	assert_string_not_equal(file->temp, other->temp);
	assert_int_equal(hf_sink_file_commit(other, &err), HF_OK);
	assert_int_equal(hf_sink_file_commit(file, &err), HF_E_EXISTS);
	unlink(in_folder(name));
	memset(name, 'n', 256);
	name[256] = 0;
	assert_int_equal(hf_sink_file_open(file, in_folder(name), &err), HF_E_IO);
	assert_int_equal(err.sys_errno, ENAMETOOLONG);
	assert_int_equal(hf_sink_file_open(file, in_folder("no/such/folder.hfd"), &err), HF_E_IO);
	assert_int_equal(err.sys_errno, ENOENT);
	assert_int_equal(hf_sink_file_open(file, "", &err), HF_E_IO);
	char *endless = malloc(10000);
	memset(endless, 'x', 9999);
	endless[9999] = 0;
	assert_int_equal(hf_sink_file_open(file, endless, &err), HF_E_IO);
	assert_int_equal(err.sys_errno, ENAMETOOLONG);
	free(endless);
	free(file);
	free(other);
}

/* Past RLIMIT_FSIZE there is an error, and the process lives. */
static void test_file_size_limit(void **state)
{
	(void)state;
	struct hf_sink_file *file = calloc(1, sizeof(*file));
	struct hf_err err;
	struct rlimit old, low;
	static char data[20000];
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	low = old;
	low.rlim_cur = 10000;
	assert_int_equal(hf_sink_file_open(file, in_folder("d.hfd"), &err), HF_OK);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
	enum hf_status status = file->sink.write(&file->sink, data, sizeof(data), &err);
	sigset_t pending;
	sigpending(&pending);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(status, HF_E_IO);
	assert_int_equal(err.sys_errno, EFBIG);
	assert_false(sigismember(&pending, SIGXFSZ));
	hf_sink_file_abort(file);
	free(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_sections_in_order),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_partial),
		cmocka_unit_test(test_incompressible),
		cmocka_unit_test(test_documented_example),
		cmocka_unit_test_setup_teardown(
			test_file_is_whole_or_absent, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_file_names, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_file_size_limit, make_folder, remove_folder),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
