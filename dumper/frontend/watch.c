#include "frontend/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/fmt.h"
#include "base/page_alloc.h"
#include "base/sys.h"

enum {
	STACK_SIZE = 64 << 10,
	FIRST_FD = 10, /* 2 is for the program's stderr */
	MAX_WATCHES = 4,
	MAX_GROUPS = 64,
	STATUS_SIZE = 4096,
	SIGSET_SIZE = 8,
	BEGIN_WAIT_NS = 100000000,
	PIDFD_OPEN = 434,
	CLOSE_RANGE = 436,
	PIDFD_GETFD = 438,
};

static const uint64_t FOLLOW_NS = 250ull * 1000 * 1000;
static const uint64_t LONGEST_SLEEP_NS = 1000ull * 1000 * 1000;

static struct {
	struct hf_watch *watches[MAX_WATCHES];
	size_t n;
	void *stack;
	int status_of_main, status_of_thread;
	bool quota_said;
	uint32_t begun; /* the thread has opened what it needs */
} state;

void hf_watch_add(struct hf_watch *watch)
{
	if (state.n < MAX_WATCHES)
		state.watches[state.n++] = watch;
}

/* Credentials: those of the process are those of its main thread, as /proc tells. */

struct credentials {
	uint64_t uid[4], gid[4]; /* real, effective, saved, file system */
	uint64_t effective, permitted, inheritable;
	uint32_t groups[MAX_GROUPS];
	size_t n_groups;
	bool known;
};

static const char *after(const char *text, const char *key)
{
	const char *at = strstr(text, key);
	return at ? at + strlen(key) : "";
}

static const char *skip_blanks(const char *at)
{
	return at + strspn(at, " \t");
}

static bool four(const char *at, uint64_t ret[4])
{
	for (int i = 0; i < 4; i++) {
		at = skip_blanks(at);
		if (!hf_parse_u64(&at, &ret[i]))
			return false;
	}
	return true;
}

static uint64_t bits(const char *at)
{
	uint64_t set = 0;
	for (at = skip_blanks(at); *at && *at != '\n'; at++)
		set = set << 4 | (uint64_t)(*at <= '9' ? *at - '0' : (*at | 0x20) - 'a' + 10);
	return set;
}

static void read_credentials(int fd, struct credentials *c)
{
	char text[STATUS_SIZE];
	*c = (struct credentials){0};
	int64_t n = hf_sys_pread_full(fd, text, sizeof(text) - 1, 0);
	if (n <= 0)
		return;
	text[n] = 0;
	c->known = four(after(text, "\nUid:"), c->uid) && four(after(text, "\nGid:"), c->gid);
	c->inheritable = bits(after(text, "\nCapInh:"));
	c->permitted = bits(after(text, "\nCapPrm:"));
	c->effective = bits(after(text, "\nCapEff:"));
	uint64_t group;
	for (const char *at = skip_blanks(after(text, "\nGroups:"));
		c->n_groups < MAX_GROUPS && hf_parse_u64(&at, &group); at = skip_blanks(at))
		c->groups[c->n_groups++] = (uint32_t)group;
}

static void set_capabilities(const struct credentials *c)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2];
	for (int i = 0; i < 2; i++)
		data[i] = (struct __user_cap_data_struct){(uint32_t)(c->effective >> 32 * i),
			(uint32_t)(c->permitted >> 32 * i), (uint32_t)(c->inheritable >> 32 * i)};
	hf_syscall2(SYS_capset, &header, data);
}

/* Be what the program has become. Raw calls change this thread only. */
static void follow_credentials(void)
{
	struct credentials mine, theirs;
	read_credentials(state.status_of_main, &theirs);
	read_credentials(state.status_of_thread, &mine);
	if (!theirs.known || !mine.known || memcmp(&mine, &theirs, sizeof(mine)) == 0)
		return;
	/* A change of user takes from the whole process what the program may have set again. */
	long dumpable = hf_syscall1(SYS_prctl, PR_GET_DUMPABLE);
	hf_syscall2(SYS_setgroups, theirs.n_groups, theirs.groups);
	hf_syscall3(SYS_setresgid, theirs.gid[0], theirs.gid[1], theirs.gid[2]);
	hf_syscall3(SYS_setresuid, theirs.uid[0], theirs.uid[1], theirs.uid[2]);
	set_capabilities(&theirs);
	if (dumpable == 1)
		hf_syscall2(SYS_prctl, PR_SET_DUMPABLE, 1);
}

/* Dumps. */

/* The program's stderr, for the time of a dump: lent from its table of descriptors. */
static void borrow_stderr(void)
{
	/* A seccomp filter may kill for a system call that it does not know. */
	if (hf_syscall1(SYS_prctl, PR_GET_SECCOMP) != 0)
		return;
	long self = hf_syscall2(PIDFD_OPEN, hf_syscall0(SYS_getpid), 0);
	if (self < 0)
		return;
	long fd = hf_syscall3(PIDFD_GETFD, self, 2, 0);
	if (fd >= 0 && fd != 2) {
		hf_syscall3(SYS_dup3, fd, 2, O_CLOEXEC);
		hf_sys_close((int)fd);
	}
	if (self != 2)
		hf_sys_close((int)self);
}

