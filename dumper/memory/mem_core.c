#include "memory/mem_core.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/build_id.h"
#include "base/checked.h"
#include "base/sys.h"

enum {
	SEEK_MIN = 64 << 10, /* runs shorter than this are not looked at for holes */
};

struct file {
	const char *path;
	uint64_t number; /* hf_map.inode */
	const uint8_t *data;
	uint64_t size;
	enum hf_mem_core_file state;
	bool elf; /* others are not reported */
};

struct mem_core {
	struct hf_mem mem;
	const struct hf_core *core;
	struct hf_vec files; /* of struct file */
};

/* Build ids. */

/* The build id of an image of which the first size bytes of the file are here. */
static bool id_of(const uint8_t *p, uint64_t size, struct hf_build_id *ret)
{
	Elf64_Ehdr eh;
	*ret = (struct hf_build_id){.size = 0};
	if (size < sizeof(eh))
		return false;
	memcpy(&eh, p, sizeof(eh));
	for (unsigned i = 0; i < eh.e_phnum; i++) {
		Elf64_Phdr ph;
		if (eh.e_phentsize != sizeof(ph) || eh.e_phoff > size ||
			size - eh.e_phoff < (i + 1ull) * sizeof(ph))
			return false;
		memcpy(&ph, p + eh.e_phoff + i * sizeof(ph), sizeof(ph));
		if (ph.p_type == PT_NOTE && hf_in_range(ph.p_offset, ph.p_filesz, 0, size) &&
			hf_build_id_of_notes(p + ph.p_offset, ph.p_filesz, ret))
			return true;
	}
	return false;
}

static enum hf_mem_core_file compare(
	const struct hf_core *core, const struct hf_map *first, const struct file *file)
{
	uint64_t size = HF_PAGE;
	const uint8_t *page = first ? hf_core_at(core, first->start, &size) : NULL;
	struct hf_build_id was, is;
	if (!page)
		return HF_CORE_FILE_UNVERIFIED;
	bool had = id_of(page, size, &was), has = id_of(file->data, file->size, &is);
	if (had || has)
		return had && has && was.size == is.size &&
				       memcmp(was.bytes, is.bytes, is.size) == 0
			       ? HF_CORE_FILE_SAME
			       : HF_CORE_FILE_OTHER;
	return size <= file->size && memcmp(page, file->data, size) == 0 ? HF_CORE_FILE_SAME
									 : HF_CORE_FILE_OTHER;
}

/* Files. */

/* Take what is open at fd, which is closed. */
static void try_file(struct mem_core *m, struct file *file, int fd, const struct hf_map *first)
{
	struct stat st;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size >= HF_PAGE) {
		void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		file->data = data == MAP_FAILED ? NULL : data;
		file->size = file->data ? (uint64_t)st.st_size : 0;
	}
	close(fd);
	if (!file->data)
		return;
	bool elf = memcmp(file->data, ELFMAG, SELFMAG) == 0;
	file->state = elf || file->elf ? compare(m->core, first, file) : HF_CORE_FILE_OTHER;
	file->elf |= elf;
	uint64_t changed = (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec;
	if (file->state == HF_CORE_FILE_UNVERIFIED && changed > m->core->time_ns)
		file->state = HF_CORE_FILE_NEWER;
	if (file->state != HF_CORE_FILE_OTHER)
		return;
	munmap((void *)file->data, file->size);
	file->data = NULL;
}

