#include "walk/others.h"

#include <string.h>

#include "base/checked.h"
#include "base/path.h"
#include "image/symbols.h"

enum { N_NAMES = 2 };

struct other {
	const char *name;
	const char *file;            /* start of a module's file name */
	const char *symbol[N_NAMES]; /* that a module defines and exports, NULL-filled */
	const char *data[N_NAMES]; /* starts of names of data, for what is linked into a program and
				exports nothing, NULL-filled */
};

static const struct other others[] = {
	{"jemalloc", "libjemalloc", {"je_malloc_conf", "mallctlbymib"},
		{"je_arenas", "_rjem_je_arenas"}},
	{"tcmalloc", "libtcmalloc", {"tc_malloc", "TCMallocInternalMalloc"},
		{"_ZN8tcmalloc", NULL}},
	{"mimalloc", "libmimalloc", {"mi_malloc", "mi_heap_malloc"}, {"_mi_heap_", NULL}},
	{"snmalloc", "libsnmalloc", {"sn_malloc", "sn_rust_alloc"}, {"_ZN8snmalloc", NULL}},
	{"rpmalloc", "librpmalloc", {"rpmalloc", "rpmalloc_initialize"}, {NULL}},
	{"hardened_malloc", "libhardened_malloc", {NULL}, {NULL}},
	{"scudo", "libscudo", {"__scudo_print_stats", NULL}, {"_ZN5scudo", NULL}},
	{"musl's malloc", "ld-musl-", {"__dls3", "__dls2b"},
		{"__malloc_context", "__malloc_replaced"}},
	{"musl's malloc", "libc.musl-", {NULL}, {NULL}},
	{"Valgrind's malloc", NULL, {"_vgr10010ZU_libcZdsoZa_malloc", NULL}, {NULL}},
	{"AddressSanitizer", "libasan", {"__asan_init", NULL}, {"_ZN6__asan", NULL}},
	{"PartitionAlloc", NULL, {NULL}, {"_ZN14partition_alloc", "_ZN4base18PartitionRoot"}},
	{"Go's runtime", NULL, {"runtime.mallocgc", NULL}, {"runtime.mheap_", NULL}},
};

enum { N_OTHERS = sizeof(others) / sizeof(others[0]), MAX_NAME = 32, GO = N_OTHERS - 1 };
_Static_assert((int)N_OTHERS <= 32, "bits of a word");

/* The dynamic symbol table of a module in memory (ELF gABI chapter 5; DT_GNU_HASH as GNU ld writes
 * it). Every look-up is bounded by what the hash table says. */
struct dynamic {
	uint64_t symtab, strtab, strsz, gnu_hash;
};

static uint64_t at_bias(const struct hf_image *image, uint64_t ptr)
{
	/* The loader has relocated these pointers in most modules, but not in all (vdso, static).
	 */
	return ptr < image->base ? ptr + image->bias : ptr;
}

static bool read_dynamic(struct hf_walk *walk, const struct hf_image *image, struct dynamic *ret)
{
	enum { TAGS = 128, DT_STRTAB = 5, DT_SYMTAB = 6, DT_STRSZ = 10 };
	static const uint64_t DT_GNU_HASH = 0x6ffffef5;
	*ret = (struct dynamic){0};
	for (unsigned i = 0; image->dynamic && i < TAGS; i++) {
		uint64_t tag[2];
		if (hf_mem_read(walk->mem, image->dynamic + i * 16, tag, 16, NULL) || !tag[0])
			break;
		if (tag[0] == DT_STRTAB)
			ret->strtab = at_bias(image, tag[1]);
		else if (tag[0] == DT_SYMTAB)
			ret->symtab = at_bias(image, tag[1]);
		else if (tag[0] == DT_STRSZ)
			ret->strsz = tag[1];
		else if (tag[0] == DT_GNU_HASH)
			ret->gnu_hash = at_bias(image, tag[1]);
	}
	return ret->strtab && ret->symtab && ret->gnu_hash;
}

static uint32_t gnu_hash(const char *s)
{
	uint32_t h = 5381;
	for (; *s; s++)
		h = h * 33 + (uint8_t)*s;
	return h;
}

static bool symbol_is(
	struct hf_walk *walk, const struct dynamic *dyn, uint32_t index, const char *name)
{
	struct {
		uint32_t name;
		uint8_t info, other;
		uint16_t section;
		uint64_t value, size;
	} symbol;
	char text[MAX_NAME];
	size_t size = strlen(name) + 1;
	uint64_t end;
	return !hf_mem_read(walk->mem, dyn->symtab + index * sizeof(symbol), &symbol,
		       sizeof(symbol), NULL) &&
	       symbol.section != 0 && size <= sizeof(text) && hf_add_u64(symbol.name, size, &end) &&
	       end <= dyn->strsz &&
	       !hf_mem_read(walk->mem, dyn->strtab + symbol.name, text, size, NULL) &&
	       memcmp(text, name, size) == 0;
}

