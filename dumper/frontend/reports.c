#include "frontend/reports.h"

#include <errno.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "base/sys.h"

enum {
	SIZE = 8192,
	N_SLOTS = SIZE / sizeof(struct hf_report),
	PIDFD_OPEN = 434,
	GRACE_S = 2, /* past its limit, for the file to be removed */
	PAUSE_NS = 2000000,
};

static const uint64_t CLAIMING = 1ull << 32; /* in owner: the rest is yet to be set */

static struct hf_report *slots;

bool hf_reports_reserve(void)
{
	long memory = hf_syscall6(
		SYS_mmap, 0, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (memory < 0 && memory > -4096)
		return false;
	slots = (struct hf_report *)memory;
	return true;
}

void hf_reports_range(uint64_t *ret_start, uint64_t *ret_end)
{
	*ret_start = (uint64_t)slots;
	*ret_end = (uint64_t)slots + SIZE;
}

/* A seccomp filter may kill for a system call that it does not know. */
static bool is_filtered(void)
{
	return hf_syscall1(SYS_prctl, PR_GET_SECCOMP) != 0;
}

static int open_pidfd(int pid)
{
	return is_filtered() ? -1 : (int)hf_syscall2(PIDFD_OPEN, pid, 0);
}

/* Does the process end, or did it, within limit_ms (-1: ever)? Closes fd. */
static bool ends_within(int fd, int limit_ms)
{
	struct pollfd poll = {fd, POLLIN, 0};
	long n;
	while ((n = hf_syscall3(SYS_poll, &poll, 1, limit_ms)) == -EINTR)
		;
	hf_sys_close(fd);
	return n == 1;
}

/* Nor is a zombie alive. Under a filter, all are taken to be. */
static bool is_alive(int pid)
{
	int fd = open_pidfd(pid);
	if (fd >= 0)
		return !ends_within(fd, 0);
	return is_filtered() || hf_syscall2(SYS_kill, pid, 0) != -ESRCH;
}

/* Is somebody at work on it? */
static bool is_running(const struct hf_report *report)
{
	int pid = __atomic_load_n(&report->pid, __ATOMIC_ACQUIRE);
	if (__atomic_load_n(&report->done, __ATOMIC_ACQUIRE) || (pid && !is_alive(pid)))
		return false;
	return !report->limit_ns || hf_sys_monotonic_ns() - report->since_ns < report->limit_ns;
}

static bool take(struct hf_report *report, uint64_t from, uint64_t owner)
{
	return __atomic_compare_exchange_n(
		&report->owner, &from, owner | CLAIMING, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* Did who claimed it end in the midst of a dump, or leave one that is done by now? */
static bool is_left(const struct hf_report *report, uint64_t owner)
{
	return owner && !(owner & CLAIMING) && !is_running(report) &&
	       (report->background || !is_alive((int)owner));
}

static struct hf_report *find(uint64_t owner)
{
	for (int i = 0; i < N_SLOTS; i++) {
		if (take(&slots[i], 0, owner))
			return &slots[i];
	}
	for (int i = 0; i < N_SLOTS; i++) {
		uint64_t from = __atomic_load_n(&slots[i].owner, __ATOMIC_ACQUIRE);
		if (is_left(&slots[i], from) && take(&slots[i], from, owner))
			return &slots[i];
	}
	return NULL;
}

struct hf_report *hf_report_claim(uint32_t limit_s, bool background)
{
	uint64_t self = (uint64_t)hf_syscall0(SYS_getpid);
	struct hf_report *report = find(self);
	if (!report)
		return NULL;
	report->since_ns = hf_sys_monotonic_ns();
	report->limit_ns = limit_s ? (limit_s + GRACE_S) * 1000000000ull : 0;
	report->background = background;
	report->pid = report->done = report->result = report->sync = 0;
	__atomic_store_n(&report->owner, self, __ATOMIC_RELEASE);
	return report;
}

void hf_report_begun(struct hf_report *report, int pid)
{
	__atomic_store_n(&report->pid, pid, __ATOMIC_RELEASE);
}

void hf_report_tell(struct hf_report *report, int result)
{
	report->result = result;
	__atomic_store_n(&report->done, 1, __ATOMIC_RELEASE);
}

static void release(struct hf_report *report)
{
	if (is_running(report)) /* it will tell something yet */
		report->background = true;
	else
		__atomic_store_n(&report->owner, 0, __ATOMIC_RELEASE);
}

/* For its limit at most. The process is no child of ours. */
static void wait_for(const struct hf_report *report)
{
	const int fd = open_pidfd(report->pid);
	if (fd >= 0) {
		ends_within(fd, report->limit_ns ? (int)(report->limit_ns / 1000000) : -1);
		return;
	}
	const uint64_t until = hf_sys_monotonic_ns() + report->limit_ns;
	while (!__atomic_load_n(&report->done, __ATOMIC_ACQUIRE) &&
		hf_syscall2(SYS_kill, report->pid, 0) == 0 &&
		(!report->limit_ns || hf_sys_monotonic_ns() < until))
		hf_sys_sleep_ns(PAUSE_NS);
}

int hf_report_wait(struct hf_report *report)
{
	if (report->pid)
		wait_for(report);
	int result = __atomic_load_n(&report->done, __ATOMIC_ACQUIRE) ? report->result : -EIO;
	release(report);
	return result;
}

unsigned hf_reports_unfinished(void)
{
	unsigned n = 0;
	uint64_t self = (uint64_t)hf_syscall0(SYS_getpid);
	for (int i = 0; i < N_SLOTS; i++) {
		if (__atomic_load_n(&slots[i].owner, __ATOMIC_ACQUIRE) != self ||
			!slots[i].background)
			continue;
		if (is_running(&slots[i]))
			n++;
		else
			release(&slots[i]);
	}
	return n;
}
