/*
 * Files whose server does not answer. Reading such a file, or a page of it that is not in memory,
 * sleeps until the server is back: in a FUSE server that is stopped, or a network that is down, for
 * ever. So a process of ours asks first, and is given up if it hears nothing.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fmt.h"
#include "base/sys.h"
#include "frontend/outside.h"
#include "stop/mounts.h"

enum { PATIENCE_MS = 2000, PAUSE_NS = 1000000 };

void hf_served_init(struct hf_served *served, int pid)
{
	struct hf_vec mounts;
	hf_vec_init(&served->devs, sizeof(struct hf_served_dev));
	hf_vec_init(&mounts, sizeof(struct hf_mount));
	hf_mounts_served(pid, &mounts);
	for (size_t i = 0; i < mounts.n; i++) {
		const struct hf_mount *mount = hf_vec_at(&mounts, i);
		struct hf_served_dev *slot = hf_vec_push(&served->devs);
		if (!slot)
			break;
		slot->dev = mount->dev;
		hf_fmt(slot->type, sizeof(slot->type), "%s", mount->type);
	}
	hf_vec_deinit(&mounts);
}

void hf_served_deinit(struct hf_served *served)
{
	hf_vec_deinit(&served->devs);
}

static void ask(const char *proc_dir, const struct hf_map *map)
{
	char path[4200], byte;
	struct statfs fs;
	snprintf(path, sizeof(path), "%s/map_files/%lx-%lx", proc_dir, (unsigned long)map->start,
		(unsigned long)map->end);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0) {
		snprintf(path, sizeof(path), "%s/root%s", proc_dir, map->path);
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	}
	if (fd >= 0 && fstatfs(fd, &fs) == 0)
		(void)!read(fd, &byte, 1);
}

/* The child sleeps in the kernel, but may be killed; nobody waits for its end if that takes long.
 */
static bool answers(const char *proc_dir, const struct hf_map *map)
{
	uint64_t deadline = hf_sys_monotonic_ns() + PATIENCE_MS * 1000000ull;
	fflush(NULL);
	pid_t child = fork();
	if (child == 0) {
		ask(proc_dir, map);
		_exit(0);
	}
	while (child > 0 && waitpid(child, NULL, WNOHANG) == 0) {
		if (hf_sys_monotonic_ns() > deadline) {
			kill(child, SIGKILL);
			hf_sys_sleep_ns(PAUSE_NS);
			waitpid(child, NULL, WNOHANG);
			return false;
		}
		hf_sys_sleep_ns(PAUSE_NS);
	}
	return true;
}

void hf_served_mark(struct hf_served *served, struct hf_maps *maps, const char *proc_dir)
{
	for (size_t i = 0; served->devs.n && i < hf_maps_count(maps); i++) {
		struct hf_map *map = hf_maps_at(maps, i);
		for (size_t k = 0; map->inode && k < served->devs.n; k++) {
			struct hf_served_dev *dev = hf_vec_at(&served->devs, k);
			if (dev->dev != map->dev)
				continue;
			if (!dev->asked)
				dev->silent = !answers(proc_dir, map);
			dev->asked = true;
			map->silent = dev->silent;
			if (dev->silent && !dev->path[0])
				hf_fmt(dev->path, sizeof(dev->path), "%s", map->path);
			break;
		}
	}
}
