#include "memory/maps.h"

#include <errno.h>
#include <string.h>

#include "base/fmt.h"
#include "base/sys.h"

static bool parse_hex(const char **s, uint64_t *ret)
{
	uint64_t v = 0;
	const char *p = *s;
	for (;; p++) {
		unsigned digit;
		if (*p >= '0' && *p <= '9')
			digit = (unsigned)(*p - '0');
		else if (*p >= 'a' && *p <= 'f')
			digit = (unsigned)(*p - 'a' + 10);
		else
			break;
		v = v << 4 | digit;
	}
	if (p == *s)
		return false;
	*s = p;
	*ret = v;
	return true;
}

static bool skip(const char **s, char c)
{
	if (**s != c)
		return false;
	(*s)++;
	return true;
}

/* "start-end perms offset major:minor inode   path" */
static bool parse_line(const char *s, struct hf_map *map, const char **ret_path)
{
	uint64_t major, minor;
	if (!parse_hex(&s, &map->start) || !skip(&s, '-') || !parse_hex(&s, &map->end) ||
		!skip(&s, ' '))
		return false;
	if (strnlen(s, 5) < 5 || map->start >= map->end)
		return false;
	map->perms = (s[0] == 'r' ? HF_PERM_R : 0) | (s[1] == 'w' ? HF_PERM_W : 0) |
		     (s[2] == 'x' ? HF_PERM_X : 0) | (s[3] == 's' ? HF_PERM_SHARED : 0);
	s += 4;
	if (!skip(&s, ' ') || !parse_hex(&s, &map->offset) || !skip(&s, ' ') ||
		!parse_hex(&s, &major) || !skip(&s, ':') || !parse_hex(&s, &minor) ||
		!skip(&s, ' ') || !hf_parse_u64(&s, &map->inode))
		return false;
	map->dev = (uint32_t)(major << 20 | minor);
	while (*s == ' ')
		s++;
	*ret_path = s;
	return true;
}

static enum hf_status add_line(
	struct hf_maps *maps, struct hf_pool *pool, const char *line, struct hf_err *err)
{
	struct hf_map map = {0};
	const char *path;
	if (!parse_line(line, &map, &path))
		return hf_err_set(
			err, HF_E_CORRUPT, "cannot understand the line «%s» of /proc maps", line);
	/* Neighbours are mostly segments of one file: share the text. */
	struct hf_map *last = maps->maps.n ? hf_maps_at(maps, maps->maps.n - 1) : NULL;
	if (!*path)
		map.path = "";
	else if (last && strcmp(last->path, path) == 0)
		map.path = last->path;
	else
		map.path = hf_pool_strndup(pool, path, strlen(path));
	struct hf_map *slot = map.path ? hf_vec_push(&maps->maps) : NULL;
	if (!slot)
		return hf_err_set(err, HF_E_NOMEM, "no memory for the list of mappings");
	*slot = map;
	return HF_OK;
}

enum { BUF = 64 << 10, FIRST_CAP = 1024 };

/* *ret_full: there are more than there is room for. */
static enum hf_status read_lines(struct hf_maps *maps, int fd, char *buf, struct hf_pool *pool,
	bool *ret_full, struct hf_err *err)
{
	size_t have = 0;
	*ret_full = false;
	for (;;) {
		int64_t n = hf_sys_read_full(fd, buf + have, BUF - have);
		if (n < 0)
			return hf_err_sys(
				err, HF_E_IO, (int)-n, "cannot read the list of mappings");
		have += (size_t)n;
		char *line = buf, *end;
		while ((end = memchr(line, '\n', have - (size_t)(line - buf)))) {
			*end = 0;
			if (maps->maps.n == maps->maps.cap) {
				*ret_full = true;
				return HF_OK;
			}
			enum hf_status status = add_line(maps, pool, line, err);
			if (status)
				return status;
			line = end + 1;
		}
		if (n == 0)
			return HF_OK;
		have -= (size_t)(line - buf);
		if (have == BUF)
			return hf_err_set(err, HF_E_CORRUPT, "a line of /proc maps is too long");
		memmove(buf, line, have);
	}
}

static enum hf_status read_into(struct hf_maps *maps, const char *proc_dir, size_t cap, char *buf,
	struct hf_pool *pool, bool *ret_full, struct hf_err *err)
{
	char path[64];
	hf_vec_init(&maps->maps, sizeof(struct hf_map));
	hf_fmt(path, sizeof(path), "%s/maps", proc_dir);
	int fd = hf_sys_open_read(path);
	if (fd < 0)
		return hf_err_sys(err,
			fd == -EACCES || fd == -EPERM   ? HF_E_PERM
			: fd == -ENOENT || fd == -ESRCH ? HF_E_NOTFOUND
							: HF_E_IO,
			-fd, "cannot open %s", path);
	enum hf_status status =
		hf_vec_reserve(&maps->maps, cap)
			? read_lines(maps, fd, buf, pool, ret_full, err)
			: hf_err_set(err, HF_E_NOMEM, "no memory for the list of mappings");
	hf_sys_close(fd);
	if (status || *ret_full)
		hf_maps_deinit(maps);
	return status;
}

/* The list may be that of this process, and have the memory that it is put in. So that does not
 * grow meanwhile: what it left would be listed, but not be there any more. */
enum hf_status hf_maps_read(
	struct hf_maps *maps, const char *proc_dir, struct hf_pool *pool, struct hf_err *err)
{
	char *buf = hf_pool_alloc(pool, BUF + 1);
	if (!buf)
		return hf_err_set(err, HF_E_NOMEM, "no memory to read the list of mappings");
	bool full = true;
	enum hf_status status = HF_OK;
	for (size_t cap = FIRST_CAP; !status && full; cap *= 2)
		status = read_into(maps, proc_dir, cap, buf, pool, &full, err);
	return status;
}

void hf_maps_deinit(struct hf_maps *maps)
{
	hf_vec_deinit(&maps->maps);
}

size_t hf_maps_lower(const struct hf_maps *maps, uint64_t addr)
{
	size_t lo = 0, hi = maps->maps.n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (hf_maps_at(maps, mid)->end > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

struct hf_map *hf_maps_find(const struct hf_maps *maps, uint64_t addr)
{
	size_t i = hf_maps_lower(maps, addr);
	if (i == maps->maps.n)
		return NULL;
	struct hf_map *map = hf_maps_at(maps, i);
	return addr >= map->start ? map : NULL;
}

bool hf_map_is_anonymous(const struct hf_map *map)
{
	static const char *const kernel[] = {
		"[vdso]", "[vvar]", "[vvar_vclock]", "[vsyscall]", "[uprobes]"};
	if (map->inode)
		return false;
	for (size_t i = 0; i < sizeof(kernel) / sizeof(kernel[0]); i++) {
		if (strcmp(map->path, kernel[i]) == 0)
			return false;
	}
	return true;
}
