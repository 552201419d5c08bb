#include "memory/core_file.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/cursor.h"
#include "base/fmt.h"

enum {
	MAX_MAPPED = 1 << 17,
	/* struct elf_prstatus, elf_prpsinfo, siginfo: offsets and sizes */
	PRSTATUS_CURSIG = 12,
	PRSTATUS_PID = 32,
	PRSTATUS_REG = 112,
	PRSTATUS_SIZE = 112 + 27 * 8,
	PRPSINFO_UID = 16,
	PRPSINFO_PID = 24,
	PRPSINFO_FNAME = 40,
	PRPSINFO_SIZE = 136,
	SIGINFO_SIZE = 128,
};

static uint32_t u32_at(const uint8_t *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof(v));
	return v;
}

static uint64_t u64_at(const uint8_t *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
	return v;
}

/* The file. */

static enum hf_status check_compressed(const uint8_t *p, const char *path, struct hf_err *err)
{
	static const struct {
		const char *magic, *with;
		size_t size;
	} kinds[] = {{"\x1f\x8b", "gunzip", 2}, {"\x28\xb5\x2f\xfd", "unzstd", 4},
		{"\xfd"
		 "7zXZ",
			"unxz", 5},
		{"\x04\x22\x4d\x18", "unlz4", 4}};
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (memcmp(p, kinds[i].magic, kinds[i].size) == 0)
			return hf_err_set(err, HF_E_UNSUPPORTED,
				"%s is compressed: %s it first (coredumpctl dump does that)", path,
				kinds[i].with);
	}
	return hf_err_set(err, HF_E_CORRUPT, "%s is not an ELF core file", path);
}

static enum hf_status map_file(struct hf_core *core, const char *path, struct hf_err *err)
{
	struct stat st;
	core->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (core->fd < 0)
		return hf_err_sys(err,
			errno == ENOENT                     ? HF_E_NOTFOUND
			: errno == EACCES || errno == EPERM ? HF_E_PERM
							    : HF_E_IO,
			errno, "cannot open %s", path);
	if (fstat(core->fd, &st))
		return hf_err_sys(err, HF_E_IO, errno, "cannot stat %s", path);
	if (!S_ISREG(st.st_mode))
		return hf_err_set(err, HF_E_CORRUPT, "%s is not a regular file", path);
	if ((uint64_t)st.st_size < sizeof(Elf64_Ehdr))
		return hf_err_set(err, HF_E_CORRUPT, "%s is too short for a core file (%lu bytes)",
			path, (uint64_t)st.st_size);
	void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, core->fd, 0);
	if (data == MAP_FAILED)
		return hf_err_sys(err, HF_E_NOMEM, errno, "cannot map %s", path);
	core->data = data;
	core->size = (uint64_t)st.st_size;
	core->time_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec;
	return HF_OK;
}

static enum hf_status check_header(
	const struct hf_core *core, const char *path, Elf64_Ehdr *ret, struct hf_err *err)
{
	memcpy(ret, core->data, sizeof(*ret));
	if (memcmp(ret->e_ident, ELFMAG, SELFMAG))
		return check_compressed(core->data, path, err);
	if (ret->e_type != ET_CORE)
		return hf_err_set(err, HF_E_CORRUPT,
			"%s is an ELF file, but not a core file (type %u)", path, ret->e_type);
	if (ret->e_ident[EI_CLASS] != ELFCLASS64 || ret->e_ident[EI_DATA] != ELFDATA2LSB ||
		ret->e_machine != EM_X86_64)
		return hf_err_set(err, HF_E_UNSUPPORTED,
			"%s: a core of another machine (%u); this version reads x86-64 only", path,
			ret->e_machine);
	return HF_OK;
}

/* Segments. */

