#include "stop/unforked.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "base/fmt.h"
#include "base/sys.h"

enum {
	UNFORKED_LEAST = 1 << 20, /* the kernel's counts are not exact */
	MAX_COPIED = 512 << 20,
	WINDOW_PAGES = 512,
	TEXT_SIZE = 64 << 10,
};

/* Documentation/admin-guide/mm/pagemap.rst of Linux */
static const uint64_t PRESENT = 1ull << 63, SWAPPED = 1ull << 62;

void hf_unforked_sizes(int pid, struct hf_unforked_sizes *ret)
{
	char path[64], text[128];
	const char *at = text;
	uint64_t vm, resident, shared;
	*ret = (struct hf_unforked_sizes){0};
	hf_fmt(path, sizeof(path), "/proc/%d/statm", pid);
	if (hf_sys_read_file(path, text, sizeof(text)) > 0 && hf_parse_u64(&at, &vm) &&
		*at++ == ' ' && hf_parse_u64(&at, &resident) && *at++ == ' ' &&
		hf_parse_u64(&at, &shared) && resident >= shared)
		*ret = (struct hf_unforked_sizes){vm * HF_PAGE, (resident - shared) * HF_PAGE};
}

bool hf_unforked_differ(const struct hf_unforked_sizes *process, int copy_pid)
{
	struct hf_unforked_sizes copy;
	hf_unforked_sizes(copy_pid, &copy);
	return copy.vm_bytes && (copy.vm_bytes < process->vm_bytes ||
					copy.anon_bytes + UNFORKED_LEAST < process->anon_bytes);
}

struct copying {
	const struct hf_unforked_copy *copy;
	int pagemap; /* of the target */
	struct hf_unforked *result;
	struct mapping {
		uint64_t start, end;
		bool readable, writable;
	} map; /* whose lines are being read */
	uint64_t entries[WINDOW_PAGES];
	char text[TEXT_SIZE + 1];
};

static void copy_run(struct copying *c, uint64_t start, uint64_t end, bool possible)
{
	uint64_t size = end - start, n = 0;
	if (possible && c->result->copied_bytes + size <= MAX_COPIED)
		n = c->copy->fill(c->copy->ctx, start, size);
	c->result->copied_bytes += n;
	c->result->missing_bytes += size - n;
}

/* The resident pages of [start, end), which is writable in the copy; not possible: they are only
 * counted. */
static void copy_pages(struct copying *c, uint64_t start, uint64_t end, bool possible)
{
	for (uint64_t at = start; at < end;) {
		uint64_t n = (end - at) / HF_PAGE;
		n = n < WINDOW_PAGES ? n : WINDOW_PAGES;
		if (hf_sys_pread_full(c->pagemap, c->entries, n * 8, at / HF_PAGE * 8) !=
			(int64_t)(n * 8)) {
			c->result->missing_bytes += end - at;
			return;
		}
		for (uint64_t i = 0; i < n;) {
			uint64_t run = i;
			while (run < n && (c->entries[run] & (PRESENT | SWAPPED)))
				run++;
			if (run > i)
				copy_run(c, at + i * HF_PAGE, at + run * HF_PAGE, possible);
			i = run + 1;
		}
		at += n * HF_PAGE;
	}
}

/* The lists of mappings are read line by line: a list of ours might be put where the target has the
 * memory that is missing here. */

static void each_line(
	struct copying *c, const char *path, void (*fn)(struct copying *c, const char *line))
{
	int fd = hf_sys_open_read(path);
	size_t have = 0;
	int64_t n = 1;
	while (fd >= 0 && n > 0 && have < TEXT_SIZE) {
		n = hf_sys_read_full(fd, c->text + have, TEXT_SIZE - have);
		have += n > 0 ? (size_t)n : 0;
		char *line = c->text, *end;
		while ((end = memchr(line, '\n', have - (size_t)(line - c->text)))) {
			*end = 0;
			fn(c, line);
			line = end + 1;
		}
		have -= (size_t)(line - c->text);
		memmove(c->text, line, have);
	}
	if (fd >= 0)
		hf_sys_close(fd);
}

static bool parse_hex(const char **at, uint64_t *ret)
{
	const char *s = *at;
	for (*ret = 0; (*s >= '0' && *s <= '9') || (*s >= 'a' && *s <= 'f'); s++)
		*ret = *ret << 4 | (uint64_t)(*s <= '9' ? *s - '0' : *s - 'a' + 10);
	bool found = s != *at;
	*at = s;
	return found;
}

/* "start-end rwxp …" */
static bool parse_mapping(const char *line, struct mapping *ret)
{
	const char *at = line;
	if (!parse_hex(&at, &ret->start) || *at++ != '-' || !parse_hex(&at, &ret->end) ||
		*at++ != ' ' || !at[0])
		return false;
	ret->readable = at[0] == 'r';
	ret->writable = at[1] == 'w';
	return true;
}

