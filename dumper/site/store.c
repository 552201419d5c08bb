#include "site/store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "base/page_alloc.h"
#include "base/sys.h"
#include "site/live.h"

enum {
	NO_HUGEPAGE = 15, /* MADV_NOHUGEPAGE: the tables are sparse */
	FIXED_NOREPLACE = 0x100000,
	TRIES = 16,
	STEP = 64 << 10, /* parts grow by a quarter, and by so much at least */
	SPINS = 200,
	ASK_AGAIN = 4096, /* a kernel that refused is asked each so many times */
};
/* Where nobody puts anything: above the programs' code and heaps (0x55…, 0x56…), below libraries,
 * stacks and mmap (0x7e… and up), beside the shadows and heaps of the sanitizers. A span lies
 * somewhere in there, on a boundary of its own, and what is around it is not mapped. */
#ifdef __SANITIZE_THREAD__
/* it has shadows for the addresses of libraries and mmap, and maps what is between itself */
static const uint64_t SPANS_START = 0x7e9000000000, SPANS_END = 0x7f0000000000;
#else
static const uint64_t SPANS_START = 0x680000000000, SPANS_END = 0x700000000000;
#endif
static const uint64_t SPAN = 8ull << 30;

static const struct {
	uint64_t offset, size, first; /* `first`: bytes that are mapped from the start on */
} parts[HF_SITE_PARTS] = {
#define PART(field, first)                                                                         \
	{                                                                                          \
		offsetof(struct hf_site_store, field), sizeof(((struct hf_site_store *)0)->field), \
			first                                                                      \
	}
	[HF_SITE_HEADER] = {0, offsetof(struct hf_site_store, modules),
		offsetof(struct hf_site_store, modules)},
	[HF_SITE_PART_MODULES] = PART(modules, 4 * HF_PAGE),
	[HF_SITE_PART_INDEX] = PART(index, HF_SITE_INDEX_FIRST * sizeof(uint32_t)),
	[HF_SITE_PART_SITES] = PART(sites, 8 * HF_PAGE),
	[HF_SITE_PART_PCS] = PART(pcs, 8 * HF_PAGE),
	[HF_SITE_PART_WORKERS] = PART(workers, HF_PAGE),
	[HF_SITE_PART_MEMOS] = PART(memos, HF_PAGE),
	[HF_SITE_PART_AREA] = {sizeof(struct hf_site_store), HF_SITE_AREA, 16 * HF_PAGE},
};
static const uint64_t STORE_SIZE = sizeof(struct hf_site_store) + HF_SITE_AREA;

void hf_store_part(enum hf_site_part part, uint64_t *ret_offset, uint64_t *ret_size)
{
	*ret_offset = parts[part].offset;
	*ret_size = parts[part].size;
}

static uint64_t page_align(uint64_t size)
{
	return (size + HF_PAGE - 1) & ~(uint64_t)(HF_PAGE - 1);
}

/* Map `size` bytes at an address of a span, where nothing is: the file's from `offset` on, or
 * zeroes. */
