/* Heap profiles of all makers, and what is wrong with some. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#include "profile.pb-c.h"
#include "profile/profile.h"

#define DATA HF_SOURCE_DIR "/testdata/profiles/"

static struct hf_profile read_file(const char *name)
{
	struct hf_profile p;
	struct hf_err err;
	char path[1024];
	snprintf(path, sizeof(path), DATA "%s", name);
	if (hf_profile_read(path, &p, &err))
		fail_msg("%s", err.msg);
	return p;
}

/* Sites by their bytes: the largest first. */
static const struct hf_profile_site *largest(const struct hf_profile *p, size_t rank)
{
	static const struct hf_profile_site *sorted[64];
	size_t n = 0;
	for (size_t i = 0; i < p->n_sites && n < 64; i++) {
		size_t at = n++;
		for (; at && sorted[at - 1]->live_bytes < p->sites[i].live_bytes; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = &p->sites[i];
	}
	return rank < n ? sorted[rank] : NULL;
}

static const char *file_of(
	const struct hf_profile *p, const struct hf_profile_site *s, size_t frame)
{
	assert_true(frame < s->n_frames);
	const struct hf_profile_location *l = &p->locations[p->frames[s->first_frame + frame]];
	return l->mapping == HF_PROFILE_NONE ? "" : p->mappings[l->mapping].file;
}

static void near(uint64_t found, uint64_t expected, double tolerance)
{
	double d = (double)found - (double)expected;
	if (d > tolerance * (double)expected || -d > tolerance * (double)expected)
		fail_msg("%llu, not about %llu", (unsigned long long)found,
			(unsigned long long)expected);
}

static void test_gperftools_exact(void **state)
{
	struct hf_profile p = read_file("gperftools-exact.heap");
	assert_int_equal(p.kind, HF_PROFILE_GPERFTOOLS);
	assert_false(p.sampled);
	assert_true(p.has_totals);
	assert_int_equal(p.missing_bytes, 0);
	assert_int_equal(p.n_sites, 3);
	const struct hf_profile_site *s = largest(&p, 0);
	assert_int_equal(s->live_bytes, 10000000);
	assert_int_equal(s->live_count, 1000);
	assert_int_equal(s->n_frames, 6);
	assert_non_null(strstr(file_of(&p, s, 0), "gperftools_maker"));
	assert_non_null(strstr(file_of(&p, s, 3), "libc.so.6"));
	/* a return address less one */
	assert_int_equal(p.locations[p.frames[s->first_frame]].address & 0xfff, 0x186);
	assert_int_equal(largest(&p, 1)->live_count, 3000);
	assert_int_equal(largest(&p, 2)->live_bytes, 0);
	assert_int_equal(largest(&p, 2)->total_bytes, 400000);
	hf_profile_deinit(&p);
}

static void test_gperftools_sampled(void **state)
{
	struct hf_profile p = read_file("gperftools-sampled.heap");
	assert_true(p.sampled);
	assert_false(p.has_totals);
	assert_int_equal(p.period, 16384);
	assert_int_equal(p.n_samples, 479);
	/* One line a sample: the stack's are one site. 461 samples: the error is 4 %. */
	assert_int_equal(p.n_sites, 2);
	near(largest(&p, 0)->live_bytes, 10000000, 0.12);
	near(largest(&p, 0)->live_count, 1000, 0.12);
	near(largest(&p, 1)->live_bytes, 300000, 0.6);
	hf_profile_deinit(&p);
}

static void test_jemalloc(void **state)
{
	struct hf_profile p = read_file("jemalloc-exact.heap");
	assert_int_equal(p.kind, HF_PROFILE_JEMALLOC);
	assert_false(p.sampled);
	assert_false(p.has_totals);
	/* its sizes are rounded: 10240 and 112 */
	assert_int_equal(largest(&p, 0)->live_bytes, 10240000);
	assert_int_equal(largest(&p, 1)->live_bytes, 3000 * 112);
	assert_non_null(strstr(file_of(&p, largest(&p, 0), 0), "jemalloc_maker"));
	hf_profile_deinit(&p);

	p = read_file("jemalloc-sampled.heap");
	assert_true(p.sampled);
	assert_true(p.has_totals);
	assert_int_equal(p.period, 4096);
	assert_int_equal(largest(&p, 0)->n_frames, 6);
	assert_non_null(strstr(file_of(&p, largest(&p, 0), 0), "jemalloc_maker"));
	near(largest(&p, 0)->live_bytes, 10240000, 0.06);
	near(largest(&p, 1)->live_bytes, 3000 * 112, 0.4);
	hf_profile_deinit(&p);
}

static void test_go(void **state)
{
	struct hf_profile p = read_file("go.pb.gz");
	assert_int_equal(p.kind, HF_PROFILE_PPROF);
	assert_string_equal(p.maker, "pprof");
	assert_true(p.sampled);
	assert_false(p.ids);
	assert_int_equal(p.period, 4096);
	const struct hf_profile_site *s = largest(&p, 0);
	near(s->live_bytes, 1000 * 10240, 0.25); /* what Go says: 8266386 */
	assert_int_equal(s->live_bytes, 8266386);
	const struct hf_profile_location *l = &p.locations[p.frames[s->first_frame]];
	assert_int_equal(l->n_lines, 1);
	const struct hf_profile_line *line = &p.lines[l->first_line];
	assert_string_equal(p.functions[line->function].name, "main.large");
	assert_string_equal(p.functions[line->function].file, "./main.go");
	assert_int_equal(line->line, 15);
	for (size_t i = 1; i < p.n_sites; i++)
		assert_true(p.sites[i].id > p.sites[i - 1].id);
	hf_profile_deinit(&p);
}

/* Of text; the status, and on success what was read. */
static enum hf_status parse(const char *text, struct hf_profile *ret, struct hf_err *err)
{
	return hf_profile_parse(text, strlen(text), "text", ret, err);
}

static void test_unsampling(void **state)
{
	struct hf_profile p;
	struct hf_err err;
	/* 1 / (1 - e^-(1024/1024)) = 1.5820 */
	assert_int_equal(parse("heap profile: 10: 10240 [10: 10240] @ heap_v2/1024\n"
			       "10: 10240 [10: 10240] @ 0x10 0x20\n",
				 &p, &err),
		HF_OK);
	assert_int_equal(p.sites[0].live_count, 16);
	assert_int_equal(p.sites[0].live_bytes, 16199);
	hf_profile_deinit(&p);
	/* one sample each 512 bytes: objects of 128 count four times */
	assert_int_equal(parse("heap profile: 10: 1280 [10: 1280] @ heap/1024\n"
			       "10: 1280 [10: 1280] @ 0x10 0x20\n",
				 &p, &err),
		HF_OK);
	assert_int_equal(p.sites[0].live_count, 40);
	assert_int_equal(p.sites[0].live_bytes, 5120);
	hf_profile_deinit(&p);
	/* the writer's buffer was full: 500 bytes are in the heading alone */
	assert_int_equal(
		parse("heap profile: 2: 600 [2: 600] @ heapprofile\n1: 100 [1: 100] @\n", &p, &err),
		HF_OK);
	assert_int_equal(p.missing_bytes, 500);
	assert_int_equal(p.sites[0].n_frames, 0);
	hf_profile_deinit(&p);
}

static void test_damaged_text(void **state)
{
	static const struct {
		const char *text, *says;
		enum hf_status status;
	} cases[] = {
		{"heap profile: x", "heading", HF_E_CORRUPT},
		{"heap profile: 1: 1 [1: 1] @ heap_v2/x", "period", HF_E_CORRUPT},
		{"heap profile: 1: 1 [1: 1] @ strange/4", "not known", HF_E_UNSUPPORTED},
		{"heap profile: 1: 1 [1: 1] @ heapprofile\n1: 1 [1: 1] 0x1", "line 2",
			HF_E_CORRUPT},
		{"heap profile: 1: 1 [1: 1] @ heapprofile\n1: 1 [1: 1] @ 0xzz", "line 2",
			HF_E_CORRUPT},
		{"heap profile: 1: 1 [1: 1] @ heapprofile\n-1: -1 [1: 1] @ 0x1", "difference",
			HF_E_UNSUPPORTED},
		{"heap profile: 1: 1 [1: 1] @ heapprofile\n1: 99999999999999999999 [1: 1] @ 0x1",
			"line 2", HF_E_CORRUPT},
		{"heap_v2/", "period", HF_E_CORRUPT},
		{"heap_v2/1\n@ 0x1\n@ 0x2\n", "line 3", HF_E_CORRUPT},
		{"heap_v2/1\n@ 0x1\n  t*: 1: 2\n", "line 3", HF_E_CORRUPT},
		{"heap_v2/1\nnonsense\n", "line 2", HF_E_CORRUPT},
		{"hello", "not a heap profile", HF_E_UNSUPPORTED},
		{"", "empty", HF_E_CORRUPT},
		{"\x1f\x8b\x08", "cut off", HF_E_CORRUPT},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hf_profile p;
		struct hf_err err;
		enum hf_status status = parse(cases[i].text, &p, &err);
		if (status != cases[i].status || !strstr(err.msg, cases[i].says))
			fail_msg("%s: %d %s", cases[i].text, status, err.msg);
	}
}

/* A small profile, well-formed until a test makes it otherwise. */
struct small {
	HfPb__Profile p;
	HfPb__ValueType type;
	HfPb__Sample sample;
	HfPb__Mapping mapping;
	HfPb__Location location[2];
	HfPb__Line line;
	HfPb__Function function;
	HfPb__Label label;
	HfPb__ValueType *types[1];
	HfPb__Sample *samples[2];
	HfPb__Mapping *mappings[1];
	HfPb__Location *locations[2];
	HfPb__Line *lines[1];
	HfPb__Function *functions[1];
	HfPb__Label *labels[1];
	int64_t value[1], comments[1];
	uint64_t ids[2];
	ProtobufCBinaryData strings[6];
};

static ProtobufCBinaryData text(const char *s)
{
	return (ProtobufCBinaryData){strlen(s), (uint8_t *)(uintptr_t)s};
}

static void small_init(struct small *s)
{
	memset(s, 0, sizeof(*s));
	hf_pb__profile__init(&s->p);
	hf_pb__value_type__init(&s->type);
	hf_pb__sample__init(&s->sample);
	hf_pb__mapping__init(&s->mapping);
	hf_pb__location__init(&s->location[0]);
	hf_pb__location__init(&s->location[1]);
	hf_pb__line__init(&s->line);
	hf_pb__function__init(&s->function);
	hf_pb__label__init(&s->label);
	static const char *const strings[] = {"", "inuse_space", "main", "/bin/x", "site",
		"holdfast-token: 000102030405060708090a0b0c0d0e0f"};
	for (int i = 0; i < 6; i++)
		s->strings[i] = text(strings[i]);
	s->type.type = 1;
	s->value[0] = 64;
	s->ids[0] = 7;
	s->ids[1] = 8;
	s->sample.n_location_id = 2;
	s->sample.location_id = s->ids;
	s->sample.n_value = 1;
	s->sample.value = s->value;
	s->mapping.id = 3;
	s->mapping.memory_start = 0x1000;
	s->mapping.memory_limit = 0x9000;
	s->mapping.filename = 3;
	s->location[0].id = 7;
	s->location[0].mapping_id = 3;
	s->location[0].address = 0x1234;
	s->location[1].id = 8;
	s->line.function_id = 1;
	s->line.line = 42;
	s->lines[0] = &s->line;
	s->location[1].n_line = 1;
	s->location[1].line = s->lines;
	s->function.id = 1;
	s->function.name = 2;
	s->types[0] = &s->type;
	s->samples[0] = s->samples[1] = &s->sample;
	s->mappings[0] = &s->mapping;
	s->locations[0] = &s->location[0];
	s->locations[1] = &s->location[1];
	s->functions[0] = &s->function;
	s->label.key = 4;
	s->label.num = 5;
	s->labels[0] = &s->label;
	s->comments[0] = 5;
	s->p.n_sample_type = s->p.n_sample = s->p.n_mapping = s->p.n_function = 1;
	s->p.n_location = 2;
	s->p.sample_type = s->types;
	s->p.sample = s->samples;
	s->p.mapping = s->mappings;
	s->p.location = s->locations;
	s->p.function = s->functions;
	s->p.n_string_table = 6;
	s->p.string_table = s->strings;
}

static enum hf_status parse_small(const struct small *s, struct hf_profile *ret, struct hf_err *err)
{
	uint8_t buf[4096];
	size_t n = hf_pb__profile__pack(&s->p, buf);
	assert_true(n < sizeof(buf));
	/* Cut anywhere it is read or refused, but never more. */
	for (size_t cut = 0; cut < n; cut++) {
		uint8_t *part = malloc(cut + 1);
		memcpy(part, buf, cut);
		struct hf_profile p;
		if (hf_profile_parse(part, cut, "cut", &p, NULL) == HF_OK)
			hf_profile_deinit(&p);
		free(part);
	}
	return hf_profile_parse(buf, n, "small", ret, err);
}

static void test_pprof(void **state)
{
	struct small s;
	struct hf_profile p;
	struct hf_err err;
	small_init(&s);
	s.p.n_sample = 2; /* the same stack twice */
	assert_int_equal(parse_small(&s, &p, &err), HF_OK);
	assert_int_equal(p.n_sites, 1);
	assert_int_equal(p.sites[0].live_bytes, 128);
	assert_false(p.ids);
	assert_int_equal(p.locations[p.frames[1]].n_lines, 1);
	assert_int_equal(p.lines[p.locations[p.frames[1]].first_line].line, 42);
	assert_string_equal(p.mappings[p.locations[p.frames[0]].mapping].file, "/bin/x");
	hf_profile_deinit(&p);

	/* Holdfast's: sites have numbers, there is a token */
	small_init(&s);
	s.p.n_comment = 1;
	s.p.comment = s.comments;
	s.sample.n_label = 1;
	s.sample.label = s.labels;
	assert_int_equal(parse_small(&s, &p, &err), HF_OK);
	assert_true(p.ids && p.has_token);
	assert_int_equal(p.token[15], 15);
	assert_int_equal(p.sites[0].id, 5);
	hf_profile_deinit(&p);
	s.p.n_sample = 2;
	assert_int_equal(parse_small(&s, &p, &err), HF_E_CORRUPT);
	assert_non_null(strstr(err.msg, "two samples of site 5"));
}

#define REFUSED(change, status_, says)                                                             \
	do {                                                                                       \
		small_init(&s);                                                                    \
		change;                                                                            \
		assert_int_equal(parse_small(&s, &p, &err), status_);                              \
		if (!strstr(err.msg, says))                                                        \
			fail_msg("%s: %s", #change, err.msg);                                      \
	} while (0)

static void test_hostile_pprof(void **state)
{
	struct small s;
	struct hf_profile p;
	struct hf_err err;
	REFUSED(s.ids[1] = 9, HF_E_CORRUPT, "no location 9");
	REFUSED(s.location[1].id = 7, HF_E_CORRUPT, "location id 7 is there twice");
	REFUSED(s.location[1].id = 0, HF_E_CORRUPT, "location id 0");
	REFUSED(s.location[0].mapping_id = 4, HF_E_CORRUPT, "no mapping 4");
	REFUSED(s.line.function_id = 2, HF_E_CORRUPT, "no function 2");
	REFUSED(s.function.name = 6, HF_E_CORRUPT, "no string 6");
	REFUSED(s.function.name = -1, HF_E_CORRUPT, "no string");
	REFUSED(s.sample.n_value = 0, HF_E_CORRUPT, "number of values");
	REFUSED(s.value[0] = -1, HF_E_UNSUPPORTED, "difference");
	REFUSED(s.type.type = 2, HF_E_UNSUPPORTED, "not of a heap");
	REFUSED(s.strings[0] = text("x"), HF_E_UNSUPPORTED, "not a heap profile");
	REFUSED((s.p.n_comment = 1, s.p.comment = s.comments), HF_E_CORRUPT, "no site number");
}

static size_t gzip(const void *data, size_t size, uint8_t *ret, size_t cap)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)data,
		.avail_in = (uInt)size,
		.next_out = ret,
		.avail_out = (uInt)cap};
	deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return z.total_out;
}

