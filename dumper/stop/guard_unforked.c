#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/sys.h"
#include "memory/maps.h"
#include "stop/guard_state.h"
#include "stop/room.h"
#include "stop/unforked.h"

enum { PIECE = 256 << 10 };

/* The target stands still meanwhile, and memory may have to come from swap. */
static const uint64_t PATIENCE_NS = 1000000000;

struct filling {
	struct guard *guard;
	struct hf_maps maps; /* of the snapshot */
	int memory;          /* of the snapshot */
	uint64_t until_ns;
};

static long call(struct filling *f, long number, const uint64_t args[6])
{
	struct guard *g = f->guard;
	struct hf_inject in = {
		.tracee = &g->child, .insn = g->insn, .options = PTRACE_O_EXITKILL | g->options};
	int rc = hf_inject_run(&in, number, args);
	return rc < 0 ? rc : in.result;
}

static bool is_mapped(void *ctx, uint64_t page)
{
	const struct filling *f = ctx;
	return hf_maps_find(&f->maps, page);
}

static bool map(void *ctx, uint64_t start, uint64_t size)
{
	const uint64_t args[6] = {start, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, ~0ull, 0};
	return call(ctx, SYS_mmap, args) == (long)start;
}

static void protect(void *ctx, uint64_t start, uint64_t size, int prot)
{
	const uint64_t args[6] = {start, size, (uint64_t)prot};
	call(ctx, SYS_mprotect, args);
}

static uint64_t fill(void *ctx, uint64_t start, uint64_t size)
{
	static char piece[PIECE];
	struct filling *f = ctx;
	uint64_t done = 0;
	while (done < size && hf_sys_monotonic_ns() < f->until_ns) {
		uint64_t want = size - done < PIECE ? size - done : PIECE;
		struct iovec here = {piece, want}, there = {(void *)(start + done), want};
		ssize_t n = process_vm_readv(f->guard->request->proc_pid, &here, 1, &there, 1, 0);
		if (n <= 0 || pwrite(f->memory, piece, (size_t)n, (off_t)(start + done)) != n)
			break;
		done += (uint64_t)n;
	}
	return done;
}

void hf_guard_unforked(struct guard *g)
{
	int target = g->request->proc_pid, child = g->child.thread.tid;
	struct hf_unforked_sizes sizes;
	struct hf_unforked result;
	char path[64];
	hf_unforked_sizes(target, &sizes);
	if (!hf_unforked_differ(&sizes, child) || !hf_guard_adopt(g))
		return;
	hf_room_raise_limits(child); /* they are the target's */
	struct filling f = {.guard = g, .until_ns = hf_sys_monotonic_ns() + PATIENCE_NS};
	snprintf(path, sizeof(path), "/proc/%d/mem", child);
	f.memory = open(path, O_RDWR | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%d", child);
	if (f.memory >= 0 && hf_maps_read(&f.maps, path, &g->pool, NULL) == HF_OK) {
		const struct hf_unforked_copy copy = {child, is_mapped, map, protect, fill, &f};
		hf_unforked_fill(target, &copy, &g->pool, &result);
		g->report.unforked_bytes = result.copied_bytes;
		g->report.missing_bytes = result.missing_bytes;
		hf_maps_deinit(&f.maps);
	} else {
		g->report.missing_bytes = sizes.anon_bytes;
	}
	if (f.memory >= 0)
		close(f.memory);
}
