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
	AREA_LEAST = 8 << 20, /* under a limit of the address space */
	LIMIT_SHARE = 8,      /* no more than this part of such a limit */
	NO_HUGEPAGE = 15,     /* MADV_NOHUGEPAGE: the tables are sparse */
};
static const uint64_t AREA_SIZE = 3ull << 30; /* for 200 million objects */

static uint64_t size_with(uint64_t area)
{
	return (sizeof(struct hf_site_store) + area + HF_PAGE - 1) & ~(uint64_t)(HF_PAGE - 1);
}

/* Memory of ours, known as such to scanners, with a file put over it if there is one. */
static void *reserve(uint64_t size, int fd)
{
	char *memory = hf_page_alloc_sparse(size);
	if (!memory)
		return NULL;
	hf_syscall3(SYS_madvise, memory, size, NO_HUGEPAGE); /* where they are always made */
	if (fd >= 0 && hf_syscall6(SYS_mmap, (long)memory, (long)size, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_FIXED, fd, 0) != (long)memory) {
		hf_page_free(memory, size);
		return NULL;
	}
	return memory;
}

static void start(struct hf_site_store *s, uint64_t size, uint64_t period_bytes)
{
	struct timespec now = {0};
	hf_syscall2(SYS_clock_gettime, CLOCK_MONOTONIC_COARSE, &now);
	memcpy(s->magic, HF_SITE_MAGIC, sizeof(s->magic));
	s->version = HF_SITE_VERSION;
	s->store_size = sizeof(*s);
	s->size = size;
	s->period_bytes = period_bytes;
	s->start_realtime_ns = hf_sys_realtime_ns();
	s->start_seconds = (uint64_t)now.tv_sec;
	s->pid = (int)hf_syscall0(SYS_getpid);
	s->used = sizeof(*s);
	s->workers[0].owner = s->pid;
	s->n_workers = 1;
	__atomic_store_n(&s->ready, 1, __ATOMIC_RELEASE);
}

/* The limit of this process, or what there is. */
static uint64_t address_space(void)
{
	struct rlimit limit;
	if (hf_syscall2(SYS_getrlimit, RLIMIT_AS, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
		return UINT64_MAX;
	return limit.rlim_cur;
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
	uint64_t area = AREA_SIZE;
	struct hf_site_store *s = NULL;
	for (; area >= AREA_LEAST; area /= 2) {
		if (size_with(area) > address_space() / LIMIT_SHARE && area / 2 >= AREA_LEAST)
			continue;
		long rc = fd < 0 ? 0 : hf_syscall2(SYS_ftruncate, fd, size_with(area));
		s = rc < 0 ? NULL : reserve(size_with(area), fd);
		if (s)
			break;
	}
	if (fd >= 0) {
		hf_sys_close(fd);
		if (!s)
			hf_syscall3(SYS_unlinkat, AT_FDCWD, path, 0);
	}
	if (!s)
		return hf_err_set(err, HF_E_NOMEM,
			"no address space for the allocation sites (%lu MiB)",
			size_with(AREA_LEAST) >> 20);
	start(s, size_with(area), period_bytes);
	*ret = s;
	return HF_OK;
}

/* The readers of a store trust its counts: hold them to what they can be. */
bool hf_store_is_sound(const struct hf_site_store *s, uint64_t file_size)
{
	return memcmp(s->magic, HF_SITE_MAGIC, sizeof(s->magic)) == 0 &&
	       s->version == HF_SITE_VERSION && s->ready && s->store_size == sizeof(*s) &&
	       s->size == file_size && s->used <= s->size;
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
	if (rc < 0 || (uint64_t)st.st_size < sizeof(struct hf_site_store)) {
		hf_sys_close(fd);
		return hf_err_set(err, HF_E_CORRUPT, "%s: no record of allocation sites", path);
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
	if (store)
		hf_page_free(store, store->size);
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

struct hf_site_store *hf_store_copy(const struct hf_site_store *s)
{
	struct hf_site_store *copy = reserve(s->size, -1);
	if (!copy)
		return NULL;
	uint32_t n_sites = at_most(s->n_sites + 1, HF_SITE_MAX_SITES);
	memcpy(copy, s, offsetof(struct hf_site_store, modules));
	memcpy(copy->modules, s->modules,
		at_most(s->n_modules, HF_SITE_MAX_MODULES) * sizeof(s->modules[0]));
	for (uint32_t i = 0; i < HF_SITE_INDEX; i++) {
		if (s->index[i])
			copy->index[i] = s->index[i];
	}
	memcpy(copy->sites, s->sites, n_sites * sizeof(s->sites[0]));
	memcpy(copy->pcs, s->pcs, at_most(s->n_pcs, HF_SITE_MAX_PCS) * sizeof(s->pcs[0]));
	for (int i = 0; i < HF_SITE_WORKERS; i++)
		copy->workers[i].owner = s->workers[i].owner;
	for (int i = 0; i < HF_SITE_MEMO_THREADS; i++) {
		if (s->workers[i].owner)
			memcpy(&copy->memos[i], &s->memos[i], sizeof(s->memos[i]));
	}
	copy->n_regions = 0;
	memset(copy->free_blocks, 0, sizeof(copy->free_blocks));
	hf_live_copy(s, copy);
	return copy;
}

bool hf_store_replace(struct hf_site_store *store, struct hf_site_store *copy)
{
	uint64_t size = copy->size;
	long at = hf_syscall5(SYS_mremap, copy, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, store);
	if (at != (long)store)
		return false;
	hf_page_free(copy, size); /* the fence that is left, and its place in the list */
	return true;
}
