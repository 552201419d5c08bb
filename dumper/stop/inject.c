#include "stop/inject.h"

#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "base/sys.h"
#include "memory/maps.h"

enum {
	SEARCH_BUF = 64 << 10,
	SEARCH_MAX = 8 << 20, /* bytes of one mapping that are searched */
	MAX_STOPS = 64,       /* stop reports during one call */
	SIGSET_SIZE = 8,
};

static const uint8_t SYSCALL[2] = {0x0f, 0x05};

static uint64_t search(int pid, uint64_t start, uint64_t end)
{
	static uint8_t buf[SEARCH_BUF];
	for (uint64_t at = start; at + 2 <= end && at - start < SEARCH_MAX; at += SEARCH_BUF - 1) {
		size_t want = end - at < SEARCH_BUF ? end - at : SEARCH_BUF;
		struct iovec local = {buf, want}, remote = {(void *)at, want};
		long n = hf_syscall6(
			SYS_process_vm_readv, pid, (long)&local, 1, (long)&remote, 1, 0);
		const uint8_t *hit = n > 0 ? memmem(buf, (size_t)n, SYSCALL, 2) : NULL;
		if (hit)
			return at + (uint64_t)(hit - buf);
	}
	return 0;
}

uint64_t hf_inject_find(int pid)
{
	char proc_dir[32];
	struct hf_pool pool;
	struct hf_maps maps;
	uint64_t found = 0;
	hf_pool_init(&pool, NULL, 0);
	snprintf(proc_dir, sizeof(proc_dir), "/proc/%d", pid);
	if (hf_maps_read(&maps, proc_dir, &pool, NULL) == HF_OK) {
		for (int pass = 0; pass < 2 && !found; pass++) {
			for (size_t i = 0; i < hf_maps_count(&maps) && !found; i++) {
				const struct hf_map *map = hf_maps_at(&maps, i);
				bool vdso = strcmp(map->path, "[vdso]") == 0;
				if ((map->perms & HF_PERM_X) && (vdso == (pass == 0)) &&
					map->end < 1ull << 47)
					found = search(pid, map->start, map->end);
			}
		}
		hf_maps_deinit(&maps);
	}
	hf_pool_deinit(&pool);
	return found;
}

static int get_regs(int tid, struct user_regs_struct *regs)
{
	struct iovec iov = {regs, sizeof(*regs)};
	long rc = hf_ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, (long)&iov);
	return rc < 0 ? (int)rc : iov.iov_len == sizeof(*regs) ? 0 : -ENOTSUP;
}

static int set_regs(int tid, const struct user_regs_struct *regs)
{
	struct iovec iov = {(void *)regs, sizeof(*regs)};
	return (int)hf_ptrace(PTRACE_SETREGSET, tid, NT_PRSTATUS, (long)&iov);
}

/* The next stop; a negative errno value if the thread is gone. */
static int next_stop(struct hf_inject *in)
{
	struct hf_tracee *tracee = in->tracee;
	int status;
	long rc;
	while ((rc = hf_wait(tracee->thread.tid, &status, 0)) == -EINTR) {
		if (in->slow && in->slow(in->ctx))
			return -ETIMEDOUT;
	}
	if (rc > 0 && WIFSTOPPED(status))
		return status;
	tracee->gone = true;
	tracee->stopped = false;
	return rc < 0 ? (int)rc : -ESRCH;
}

/* From stop to stop until the call has been entered and left. */
static int run_to_exit(struct hf_inject *in)
{
	int tid = in->tracee->thread.tid;
	for (int stops = 0, syscall_stops = 0; stops < MAX_STOPS; stops++) {
		long rc = hf_ptrace(PTRACE_SYSCALL, tid, 0, 0);
		if (rc < 0)
			return (int)rc;
		int status = next_stop(in);
		if (status < 0)
			return status;
		int event = status >> 16;
		unsigned long child = 0;
		if (event == PTRACE_EVENT_CLONE || event == PTRACE_EVENT_FORK ||
			event == PTRACE_EVENT_VFORK) {
			hf_ptrace(PTRACE_GETEVENTMSG, tid, 0, (long)&child);
			in->child = (int)child;
		} else if (event == PTRACE_EVENT_STOP) {
			continue;
		} else if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
			if (++syscall_stops == 2)
				return 0;
		} else {
			/* Only a fault gets through the blocked signals: the instruction is gone.
			 */
			return -EFAULT;
		}
	}
	return -ELOOP;
}

/* Back into the stop that the thread was in before: the one on the way to user mode, where the
 * kernel restarts an interrupted system call by what it finds in the registers. */
