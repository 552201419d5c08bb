#include "symbolize/debug_files.h"

#include <dwarf.h>
#include <elfutils/libdwelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "symbolize/debug_dwp.h"
#include "symbolize/debug_find.h"

enum { MAX_UNITS = 1 << 22, ADVICE_SIZE = 480, MAX_DIRS = 64 };

struct module {
	struct hf_debug_module public;
	struct hf_debug_file main, debug, alt;
	Dwarf *alt_dwarf;
	struct hf_dwp dwp;
	bool looked, looked_dwp;
	char advice[ADVICE_SIZE];
};

struct hf_debug_files {
	const struct hf_heap *heap;
	char *dirs[MAX_DIRS]; /* all places, in the order they are looked at */
	size_t n_dirs;
	char *sysroot; /* "" for / */
	bool no_debuginfod;
	struct module *modules; /* [heap->modules.n] */
};

/* What is looked for. */
struct wanted {
	struct hf_debug_files *files;
	const uint8_t *build_id; /* size 0: none */
	size_t build_id_size;
	const char
		*path; /* of the module, in the process; NULL for what is known by its id alone */
	const char *link; /* name from .gnu_debuglink, or NULL */
	uint32_t crc;     /* of that */
};

static bool add_dir(struct hf_debug_files *files, const char *sysroot, const char *dir)
{
	if (files->n_dirs == MAX_DIRS)
		return true;
	char *path = NULL;
	if (asprintf(&path, "%s%s", sysroot, dir) < 0)
		return false;
	files->dirs[files->n_dirs++] = path;
	return true;
}

enum hf_status hf_debug_files_create(struct hf_debug_files **ret, const struct hf_heap *heap,
	const struct hf_debug_options *options, struct hf_err *err)
{
	struct hf_debug_files *files = calloc(1, sizeof(*files));
	size_t n = heap->modules.n;
	bool ok = files && (files->modules = calloc(n + 1, sizeof(*files->modules)));
	for (size_t i = 0; ok && i < n; i++) {
		struct module *m = &files->modules[i];
		m->main.fd = m->debug.fd = m->alt.fd = -1;
	}
	const char *sysroot = options && options->sysroot ? options->sysroot : "";
	if (ok) {
		files->heap = heap;
		files->no_debuginfod = options && options->no_debuginfod;
		ok = (files->sysroot = strdup(strcmp(sysroot, "/") ? sysroot : ""));
	}
	for (size_t i = 0; ok && options && i < options->n_dirs; i++)
		ok = add_dir(files, "", options->dirs[i]);
	if (ok && files->sysroot[0])
		ok = add_dir(files, files->sysroot, "/usr/lib/debug");
	if (ok)
		ok = add_dir(files, "", "/usr/lib/debug");
	if (!ok) {
		hf_debug_files_destroy(files);
		return hf_err_set(err, HF_E_NOMEM, "no memory for %zu modules", n);
	}
	*ret = files;
	return HF_OK;
}

void hf_debug_files_destroy(struct hf_debug_files *files)
{
	if (!files)
		return;
	for (size_t i = 0; files->modules && i < files->heap->modules.n; i++) {
		struct module *m = &files->modules[i];
		dwarf_end(m->public.dwarf);
		dwarf_end(m->alt_dwarf);
		hf_dwp_close(&m->dwp);
		hf_debug_file_close(&m->alt);
		hf_debug_file_close(&m->debug);
		hf_debug_file_close(&m->main);
	}
	for (size_t i = 0; i < files->n_dirs; i++)
		free(files->dirs[i]);
	free(files->sysroot);
	free(files->modules);
	free(files);
}

size_t hf_debug_n_modules(const struct hf_debug_files *files)
{
	return files->heap->modules.n;
}

/* The file for what is wanted: its build id, or where it has none the checksum of the link. */
static bool is_wanted(const struct wanted *w, const struct hf_debug_file *file, bool by_link)
{
	if (w->build_id_size)
		return file->build_id_size == w->build_id_size &&
		       !memcmp(file->build_id, w->build_id, w->build_id_size);
	return by_link && hf_debug_crc_matches(file, w->crc);
}

static bool has_dwarf(Elf *elf)
{
	return hf_debug_has_section(elf, ".debug_info") ||
	       hf_debug_has_section(elf, ".zdebug_info");
}

