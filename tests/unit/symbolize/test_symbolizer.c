/* Names of code: this program's own, and those that others mangled. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <link.h>
#include <unistd.h>

#include "symbolize/allocators.h"
#include "symbolize/demangle.h"
#include "symbolize/symbolizer.h"

static const char *demangled(const char *name)
{
	static char buf[HF_DEMANGLED_SIZE];
	return hf_demangle(name, buf, sizeof(buf));
}

static void test_demangle(void **state)
{
	assert_string_equal(demangled("main"), "main");
	assert_string_equal(demangled("work.constprop.0"), "work");
	assert_string_equal(demangled("work.isra.0.part.2.cold"), "work");
	assert_string_equal(demangled("main.large"), "main.large");
	assert_string_equal(demangled("_ZN3zooL5buildEv"), "zoo::build");
	assert_string_equal(demangled("_ZN3zooL5buildEv.cold"), "zoo::build");
	assert_string_equal(demangled("_Znwm"), "operator new");
	assert_string_equal(demangled("_ZTVN3zoo4BirdE"), "vtable for zoo::Bird");
	assert_string_equal(demangled("_ZN4core3fmt9Formatter3pad17h1234567890abcdefE"),
		"core::fmt::Formatter::pad");
	assert_string_equal(demangled("_RNvCs4fqI2P2rA04_5hello4main"), "hello::main");
	assert_string_equal(demangled("_Z"), "_Z");
	assert_string_equal(demangled("_ZN3zo"), "_ZN3zo");
}

/* Each step doubles what the name before stands for: 2^34 types. */
static void test_demangle_bomb(void **state)
{
	char name[1024], buf[HF_DEMANGLED_SIZE];
	int n = snprintf(name, sizeof(name), "_Z1fI1aIiiE");
	for (int i = 1; i < 35; i++)
		n += snprintf(name + n, sizeof(name) - (size_t)n, "S0_IS%c_S%c_E",
			"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[i],
			"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[i]);
	snprintf(name + n, sizeof(name) - (size_t)n, "Evv");
	assert_ptr_equal(hf_demangle(name, buf, sizeof(buf)), name);
	char *long_name = malloc(1 << 20);
	memset(long_name, 'P', 1 << 20);
	memcpy(long_name, "_Z1fI", 5);
	long_name[(1 << 20) - 1] = 0;
	assert_ptr_equal(hf_demangle(long_name, buf, sizeof(buf)), long_name);
	long_name[8000] = 0; /* as deep as it may recurse */
	assert_ptr_equal(hf_demangle(long_name, buf, sizeof(buf)), long_name);
	free(long_name);
}

static void test_allocators(void **state)
{
	static const char *const yes[] = {"malloc", "operator new", "operator new[]", "strdup",
		"xmalloc", "zmalloc", "g_malloc0", "PyMem_RawMalloc", "sqlite3Malloc",
		"std::allocator<int>::allocate", "__gnu_cxx::new_allocator<int>::allocate",
		"alloc::raw_vec::finish_grow", "__rust_alloc", "je_malloc",
		"<alloc::vec::Vec<u8>>::push", "<&str as alloc::string::ToString>::to_string",
		"<u64 as "
		"alloc::vec::spec_from_elem::SpecFromElem>::from_elem::<alloc::alloc::Global>"};
	static const char *const no[] = {"main", "load_avatar", "standard::thing", "mallocator",
		"my::allocate", "create_session", "allot", "<keep::zoo::Animal>::new",
		"<keep::Animal as core::clone::Clone>::clone"};
	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		if (!hf_is_allocator(NULL, yes[i]))
			fail_msg("%s", yes[i]);
	}
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
		if (hf_is_allocator(NULL, no[i]))
			fail_msg("%s", no[i]);
	}
	const char *const mine[] = {"pool_get*", "allot"};
	struct hf_allocators more = {mine, 2};
	assert_true(hf_is_allocator(&more, "pool_get_slow"));
	assert_true(hf_is_allocator(&more, "allot"));
	assert_false(hf_is_allocator(&more, "main"));
}

/* What is symbolized: a function with two inlined into one another. */
static volatile int sink;
static void *volatile here;

static inline __attribute__((always_inline)) void inner(int i)
{
	sink += i;
	__asm__ volatile("lea (%%rip), %0" : "=r"(here)); /* LINE_INNER */
}

static inline __attribute__((always_inline)) void middle(int i)
{
	inner(i * 2); /* LINE_MIDDLE */
}

static __attribute__((noinline)) void outer(int i)
{
	middle(i + 1); /* LINE_OUTER */
}

