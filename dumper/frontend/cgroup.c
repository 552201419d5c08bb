#include "frontend/cgroup.h"

#include <string.h>

#include "base/fmt.h"
#include "base/sys.h"

enum {
	BUF_SIZE = 8 << 10, /* a longer line is passed over */
	STAT_SIZE = 8 << 10,
	FIELDS = 12,
};

static const uint64_t NO_LIMIT = 1ull << 60; /* version 1 says so by a number near 2^63 */

struct lines {
	int fd;
	size_t n;
	bool ended;
	char buf[BUF_SIZE];
};

/* The next line, without its end, or NULL. It stands until the next call. */
static char *next_line(struct lines *l, size_t *taken)
{
	memmove(l->buf, l->buf + *taken, l->n - *taken);
	l->n -= *taken;
	for (;;) {
		char *end = memchr(l->buf, '\n', l->n);
		if (end) {
			*end = 0;
			*taken = (size_t)(end + 1 - l->buf);
			return l->buf;
		}
		if (l->n == sizeof(l->buf))
			l->n = 0;
		int64_t got =
			l->ended ? 0
				 : hf_sys_read_full(l->fd, l->buf + l->n, sizeof(l->buf) - l->n);
		if (got <= 0)
			return NULL;
		l->n += (size_t)got;
	}
}

/* Is word one of the words of a list that commas separate? */
static bool has_word(const char *list, const char *word)
{
	size_t n = strlen(word);
	for (; *list; list += *list == ',') {
		size_t k = strcspn(list, ",");
		if (k == n && memcmp(list, word, n) == 0)
			return true;
		list += k;
	}
	return false;
}

/* Where the process is in the hierarchies: lines ID:CONTROLLERS:PATH. */
struct place {
	char v1[HF_CGROUP_PATH], v2[HF_CGROUP_PATH]; /* "": in none */
};

static bool read_place(struct place *p, const char *proc_dir, int (*open_file)(const char *))
{
	struct lines lines = {0};
	char path[64];
	size_t taken = 0;
	*p = (struct place){0};
	hf_fmt(path, sizeof(path), "%s/cgroup", proc_dir);
	lines.fd = open_file(path);
	if (lines.fd < 0)
		return false;
	for (char *line; (line = next_line(&lines, &taken));) {
		char *controllers = strchr(line, ':');
		char *group = controllers ? strchr(controllers + 1, ':') : NULL;
		if (!group)
			continue;
		*controllers++ = 0;
		*group++ = 0;
		if (!*controllers && strcmp(line, "0") == 0)
			hf_fmt(p->v2, sizeof(p->v2), "%s", group);
		else if (has_word(controllers, "memory"))
			hf_fmt(p->v1, sizeof(p->v1), "%s", group);
	}
	hf_sys_close(lines.fd);
	return true;
}