static bool try_path(
	const struct wanted *w, const char *path, bool by_link, struct hf_debug_file *ret)
{
	if (access(path, R_OK) || !hf_debug_file_open(ret, path))
		return false;
	if (is_wanted(w, ret, by_link) && has_dwarf(ret->elf))
		return true;
	hf_debug_file_close(ret);
	return false;
}

static bool try_build_id(const struct wanted *w, const char *dir, struct hf_debug_file *ret)
{
	char path[HF_DEBUG_PATH_SIZE], id[2 * HF_BUILD_ID_MAX + 1];
	if (w->build_id_size < 2)
		return false;
	for (size_t i = 0; i < w->build_id_size; i++)
		snprintf(id + 2 * i, 3, "%02x", w->build_id[i]);
	snprintf(path, sizeof(path), "%s/.build-id/%.2s/%s.debug", dir, id, id + 2);
	return try_path(w, path, false, ret);
}

/* DIR as a copy of the tree, or as a heap of files. */
static bool try_dir(const struct wanted *w, const char *dir, struct hf_debug_file *ret)
{
	char path[HF_DEBUG_PATH_SIZE];
	if (try_build_id(w, dir, ret))
		return true;
	if (!w->path)
		return false;
	const char *name = hf_base_name(w->path);
	for (size_t i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), i ? "%s%s" : "%s%s.debug", dir, w->path);
		if (try_path(w, path, false, ret))
			return true;
		snprintf(path, sizeof(path), i ? "%s/%s" : "%s/%s.debug", dir, name);
		if (try_path(w, path, false, ret))
			return true;
	}
	if (!w->link || name == w->path)
		return false;
	snprintf(path, sizeof(path), "%s%.*s%s", dir, (int)(name - w->path), w->path, w->link);
	if (try_path(w, path, true, ret))
		return true;
	snprintf(path, sizeof(path), "%s/%s", dir, w->link);
	return try_path(w, path, true, ret);
}

/* .gnu_debuglink, beside the module. */
static bool try_beside(const struct wanted *w, struct hf_debug_file *ret)
{
	char path[HF_DEBUG_PATH_SIZE];
	const char *slash = w->path ? strrchr(w->path, '/') : NULL;
	if (!w->link || !slash)
		return false;
	static const char *const subdirs[] = {"", "/.debug"};
	for (size_t i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s%.*s%s/%s", w->files->sysroot,
			(int)(slash - w->path), w->path, subdirs[i], w->link);
		if (try_path(w, path, true, ret))
			return true;
	}
	return false;
}

static bool try_debuginfod(const struct wanted *w, struct hf_debug_file *ret)
{
	char *path = NULL;
	if (w->files->no_debuginfod)
		return false;
	int fd = hf_debuginfod_find(w->build_id, w->build_id_size, &path);
	bool ok = fd >= 0 && hf_debug_file_open_fd(ret, fd, path);
	free(path);
	if (ok && !is_wanted(w, ret, false)) {
		hf_debug_file_close(ret);
		ok = false;
	}
	return ok;
}

static bool find(const struct wanted *w, struct hf_debug_file *ret)
{
	for (size_t i = 0; i < w->files->n_dirs; i++) {
		if (try_dir(w, w->files->dirs[i], ret))
			return true;
	}
	return try_beside(w, ret) || try_debuginfod(w, ret);
}

/* What dwz moved to a file that several share. */
static void find_alt(struct hf_debug_files *files, struct module *m)
{
	const char *name;
	const void *id;
	ssize_t size = dwelf_dwarf_gnu_debugaltlink(m->public.dwarf, &name, &id);
	if (size <= 0 || size > HF_BUILD_ID_MAX || dwarf_getalt(m->public.dwarf))
		return;
	struct wanted w = {.files = files, .build_id = id, .build_id_size = (size_t)size};
	if (find(&w, &m->alt))
		m->alt_dwarf = dwarf_begin_elf(m->alt.elf, DWARF_C_READ, NULL);
	if (m->alt_dwarf)
		dwarf_setalt(m->public.dwarf, m->alt_dwarf);
}

static bool open_dwarf(struct hf_debug_files *files, struct module *m, struct hf_debug_file *file)
{
	m->public.dwarf = dwarf_begin_elf(file->elf, DWARF_C_READ, NULL);
	if (!m->public.dwarf)
		return false;
	m->public.debug_path = file->path;
	find_alt(files, m);
	return true;
}

