#include "types/index_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/crc32c.h"

enum {
	ID_MAX = 64,
	PATH_SIZE = 4096,
	NAME_MAX_SIZE = 200,
	MAX_FILES = 1 << 14, /* that are looked at in the directory */
	MAX_COUNT = 1 << 26, /* of anything in a file */
	TLS_BIT = 61,        /* of a place, below the section */
};

struct header {
	char magic[8];
	uint32_t version, crc;
	uint32_t id_size;
	uint8_t id[ID_MAX];
	uint32_t zero;
	uint64_t dwarf_size;
	uint64_t n_scopes, n_definitions, n_functions, n_variables, n_text;
	uint64_t is_c;
};
_Static_assert(sizeof(struct header) == 144, "as index_cache.h draws it");
enum { CRC_FROM = 16 };

struct stored_scope {
	uint64_t begin, end, hash;
	uint32_t name, parent;
};
struct stored_pair {
	uint64_t a, b;
};

static const char suffix[] = ".index";

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* What the index is of; false: it cannot be told from others. */
static bool identify(struct hf_types *types, uint32_t module, struct header *ret)
{
	const struct hf_heap_module *m = &types->heap->modules.at[module];
	const char *path = hf_debug_module(types->files, module)->debug_path;
	struct stat st;
	*ret = (struct header){.magic = "HFINDEX", .version = HF_INDEX_CACHE_VERSION};
	if (!types->cache_dir || m->build_id_size < 8 || m->build_id_size > ID_MAX ||
		stat(path, &st))
		return false;
	ret->id_size = m->build_id_size;
	memcpy(ret->id, m->build_id, m->build_id_size);
	ret->dwarf_size = (uint64_t)st.st_size;
	return true;
}

static bool path_of(
	const struct hf_types *types, const struct header *h, const char *end, char ret[PATH_SIZE])
{
	char id[2 * ID_MAX + 1];
	for (uint32_t i = 0; i < h->id_size; i++)
		snprintf(id + 2 * i, 3, "%02x", h->id[i]);
	int n = snprintf(ret, PATH_SIZE, "%s/%s%s", types->cache_dir, id, end);
	return n > 0 && n < PATH_SIZE;
}

/* Reading */

/* The whole file, NUL behind it; NULL: not there, or not to be trusted. */
static char *read_all(const char *path, size_t *ret_size)
{
	_cleanup_(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
		(st.st_mode & 022) || st.st_size < (off_t)sizeof(struct header) ||
		st.st_size > HF_INDEX_CACHE_MAX)
		return NULL;
	size_t size = (size_t)st.st_size, n = 0;
	char *bytes = malloc(size + 1);
	while (bytes && n < size) {
		ssize_t more = read(fd, bytes + n, size - n);
		if (more < 0 && errno == EINTR)
			continue;
		if (more <= 0)
			break;
		n += (size_t)more;
	}
	if (!bytes || n < size) {
		free(bytes);
		return NULL;
	}
	futimens(fd, NULL); /* used now */
	bytes[size] = 0;
	*ret_size = size;
	return bytes;
}

static uint64_t size_of(const struct header *h)
{
	return sizeof(*h) + h->n_scopes * sizeof(struct stored_scope) +
	       (h->n_definitions + h->n_functions + h->n_variables) * sizeof(struct stored_pair) +
	       h->n_text;
}

static bool is_sound(const struct header *h, const struct header *wanted, size_t size)
{
	return !memcmp(h->magic, wanted->magic, sizeof(h->magic)) &&
	       h->version == wanted->version && h->id_size == wanted->id_size &&
	       !memcmp(h->id, wanted->id, ID_MAX) && h->dwarf_size == wanted->dwarf_size &&
	       h->n_scopes && h->n_scopes < MAX_COUNT && h->n_definitions < MAX_COUNT &&
	       h->n_functions < MAX_COUNT && h->n_variables < MAX_COUNT && h->n_text &&
	       h->n_text < HF_INDEX_CACHE_MAX && size_of(h) == size &&
	       h->crc == hf_crc32c(0, (const char *)h + CRC_FROM, size - CRC_FROM);
}

static bool take_scopes(struct hf_type_index *x, const struct header *h, const void *from)
{
	const struct stored_scope *at = from;
	x->scopes = calloc(h->n_scopes, sizeof(*x->scopes));
	if (!x->scopes)
		return false;
	for (size_t i = 0; i < h->n_scopes; i++) {
		uint32_t parent = at[i].parent >> 1;
		if (at[i].name >= h->n_text || parent >= h->n_scopes)
			return false;
		x->scopes[i] = (struct hf_type_scope){.begin = at[i].begin,
			.end = at[i].end,
			.hash = at[i].hash,
			.name = x->text + at[i].name,
			.parent = parent,
			.function = at[i].parent & 1};
	}
	x->n_scopes = x->cap_scopes = h->n_scopes;
	return true;
}