static bool add_segment(struct hf_core *core, const Elf64_Phdr *ph)
{
	uint64_t end;
	if (!ph->p_memsz)
		return true;
	if (!hf_add_u64(ph->p_vaddr, ph->p_memsz, &end) || ph->p_filesz > ph->p_memsz ||
		ph->p_vaddr % HF_PAGE || end > ~(uint64_t)0xfff) {
		core->dropped++;
		return true;
	}
	uint64_t left = ph->p_offset < core->size ? core->size - ph->p_offset : 0;
	uint64_t available = ph->p_filesz < left ? ph->p_filesz : left;
	core->missing += ph->p_filesz - available;
	struct hf_core_segment *slot = hf_vec_push(&core->segments);
	if (slot)
		*slot = (struct hf_core_segment){ph->p_vaddr, end, ph->p_offset, ph->p_filesz,
			available,
			(ph->p_flags & PF_R ? HF_PERM_R : 0) |
				(ph->p_flags & PF_W ? HF_PERM_W : 0) |
				(ph->p_flags & PF_X ? HF_PERM_X : 0)};
	return slot != NULL;
}

static int by_segment(const void *a, const void *b)
{
	const struct hf_core_segment *x = a, *y = b;
	return (x->start > y->start) - (x->start < y->start);
}

static int by_mapped(const void *a, const void *b)
{
	const struct hf_core_mapped *x = a, *y = b;
	return (x->start > y->start) - (x->start < y->start);
}

static void sort_segments(struct hf_core *core)
{
	hf_sort(core->segments.data, core->segments.n, core->segments.elem, by_segment);
	size_t n = 0;
	for (size_t i = 0; i < core->segments.n; i++) {
		struct hf_core_segment *s = hf_core_segment_at(core, i);
		if (n && s->start < hf_core_segment_at(core, n - 1)->end) {
			core->dropped++;
			continue;
		}
		*hf_core_segment_at(core, n++) = *s;
	}
	core->segments.n = n;
}

