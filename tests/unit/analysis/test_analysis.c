/* Which root words are better holders than others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "analyzer/analysis.h"

enum { PROGRAM, LOADER, OLD_LOADER, MUSL, N_MODULES };

static struct hf_heap_module modules[N_MODULES] = {
	[PROGRAM] = {.path = "/usr/bin/gdb"},
	[LOADER] = {.path = "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"},
	[OLD_LOADER] = {.path = "ld-2.31.so"},
	[MUSL] = {.path = "/lib/ld-musl-x86_64.so.1"}, /* libc as well */
};

/* From the best holder to the worst; those of one number are alike. */
static const struct {
	int order;
	const char *name; /* NULL: of no variable */
	uint32_t kind, module;
	uint8_t doubt;
	bool declared;
} words[] = {
	{0, "table", HF_ROOT_STATIC, PROGRAM, HF_ROOT_SURE, false},
	{0, "_rtld_global", HF_ROOT_GLOBAL, LOADER, HF_ROOT_SURE, false},
	{0, "atfork", HF_ROOT_STATIC, MUSL, HF_ROOT_SURE, false},
	{1, "buffer", HF_ROOT_TLS, PROGRAM, HF_ROOT_SURE, false},
	{2, "arena", HF_ROOT_REGISTERED, HF_NONE, HF_ROOT_SURE, false},
	{3, NULL, HF_ROOT_STATIC, PROGRAM, HF_ROOT_SURE, false},
	{4, "_dlfo_loaded_mappings", HF_ROOT_STATIC, LOADER, HF_ROOT_SURE, false},
	{4, NULL, HF_ROOT_STATIC, OLD_LOADER, HF_ROOT_SURE, false},
	{4, "cache", HF_ROOT_STATIC, PROGRAM, HF_ROOT_BORROWS, false},
	{5, "local", HF_ROOT_STACK, HF_NONE, HF_ROOT_SURE, true},
	{5, "inlined", HF_ROOT_REGISTER, HF_NONE, HF_ROOT_SURE, true},
	{6, "stack", HF_ROOT_STACK, HF_NONE, HF_ROOT_SURE, false},
	{7, NULL, HF_ROOT_MAPPING, HF_NONE, HF_ROOT_SURE, false},
	{8, "rbx", HF_ROOT_REGISTER, HF_NONE, HF_ROOT_SURE, false},
	{9, "count", HF_ROOT_STATIC, PROGRAM, HF_ROOT_DATA, false},
};
enum { N = sizeof(words) / sizeof(words[0]) };

static void ranks_of_roots(void **state)
{
	(void)state;
	struct hf_heap_variable variables[N];
	struct hf_heap_root roots[N];
	for (uint32_t i = 0; i < N; i++) {
		variables[i] = (struct hf_heap_variable){.name = words[i].name ? words[i].name : "",
			.kind = words[i].kind,
			.module = words[i].module,
			.thread = HF_NONE,
			.declared = words[i].declared};
		roots[i] = (struct hf_heap_root){.kind = words[i].kind,
			.variable = words[i].name ? i : HF_NONE,
			.module = words[i].module,
			.thread = HF_NONE,
			.doubt = words[i].doubt};
	}
	uint64_t size = 16;
	struct hf_heap heap = {.n_objects = 1, .usable = &size};
	heap.modules.at = modules;
	heap.modules.n = N_MODULES;
	heap.variables.at = variables;
	heap.variables.n = N;
	heap.roots.at = roots;
	heap.roots.n = N;
	struct hf_analysis analysis;
	struct hf_err err = {0};
	assert_int_equal(hf_analysis_init(&analysis, &heap, NULL, &err), HF_OK);
	for (int i = 0; i < N; i++) {
		for (int j = 0; j < N; j++) {
			int found = analysis.graph.roots[i].rank - analysis.graph.roots[j].rank;
			int should = words[i].order - words[j].order;
			assert_int_equal((found > 0) - (found < 0), (should > 0) - (should < 0));
		}
	}
	hf_analysis_deinit(&analysis);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(ranks_of_roots)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
