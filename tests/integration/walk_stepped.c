/*
 * A process is stopped after each instruction inside malloc and free, and its heap is walked from
 * outside every time: what it holds must be there, whatever moment it is.
 *
 *     walk_stepped [EVERY [OPERATIONS [FIRST]]]   walk after each EVERYth instruction of the calls
 *                                                 FIRST to OPERATIONS; with a third argument, tell
 *                                                 what is missing
 *
 * The child keeps a ledger in shared memory: of each slot its object, or that a call about it is
 * under way. The parent traces it. Never sanitized: its malloc is glibc's.
 */
#include <malloc.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "image/image.h"
#include "memory/mem_remote.h"
#include "walk/walk.h"

enum { N_SLOTS = 400, EXTRA_ALLOWED = 8, MISSING_ALLOWED = 3 };

enum state { FREE, LIVE, IN_FLIGHT };

struct ledger {
	volatile int stepping; /* the child is in a call that is looked at */
	struct slot {
		volatile uint64_t object, usable;
		volatile int state;
	} slots[N_SLOTS];
};

static struct ledger *ledger;

/* In the child. */

static uint64_t rng(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void *allocate(uint64_t *state)
{
	static const size_t sizes[] = {24, 100, 500, 1032, 1500, 5000, 40000, 150000};
	size_t size = sizes[rng(state) % 8] + rng(state) % 64;
	switch (rng(state) % 6) {
	case 0:
		return memalign(64ull << rng(state) % 6, size);
	case 1:
		return calloc(1, size);
	default:
		return malloc(size);
	}
}

static void operate(uint64_t *state, int step)
{
	struct slot *slot = &ledger->slots[rng(state) % N_SLOTS];
	int was = slot->state;
	void *object = (void *)slot->object;
	slot->state = IN_FLIGHT;
	ledger->stepping = step;
	if (was == FREE)
		object = allocate(state);
	else if (rng(state) % 4 == 0)
		object = realloc(object, rng(state) % 6000 + 1);
	else {
		free(object);
		object = NULL;
	}
	if (step && rng(state) % 32 == 0)
		malloc_trim(0);
	ledger->stepping = 0;
	slot->object = (uint64_t)object;
	slot->usable = object ? malloc_usable_size(object) : 0;
	slot->state = object ? LIVE : FREE;
}

static void be_stepped(unsigned n_operations, unsigned first)
{
	uint64_t state = 4711;
	mallopt(M_MMAP_THRESHOLD, 100000);
	for (int i = 0; i < 5000; i++)
		operate(&state, 0);
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
	for (unsigned i = 0; i < n_operations; i++) {
		for (int k = 0; k < 10; k++)
			operate(&state, 0);
		if (i >= first)
			raise(SIGUSR1); /* from here on, step by step */
		operate(&state, 1);
	}
	_exit(0);
}

/* In the parent. */

static bool verbose;

struct totals {
	unsigned n_steps, n_walks, n_missing_walks, most_missing, most_extra, n_bad_sizes;
};

/* How many are missing. */
static unsigned compare(
	struct hf_index *index, struct totals *t, unsigned n_before, unsigned *ret_extra)
{
	unsigned missing = 0, found = 0;
	for (int i = 0; i < N_SLOTS; i++) {
		const struct slot *slot = &ledger->slots[i];
		uint64_t start = 0;
		if (slot->state != LIVE)
			continue;
		int64_t id = hf_index_find(index, slot->object, &start);
		if (id < 0 || start != slot->object) {
			missing++;
			continue;
		}
		found++;
		if (hf_index_find(index, slot->object + slot->usable - 1, &start) != id)
			t->n_bad_sizes++;
	}
	*ret_extra = index->n_objects > found + n_before
			     ? (unsigned)index->n_objects - found - n_before
			     : 0;
	t->n_missing_walks += missing != 0;
	t->most_missing = missing > t->most_missing ? missing : t->most_missing;
	return missing;
}

static int walk_once(pid_t pid, struct totals *t, unsigned n_before, unsigned *ret_extra)
{
	static struct hf_walk walk;
	struct hf_index index;
	struct hf_pool pool;
	struct hf_maps maps;
	struct hf_images images;
	struct hf_mem *mem = NULL;
	struct hf_err err = {0};
	struct user_regs_struct regs;
	char proc_dir[32];
	hf_pool_init(&pool, NULL, 0);
	hf_index_init(&index);
	hf_walk_init(&walk);
	snprintf(proc_dir, sizeof(proc_dir), "/proc/%d", (int)pid);
	ptrace(PTRACE_GETREGS, pid, NULL, &regs);
	enum hf_status status = hf_maps_read(&maps, proc_dir, &pool, &err);
	if (!status)
		status = hf_mem_remote(&maps, pid, pid, &pool, &mem, &err);
	if (!status)
		status = hf_images_read(&images, mem, &pool, NULL, &err);
	struct hf_walk_thread thread = {.tp = regs.fs_base, .sp = regs.rsp, .pc = regs.rip};
	walk.mem = mem;
	walk.maps = &maps;
	walk.images = &images;
	walk.pool = &pool;
	walk.index = &index;
	walk.threads = &thread;
	walk.n_threads = 1;
	if (!status)
		status = hf_walk_all(&walk, &err);
	if (!status)
		status = hf_index_seal(&index, &err);
	unsigned missing = 0;
	if (status)
		printf("FAILED: %s\n", err.msg);
	else
		missing = compare(&index, t, n_before, ret_extra);
	if (missing && verbose) {
		printf("step %u, at 0x%llx: %u missing\n", t->n_steps, regs.rip, missing);
		for (size_t i = 0; i < walk.findings.n; i++) {
			const struct hf_walk_finding *f = hf_vec_at(&walk.findings, i);
			printf("  finding %d: %s\n", f->severity, f->text);
		}
		fflush(stdout);
	}
	for (size_t i = 0; !status && i < walk.counters.n; i++) {
		const struct hf_walk_counter *c = hf_vec_at(&walk.counters, i);
		if (c->must_match && c->allocator != c->walked) {
			printf("FAILED: counter %s: allocator %lu walked %lu, but must match\n",
				c->name, c->allocator, c->walked);
			status = HF_E_FAILED;
		}
	}
	t->n_walks++;
	hf_walk_deinit(&walk);
	hf_index_deinit(&index);
	hf_images_deinit(&images);
	hf_mem_destroy(mem);
	hf_maps_deinit(&maps);
	hf_pool_deinit(&pool);
	return status != HF_OK;
}

/* One call of the child, instruction by instruction. */
static int step_through(pid_t pid, unsigned every, struct totals *t, unsigned n_before)
{
	int status, begun = 0;
	for (;;) {
		if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) || waitpid(pid, &status, 0) != pid ||
			!WIFSTOPPED(status))
			return 1;
		if (!ledger->stepping && begun)
			return 0;
		begun |= ledger->stepping;
		if (!ledger->stepping || ++t->n_steps % every)
			continue;
		unsigned extra = 0;
		if (walk_once(pid, t, n_before, &extra))
			return 1;
		t->most_extra = extra > t->most_extra ? extra : t->most_extra;
	}
}