static void test_bomb(void **state)
{
	struct hf_profile p;
	struct hf_err err;
	enum { PART = 16 << 20, CAP = 1 << 20 };
	/* members of zeros, one after the other: a MiB of them is more than half a GiB */
	void *zeros = calloc(1, PART);
	uint8_t *data = malloc(CAP + 70 * CAP);
	size_t member = gzip(zeros, PART, data, CAP), size = member;
	for (uint64_t n = PART; n <= HF_PROFILE_MAX_BYTES; n += PART, size += member)
		memcpy(data + size, data, member);
	assert_true(size < 2 << 20);
	assert_int_equal(hf_profile_parse(data, size, "bomb", &p, &err), HF_E_UNSUPPORTED);
	assert_non_null(strstr(err.msg, "more than 512 MiB"));
	free(zeros);
	/* cut off, and damaged in its middle */
	size = gzip("heap_v2/1\n", 10, data, CAP);
	assert_int_equal(hf_profile_parse(data, size, "gzip", &p, &err), HF_OK);
	assert_int_equal(p.n_sites, 0);
	hf_profile_deinit(&p);
	assert_int_equal(hf_profile_parse(data, size - 9, "gzip", &p, &err), HF_E_CORRUPT);
	data[12] ^= 0x55;
	assert_int_equal(hf_profile_parse(data, size, "gzip", &p, &err), HF_E_CORRUPT);
	free(data);
}

static void test_path(void **state)
{
	char *path = hf_profile_path_of("a/b.1.hfd");
	assert_string_equal(path, "a/b.1.hfp.pb.gz");
	free(path);
	path = hf_profile_path_of("core");
	assert_string_equal(path, "core.hfp.pb.gz");
	free(path);
	struct hf_err err;
	struct hf_profile p;
	assert_int_equal(hf_profile_read("/nonexistent/x", &p, &err), HF_E_NOTFOUND);
	assert_int_equal(hf_profile_read("/dev/zero", &p, &err), HF_E_UNSUPPORTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gperftools_exact),
		cmocka_unit_test(test_gperftools_sampled),
		cmocka_unit_test(test_jemalloc),
		cmocka_unit_test(test_go),
		cmocka_unit_test(test_unsampling),
		cmocka_unit_test(test_damaged_text),
		cmocka_unit_test(test_pprof),
		cmocka_unit_test(test_hostile_pprof),
		cmocka_unit_test(test_bomb),
		cmocka_unit_test(test_path),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