static int stop_again(struct hf_inject *in, const struct user_regs_struct *saved)
{
	int tid = in->tracee->thread.tid;
	int rc = set_regs(tid, saved);
	if (rc < 0)
		return rc;
	for (int stops = 0; stops < MAX_STOPS; stops++) {
		hf_ptrace(PTRACE_INTERRUPT, tid, 0, 0);
		long cont = hf_ptrace(PTRACE_CONT, tid, 0, 0);
		if (cont < 0)
			return (int)cont;
		int status = next_stop(in);
		if (status < 0)
			return status;
		if (status >> 16 == PTRACE_EVENT_STOP)
			return 0;
	}
	return -ELOOP;
}

/* The same for clone, in two steps instead of four, since the whole process waits for it: a single
 * step ends in the stop that reports the child; from there the thread goes straight into the stop
 * on the way to user mode. A clone that fails ends in the trap behind the instruction. */
static int run_clone(struct hf_inject *in)
{
	int tid = in->tracee->thread.tid;
	long rc = hf_ptrace(PTRACE_SINGLESTEP, tid, 0, 0);
	for (int stops = 0; rc >= 0 && stops < MAX_STOPS; stops++) {
		struct user_regs_struct regs;
		unsigned long child = 0;
		int status = next_stop(in);
		if (status < 0)
			return status;
		switch (status >> 16) {
		case PTRACE_EVENT_CLONE:
		case PTRACE_EVENT_FORK:
		case PTRACE_EVENT_VFORK:
			hf_ptrace(PTRACE_GETEVENTMSG, tid, 0, (long)&child);
			in->child = (int)child;
			hf_ptrace(PTRACE_INTERRUPT, tid, 0, 0);
			rc = hf_ptrace(PTRACE_CONT, tid, 0, 0);
			continue;
		case PTRACE_EVENT_STOP:
			if (in->child)
				return 0;
			break;
		default:
			if (WSTOPSIG(status) != SIGTRAP)
				return -EFAULT;
			if (get_regs(tid, &regs) == 0 && regs.rip == in->insn + sizeof(SYSCALL))
				return 0;
		}
		rc = hf_ptrace(PTRACE_SINGLESTEP, tid, 0, 0);
	}
	return rc < 0 ? (int)rc : -ELOOP;
}

int hf_inject_run(struct hf_inject *in, long number, const uint64_t args[6])
{
	int tid = in->tracee->thread.tid;
	struct user_regs_struct saved, regs;
	uint64_t held = ~(1ull << (SIGTRAP - 1)), mask = 0;
	in->child = 0;
	in->result = -ENOSYS;
	int rc = get_regs(tid, &saved);
	if (rc < 0)
		return rc;
	rc = (int)hf_ptrace(PTRACE_GETSIGMASK, tid, SIGSET_SIZE, (long)&mask);
	if (rc < 0)
		return rc;
	regs = saved;
	regs.rip = in->insn;
	regs.rax = (unsigned long long)number;
	regs.orig_rax = (unsigned long long)-1;
	regs.rdi = args[0];
	regs.rsi = args[1];
	regs.rdx = args[2];
	regs.r10 = args[3];
	regs.r8 = args[4];
	regs.r9 = args[5];
	regs.eflags &= ~0x100ull; /* TF */
	rc = (int)hf_ptrace(PTRACE_SETOPTIONS, tid, 0,
		in->options | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
			PTRACE_O_TRACEVFORK);
	if (rc < 0)
		return rc;
	hf_ptrace(PTRACE_SETSIGMASK, tid, SIGSET_SIZE, (long)&held);
	rc = set_regs(tid, &regs);
	bool clone = number == SYS_clone;
	if (rc == 0)
		rc = clone ? run_clone(in) : run_to_exit(in);
	if (!in->tracee->gone && get_regs(tid, &regs) == 0 && rc == 0)
		in->result = (long)regs.rax;
	int back = 0;
	if (!in->tracee->gone)
		back = clone ? set_regs(tid, &saved) : stop_again(in, &saved);
	if (!in->tracee->gone) {
		hf_ptrace(PTRACE_SETSIGMASK, tid, SIGSET_SIZE, (long)&mask);
		hf_ptrace(PTRACE_SETOPTIONS, tid, 0, in->options);
	}
	return rc ? rc : back;
}

bool hf_inject_may_suspend_seccomp(const struct hf_tracee *tracee)
{
	int tid = tracee->thread.tid;
	bool may = hf_ptrace(PTRACE_SETOPTIONS, tid, 0, PTRACE_O_SUSPEND_SECCOMP) == 0;
	hf_ptrace(PTRACE_SETOPTIONS, tid, 0, 0);
	return may;
}