static bool take_definitions(struct hf_type_definition **ret, size_t *ret_n, struct hf_map *map,
	const struct stored_pair *at, uint64_t n)
{
	*ret = calloc(n + 1, sizeof(**ret));
	for (size_t i = 0; *ret && i < n; i++) {
		(*ret)[i] = (struct hf_type_definition){at[i].a, at[i].b};
		uint32_t *slot = at[i].a ? hf_map_put(map, at[i].a) : NULL;
		if (!slot)
			return false;
		*slot = (uint32_t)i + 1;
	}
	*ret_n = n;
	return *ret;
}

static bool take_variables(struct hf_type_index *x, const struct stored_pair *at, uint64_t n)
{
	x->variables = calloc(n + 1, sizeof(*x->variables));
	for (size_t i = 0; x->variables && i < n; i++)
		x->variables[i] = (struct hf_type_variable){.addr = at[i].a,
			.place = at[i].b & ~(1ull << TLS_BIT),
			.tls = at[i].b >> TLS_BIT & 1};
	x->n_variables = x->cap_variables = n;
	return x->variables;
}

static void forget(struct hf_type_index *x)
{
	hf_map_deinit(&x->by_hash);
	hf_map_deinit(&x->function_by_hash);
	free(x->scopes);
	free(x->definitions);
	free(x->functions);
	free(x->variables);
	free(x->text);
	*x = (struct hf_type_index){.dwarf = x->dwarf};
}

static bool take_all(struct hf_type_index *x, const struct header *h)
{
	const struct stored_scope *scopes = (const void *)(h + 1);
	const struct stored_pair *definitions = (const void *)(scopes + h->n_scopes);
	const struct stored_pair *functions = definitions + h->n_definitions;
	const struct stored_pair *variables = functions + h->n_functions;
	const char *text = (const void *)(variables + h->n_variables);
	x->is_c = h->is_c & 1;
	x->text = malloc(h->n_text);
	if (!x->text || text[h->n_text - 1])
		return false;
	memcpy(x->text, text, h->n_text);
	return take_scopes(x, h, scopes) &&
	       take_definitions(&x->definitions, &x->n_definitions, &x->by_hash, definitions,
		       h->n_definitions) &&
	       take_definitions(&x->functions, &x->n_functions, &x->function_by_hash, functions,
		       h->n_functions) &&
	       take_variables(x, variables, h->n_variables);
}

bool hf_index_cache_load(struct hf_types *types, uint32_t module, struct hf_type_index *x)
{
	struct header wanted;
	char path[PATH_SIZE];
	size_t size;
	if (!identify(types, module, &wanted) || !path_of(types, &wanted, suffix, path))
		return false;
	_cleanup_(hf_freep) char *bytes = read_all(path, &size);
	if (!bytes)
		return false;
	const struct header *h = (const void *)bytes;
	if (is_sound(h, &wanted, size) && take_all(x, h))
		return true;
	forget(x);
	return false;
}

/* Writing */

struct text {
	char *at;
	size_t n, cap;
	struct hf_map known; /* name → its place + 1 */
	bool no_memory;
};

static uint32_t add_text(struct text *t, const char *name)
{
	uint32_t *known = hf_map_put(&t->known, (uint64_t)(uintptr_t)name);
	size_t size = strlen(name) + 1;
	if (known && *known)
		return *known - 1;
	if (t->n + size > t->cap) {
		size_t cap = (t->n + size) * 2 + 4096;
		char *grown = realloc(t->at, cap);
		t->no_memory |= !grown;
		if (!grown)
			return 0;
		t->at = grown;
		t->cap = cap;
	}
	memcpy(t->at + t->n, name, size);
	t->n += size;
	t->no_memory |= !known || t->n > HF_INDEX_CACHE_MAX;
	if (known)
		*known = (uint32_t)(t->n - size) + 1;
	return (uint32_t)(t->n - size);
}

