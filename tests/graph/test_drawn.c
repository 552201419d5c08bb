/* Graphs drawn by hand in testdata/graphs, with answers worked out on paper. One statement a line;
 * '#' starts a comment; '-' is none; vN is variable N. */
#include "solved.h"

static uint32_t n_objects;

static uint32_t parse_node(const char *word)
{
	if (strcmp(word, "-") == 0)
		return HF_GRAPH_NONE;
	char *end;
	bool variable = *word == 'v';
	uint32_t v = (uint32_t)strtoul(word + variable, &end, 10);
	if (*end)
		fail_msg("\"%s\" is no node", word);
	return variable ? n_objects + v : v;
}

enum { MAX_WORDS = 32 };

static int split(char *line, char **word)
{
	int n = 0;
	line[strcspn(line, "#\n")] = 0;
	for (char *p = strtok(line, " \t"); p && n < MAX_WORDS; p = strtok(NULL, " \t"))
		word[n++] = p;
	return n;
}

/* Statements that make the graph. */
static void build(char **word, int n)
{
	uint32_t a = n > 1 ? parse_node(word[1]) : 0, b = n > 2 ? parse_node(word[2]) : 0;
	if (strcmp(word[0], "objects") == 0) {
		n_objects = a;
		sample_init(&s, a, 0);
	} else if (strcmp(word[0], "variables") == 0) {
		s.g.n_variables = a;
	} else if (strcmp(word[0], "size") == 0) {
		assert_int_equal(n - 1, n_objects);
		for (int i = 1; i < n; i++)
			s.size[i - 1] = strtoull(word[i], NULL, 10);
	} else if (strcmp(word[0], "root") == 0) {
		sample_root(&s, a, b == HF_GRAPH_NONE ? b : b - n_objects,
			(uint8_t)parse_node(word[3]));
	} else if (strcmp(word[0], "edge") == 0) {
		sample_edge(&s, a, b, n == 4);
	}
}

static void expect_object(char **word)
{
	uint32_t i = parse_node(word[1]);
	struct hf_graph_dominance d = r.dominators.node[i];
	struct hf_graph_link held = r.held.link[i];
	CHECK(r.reach.link[i].depth == parse_node(word[2]), "object %u", i);
	CHECK(d.idom == parse_node(word[3]), "object %u: %u", i, d.idom);
	CHECK(d.retained_size == strtoull(word[4], NULL, 10), "object %u: %lu", i, d.retained_size);
	CHECK(r.held.size[i] == strtoull(word[5], NULL, 10), "object %u: %lu", i, r.held.size[i]);
	CHECK(held.parent == parse_node(word[6]), "object %u: %u", i, held.parent);
	CHECK(held.root == parse_node(word[7]), "object %u: %u", i, held.root);
}

static void expect_entries(char **word)
{
	struct hf_graph_entries es;
	struct hf_err err;
	uint32_t node = parse_node(word[1]);
	assert_int_equal(hf_graph_entries_init(&es, &r.holders, node, 0, &err), HF_OK);
	CHECK(es.n == strtoull(word[2], NULL, 10), "node %u: %zu", node, es.n);
	CHECK(es.shared.size == strtoull(word[3], NULL, 10), "node %u: %lu", node, es.shared.size);
	hf_graph_entries_deinit(&es);
}

/* Statements that say what must come out; how many were checked. */
static int expect(char **word, int n)
{
	if (strcmp(word[0], "expect") == 0) {
		assert_int_equal(n, 8);
		expect_object(word);
	} else if (strcmp(word[0], "variable") == 0) {
		uint32_t v = parse_node(word[1]);
		uint64_t retained = r.dominators.node[n_objects + v].retained_size;
		CHECK(retained == strtoull(word[2], NULL, 10), "variable %u: %lu", v, retained);
		CHECK(r.held.variable[v].size == strtoull(word[3], NULL, 10), "variable %u", v);
	} else if (strcmp(word[0], "heads") == 0) {
		CHECK(r.heads.n == (uint32_t)n - 1, "%u heads", r.heads.n);
		for (int i = 1; i < n; i++)
			CHECK(r.heads.object[i - 1] == parse_node(word[i]), "head %d", i);
	} else if (strcmp(word[0], "enter") == 0) {
		expect_entries(word);
	} else {
		return 0;
	}
	return 1;
}

static void run_file(const char *name)
{
	char path[512], line[512], *word[MAX_WORDS];
	snprintf(path, sizeof(path), "%s/%s", HF_TESTDATA, name);
	FILE *f = fopen(path, "re");
	if (!f)
		fail_msg("cannot open %s", path);
	while (fgets(line, sizeof(line), f)) {
		int n = split(line, word);
		if (n)
			build(word, n);
	}
	sample_finish(&s);
	s.shape = name;
	results_init();
	rewind(f);
	int n_checked = 0;
	while (fgets(line, sizeof(line), f)) {
		int n = split(line, word);
		if (n)
			n_checked += expect(word, n);
	}
	fclose(f);
	results_deinit();
	assert_true(n_checked > (int)n_objects);
}

static void test_drawn_graphs(void **state)
{
	run_file("stray_word.txt");
	run_file("leaks.txt");
	run_file("best_path.txt");
	run_file("one_variable.txt");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drawn_graphs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