static bool same_build(const struct hf_heap_module *h, const struct hf_debug_file *file)
{
	return file->build_id_size == h->build_id_size &&
	       (!h->build_id_size || !memcmp(file->build_id, h->build_id, h->build_id_size));
}

static bool open_main(struct hf_debug_files *files, struct module *m,
	const struct hf_heap_module *h, const char *module_path)
{
	char path[HF_DEBUG_PATH_SIZE];
	snprintf(path, sizeof(path), "%s%s", files->sysroot, module_path);
	m->public.state = HF_DEBUG_NO_FILE;
	if (!hf_debug_file_open(&m->main, path))
		return false;
	m->public.state = same_build(h, &m->main) ? HF_DEBUG_MISSING : HF_DEBUG_REFUSED;
	if (m->public.state == HF_DEBUG_MISSING)
		return true;
	hf_debug_file_close(&m->main);
	return false;
}

static void look(struct hf_debug_files *files, struct module *m, const struct hf_heap_module *h)
{
	char path[HF_DEBUG_PATH_SIZE];
	snprintf(path, sizeof(path), "%s", h->path);
	char *deleted = strstr(path, " (deleted)");
	if (deleted && !deleted[sizeof(" (deleted)") - 1])
		*deleted = 0;
	m->public = (struct hf_debug_module){
		.state = HF_DEBUG_NO_MODULE, .path = "", .debug_path = "", .bias = h->bias};
	if (path[0] != '/')
		return;
	struct wanted w = {.files = files,
		.build_id = h->build_id,
		.build_id_size = h->build_id_size <= HF_BUILD_ID_MAX ? h->build_id_size : 0,
		.path = path};
	bool ok = false, damaged = false;
	if (open_main(files, m, h, path)) {
		m->public.elf = m->main.elf;
		m->public.path = m->main.path;
		w.link = hf_debug_link(m->main.elf, &w.crc);
		if (has_dwarf(m->main.elf)) {
			ok = open_dwarf(files, m, &m->main);
			damaged = !ok;
		}
	}
	if (!ok && find(&w, &m->debug)) {
		ok = open_dwarf(files, m, &m->debug);
		damaged |= !ok;
	}
	Elf *debug = m->debug.elf;
	m->public.symbols = debug && hf_debug_has_section(debug, ".symtab") ? debug : m->main.elf;
	m->public.state = ok ? HF_DEBUG_OK : damaged ? HF_DEBUG_DAMAGED : m->public.state;
}

const struct hf_debug_module *hf_debug_module(struct hf_debug_files *files, uint32_t module)
{
	struct module *m = &files->modules[module];
	if (!m->looked) {
		m->looked = true;
		look(files, m, &files->heap->modules.at[module]);
	}
	return &m->public;
}

/* What to do about it. */
const char *hf_debug_advice(struct hf_debug_files *files, uint32_t module)
{
	struct module *m = &files->modules[module];
	const char *path = files->heap->modules.at[module].path;
	enum hf_debug_state state = hf_debug_module(files, module)->state;
	static const char *const states[] = {
		[HF_DEBUG_MISSING] = "has no debug information",
		[HF_DEBUG_NO_FILE] = "is not on this machine",
		[HF_DEBUG_REFUSED] = "is another build by now (other build id)",
		[HF_DEBUG_DAMAGED] = "has damaged debug information",
	};
	if (m->advice[0] || state == HF_DEBUG_OK || state == HF_DEBUG_NO_MODULE)
		return m->advice;
	const char *name = hf_base_name(path);
	const char *what = states[state];
	char package[128];
	int n = snprintf(m->advice, sizeof(m->advice), "%.120s %s", name, what);
	size_t room = sizeof(m->advice) - (size_t)n;
	char *to = m->advice + n;
	if (state == HF_DEBUG_DAMAGED)
		snprintf(to, room, ": install it again");
	else if (hf_debuginfod_wanted() && !files->no_debuginfod && !hf_debuginfod_present())
		snprintf(to, room, ": apt install libdebuginfod1, DEBUGINFOD_URLS is set");
	else if (state == HF_DEBUG_MISSING &&
		 hf_debug_package(files->sysroot, path, package, sizeof(package)))
		snprintf(to, room, ": apt install %s%s", package,
			!strcmp(package, "libc6") ? "-dbg" : "-dbgsym");
	else if (state == HF_DEBUG_MISSING)
		snprintf(to, room, ": build it with -g, or give --debug-dir");
	else
		snprintf(to, room, ": give --sysroot or --debug-dir");
	return m->advice;
}