/* The whole file in memory; NULL: no memory, or too large. */
static void *compose(const struct hf_type_index *x, struct header *h, struct text *text)
{
	uint32_t *names = calloc(x->n_scopes + 1, sizeof(*names));
	for (size_t i = 0; names && i < x->n_scopes; i++)
		names[i] = add_text(text, x->scopes[i].name);
	h->n_scopes = x->n_scopes;
	h->n_definitions = x->n_definitions;
	h->n_functions = x->n_functions;
	h->n_variables = x->n_variables;
	h->n_text = text->n;
	h->is_c = x->is_c;
	char *bytes = names && !text->no_memory && size_of(h) <= HF_INDEX_CACHE_MAX / 2
			      ? malloc(size_of(h))
			      : NULL;
	if (bytes) {
		struct stored_scope *scopes = (void *)(bytes + sizeof(*h));
		struct stored_pair *pair = (void *)(scopes + x->n_scopes);
		for (size_t i = 0; i < x->n_scopes; i++) {
			const struct hf_type_scope *s = &x->scopes[i];
			scopes[i] = (struct stored_scope){
				s->begin, s->end, s->hash, names[i], s->parent << 1 | s->function};
		}
		for (size_t i = 0; i < x->n_definitions; i++)
			*pair++ = (struct stored_pair){
				x->definitions[i].hash, x->definitions[i].place};
		for (size_t i = 0; i < x->n_functions; i++)
			*pair++ = (struct stored_pair){x->functions[i].hash, x->functions[i].place};
		for (size_t i = 0; i < x->n_variables; i++)
			*pair++ = (struct stored_pair){x->variables[i].addr,
				x->variables[i].place | (uint64_t)x->variables[i].tls << TLS_BIT};
		memcpy(pair, text->at, text->n);
		memcpy(bytes, h, sizeof(*h));
		h->crc = hf_crc32c(0, bytes + CRC_FROM, size_of(h) - CRC_FROM);
		memcpy(bytes, h, sizeof(*h));
	}
	free(names);
	return bytes;
}

/* The directory, and the one that it is in: ~/.cache. */
static bool make_dir(const char *dir)
{
	char parent[PATH_SIZE];
	struct stat st;
	snprintf(parent, sizeof(parent), "%s", dir);
	char *slash = strrchr(parent, '/');
	if (slash && slash > parent) {
		*slash = 0;
		mkdir(parent, 0700);
	}
	mkdir(dir, 0700);
	return !lstat(dir, &st) && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
	       !(st.st_mode & 022);
}

static bool write_all(int fd, const char *bytes, size_t size)
{
	while (size) {
		ssize_t n = write(fd, bytes, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		bytes += n;
		size -= (size_t)n;
	}
	return true;
}

struct old_file {
	char name[NAME_MAX_SIZE];
	int64_t used;
	uint64_t size;
};

static int by_use(const void *pa, const void *pb)
{
	const struct old_file *a = pa, *b = pb;
	return a->used < b->used ? -1 : a->used > b->used;
}

/* Files of ours, and what was left of one that was being written. */
static bool is_ours(const char *name)
{
	size_t n = strlen(name);
	return n < NAME_MAX_SIZE && n > 6 &&
	       (strstr(name, ".index.") || !strcmp(name + n - 6, suffix));
}

/* Those that were not used for longest go. */
static void make_room(const char *dir)
{
	DIR *d = opendir(dir);
	struct old_file *files = NULL;
	size_t n = 0, cap = 0;
	uint64_t total = 0;
	for (struct dirent *e; d && n < MAX_FILES && (e = readdir(d));) {
		struct stat st;
		if (!is_ours(e->d_name) || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) ||
			!S_ISREG(st.st_mode) || !hf_grow((void **)&files, n, &cap, sizeof(*files)))
			continue;
		files[n] =
			(struct old_file){.used = st.st_mtim.tv_sec, .size = (uint64_t)st.st_size};
		snprintf(files[n].name, sizeof(files[n].name), "%.199s", e->d_name);
		total += files[n++].size;
	}
	if (n)
		qsort(files, n, sizeof(*files), by_use);
	for (size_t i = 0; i < n && total > HF_INDEX_CACHE_MAX; i++) {
		unlinkat(dirfd(d), files[i].name, 0);
		total -= files[i].size;
	}
	free(files);
	if (d)
		closedir(d);
}

void hf_index_cache_save(struct hf_types *types, uint32_t module, const struct hf_type_index *x)
{
	struct header h;
	char path[PATH_SIZE], temporary[PATH_SIZE];
	struct text text = {0};
	if (x->n_scopes + x->n_definitions + x->n_functions < HF_INDEX_CACHE_WORTH ||
		x->n_foreign || types->no_memory || !identify(types, module, &h) ||
		!path_of(types, &h, suffix, path) ||
		!path_of(types, &h, ".index.XXXXXX", temporary) || !make_dir(types->cache_dir))
		return;
	_cleanup_(hf_freep) char *bytes = compose(x, &h, &text);
	int fd = bytes ? mkostemp(temporary, O_CLOEXEC) : -1;
	bool ok = fd >= 0 && write_all(fd, bytes, size_of(&h));
	if (fd >= 0 && (close(fd) || !ok || rename(temporary, path)))
		unlink(temporary);
	else if (fd >= 0)
		make_room(types->cache_dir);
	free(text.at);
	hf_map_deinit(&text.known);
}

char *hf_index_cache_dir(void)
{
	const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	char *dir = NULL;
	if (getenv("HOLDFAST_NO_CACHE"))
		return NULL;
	int n = -1;
	if (cache && cache[0] == '/')
		n = asprintf(&dir, "%s/holdfast", cache);
	else if (home && home[0] == '/')
		n = asprintf(&dir, "%s/.cache/holdfast", home);
	return n < 0 ? NULL : dir;
}
