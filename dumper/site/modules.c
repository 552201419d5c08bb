#include "site/modules.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>

#include "base/fmt.h"
#include "base/page_alloc.h"
#include "base/sys.h"
#include "site/loaded.h"

enum { MAX_PHDRS = 64 };

static int (*find_object)(void *address, struct hf_loaded *ret);
static int names_lock; /* of the remembered modules; taken only when one is added */

bool hf_modules_init(bool own_table)
{
	if (!find_object && !own_table)
		*(void **)&find_object = dlsym(RTLD_DEFAULT, "_dl_find_object");
	if (!find_object && hf_loaded_init())
		find_object = hf_loaded_find;
	return find_object != NULL;
}

void hf_modules_changed(void)
{
	hf_loaded_changed();
}

static const Elf64_Phdr *program_headers(const struct hf_loaded *f, uint32_t *ret_n)
{
	const Elf64_Ehdr *eh = f->map_start;
	uint64_t size = (uint64_t)((char *)f->map_end - (char *)f->map_start);
	if (size < sizeof(*eh) || memcmp(eh->e_ident, ELFMAG, SELFMAG) ||
		eh->e_ident[EI_CLASS] != ELFCLASS64 || eh->e_phentsize != sizeof(Elf64_Phdr) ||
		eh->e_phnum > MAX_PHDRS || eh->e_phoff > HF_PAGE - eh->e_phnum * sizeof(Elf64_Phdr))
		return NULL;
	*ret_n = eh->e_phnum;
	return (const Elf64_Phdr *)((const char *)eh + eh->e_phoff);
}

static void read_build_id(struct hf_site_module *m, uint64_t addr, uint64_t size)
{
	const char *notes = (const char *)addr;
	for (uint64_t at = 0; at + sizeof(Elf64_Nhdr) <= size;) {
		Elf64_Nhdr note;
		memcpy(&note, notes + at, sizeof(note));
		uint64_t name = at + sizeof(note);
		uint64_t desc = name + (((uint64_t)note.n_namesz + 3) & ~3ull);
		uint64_t next = desc + (((uint64_t)note.n_descsz + 3) & ~3ull);
		if (next > size)
			return;
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
			memcmp(notes + name, "GNU", 4) == 0 &&
			note.n_descsz <= sizeof(m->build_id)) {
			memcpy(m->build_id, notes + desc, note.n_descsz);
			m->build_id_size = note.n_descsz;
			return;
		}
		at = next;
	}
}

/* The bytes at `vaddr` are mapped for reading. What a tool cut out of a program may have left its
   program header behind, with an address where nothing is. */
static bool is_loaded(const Elf64_Phdr *ph, uint32_t n, uint64_t vaddr, uint64_t size)
{
	for (uint32_t i = 0; i < n; i++) {
		if (ph[i].p_type == PT_LOAD && (ph[i].p_flags & PF_R) && vaddr >= ph[i].p_vaddr &&
			size <= ph[i].p_filesz && vaddr - ph[i].p_vaddr <= ph[i].p_filesz - size)
			return true;
	}
	return false;
}

static void read_path(struct hf_site_module *m, const struct link_map *map)
{
	if (map && map->l_name && *map->l_name) {
		hf_fmt(m->path, sizeof(m->path), "%s", map->l_name);
		return;
	}
	long n = hf_syscall4(
		SYS_readlinkat, AT_FDCWD, "/proc/self/exe", m->path, sizeof(m->path) - 1);
	m->path[n > 0 ? n : 0] = 0;
}