static bool map_at(uint64_t at, uint64_t size, int fd, uint64_t offset)
{
	int flags = FIXED_NOREPLACE |
		    (fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
	long got = hf_syscall6(
		SYS_mmap, (long)at, (long)size, PROT_READ | PROT_WRITE, flags, fd, (long)offset);
	if (got < 0 && got > -4096)
		return false;
	if (got != (long)at) { /* Linux before 4.17 takes the address for a hint */
		hf_syscall2(SYS_munmap, got, size);
		return false;
	}
	return true;
}

/* The beginnings of all parts at base: those of the file, or empty. */
static bool map_span(uint64_t base, int fd)
{
	int part = 0;
	while (part < HF_SITE_PARTS && map_at(base + parts[part].offset, parts[part].first, fd,
					       fd >= 0 ? parts[part].offset : 0))
		part++;
	if (part == HF_SITE_PARTS)
		return true;
	while (part-- > 0)
		hf_syscall2(SYS_munmap, base + parts[part].offset, parts[part].first);
	return false;
}

static uint64_t random_span(void)
{
	uint64_t random = hf_sys_monotonic_ns() ^ (uint64_t)&random << 16;
	hf_syscall3(SYS_getrandom, &random, sizeof(random), 1 /* GRND_NONBLOCK */);
	return SPANS_START + random % ((SPANS_END - SPANS_START) / SPAN) * SPAN;
}

/* A span with the beginnings of the parts, known as ours to scanners. */
static struct hf_site_store *reserve(int fd)
{
	_Static_assert(sizeof(struct hf_site_store) % HF_PAGE == 0, "parts are pages");
	for (int i = 0; i < TRIES; i++) {
		uint64_t base = random_span();
		if (!map_span(base, fd))
			continue;
		if (hf_page_own(base, base + STORE_SIZE)) {
			struct hf_site_store *s = (struct hf_site_store *)base;
			for (int part = 0; part < HF_SITE_PARTS; part++)
				s->mapped[part] = parts[part].first;
			s->size = STORE_SIZE;
			return s;
		}
		hf_syscall2(SYS_munmap, base, STORE_SIZE);
		break;
	}
	return NULL;
}

/* A file is not at hand any more: its mapping is made longer. So is memory, where that may be done:
 * a sandbox, or valgrind, may know mmap alone. */
static bool expand(struct hf_site_store *s, enum hf_site_part part, uint64_t have, uint64_t want)
{
	uint64_t at = (uint64_t)s + parts[part].offset;
	return hf_syscall4(SYS_mremap, at, have, want, 0) == (long)at ||
	       (!s->in_file && map_at(at + have, want - have, -1, 0));
}

static bool grow_locked(struct hf_site_store *s, enum hf_site_part part, uint64_t size)
{
	uint64_t have = __atomic_load_n(&s->mapped[part], __ATOMIC_RELAXED);
	if (size <= have)
		return true;
	uint64_t least = page_align(size), step = page_align(have / 4);
	step = step > STEP ? step : STEP;
	uint64_t want = have + step > least ? have + step : least;
	want = want < parts[part].size ? want : page_align(parts[part].size);
	if (!expand(s, part, have, want) && (want == least || !expand(s, part, have, want = least)))
		return false;
	/* large enough for large pages, where they are always made */
	hf_syscall3(SYS_madvise, (uint64_t)s + parts[part].offset, want, NO_HUGEPAGE);
	__atomic_store_n(&s->mapped[part], want, __ATOMIC_RELEASE);
	return true;
}

bool hf_store_grow(struct hf_site_store *s, enum hf_site_part part, uint64_t size)
{
	if (size > parts[part].size)
		return false;
	uint32_t n_refused = __atomic_load_n(&s->n_refused, __ATOMIC_RELAXED);
	if (n_refused && __atomic_add_fetch(&s->n_refused, 1, __ATOMIC_RELAXED) % ASK_AGAIN)
		return false;
	for (unsigned spins = 0; __atomic_exchange_n(&s->growing, 1, __ATOMIC_ACQUIRE);) {
		if (++spins % SPINS)
			__builtin_ia32_pause();
		else
			hf_syscall0(SYS_sched_yield);
	}
	bool ok = grow_locked(s, part, size);
	__atomic_store_n(&s->n_refused, !ok, __ATOMIC_RELAXED);
	__atomic_store_n(&s->growing, 0, __ATOMIC_RELEASE);
	return ok;
}

static void start(struct hf_site_store *s, uint64_t period_bytes)
{
	struct timespec now = {0};
	hf_syscall2(SYS_clock_gettime, CLOCK_MONOTONIC_COARSE, &now);
	memcpy(s->magic, HF_SITE_MAGIC, sizeof(s->magic));
	s->version = HF_SITE_VERSION;
	s->store_size = sizeof(*s);
	s->period_bytes = period_bytes;
	s->start_realtime_ns = hf_sys_realtime_ns();
	s->start_seconds = (uint32_t)now.tv_sec;
	s->start_nsec = (uint32_t)now.tv_nsec;
	s->pid = (int)hf_syscall0(SYS_getpid);
	s->used = sizeof(*s);
	s->workers[0].owner = s->pid;
	s->n_workers = 1;
	__atomic_store_n(&s->ready, 1, __ATOMIC_RELEASE);
}

/* The limit is asked first: who goes past it gets a signal. */
static long set_size(int fd)
{
	struct rlimit limit;
	if (hf_syscall2(SYS_getrlimit, RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < STORE_SIZE)
		return -EFBIG;
	return hf_syscall2(SYS_ftruncate, fd, STORE_SIZE);
}

enum hf_status hf_store_create(
	const char *path, uint64_t period_bytes, struct hf_site_store **ret, struct hf_err *err)
{
	int fd = -1;
	if (path) {
		fd = (int)hf_syscall4(SYS_openat, AT_FDCWD, path,
			O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd < 0)
			return hf_err_sys(err, fd == -EEXIST ? HF_E_EXISTS : HF_E_IO, -fd,
				"cannot create %s", path);
	}
	long rc = fd < 0 ? 0 : set_size(fd);
	struct hf_site_store *s = rc < 0 ? NULL : reserve(fd);
	if (fd >= 0) {
		hf_sys_close(fd);
		if (!s)
			hf_syscall3(SYS_unlinkat, AT_FDCWD, path, 0);
	}
	if (rc < 0)
		return hf_err_sys(err, HF_E_IO, (int)-rc,
			"%s: cannot make it %lu MiB long (sparse)", path, STORE_SIZE >> 20);
	if (!s)
		return hf_err_set(err, HF_E_NOMEM, "no address space for the allocation sites");
	start(s, period_bytes);
	s->in_file = path != NULL;
	*ret = s;
	return HF_OK;
}

/* The readers of a store trust its counts: hold them to what they can be. */
bool hf_store_is_sound(const struct hf_site_store *s, uint64_t file_size)
{
	for (int i = 0; i < HF_SITE_PARTS; i++) {
		if (s->mapped[i] > page_align(parts[i].size))
			return false;
	}
	return memcmp(s->magic, HF_SITE_MAGIC, sizeof(s->magic)) == 0 &&
	       s->version == HF_SITE_VERSION && s->ready && s->store_size == sizeof(*s) &&
	       s->size == file_size && s->size == STORE_SIZE && s->used <= s->size;
}

struct hf_site_store *hf_store_blank(uint64_t size)
{
	long at = hf_syscall6(SYS_mmap, 0, (long)size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return at < 0 && at > -4096 ? NULL : (struct hf_site_store *)at;
}

enum hf_status hf_store_open(const char *path, struct hf_site_store **ret, struct hf_err *err)
{
	struct stat st;
	int fd = hf_sys_open_read(path);
	if (fd < 0)
		return hf_err_sys(
			err, fd == -ENOENT ? HF_E_NOTFOUND : HF_E_IO, -fd, "cannot open %s", path);
	long rc = hf_syscall2(SYS_fstat, fd, &st);
	if (rc < 0 || (uint64_t)st.st_size != STORE_SIZE) {
		hf_sys_close(fd);
		return hf_err_set(err, HF_E_CORRUPT,
			"%s: no record of allocation sites, or one of another version", path);
	}
	/* private and writable: what readers set right stays in memory */
	long at = hf_syscall6(SYS_mmap, 0, (long)st.st_size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_NORESERVE, fd, 0);
	hf_sys_close(fd);
	if (at < 0 && at > -4096)
		return hf_err_sys(err, HF_E_NOMEM, (int)-at, "cannot map %s", path);
	struct hf_site_store *s = (struct hf_site_store *)at;
	if (!hf_store_is_sound(s, (uint64_t)st.st_size)) {
		hf_syscall2(SYS_munmap, s, st.st_size);
		return hf_err_set(err, HF_E_CORRUPT,
			"%s: no record of allocation sites, or one of another version", path);
	}
	*ret = s;
	return HF_OK;
}

void hf_store_destroy(struct hf_site_store *store)
{
	if (!store)
		return;
	hf_syscall2(SYS_munmap, store, STORE_SIZE);
	hf_page_disown((uint64_t)store);
}

void hf_store_close(struct hf_site_store *store)
{
	if (store)
		hf_syscall2(SYS_munmap, store, store->size);
}

static uint32_t at_most(uint32_t n, uint32_t limit)
{
	return n < limit ? n : limit;
}

/* What is used of a part is there already, and was so before it was told as used. */
static bool copy_part(const struct hf_site_store *s, struct hf_site_store *copy,
	enum hf_site_part part, uint64_t size)
{
	if (!hf_store_room(copy, part, size))
		return false;
	memcpy((char *)copy + parts[part].offset, (const char *)s + parts[part].offset, size);
	return true;
}

/* A site's frames were told as used before the site was. Sites that came later are left out. */
static bool copy_stacks(const struct hf_site_store *s, struct hf_site_store *copy)
{
	uint32_t n_sites =
		at_most(__atomic_load_n(&s->n_sites, __ATOMIC_ACQUIRE), HF_SITE_MAX_SITES - 2);
	uint32_t n_pcs = at_most(__atomic_load_n(&s->n_pcs, __ATOMIC_ACQUIRE), HF_SITE_MAX_PCS);
	uint64_t index_size = __atomic_load_n(&s->mapped[HF_SITE_PART_INDEX], __ATOMIC_ACQUIRE);
	copy->n_sites = n_sites;
	copy->n_pcs = n_pcs;
	copy->n_modules =
		at_most(__atomic_load_n(&s->n_modules, __ATOMIC_ACQUIRE), HF_SITE_MAX_MODULES);
	if (!copy_part(s, copy, HF_SITE_PART_MODULES, copy->n_modules * sizeof(s->modules[0])) ||
		!copy_part(s, copy, HF_SITE_PART_SITES,
			((uint64_t)n_sites + 1) * sizeof(s->sites[0])) ||
		!copy_part(s, copy, HF_SITE_PART_PCS, n_pcs * sizeof(s->pcs[0])) ||
		!hf_store_room(copy, HF_SITE_PART_INDEX, index_size))
		return false;
	for (uint64_t i = 0; i < index_size / sizeof(s->index[0]) && i < HF_SITE_INDEX; i++) {
		if (s->index[i] && s->index[i] <= n_sites)
			copy->index[i] = s->index[i];
	}
	return true;
}

static bool copy_workers(const struct hf_site_store *s, struct hf_site_store *copy)
{
	uint32_t n = at_most(__atomic_load_n(&s->n_workers, __ATOMIC_ACQUIRE), HF_SITE_WORKERS);
	uint64_t memos_size = __atomic_load_n(&s->mapped[HF_SITE_PART_MEMOS], __ATOMIC_ACQUIRE);
	copy->n_workers = n;
	if (!hf_store_room(copy, HF_SITE_PART_WORKERS, n * sizeof(s->workers[0])) ||
		!hf_store_room(copy, HF_SITE_PART_MEMOS, memos_size))
		return false;
	for (uint32_t i = 0; i < n; i++) {
		copy->workers[i].owner = s->workers[i].owner;
		copy->workers[i].n_samples = s->workers[i].n_samples;
		if ((i + 1) * sizeof(s->memos[i]) <= memos_size && s->workers[i].owner)
			memcpy(&copy->memos[i], &s->memos[i], sizeof(s->memos[i]));
	}
	return true;
}

struct hf_site_store *hf_store_copy(const struct hf_site_store *s)
{
	struct hf_site_store *copy = reserve(-1);
	if (!copy)
		return NULL;
	memcpy(copy, s, offsetof(struct hf_site_store, mapped));
	copy->in_file = false;
	memset(copy->free_blocks, 0, sizeof(copy->free_blocks));
	/* the objects first: their sites are there */
	if (hf_live_copy(s, copy) && copy_stacks(s, copy) && copy_workers(s, copy))
		return copy;
	hf_store_destroy(copy);
	return NULL;
}

bool hf_store_replace(struct hf_site_store *store, struct hf_site_store *copy)
{
	bool ok = hf_syscall2(SYS_munmap, store, STORE_SIZE) == 0;
	uint64_t sizes[HF_SITE_PARTS];
	memcpy(sizes, copy->mapped, sizeof(sizes)); /* they go with the header */
	for (int i = 0; ok && i < HF_SITE_PARTS; i++) {
		uint64_t from = (uint64_t)copy + parts[i].offset;
		uint64_t to = (uint64_t)store + parts[i].offset;
		ok = hf_syscall5(SYS_mremap, from, sizes[i], sizes[i],
			     MREMAP_MAYMOVE | MREMAP_FIXED, to) == (long)to;
	}
	hf_store_destroy(copy);
	return ok;
}