/* Mappings of devices and of the kernel are no memory of the program's. */
static bool is_memory(const char *line)
{
	const char *path = strchr(line, '/');
	if (strstr(line, "[v")) /* [vdso], [vvar], [vvar_vclock], [vsyscall] */
		return false;
	return !path || strncmp(path, "/dev/", 5) != 0 || strncmp(path, "/dev/shm/", 9) == 0 ||
	       strncmp(path, "/dev/zero", 9) == 0;
}

/* MADV_DONTFORK: what the target has mapped and the copy has not. */
static void copy_absent(struct copying *c, const char *line)
{
	const struct hf_unforked_copy *to = c->copy;
	struct mapping map;
	if (!parse_mapping(line, &map) || !map.readable || !is_memory(line) ||
		to->is_mapped(to->ctx, map.start))
		return;
	bool mapped = to->map(to->ctx, map.start, map.end - map.start);
	copy_pages(c, map.start, map.end, mapped);
	if (mapped && !map.writable)
		to->protect(to->ctx, map.start, map.end - map.start, PROT_READ);
}

/* MADV_WIPEONFORK: "wf" among the flags of a mapping in /proc/self/smaps (proc_pid_smaps(5)); not
 * "dp", which the kernel may drop at any time. */

static bool has_flag(const char *line, const char *flag)
{
	for (const char *at = strchr(line, ':'); at && *at; at = strchr(at, ' ')) {
		at++;
		if (strncmp(at, flag, 2) == 0 && (at[2] == ' ' || !at[2]))
			return true;
	}
	return false;
}

static void copy_wiped(struct copying *c, const char *line)
{
	struct mapping found;
	if (parse_mapping(line, &found))
		c->map = found;
	if (strncmp(line, "VmFlags:", 8) != 0 || !c->map.readable || !has_flag(line, "wf") ||
		has_flag(line, "dp"))
		return;
	const struct hf_unforked_copy *to = c->copy;
	uint64_t size = c->map.end - c->map.start;
	if (!c->map.writable)
		to->protect(to->ctx, c->map.start, size, PROT_READ | PROT_WRITE);
	copy_pages(c, c->map.start, c->map.end, true);
	if (!c->map.writable)
		to->protect(to->ctx, c->map.start, size, PROT_READ);
}

void hf_unforked_fill(int target_pid, const struct hf_unforked_copy *copy, struct hf_pool *pool,
	struct hf_unforked *ret)
{
	char path[48];
	struct copying *c = hf_pool_alloc(pool, sizeof(*c));
	*ret = (struct hf_unforked){0};
	if (!c)
		return;
	c->copy = copy;
	c->result = ret;
	hf_fmt(path, sizeof(path), "/proc/%d/pagemap", target_pid);
	c->pagemap = hf_sys_open_read(path);
	hf_fmt(path, sizeof(path), "/proc/%d/smaps", copy->pid);
	each_line(c, copy->pid ? path : "/proc/self/smaps", copy_wiped);
	hf_fmt(path, sizeof(path), "/proc/%d/maps", target_pid);
	each_line(c, path, copy_absent);
	hf_sys_close(c->pagemap);
}

/* In the copy itself. */

static bool self_is_mapped(void *ctx, uint64_t page)
{
	(void)ctx;
	unsigned char resident;
	return hf_syscall3(SYS_mincore, page, HF_PAGE, &resident) == 0;
}

static bool self_map(void *ctx, uint64_t start, uint64_t size)
{
	(void)ctx;
	long at = hf_syscall6(SYS_mmap, start, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	if (at > 0 && at != (long)start) /* a kernel that does not know the flag */
		hf_syscall2(SYS_munmap, at, size);
	return at == (long)start;
}

static void self_protect(void *ctx, uint64_t start, uint64_t size, int prot)
{
	(void)ctx;
	hf_syscall3(SYS_mprotect, start, size, prot);
}

static uint64_t self_fill(void *ctx, uint64_t start, uint64_t size)
{
	struct iovec at = {(void *)start, size};
	long n =
		hf_syscall6(SYS_process_vm_readv, *(const int *)ctx, (long)&at, 1, (long)&at, 1, 0);
	return n < 0 ? 0 : (uint64_t)n;
}

void hf_unforked_fill_self(int target_pid, struct hf_pool *pool, struct hf_unforked *ret)
{
	const struct hf_unforked_copy self = {
		0, self_is_mapped, self_map, self_protect, self_fill, &target_pid};
	hf_unforked_fill(target_pid, &self, pool, ret);
}