static bool describe(struct hf_site_module *m, const struct hf_loaded *f, uint64_t pc)
{
	uint32_t n = 0;
	const Elf64_Phdr *ph = program_headers(f, &n);
	uint64_t bias = f->link_map ? f->link_map->l_addr : 0;
	bool found = false;
	*m = (struct hf_site_module){0};
	for (uint32_t i = 0; ph && i < n; i++) {
		uint64_t start = bias + ph[i].p_vaddr, page = ph[i].p_vaddr % HF_PAGE;
		if (ph[i].p_type == PT_LOAD && (ph[i].p_flags & PF_X) && pc >= start &&
			pc - start < ph[i].p_memsz) {
			m->start = start - page;
			m->end = start + ph[i].p_memsz;
			m->file_offset = ph[i].p_offset - page;
			found = true;
		} else if (ph[i].p_type == PT_NOTE && !m->build_id_size &&
			   is_loaded(ph, n, ph[i].p_vaddr, ph[i].p_filesz)) {
			read_build_id(m, start, ph[i].p_filesz);
		}
	}
	read_path(m, f->link_map);
	return found;
}

int hf_modules_find(const struct hf_site_store *s, uint64_t pc)
{
	uint32_t n = __atomic_load_n(&s->n_modules, __ATOMIC_ACQUIRE);
	for (uint32_t i = n < HF_SITE_MAX_MODULES ? n : HF_SITE_MAX_MODULES; i-- > 0;) {
		if (pc >= s->modules[i].start && pc < s->modules[i].end)
			return (int)i;
	}
	return -1;
}

/* Whoever finds the lock taken leaves it: the module is met again with the next new address. */
static void remember(struct hf_site_store *s, const struct hf_loaded *f, uint64_t pc)
{
	struct hf_site_module m;
	if (__atomic_exchange_n(&names_lock, 1, __ATOMIC_ACQUIRE))
		return;
	int known = hf_modules_find(s, pc);
	if (s->n_modules < HF_SITE_MAX_MODULES &&
		hf_store_room(
			s, HF_SITE_PART_MODULES, (s->n_modules + 1) * sizeof(s->modules[0])) &&
		describe(&m, f, pc)) {
		const struct hf_site_module *old = known >= 0 ? &s->modules[known] : NULL;
		if (!old || strcmp(old->path, m.path) || old->start != m.start ||
			old->build_id_size != m.build_id_size ||
			memcmp(old->build_id, m.build_id, m.build_id_size)) {
			s->modules[s->n_modules] = m;
			__atomic_store_n(&s->n_modules, s->n_modules + 1, __ATOMIC_RELEASE);
		}
	}
	__atomic_store_n(&names_lock, 0, __ATOMIC_RELEASE);
}

void hf_modules_forked(void)
{
	__atomic_store_n(&names_lock, 0, __ATOMIC_RELEASE);
	hf_loaded_forked();
}

/* The readable segment that holds the table: reads of it stay there. */
static bool segment_of(const struct hf_loaded *f, struct hf_cfi_table *ret)
{
	uint32_t n = 0;
	const Elf64_Phdr *ph = program_headers(f, &n);
	uint64_t bias = f->link_map ? f->link_map->l_addr : 0, at = (uint64_t)f->eh_frame;
	for (uint32_t i = 0; ph && i < n; i++) {
		uint64_t start = bias + ph[i].p_vaddr;
		if (ph[i].p_type == PT_LOAD && (ph[i].p_flags & PF_R) && at >= start &&
			at - start < ph[i].p_filesz) {
			ret->start = (const uint8_t *)start;
			ret->end = ret->start + ph[i].p_filesz;
			ret->header = f->eh_frame;
			return true;
		}
	}
	return false;
}

bool hf_modules_table(struct hf_site_store *s, uint64_t pc, struct hf_cfi_table *ret)
{
	struct hf_loaded f = {0};
	if (!find_object || find_object((void *)pc, &f) != 0)
		return false;
	if (s)
		remember(s, &f, pc);
	return f.eh_frame && segment_of(&f, ret);
}

bool hf_modules_same(const void *a, const void *b)
{
	struct hf_loaded x = {0}, y = {0};
	return hf_modules_init(false) && find_object((void *)(uintptr_t)a, &x) == 0 &&
	       find_object((void *)(uintptr_t)b, &y) == 0 && x.map_start == y.map_start;
}