static bool exports(struct hf_walk *walk, const struct dynamic *dyn, const char *name)
{
	enum { CHAIN = 64 };
	struct {
		uint32_t n_buckets, first, n_bloom, shift;
	} header;
	uint32_t hash = gnu_hash(name), index;
	if (hf_mem_read(walk->mem, dyn->gnu_hash, &header, sizeof(header), NULL) ||
		!header.n_buckets)
		return false;
	uint64_t buckets = dyn->gnu_hash + sizeof(header) + header.n_bloom * 8ull;
	if (hf_mem_read(walk->mem, buckets + hash % header.n_buckets * 4ull, &index, 4, NULL) ||
		index < header.first)
		return false;
	uint64_t chain = buckets + header.n_buckets * 4ull;
	for (unsigned i = 0; i < CHAIN; i++, index++) {
		uint32_t value;
		if (hf_mem_read(walk->mem, chain + (index - header.first) * 4ull, &value, 4, NULL))
			return false;
		if ((value | 1) == (hash | 1) && symbol_is(walk, dyn, index, name))
			return true;
		if (value & 1)
			return false;
	}
	return false;
}

static bool is_here(struct hf_walk *walk, const struct other *other, const struct hf_image *image,
	const struct dynamic *dyn)
{
	const char *file = hf_base_name(image->path);
	if (other->file && strncmp(file, other->file, strlen(other->file)) == 0)
		return true;
	for (unsigned i = 0; i < N_NAMES && dyn && other->symbol[i]; i++) {
		if (exports(walk, dyn, other->symbol[i]))
			return true;
	}
	return false;
}

/* Which of the others has data of its own in the module's file, by its symbols: bits. */
static uint32_t by_data(struct hf_walk *walk, const struct hf_image *image)
{
	uint32_t found = 0;
	struct hf_symbols symbols;
	if (!walk->files || hf_symbols_open(&symbols, image, walk->files, NULL))
		return 0;
	for (uint64_t k = 0; k < symbols.n; k++) {
		struct hf_symbol symbol;
		if (!hf_symbols_get(&symbols, image, k, &symbol))
			continue;
		for (unsigned i = 0; i < N_OTHERS * N_NAMES; i++) {
			const char *start = others[i / N_NAMES].data[i % N_NAMES];
			if (start && strncmp(symbol.name, start, strlen(start)) == 0)
				found |= 1u << (i / N_NAMES);
		}
	}
	hf_symbols_close(&symbols);
	return found;
}

/* Go's linker puts this in front of the writable data, and strip leaves it there
 * (cmd/link/internal/ld/data.go, debug/buildinfo). */
static bool is_go(struct hf_walk *walk, const struct hf_image *image)
{
	static const char magic[] = "\xff Go buildinf:";
	enum { SIZE = sizeof(magic) - 1, STEP = 16, SEARCHED = 256 << 10 };
	bool found = false;
	struct hf_reader r;
	hf_reader_init(&r, walk->mem);
	for (uint32_t i = 0; i < image->n_segments && !found; i++) {
		const struct hf_segment *segment = &image->segments[i];
		uint64_t at = hf_align_up(segment->start, STEP);
		for (uint64_t n = 0; n < SEARCHED && at + SIZE <= segment->end && !found;
			n += STEP, at += STEP) {
			char text[SIZE];
			found = (segment->perms & HF_PERM_W) &&
				hf_reader_copy(&r, at, text, SIZE) &&
				memcmp(text, magic, SIZE) == 0;
		}
	}
	hf_reader_deinit(&r);
	return found;
}

/* A malloc that is neither glibc's nor one that is known: an allocator linked into the program, or
 * a wrapper that hands on to glibc. */
static bool is_unknown_malloc(
	struct hf_walk *walk, const struct hf_image *image, const struct dynamic *dyn)
{
	static const char *const harmless[] = {
		"libholdfast", "ld-linux", "ld-2.", "libc.so", "libc-2."};
	const char *file = hf_base_name(image->path);
	for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++) {
		if (strncmp(file, harmless[i], strlen(harmless[i])) == 0)
			return false;
	}
	/* An allocator of a program's own may export __libc_malloc, too (Chromium's does). */
	return exports(walk, dyn, "malloc") && exports(walk, dyn, "free") &&
	       !exports(walk, dyn, "gnu_get_libc_version");
}

/* Beside glibc's malloc it may be a wrapper that hands on to it; where that has no heap, it
 * is the allocator. */
static size_t name_unknown(struct hf_walk *walk, const struct hf_image *image, bool is_only)
{
	if (is_only)
		hf_walk_finding(walk, HF_PARTIAL, image->base,
			"an allocator that is not known is in the process (%s defines malloc) and "
			"cannot be walked: its objects are missing",
			image->path);
	else
		hf_walk_finding(walk, HF_WARNING, image->base,
			"%s defines malloc: if it is an allocator of its own and no wrapper, its "
			"objects are missing",
			image->path);
	return is_only;
}

size_t hf_walk_name_others(struct hf_walk *walk)
{
	bool named[N_OTHERS] = {false};
	size_t n = 0;
	for (size_t m = 0; m < hf_images_count(walk->images); m++) {
		const struct hf_image *image = hf_images_at(walk->images, m);
		struct dynamic dyn;
		bool has_dyn = read_dynamic(walk, image, &dyn), known = false;
		uint32_t data = by_data(walk, image);
		data |= (uint32_t)is_go(walk, image) << GO;
		for (size_t i = 0; i < N_OTHERS; i++) {
			if (named[i] || (!is_here(walk, &others[i], image, has_dyn ? &dyn : NULL) &&
						!(data >> i & 1)))
				continue;
			named[i] = known = true;
			n++;
			hf_walk_finding(walk, HF_PARTIAL, image->base,
				"%s is in the process (%s) and cannot be walked: its objects are "
				"missing",
				others[i].name, image->path);
		}
		if (has_dyn && !known && is_unknown_malloc(walk, image, &dyn))
			n += name_unknown(walk, image, !walk->heaps.n && !n);
	}
	return n;
}
