#include "walk/others.h"

#include <string.h>

#include "base/checked.h"

struct other {
	const char *name;
	const char *file;      /* start of a module's file name */
	const char *symbol[2]; /* that a module defines and exports, NULL-filled */
};

static const struct other others[] = {
	{"jemalloc", "libjemalloc", {"je_malloc_conf", "mallctlbymib"}},
	{"tcmalloc", "libtcmalloc", {"tc_malloc", "TCMallocInternalMalloc"}},
	{"mimalloc", "libmimalloc", {"mi_malloc", "mi_heap_malloc"}},
	{"snmalloc", "libsnmalloc", {"sn_malloc", "sn_rust_alloc"}},
	{"rpmalloc", "librpmalloc", {"rpmalloc", "rpmalloc_initialize"}},
	{"hardened_malloc", "libhardened_malloc", {NULL}},
	{"scudo", "libscudo", {"__scudo_print_stats", NULL}},
	{"musl's malloc", "ld-musl-", {NULL}},
	{"musl's malloc", "libc.musl-", {NULL}},
	{"AddressSanitizer", "libasan", {"__asan_init", NULL}},
	{"Go's runtime", NULL, {"runtime.mallocgc", NULL}},
};

enum { N_OTHERS = sizeof(others) / sizeof(others[0]), MAX_NAME = 32 };

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
	const char *file = hf_image_basename(image->path);
	if (other->file && strncmp(file, other->file, strlen(other->file)) == 0)
		return true;
	for (unsigned i = 0; i < 2 && dyn && other->symbol[i]; i++) {
		if (exports(walk, dyn, other->symbol[i]))
			return true;
	}
	return false;
}

/* A malloc that is neither glibc's nor one that is known: an allocator linked into the program, or
 * a wrapper that hands on to glibc. */
static bool is_unknown_malloc(
	struct hf_walk *walk, const struct hf_image *image, const struct dynamic *dyn)
{
	static const char *const harmless[] = {
		"libholdfast", "ld-linux", "ld-2.", "libc.so", "libc-2."};
	const char *file = hf_image_basename(image->path);
	for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++) {
		if (strncmp(file, harmless[i], strlen(harmless[i])) == 0)
			return false;
	}
	return exports(walk, dyn, "malloc") && exports(walk, dyn, "free") &&
	       !exports(walk, dyn, "__libc_malloc");
}

size_t hf_walk_name_others(struct hf_walk *walk)
{
	bool named[N_OTHERS] = {false};
	size_t n = 0;
	for (size_t m = 0; m < hf_images_count(walk->images); m++) {
		const struct hf_image *image = hf_images_at(walk->images, m);
		struct dynamic dyn;
		bool has_dyn = read_dynamic(walk, image, &dyn), known = false;
		for (size_t i = 0; i < N_OTHERS; i++) {
			if (named[i] || !is_here(walk, &others[i], image, has_dyn ? &dyn : NULL))
				continue;
			named[i] = known = true;
			n++;
			hf_walk_finding(walk, HF_PARTIAL, image->base,
				"%s is in the process (%s) and cannot be walked: its objects are "
				"missing",
				others[i].name, image->path);
		}
		if (has_dyn && !known && is_unknown_malloc(walk, image, &dyn))
			hf_walk_finding(walk, HF_WARNING, image->base,
				"%s defines malloc: if it is an allocator of its own and no "
				"wrapper, its "
				"objects are missing",
				image->path);
	}
	return n;
}