static void open_file(struct mem_core *m, struct file *file, const char *root_dir)
{
	const struct hf_map *first = NULL;
	/* Where neither the core nor a file shows what it is: programs and libraries are mapped in
	 * several pieces, data mostly is not. */
	unsigned n_pieces = 0;
	for (size_t i = 0; i < hf_maps_count(m->mem.maps); i++) {
		const struct hf_map *map = hf_maps_at(m->mem.maps, i);
		if (map->inode != file->number)
			continue;
		n_pieces++;
		if (map->offset == 0 && !first)
			first = map;
	}
	uint64_t size = SELFMAG;
	const uint8_t *magic = first ? hf_core_at(m->core, first->start, &size) : NULL;
	file->elf = magic ? size == SELFMAG && memcmp(magic, ELFMAG, SELFMAG) == 0 : n_pieces > 1;
	enum hf_mem_core_file best = HF_CORE_FILE_MISSING;
	for (int below = !!*root_dir; below >= 0 && !file->data; below--) {
		int fd = below ? hf_sys_open_below(root_dir, file->path)
			       : open(file->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
		file->state = HF_CORE_FILE_MISSING;
		if (fd >= 0)
			try_file(m, file, fd, first);
		best = file->state == HF_CORE_FILE_MISSING ? best : file->state;
	}
	file->state = best;
}

static bool open_files(struct mem_core *m, const char *root_dir)
{
	uint64_t seen = 0;
	for (size_t i = 0; i < hf_maps_count(m->mem.maps); i++) {
		const struct hf_map *map = hf_maps_at(m->mem.maps, i);
		bool known = !map->inode || map->inode == seen;
		for (size_t k = 0; !known && k < m->files.n; k++)
			known = ((struct file *)hf_vec_at(&m->files, k))->number == map->inode;
		seen = map->inode;
		if (known || map->path[0] != '/')
			continue;
		struct file *file = hf_vec_push(&m->files);
		if (!file)
			return false;
		*file = (struct file){.path = map->path, .number = map->inode};
		open_file(m, file, root_dir);
	}
	return true;
}

void hf_mem_core_each_file(struct hf_mem *mem,
	void (*fn)(void *ctx, const char *path, enum hf_mem_core_file state), void *ctx)
{
	struct mem_core *m = (struct mem_core *)mem;
	for (size_t i = 0; i < m->files.n; i++) {
		const struct file *file = hf_vec_at(&m->files, i);
		if (file->elf)
			fn(ctx, file->path, file->state);
	}
}

/* Pages that the core leaves out on purpose: read-only ones of a file. What it should have had but
 * was cut off is not replaced. */
static const uint8_t *in_file(struct mem_core *m, uint64_t addr, uint64_t *size)
{
	const struct hf_map *map = hf_maps_find(m->mem.maps, addr);
	if (!map || !map->inode || (map->perms & HF_PERM_W))
		return NULL;
	size_t i = hf_core_segment_lower(m->core, addr);
	const struct hf_core_segment *s =
		i < m->core->segments.n ? hf_core_segment_at(m->core, i) : NULL;
	if (s && addr >= s->start && addr - s->start < s->dumped)
		return NULL;
	for (size_t k = 0; k < m->files.n; k++) {
		const struct file *file = hf_vec_at(&m->files, k);
		uint64_t offset = map->offset + (addr - map->start);
		if (file->number != map->inode)
			continue;
		if (!file->data || offset >= file->size)
			return NULL;
		uint64_t left = map->end - addr, in_file_left = file->size - offset;
		left = left < in_file_left ? left : in_file_left;
		*size = *size < left ? *size : left;
		return file->data + offset;
	}
	return NULL;
}

/* The interface. */

static enum hf_status core_read(
	struct hf_mem *mem, uint64_t addr, void *buf, size_t size, struct hf_err *err)
{
	struct mem_core *m = (struct mem_core *)mem;
	uint8_t *out = buf;
	uint64_t at = addr;
	while (size) {
		uint64_t n = size;
		const uint8_t *p = hf_core_at(m->core, at, &n);
		if (!p)
			p = in_file(m, at, &n);
		if (!p) {
			if (err)
				err->at = at;
			return hf_err_set(err, HF_E_CORRUPT,
				"no %zu readable bytes at 0x%lx: the core does not have them", size,
				at);
		}
		memcpy(out, p, n);
		out += n;
		at += n;
		size -= n;
	}
	return HF_OK;
}

/* End of the run from offset, up to limit, that is all data (true) or all hole (false): pages that
 * were never touched are holes of the file, where its writer and file system care. */
static uint64_t run_end(const struct hf_core *core, uint64_t offset, uint64_t limit, bool *ret_data)
{
	*ret_data = true;
	if (limit - offset < SEEK_MIN)
		return limit;
	off_t data = hf_syscall3(SYS_lseek, core->fd, offset, SEEK_DATA);
	if (data < 0) {
		*ret_data = data != -ENXIO;
		return limit;
	}
	*ret_data = (uint64_t)data < offset + HF_PAGE;
	off_t end = *ret_data ? hf_syscall3(SYS_lseek, core->fd, offset, SEEK_HOLE) : data;
	/* A page is whole: one that is data in part is data. */
	uint64_t pages = end < 0 ? limit : offset + hf_align_up((uint64_t)end - offset, HF_PAGE);
	if (!*ret_data)
		pages = offset + hf_align_down((uint64_t)end - offset, HF_PAGE);
	return pages < limit && pages > offset ? pages : limit;
}

static void core_window(struct hf_reader *r, uint64_t addr)
{
	const struct hf_core *core = ((struct mem_core *)r->mem)->core;
	size_t i = hf_core_segment_lower(core, addr);
	const struct hf_core_segment *s = i < core->segments.n ? hf_core_segment_at(core, i) : NULL;
	if (!s || addr < s->start) {
		r->win = (struct hf_window){addr, s ? s->start : HF_MEM_TOP, NULL};
		return;
	}
	uint64_t page = hf_align_down(addr, HF_PAGE), at = page - s->start;
	if (addr - s->start >= s->available || !(s->perms & HF_PERM_R)) {
		r->win = (struct hf_window){addr, s->end, NULL};
		return;
	}
	bool data;
	uint64_t end = run_end(core, s->offset + at, s->offset + s->available, &data);
	r->win = (struct hf_window){
		page, page + (end - s->offset - at), data ? core->data + s->offset + at : NULL};
}

static void core_destroy(struct hf_mem *mem)
{
	struct mem_core *m = (struct mem_core *)mem;
	for (size_t i = 0; i < m->files.n; i++) {
		struct file *file = hf_vec_at(&m->files, i);
		if (file->data)
			munmap((void *)file->data, file->size);
	}
	hf_vec_deinit(&m->files);
}

/* Only the list of files changes, and that not after the start. */
static struct hf_mem *core_twin(struct hf_mem *mem)
{
	return mem;
}

static const struct hf_mem_ops core_ops = {core_read, core_window, core_destroy, core_twin};

enum hf_status hf_mem_core(const struct hf_core *core, const struct hf_maps *maps,
	const char *root_dir, struct hf_pool *pool, struct hf_mem **ret, struct hf_err *err)
{
	struct mem_core *m = hf_pool_alloc(pool, sizeof(*m));
	if (!m)
		return hf_err_set(err, HF_E_NOMEM, "no memory to read with");
	m->mem = (struct hf_mem){&core_ops, maps};
	m->core = core;
	hf_vec_init(&m->files, sizeof(struct file));
	if (!open_files(m, root_dir)) {
		core_destroy(&m->mem);
		return hf_err_set(err, HF_E_NOMEM, "no memory for the list of files");
	}
	*ret = &m->mem;
	return HF_OK;
}
