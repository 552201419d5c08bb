#include "stop/turn.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

#include "base/fmt.h"
#include "base/sys.h"

enum {
	TURN_TIMEOUT_MS = 3000, /* longer than it takes to give up on a thread that does not stop */
	FIRST_PAUSE_NS = 50000,
	LONGEST_PAUSE_NS = 5000000,
};

int hf_turn_take(int pid)
{
	char path[32];
	hf_fmt(path, sizeof(path), "/proc/%d", pid);
	int fd =
		(int)hf_syscall4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	uint64_t until = hf_sys_monotonic_ns() + TURN_TIMEOUT_MS * 1000000ull;
	long rc;
	for (uint64_t pause = FIRST_PAUSE_NS;
		(rc = hf_syscall2(SYS_flock, fd, LOCK_EX | LOCK_NB)) == -EAGAIN || rc == -EINTR;) {
		if (hf_sys_monotonic_ns() > until)
			break;
		hf_sys_sleep_ns(pause);
		pause = pause < LONGEST_PAUSE_NS ? pause * 2 : pause;
	}
	if (rc < 0) {
		hf_sys_close(fd);
		return -1;
	}
	return fd;
}

void hf_turn_give(int *turn)
{
	if (*turn < 0)
		return;
	hf_syscall2(SYS_flock, *turn, LOCK_UN);
	hf_sys_close(*turn);
	*turn = -1;
}
