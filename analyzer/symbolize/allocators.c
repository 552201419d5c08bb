#include "symbolize/allocators.h"

#include <fnmatch.h>
#include <string.h>

/* By the whole name. */
static const char *const names[] = {
	/* C */
	"malloc", "calloc", "realloc", "reallocarray", "reallocf", "posix_memalign",
	"aligned_alloc", "memalign", "valloc", "pvalloc", "strdup", "strndup", "wcsdup", "asprintf",
	"vasprintf", "getline", "getdelim",
	/* the ways of C libraries to the same */
	"__strdup", "__strndup", "__vasprintf_internal", "__asprintf", "__vasprintf",
	"__asprintf_chk", "__vasprintf_chk", "__getdelim", "_IO_getdelim", "__libc_malloc",
	"__libc_calloc", "__libc_realloc", "__libc_memalign", "__GI___strdup", "__GI___strndup",
	/* C++ */
	"operator new", "operator new[]", "_Znwm", "_Znam",
	/* Rust */
	"__rust_alloc", "__rust_alloc_zeroed", "__rust_realloc", "__rg_alloc", "__rg_alloc_zeroed",
	"__rg_realloc", "__rdl_alloc", "__rdl_alloc_zeroed", "__rdl_realloc",
	/* widely used wrappers that the patterns below do not have */
	"allocate", "alloc", "xalloc", "zalloc", "mem_alloc", "safe_alloc", "checked_alloc",
	"g_slice_alloc", "g_slice_alloc0", "g_memdup2", "PyMem_New", "PyObject_GC_New",
	"_PyObject_GC_New", "_PyObject_New", "_PyObject_GC_NewVar", "gc_alloc", "ngx_alloc",
	"g_strconcat", "g_strdup_printf", "g_strdup_vprintf"};

/* Wrappers after the usual pattern: xmalloc, zmalloc, g_malloc0, PyMem_RawMalloc, sqlite3Malloc. */
static const char *const patterns[] = {"?malloc", "?calloc", "?realloc", "?zalloc", "?strdup",
	"?strndup", "?memdup", "?reallocarray", "?asprintf", "*_malloc", "*_malloc0", "*_calloc",
	"*_realloc", "*_zalloc", "*_strdup", "*_strndup", "*_memdup", "*_malloc_n", "*_malloc0_n",
	"*_try_malloc", "ztrymalloc*", "ztrycalloc*", "zmalloc_usable", "zcalloc_usable", "*Malloc",
	"*Calloc", "*Realloc", "*MallocZero", "sqlite3DbMallocRaw*", "sqlite3DbStrDup",
	"_PyObject_Alloc*", "_PyMem_Raw*", "pymalloc_alloc", "xmalloc_*", "xreallocarray",
	/* libraries of allocators, linked */
	"je_*", "prof_*", "mi_*", "tc_*", "tcmalloc::*", "_mi_*"};

/* Namespaces of standard libraries: their containers allocate for somebody else. */
static const char *const namespaces[] = {"std::", "__gnu_cxx::", "__cxxabiv1::",
	"boost::container::", "alloc::", "core::", "hashbrown::"};

static bool in_namespace(const char *name)
{
	for (size_t i = 0; i < sizeof(namespaces) / sizeof(namespaces[0]); i++) {
		if (!strncmp(name, namespaces[i], strlen(namespaces[i])))
			return true;
	}
	return false;
}

/* "<Type>::function" and "<Type as Trait>::function" of Rust. A program's own type is not the
 * library's, whatever trait it has; a type without a path is built in. */
static bool is_rust_library(const char *function)
{
	const char *as = strstr(function, " as "), *type = function + 1;
	while (*type == '&' || *type == '[' || *type == '(' || !strncmp(type, "mut ", 4))
		type += *type == 'm' ? 4 : 1;
	if (in_namespace(type))
		return true;
	size_t n = strcspn(type, " >");
	const char *path = strstr(type, "::");
	return as && (!path || path > type + n) && in_namespace(as + 4);
}

bool hf_is_standard_library(const char *function)
{
	return *function == '<' ? is_rust_library(function) : in_namespace(function);
}

bool hf_is_allocator(const struct hf_allocators *more, const char *function)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!strcmp(function, names[i]))
			return true;
	}
	if (hf_is_standard_library(function))
		return true;
	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
		if (!fnmatch(patterns[i], function, 0))
			return true;
	}
	for (size_t i = 0; more && i < more->n_patterns; i++) {
		if (!fnmatch(more->patterns[i], function, 0))
			return true;
	}
	return false;
}

bool hf_is_thread_start(const char *function)
{
	static const char *const starts[] = {"_start", "__libc_start_main",
		"__libc_start_main_impl", "__libc_start_main@@GLIBC_2.34", "__libc_start_call_main",
		"start_thread", "clone", "clone3", "__clone", "__clone3"};
	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		if (!strcmp(function, starts[i]))
			return true;
	}
	return false;
}