static int line_of(const char *mark)
{
	char text[512];
	FILE *file = fopen(HF_SOURCE_DIR "/tests/unit/symbolize/test_symbolizer.c", "r");
	assert_non_null(file);
	for (int line = 1; fgets(text, sizeof(text), file); line++) {
		if (strstr(text, mark)) {
			fclose(file);
			return line;
		}
	}
	fail_msg("%s", mark);
	return 0;
}

/* The modules of this process. */
static int add_module(struct dl_phdr_info *info, size_t size, void *ctx)
{
	struct hf_heap *heap = ctx;
	struct hf_heap_module *m = hf_heap_push(&heap->modules);
	char self[4096] = "";
	const char *path = info->dlpi_name;
	if (heap->modules.n == 1 && readlink("/proc/self/exe", self, sizeof(self) - 1) > 0)
		path = self;
	m->path = hf_heap_string(heap, path, strlen(path));
	m->bias = info->dlpi_addr;
	m->base = UINT64_MAX;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uint64_t start = info->dlpi_addr + ph->p_vaddr, end = start + ph->p_memsz;
		if (ph->p_type == PT_LOAD && start < m->base)
			m->base = start;
		if (ph->p_type == PT_LOAD && end - m->base > m->size)
			m->size = end - m->base;
		for (size_t at = 0; ph->p_type == PT_NOTE && at + 16 < ph->p_memsz;) {
			const ElfW(Nhdr) *note = (const void *)(start + at);
			const char *name = (const char *)(note + 1);
			if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4) {
				m->build_id = (const uint8_t *)name + 4;
				m->build_id_size = note->n_descsz;
			}
			at += sizeof(*note) + (note->n_namesz + 3) / 4 * 4 +
			      (note->n_descsz + 3) / 4 * 4;
		}
	}
	return 0;
}

struct fixture {
	struct hf_heap heap;
	struct hf_debug_files *files;
	struct hf_symbolizer *symbolizer;
};

static void fixture_init(struct fixture *f)
{
	hf_heap_init(&f->heap);
	dl_iterate_phdr(add_module, &f->heap);
	struct hf_debug_options options = {.no_debuginfod = true};
	assert_int_equal(hf_debug_files_create(&f->files, &f->heap, &options, NULL), HF_OK);
	assert_int_equal(hf_symbolizer_create(&f->symbolizer, f->files, NULL), HF_OK);
}

static void fixture_deinit(struct fixture *f)
{
	hf_symbolizer_destroy(f->symbolizer);
	hf_debug_files_destroy(f->files);
	hf_heap_deinit(&f->heap);
}

static void test_inlined(void **state)
{
	struct fixture f;
	struct hf_symbol_frame frames[8];
	fixture_init(&f);
	outer(3);
	uint64_t pc = (uint64_t)(uintptr_t)here - 1;
	assert_int_equal(hf_heap_find_module(&f.heap, pc), 0);
	for (int again = 0; again < 2; again++) {
		assert_int_equal(hf_symbolize(f.symbolizer, 0, pc, frames, 8), 3);
		assert_string_equal(frames[0].function, "inner");
		assert_string_equal(frames[1].function, "middle");
		assert_string_equal(frames[2].function, "outer");
		assert_int_equal(frames[0].line, line_of("LINE_INNER"));
		assert_int_equal(frames[1].line, line_of("LINE_MIDDLE"));
		assert_int_equal(frames[2].line, line_of("LINE_OUTER"));
		assert_non_null(strstr(frames[2].file, "test_symbolizer.c"));
		assert_null(frames[2].linkage);
	}
	/* fewer than there are: the innermost */
	assert_int_equal(hf_symbolize(f.symbolizer, 0, pc, frames, 2), 2);
	assert_string_equal(frames[0].function, "inner");
	fixture_deinit(&f);
}

/* libc without its debug file has its symbols only. */
static void test_symbols(void **state)
{
	struct fixture f;
	struct hf_symbol_frame frame;
	fixture_init(&f);
	uint64_t pc = (uint64_t)(uintptr_t)&qsort + 1;
	uint32_t module = hf_heap_find_module(&f.heap, pc);
	assert_true(module != HF_NONE);
	assert_int_equal(hf_symbolize(f.symbolizer, module, pc, &frame, 1), 1);
	assert_non_null(strstr(frame.function, "qsort"));
	/* nothing there: the last byte of the address space of a module is no function */
	const struct hf_heap_module *m = &f.heap.modules.at[0];
	assert_int_equal(hf_symbolize(f.symbolizer, 0, m->base + m->size - 1, &frame, 1), 0);
	assert_int_equal(hf_symbolize(f.symbolizer, 9999, pc, &frame, 1), 0);
	fixture_deinit(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_demangle),
		cmocka_unit_test(test_demangle_bomb),
		cmocka_unit_test(test_allocators),
		cmocka_unit_test(test_inlined),
		cmocka_unit_test(test_symbols),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