size_t hf_core_segment_lower(const struct hf_core *core, uint64_t addr)
{
	size_t lo = 0, hi = core->segments.n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (hf_core_segment_at(core, mid)->end > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

const uint8_t *hf_core_at(const struct hf_core *core, uint64_t addr, uint64_t *size)
{
	size_t i = hf_core_segment_lower(core, addr);
	const struct hf_core_segment *s = i < core->segments.n ? hf_core_segment_at(core, i) : NULL;
	if (!s || addr < s->start || addr - s->start >= s->available)
		return NULL;
	uint64_t left = s->available - (addr - s->start);
	*size = *size < left ? *size : left;
	return core->data + s->offset + (addr - s->start);
}

/* Notes. */

static bool note_prstatus(struct hf_core *core, const uint8_t *desc, uint32_t size)
{
	if (size < PRSTATUS_SIZE || core->threads.n >= HF_CORE_MAX_THREADS) {
		core->dropped++;
		return true;
	}
	struct hf_core_thread *t = hf_vec_push(&core->threads);
	if (!t)
		return false;
	*t = (struct hf_core_thread){
		.tid = (int)u32_at(desc + PRSTATUS_PID), .regs = desc + PRSTATUS_REG};
	if (core->threads.n == 1)
		core->signal = (int)(u32_at(desc + PRSTATUS_CURSIG) & 0xffff);
	return true;
}

static void note_xstate(struct hf_core *core, const uint8_t *desc, uint32_t size)
{
	if (!core->threads.n)
		return;
	struct hf_core_thread *t = hf_vec_at(&core->threads, core->threads.n - 1);
	t->xsave = desc;
	t->xsave_size = size < HF_CORE_XSAVE_MAX ? size : HF_CORE_XSAVE_MAX;
}

static void note_prpsinfo(struct hf_core *core, const uint8_t *desc, uint32_t size)
{
	if (size < PRPSINFO_SIZE) {
		core->dropped++;
		return;
	}
	core->uid = u32_at(desc + PRPSINFO_UID);
	core->pid = (int)u32_at(desc + PRPSINFO_PID);
	core->ppid = (int)u32_at(desc + PRPSINFO_PID + 4);
	hf_fmt(core->program, sizeof(core->program), "%.*s",
		(int)strnlen((const char *)desc + PRPSINFO_FNAME, 16),
		(const char *)desc + PRPSINFO_FNAME);
}

static void note_auxv(struct hf_core *core, const uint8_t *desc, uint32_t size)
{
	for (uint32_t at = 0; at + 16 <= size; at += 16) {
		uint64_t value = u64_at(desc + at + 8);
		switch (u64_at(desc + at)) {
		case AT_PHDR:
			core->at_phdr = value;
			break;
		case AT_RANDOM:
			core->at_random = value;
			break;
		case AT_SYSINFO_EHDR:
			core->at_sysinfo_ehdr = value;
			break;
		}
	}
}

/* siginfo_t: number, errno, code, then what depends on them (sigaction(2)). gdb leaves out the
 * stops of its own making. */
static void note_siginfo(struct hf_core *core, const uint8_t *desc, uint32_t size)
{
	if (size < SIGINFO_SIZE) {
		core->dropped++;
		return;
	}
	int number = (int)u32_at(desc), code = (int)u32_at(desc + 8);
	if (!core->signal)
		core->signal = number;
	if (core->signal != number)
		return;
	bool fault = number == SIGSEGV || number == SIGBUS || number == SIGILL || number == SIGFPE;
	if (fault && code > 0) {
		core->fault_addr = u64_at(desc + 16);
		core->has_fault_addr = true;
	} else if (code == SI_USER || code == SI_QUEUE || code == SI_TKILL) {
		core->sender_pid = (int)u32_at(desc + 16);
	}
}

/* count, page size, count × {start, end, offset in pages}, then as many names. */
static bool note_file(
	struct hf_core *core, const uint8_t *desc, uint32_t size, struct hf_pool *pool)
{
	struct hf_cursor c = hf_cursor_make(desc, size, 0);
	uint64_t n = hf_cursor_u64(&c), page = hf_cursor_u64(&c);
	if (c.failed || n > MAX_MAPPED || n > hf_cursor_left(&c) / 24) {
		core->dropped++;
		return true;
	}
	struct hf_cursor names = hf_cursor_make(c.at + n * 24, hf_cursor_left(&c) - n * 24, 0);
	const char *last = "";
	for (uint64_t i = 0; i < n; i++) {
		struct hf_core_mapped m = {hf_cursor_u64(&c), hf_cursor_u64(&c), 0, NULL};
		uint64_t pages = hf_cursor_u64(&c);
		const char *name = (const char *)names.at;
		size_t length = strnlen(name, hf_cursor_left(&names));
		if (!hf_cursor_bytes(&names, length + 1) || !hf_mul_u64(pages, page, &m.offset) ||
			m.start >= m.end || m.end > ~(uint64_t)0xfff) {
			core->dropped++;
			return true;
		}
		m.path = strcmp(last, name) == 0 ? last : hf_pool_strndup(pool, name, length);
		struct hf_core_mapped *slot = m.path ? hf_vec_push(&core->mapped) : NULL;
		if (!slot)
			return false;
		*slot = m;
		last = m.path;
	}
	return true;
}

static bool one_note(struct hf_core *core, uint32_t type, const uint8_t *desc, uint32_t size,
	struct hf_pool *pool)
{
	switch (type) {
	case NT_PRSTATUS:
		return note_prstatus(core, desc, size);
	case NT_X86_XSTATE:
		note_xstate(core, desc, size);
		return true;
	case NT_PRPSINFO:
		note_prpsinfo(core, desc, size);
		return true;
	case NT_AUXV:
		note_auxv(core, desc, size);
		return true;
	case NT_FILE:
		return core->mapped.n ? true : note_file(core, desc, size, pool);
	case NT_SIGINFO:
		if (core->threads.n <= 1)
			note_siginfo(core, desc, size);
		return true;
	}
	return true;
}

static bool read_notes(struct hf_core *core, const Elf64_Phdr *ph, struct hf_pool *pool)
{
	uint64_t left = ph->p_offset < core->size ? core->size - ph->p_offset : 0;
	uint64_t size = ph->p_filesz < left ? ph->p_filesz : left;
	core->missing += ph->p_filesz - size;
	if (!size)
		return true;
	struct hf_cursor c = hf_cursor_make(core->data + ph->p_offset, size, ph->p_offset);
	while (hf_cursor_left(&c) >= sizeof(Elf64_Nhdr)) {
		uint32_t name_size = hf_cursor_u32(&c), desc_size = hf_cursor_u32(&c);
		uint32_t type = hf_cursor_u32(&c);
		const uint8_t *name = hf_cursor_bytes(&c, hf_align_up((uint64_t)name_size, 4));
		const uint8_t *desc = hf_cursor_bytes(&c, desc_size);
		if (!desc) {
			core->dropped++;
			break;
		}
		hf_cursor_bytes(&c, -desc_size & 3);
		bool ours = (name_size == 5 && memcmp(name, "CORE", 5) == 0) ||
			    (name_size == 6 && memcmp(name, "LINUX", 6) == 0);
		if (ours && !one_note(core, type, desc, desc_size, pool))
			return false;
	}
	return true;
}

static enum hf_status read_tables(
	struct hf_core *core, const char *path, struct hf_pool *pool, struct hf_err *err)
{
	Elf64_Ehdr eh;
	enum hf_status status = check_header(core, path, &eh, err);
	if (status)
		return status;
	uint64_t n = eh.e_phnum;
	if (n == PN_XNUM && eh.e_shoff < core->size &&
		core->size - eh.e_shoff >= sizeof(Elf64_Shdr)) {
		Elf64_Shdr sh; /* the first one holds what has no room in the header */
		memcpy(&sh, core->data + eh.e_shoff, sizeof(sh));
		n = sh.sh_info;
	}
	bool ok = true;
	for (uint64_t i = 0; ok && i < n; i++) {
		Elf64_Phdr ph;
		uint64_t at;
		if (eh.e_phentsize != sizeof(ph) || !hf_add_u64(eh.e_phoff, i * sizeof(ph), &at) ||
			at > core->size || core->size - at < sizeof(ph)) {
			core->dropped += n - i;
			break;
		}
		memcpy(&ph, core->data + at, sizeof(ph));
		if (ph.p_type == PT_LOAD)
			ok = add_segment(core, &ph);
		else if (ph.p_type == PT_NOTE)
			ok = read_notes(core, &ph, pool);
	}
	if (!ok)
		return hf_err_set(err, HF_E_NOMEM, "no memory for the tables of %s", path);
	sort_segments(core);
	if (!core->segments.n)
		return hf_err_set(err, HF_E_CORRUPT, "%s: a core file without memory", path);
	if (!core->mapped.n && !hf_core_guess_files(core, pool))
		return hf_err_set(err, HF_E_NOMEM, "no memory for the tables of %s", path);
	hf_sort(core->mapped.data, core->mapped.n, core->mapped.elem, by_mapped);
	if (!core->pid && core->threads.n)
		core->pid = ((struct hf_core_thread *)hf_vec_at(&core->threads, 0))->tid;
	return HF_OK;
}

enum hf_status hf_core_open(
	struct hf_core *core, const char *path, struct hf_pool *pool, struct hf_err *err)
{
	*core = (struct hf_core){.fd = -1};
	hf_vec_init(&core->segments, sizeof(struct hf_core_segment));
	hf_vec_init(&core->mapped, sizeof(struct hf_core_mapped));
	hf_vec_init(&core->threads, sizeof(struct hf_core_thread));
	enum hf_status status = map_file(core, path, err);
	return status ? status : read_tables(core, path, pool, err);
}

void hf_core_deinit(struct hf_core *core)
{
	if (core->data)
		munmap((void *)core->data, core->size);
	if (core->fd >= 0)
		close(core->fd);
	hf_vec_deinit(&core->segments);
	hf_vec_deinit(&core->mapped);
	hf_vec_deinit(&core->threads);
	*core = (struct hf_core){.fd = -1};
}

const char *hf_core_exe(const struct hf_core *core)
{
	for (size_t i = 0; i < core->mapped.n; i++) {
		const struct hf_core_mapped *m = hf_vec_at(&core->mapped, i);
		if (core->at_phdr >= m->start && core->at_phdr < m->end)
			return m->path;
	}
	return NULL;
}