static void close_all(void)
{
	enum { CLOSE_BY_HAND = 65536 }; /* on kernels before 5.9 */
	if (hf_syscall3(CLOSE_RANGE, 0, ~0u, 0) >= 0)
		return;
	for (int fd = 0; fd < CLOSE_BY_HAND; fd++)
		hf_sys_close(fd);
}

const char *hf_watch_size(uint64_t bytes, char *buf, size_t size)
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
	size_t unit = 0;
	uint64_t tenths = bytes * 10 / 1024;
	for (; tenths >= 10240 && unit < 3; unit++)
		tenths /= 1024;
	hf_fmt(buf, size, "%lu.%lu %s", tenths / 10, tenths % 10, units[unit]);
	return buf;
}

int hf_watch_open(const char *path)
{
	int fd = hf_sys_open_read(path);
	int high = fd < 0 ? fd : (int)hf_syscall3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, FIRST_FD);
	if (fd >= 0)
		hf_sys_close(fd);
	return high;
}

void hf_watch_say(const char *text)
{
	borrow_stderr();
	hf_capture_say(text);
	hf_sys_close(2);
}

uint64_t hf_watch_once(int result)
{
	return result == -EAGAIN ? HF_WATCH_RETRY_NS : HF_WATCH_NEVER;
}

int hf_watch_dump(const char *trigger, const struct hf_fact *facts, size_t n_facts, bool rotates,
	struct hf_capture_end *ret_end)
{
	struct hf_call_frame frame;
	struct hf_thread caller;
	struct hf_capture_end end;
	follow_credentials();
	borrow_stderr();
	HF_CALL_FRAME_HERE(&frame);
	hf_caller_of_call(&caller, &frame);
	struct hf_capture_request request = {.trigger = trigger,
		.caller = &caller,
		.facts = facts,
		.n_facts = n_facts,
		.rotates = rotates,
		.end = &end};
	int result = hf_trigger_capture(&request);
	if (!result)
		result = hf_capture_wait(&end);
	if (!result || result == -ENODATA) {
		char line[HF_ERR_MSG_SIZE];
		hf_fmt(line, sizeof(line), "%s: heap dump in %s", trigger, end.path);
		hf_capture_say(line);
		if (ret_end)
			*ret_end = end;
	} else if (result == -EDQUOT && !state.quota_said) {
		hf_trigger_say(
			"%s: no dump: as many as max= (--max-dumps) allows are made", trigger);
		state.quota_said = true;
	}
	hf_sys_close(2);
	return result;
}

/* The thread. */

static uint64_t look_at_all(void)
{
	uint64_t now = hf_sys_monotonic_ns(), next = now + LONGEST_SLEEP_NS;
	for (size_t i = 0; i < state.n; i++) {
		struct hf_watch *w = state.watches[i];
		if (w->due_ns <= now) {
			uint64_t wait = w->look(now);
			w->due_ns = wait == HF_WATCH_NEVER ? wait : hf_sys_monotonic_ns() + wait;
		}
		next = w->due_ns < next ? w->due_ns : next;
	}
	return next;
}

static bool any_left(void)
{
	for (size_t i = 0; i < state.n; i++) {
		if (state.watches[i]->due_ns != HF_WATCH_NEVER)
			return true;
	}
	return false;
}

static int thread_main(void *arg)
{
	(void)arg;
	close_all();
	hf_syscall2(SYS_prctl, PR_SET_NAME, "holdfast-watch");
	state.status_of_main = hf_watch_open("/proc/self/status");
	state.status_of_thread = hf_watch_open("/proc/thread-self/status");
	for (size_t i = 0; i < state.n; i++) {
		if (state.watches[i]->begin)
			state.watches[i]->begin();
	}
	__atomic_store_n(&state.begun, 1, __ATOMIC_RELEASE);
	hf_syscall3(SYS_futex, &state.begun, FUTEX_WAKE_PRIVATE, 1);
	for (uint64_t followed = 0; any_left();) {
		uint64_t next = look_at_all(), now = hf_sys_monotonic_ns();
		if (now - followed >= FOLLOW_NS) {
			follow_credentials();
			followed = now;
		}
		if (next > now)
			hf_sys_sleep_ns(next - now);
	}
	return 0;
}

static void start_thread(void)
{
	uint64_t all = ~0ull, old = 0;
	if (!any_left())
		return;
	hf_syscall4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, SIGSET_SIZE);
	long tid = hf_sys_clone(CLONE_VM | CLONE_FS | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM,
		state.stack, STACK_SIZE, NULL, thread_main, NULL);
	hf_syscall4(SYS_rt_sigprocmask, SIG_SETMASK, &old, 0, SIGSET_SIZE);
	if (tid < 0)
		hf_trigger_say(
			"no thread to watch memory and time: %s; only the other triggers are on",
			hf_strerror((int)-tid));
}

void hf_watch_start(void)
{
	if (!state.n)
		return;
	state.stack = hf_page_alloc(STACK_SIZE);
	if (!state.stack) {
		hf_capture_say("no memory for a thread to watch memory and time");
		return;
	}
	pthread_atfork(NULL, NULL, start_thread);
	start_thread();
	/* The program may leave /proc behind next. */
	struct timespec longest = {0, BEGIN_WAIT_NS};
	if (!__atomic_load_n(&state.begun, __ATOMIC_ACQUIRE))
		hf_syscall4(SYS_futex, &state.begun, FUTEX_WAIT_PRIVATE, 0, &longest);
}
