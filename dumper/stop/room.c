#include "stop/room.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/checked.h"
#include "base/fmt.h"
#include "base/sys.h"
#include "memory/maps.h"

enum {
	KEPT_AROUND = 64 << 10, /* bytes to both sides: frames of callers, a thread's TLS */
	LEAST_GIVEN_UP = 1 << 20,
	WORK_BYTES = 64 << 20, /* what a dump takes at least, generously; and 1/WORK_SHARE of rss */
	WORK_SHARE = 4,
	MAX_KEPT = 64,
};

static uint64_t limit_of(int resource)
{
	struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
	hf_syscall4(SYS_prlimit64, 0, resource, 0, &limit);
	return limit.rlim_cur;
}

bool hf_room_is_scarce(uint64_t vm_bytes, uint64_t rss_bytes)
{
	uint64_t needed = vm_bytes + WORK_BYTES + rss_bytes / WORK_SHARE;
	return limit_of(RLIMIT_AS) < needed || limit_of(RLIMIT_DATA) < needed;
}

static void raise_limit(int pid, int resource)
{
	struct rlimit limit;
	if (hf_syscall4(SYS_prlimit64, pid, resource, 0, &limit) == 0) {
		struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
		limit.rlim_cur = limit.rlim_max;
		if (hf_syscall4(SYS_prlimit64, pid, resource, &none, 0) < 0)
			hf_syscall4(SYS_prlimit64, pid, resource, &limit, 0);
	}
}

void hf_room_raise_limits(int pid)
{
	raise_limit(pid, RLIMIT_AS);
	raise_limit(pid, RLIMIT_DATA);
}

static void stand_still(void)
{
	/* all signals are blocked: only SIGKILL ends it */
	for (;;)
		hf_syscall0(SYS_pause);
}

static bool may_read(int pid)
{
	char path[32];
	hf_fmt(path, sizeof(path), "/proc/%d/mem", pid);
	int fd = hf_sys_open_read(path);
	if (fd >= 0)
		hf_sys_close(fd);
	return fd >= 0;
}

int hf_room_freeze(void)
{
	int parent = (int)hf_syscall0(SYS_getpid);
	long pid = hf_syscall5(SYS_clone, 0, 0, 0, 0, 0);
	if (pid == 0) {
		hf_syscall2(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
		hf_syscall2(SYS_prctl, PR_SET_DUMPABLE, 1);
		if (hf_syscall0(SYS_getppid) != parent)
			hf_syscall1(SYS_exit_group, 0);
		stand_still();
	}
	if (pid > 0 && !may_read((int)pid)) {
		hf_room_thaw((int)pid);
		return 0;
	}
	return (int)pid;
}

void hf_room_thaw(int pid)
{
	hf_syscall2(SYS_kill, pid, SIGKILL);
	while (hf_syscall4(SYS_wait4, pid, 0, 0x40000000 /* __WALL */, 0) == -EINTR)
		;
}

/* What stays. */
struct kept {
	struct {
		uint64_t start, end;
	} ranges[HF_PAGE_RANGES + MAX_KEPT];
	size_t n;
};

static void keep(void *ctx, uint64_t start, uint64_t end)
{
	struct kept *kept = ctx;
	if (kept->n < sizeof(kept->ranges) / sizeof(kept->ranges[0])) {
		kept->ranges[kept->n].start = start;
		kept->ranges[kept->n].end = end;
		kept->n++;
	}
}

static void give_up_range(const struct kept *kept, uint64_t start, uint64_t end)
{
	while (start < end) {
		uint64_t stop = end, next = end;
		for (size_t i = 0; i < kept->n; i++) {
			uint64_t from = kept->ranges[i].start, to = kept->ranges[i].end;
			if (to <= start || from >= stop)
				continue;
			stop = from > start ? from : start;
			next = to;
		}
		if (stop > start)
			hf_syscall2(SYS_munmap, start, stop - start);
		start = next;
	}
}

static bool is_of_module(const struct hf_maps *maps, const struct hf_map *map)
{
	for (size_t i = 0; i < hf_maps_count(maps); i++) {
		const struct hf_map *other = hf_maps_at(maps, i);
		if (other->inode == map->inode && other->dev == map->dev &&
			(other->perms & HF_PERM_X))
			return true;
	}
	return false;
}

/* Code and data of modules stay, their .bss with them: what lies directly behind a segment. */
static bool is_given_up(const struct hf_maps *maps, size_t i)
{
	const struct hf_map *map = hf_maps_at(maps, i);
	const struct hf_map *before = i ? hf_maps_at(maps, i - 1) : NULL;
	if (map->end - map->start < LEAST_GIVEN_UP || (map->perms & HF_PERM_X))
		return false;
	if (map->inode)
		return !is_of_module(maps, map);
	if (!hf_map_is_anonymous(map) || strncmp(map->path, "[stack", 6) == 0)
		return false;
	if (strcmp(map->path, "[heap]") == 0)
		return true;
	return !(
		before && before->end == map->start && before->inode && is_of_module(maps, before));
}

void hf_room_give_up(const uint64_t *addresses, size_t n, struct hf_pool *pool)
{
	struct hf_maps maps;
	struct kept *kept = hf_pool_alloc(pool, sizeof(*kept));
	if (!kept || n > MAX_KEPT || hf_maps_read(&maps, "/proc/self", pool, NULL))
		return;
	hf_page_each(keep, kept);
	for (size_t i = 0; i < n; i++) {
		uint64_t page = hf_align_down(addresses[i], HF_PAGE);
		keep(kept, page > KEPT_AROUND ? page - KEPT_AROUND : 0,
			page + HF_PAGE + KEPT_AROUND);
	}
	for (size_t i = 0; i < hf_maps_count(&maps); i++) {
		const struct hf_map *map = hf_maps_at(&maps, i);
		if (is_given_up(&maps, i))
			give_up_range(kept, map->start, map->end);
	}
	hf_maps_deinit(&maps);
}