const char *hf_debug_split_advice(struct hf_debug_files *files, uint32_t module)
{
	struct module *m = &files->modules[module];
	const char *name = hf_base_name(files->heap->modules.at[module].path);
	char types[96] = "";
	if (!m->public.n_units_missing && !m->dwp.dwarf)
		return "";
	if (m->dwp.n_types_left)
		snprintf(types, sizeof(types),
			", and none of its %zu type units (build without -fdebug-types-section)",
			m->dwp.n_types_left);
	if (m->dwp.dwarf)
		snprintf(m->advice, sizeof(m->advice),
			"of %.120s.dwp no variables of frames and no lines are read%s", name,
			types);
	else
		snprintf(m->advice, sizeof(m->advice),
			"%.120s has split debug information, of which %u units are nowhere: keep "
			"the .dwo files, or give --debug-dir with %.100s.dwp",
			name, m->public.n_units_missing, name);
	return m->advice;
}

static bool try_package(struct module *m, const char *path)
{
	struct hf_debug_file file;
	if (access(path, R_OK) || !hf_debug_file_open(&file, path))
		return false;
	Elf *main_elf = m->debug.elf ? m->debug.elf : m->main.elf;
	bool ok = hf_dwp_open(&m->dwp, file.elf, m->public.dwarf, main_elf);
	hf_debug_file_close(&file);
	return ok;
}

/* The package of a module's split units: beside its file or its debug file, or in a directory. */
static void find_package(struct hf_debug_files *files, struct module *m, const char *module_path)
{
	char path[HF_DEBUG_PATH_SIZE];
	const char *slash = strrchr(module_path, '/');
	m->looked_dwp = true;
	snprintf(path, sizeof(path), "%s.dwp", m->public.debug_path);
	bool ok = try_package(m, path);
	snprintf(path, sizeof(path), "%s%s.dwp", files->sysroot, module_path);
	ok = ok || try_package(m, path);
	for (size_t i = 0; !ok && slash && i < files->n_dirs; i++) {
		snprintf(path, sizeof(path), "%s%s.dwp", files->dirs[i], slash);
		ok = try_package(m, path);
		snprintf(path, sizeof(path), "%s%s.dwp", files->dirs[i], module_path);
		ok = ok || try_package(m, path);
	}
}

/* After the units of the file itself. */
static bool next_of_package(struct module *m, Dwarf_CU **cu, Dwarf_Die *ret_unit)
{
	Dwarf_CU *from = *cu && dwarf_cu_getdwarf(*cu) == m->dwp.dwarf ? *cu : NULL;
	return m->dwp.dwarf && !dwarf_get_units(m->dwp.dwarf, from, cu, NULL, NULL, ret_unit, NULL);
}

bool hf_debug_next_unit(
	struct hf_debug_files *files, uint32_t module, Dwarf_CU **cu, Dwarf_Die *ret_unit)
{
	struct module *m = &files->modules[module];
	Dwarf *dwarf = hf_debug_module(files, module)->dwarf;
	Dwarf_Die die, split;
	uint8_t type;
	if (!*cu)
		m->public.n_units_missing = 0;
	if (*cu && m->dwp.dwarf && dwarf_cu_getdwarf(*cu) == m->dwp.dwarf)
		return next_of_package(m, cu, ret_unit);
	for (int i = 0; dwarf && i < MAX_UNITS; i++) {
		memset(&split, 0, sizeof(split));
		if (dwarf_get_units(dwarf, *cu, cu, NULL, &type, &die, &split) != 0)
			return next_of_package(m, cu, ret_unit);
		if (type != DW_UT_skeleton) {
			*ret_unit = die;
			return true;
		}
		if (split.addr) {
			*ret_unit = split;
			return true;
		}
		if (!m->looked_dwp)
			find_package(files, m, files->heap->modules.at[module].path);
		m->public.n_units_missing += !m->dwp.dwarf;
	}
	return false;
}