/* \040 and the like. */
static void unescape(char *text)
{
	char *to = text;
	for (const char *from = text; *from; to++) {
		if (from[0] == '\\' && from[1] && from[2] && from[3]) {
			*to = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = 0;
}

static bool read_number(
	const char *folder, const char *name, int (*open_file)(const char *), uint64_t *ret)
{
	char path[HF_CGROUP_PATH + 64], text[32];
	const char *at = text;
	hf_fmt(path, sizeof(path), "%s/%s", folder, name);
	int fd = open_file(path);
	if (fd < 0)
		return false;
	int64_t n = hf_sys_read_full(fd, text, sizeof(text) - 1);
	hf_sys_close(fd);
	text[n > 0 ? n : 0] = 0;
	return hf_parse_u64(&at, ret);
}

static int open_in(const char *folder, const char *name, int (*open_file)(const char *))
{
	char path[HF_CGROUP_PATH + 64];
	hf_fmt(path, sizeof(path), "%s/%s", folder, name);
	return open_file(path);
}

static void add_level(
	struct hf_cgroups *c, const char *folder, bool v1, int (*open_file)(const char *))
{
	uint64_t limit;
	if (c->n == HF_CGROUP_LEVELS ||
		!read_number(
			folder, v1 ? "memory.limit_in_bytes" : "memory.max", open_file, &limit) ||
		!limit || limit >= NO_LIMIT)
		return;
	struct hf_cgroup_level *level = &c->levels[c->n];
	hf_fmt(level->path, sizeof(level->path), "%s", folder);
	level->limit = limit;
	level->v1 = v1;
	level->usage_fd =
		open_in(folder, v1 ? "memory.usage_in_bytes" : "memory.current", open_file);
	level->stat_fd = open_in(folder, "memory.stat", open_file);
	if (level->usage_fd >= 0)
		c->n++;
	else if (level->stat_fd >= 0)
		hf_sys_close(level->stat_fd);
}

/* From the process's own group up to what is mounted. */
static void add_levels(struct hf_cgroups *c, const char *root_dir, const char *mount_root,
	const char *mount_point, const char *group, bool v1, int (*open_file)(const char *))
{
	char path[HF_CGROUP_PATH];
	size_t skip = strcmp(mount_root, "/") == 0 ? 0 : strlen(mount_root);
	bool below = strncmp(group, mount_root, skip) == 0 &&
		     (group[skip] == '/' || group[skip] == 0) && !strstr(group, "/..");
	size_t top = hf_fmt(path, sizeof(path), "%s%s", root_dir,
		strcmp(mount_point, "/") == 0 ? "" : mount_point);
	hf_fmt(path + top, sizeof(path) - top, "%s", below ? group + skip : "");
	for (;;) {
		size_t n = strlen(path);
		while (n > top && path[n - 1] == '/')
			path[--n] = 0;
		add_level(c, path, v1, open_file);
		char *slash = n > top ? strrchr(path + top, '/') : NULL;
		if (!slash)
			return;
		*slash = 0;
	}
}

/* A line of mountinfo: ID PARENT DEVICE ROOT POINT OPTIONS … - TYPE SOURCE OPTIONS. */
static void read_mount(struct hf_cgroups *c, char *line, const struct place *p,
	const char *root_dir, int (*open_file)(const char *))
{
	char *fields[FIELDS] = {0}, *after[3] = {0};
	size_t n = 0, n_after = 0;
	bool dash = false;
	for (char *at = line; *at;) {
		char *end = at + strcspn(at, " ");
		bool last = !*end;
		*end = 0;
		if (strcmp(at, "-") == 0)
			dash = true;
		else if (dash && n_after < 3)
			after[n_after++] = at;
		else if (!dash && n < FIELDS)
			fields[n++] = at;
		at = last ? end : end + 1;
	}
	if (n < 5 || n_after < 3)
		return;
	unescape(fields[3]);
	unescape(fields[4]);
	if (strcmp(after[0], "cgroup2") == 0 && *p->v2)
		add_levels(c, root_dir, fields[3], fields[4], p->v2, false, open_file);
	else if (strcmp(after[0], "cgroup") == 0 && *p->v1 && has_word(after[2], "memory"))
		add_levels(c, root_dir, fields[3], fields[4], p->v1, true, open_file);
}

bool hf_cgroups_find(struct hf_cgroups *c, const char *proc_dir, const char *root_dir,
	int (*open_file)(const char *))
{
	struct lines lines = {0};
	struct place place;
	char path[64];
	size_t taken = 0;
	c->n = 0;
	if (!read_place(&place, proc_dir, open_file))
		return false;
	hf_fmt(path, sizeof(path), "%s/mountinfo", proc_dir);
	lines.fd = open_file(path);
	if (lines.fd < 0)
		return false;
	for (char *line; (line = next_line(&lines, &taken));)
		read_mount(c, line, &place, root_dir, open_file);
	hf_sys_close(lines.fd);
	return true;
}

void hf_cgroups_close(struct hf_cgroups *c)
{
	for (size_t i = 0; i < c->n; i++) {
		hf_sys_close(c->levels[i].usage_fd);
		if (c->levels[i].stat_fd >= 0)
			hf_sys_close(c->levels[i].stat_fd);
	}
	c->n = 0;
}

uint64_t hf_cgroup_usage(const struct hf_cgroup_level *level)
{
	char text[32];
	const char *at = text;
	uint64_t bytes = 0;
	int64_t n = hf_sys_pread_full(level->usage_fd, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = 0;
	return hf_parse_u64(&at, &bytes) ? bytes : 0;
}

uint64_t hf_cgroup_working_set(const struct hf_cgroup_level *level)
{
	char text[STAT_SIZE];
	uint64_t usage = hf_cgroup_usage(level), inactive = 0;
	const char *key = level->v1 ? "\ntotal_inactive_file " : "\ninactive_file ";
	int64_t n = level->stat_fd < 0
			    ? 0
			    : hf_sys_pread_full(level->stat_fd, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = 0;
	const char *at = strstr(text, key);
	if (at && (at += strlen(key), hf_parse_u64(&at, &inactive)) && inactive < usage)
		return usage - inactive;
	return usage;
}