int main(int argc, char **argv)
{
	unsigned every = argc > 1 ? (unsigned)atoi(argv[1]) : 29,
		 n = argc > 2 ? (unsigned)atoi(argv[2]) : 60,
		 first = argc > 3 ? (unsigned)atoi(argv[3]) : 0;
	struct totals t = {0};
	int status, failed = 0;
	verbose = argc > 3;
	ledger = mmap(
		NULL, sizeof(*ledger), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid = fork();
	if (pid == 0)
		be_stepped(n, first);
	waitpid(pid, &status, 0); /* SIGSTOP */
	unsigned n_before = 0;
	if (walk_once(pid, &t, 0, &n_before)) /* objects that are not in the ledger: libc's */
		failed = 1;
	printf("%u objects of libc's\n", n_before);
	t = (struct totals){0};
	for (;;) {
		ptrace(PTRACE_CONT, pid, NULL, NULL);
		if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
			break;
		if (WSTOPSIG(status) == SIGUSR1 &&
			(failed = step_through(pid, every, &t, n_before)))
			break;
	}
	if (failed)
		kill(pid, SIGKILL);
	else if (!WIFEXITED(status) || WEXITSTATUS(status))
		printf("FAILED: the child ended with 0x%x\n", status), failed = 1;
	printf("%u instructions, %u walks: %u with a missing object, %u at most; %u wrong "
	       "sizes; %u extra at most\n",
		t.n_steps, t.n_walks, t.n_missing_walks, t.most_missing, t.n_bad_sizes,
		t.most_extra);
	if (t.n_bad_sizes * 200 > t.n_walks || t.n_walks < n - first ||
		t.most_missing > MISSING_ALLOWED || t.most_extra > EXTRA_ALLOWED ||
		t.n_missing_walks * 200 > t.n_walks)
		failed = 1;
	puts(failed ? "FAILED" : "ok");
	return failed;
}
