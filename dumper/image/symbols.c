#include "image/symbols.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/checked.h"
#include "base/fmt.h"
#include "base/sys.h"

/* A struct of size bytes at offset of the file, or NULL. */
static const void *at(const struct hf_symbols *s, uint64_t offset, uint64_t size)
{
	return hf_in_range(offset, size, 0, s->file_size) ? s->file + offset : NULL;
}

static bool use_section(struct hf_symbols *s, const Elf64_Ehdr *eh, uint32_t type)
{
	for (uint32_t i = 0; i < eh->e_shnum; i++) {
		Elf64_Shdr sh, str;
		const void *p = at(s, eh->e_shoff + (uint64_t)i * sizeof(sh), sizeof(sh));
		if (!p)
			return false;
		memcpy(&sh, p, sizeof(sh));
		if (sh.sh_type != type || sh.sh_entsize != sizeof(Elf64_Sym) ||
			sh.sh_link >= eh->e_shnum)
			continue;
		p = at(s, eh->e_shoff + (uint64_t)sh.sh_link * sizeof(str), sizeof(str));
		if (!p)
			return false;
		memcpy(&str, p, sizeof(str));
		if (!at(s, sh.sh_offset, sh.sh_size) || !at(s, str.sh_offset, str.sh_size) ||
			!str.sh_size || s->file[str.sh_offset + str.sh_size - 1] != 0)
			continue;
		s->table = sh.sh_offset;
		s->n = sh.sh_size / sizeof(Elf64_Sym);
		s->strings = str.sh_offset;
		s->strings_size = str.sh_size;
		s->full = type == SHT_SYMTAB;
		return true;
	}
	return false;
}

static bool id_in_notes(const struct hf_symbols *s, const Elf64_Phdr *ph, struct hf_build_id *ret)
{
	const void *notes = at(s, ph->p_offset, ph->p_filesz);
	return notes && hf_build_id_of_notes(notes, ph->p_filesz, ret);
}

/* The file that was mapped? By build id; without one by its inode, which is a mere number where a
 * core file was read. (Overlay file systems show another device in maps than in stat.) */
static bool is_same(const struct hf_symbols *s, const struct hf_image *image, uint64_t inode)
{
	Elf64_Ehdr eh;
	Elf64_Phdr ph;
	struct hf_build_id id;
	memcpy(&eh, s->file, sizeof(eh));
	for (uint32_t i = 0; image->build_id_size && i < eh.e_phnum; i++) {
		const void *p = at(s, eh.e_phoff + (uint64_t)i * sizeof(ph), sizeof(ph));
		if (!p || eh.e_phentsize != sizeof(ph))
			return false;
		memcpy(&ph, p, sizeof(ph));
		if (ph.p_type == PT_NOTE && id_in_notes(s, &ph, &id))
			return id.size == image->build_id_size &&
			       memcmp(id.bytes, image->build_id, id.size) == 0;
	}
	return !image->build_id_size && (image->dev == HF_DEV_NONE || inode == image->inode);
}

static enum hf_status map_file(
	struct hf_symbols *s, int fd, const struct hf_image *image, struct hf_err *err)
{
	struct stat st;
	long rc = hf_syscall2(SYS_fstat, fd, &st);
	if (rc < 0)
		return hf_err_sys(err, HF_E_IO, (int)-rc, "%s: cannot stat", image->path);
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size < sizeof(Elf64_Ehdr))
		return hf_err_set(err, HF_E_NOTFOUND, "%s: too short", image->path);
	rc = hf_syscall6(SYS_mmap, 0, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (rc < 0 && rc > -4096)
		return hf_err_sys(err, HF_E_NOMEM, (int)-rc, "%s: cannot map", image->path);
	s->file = (const uint8_t *)rc;
	s->file_size = (uint64_t)st.st_size;
	if (!is_same(s, image, (uint64_t)st.st_ino)) {
		hf_symbols_close(s);
		return hf_err_set(
			err, HF_E_NOTFOUND, "%s: replaced since it was mapped", image->path);
	}
	return HF_OK;
}

enum { OPEN_FLAGS = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK };

enum place { PLACE_MAPPED, PLACE_BELOW_ROOT, PLACE_OURS, N_PLACES };

static int open_at(
	enum place place, const struct hf_image *image, const struct hf_image_files *files)
{
	char path[4096];
	bool has_root = files->root_dir && *files->root_dir;
	switch (place) {
	case PLACE_MAPPED:
		if (!files->proc_dir)
			return -ENOENT;
		hf_fmt(path, sizeof(path), "%s/map_files/%lx-%lx", files->proc_dir, image->base,
			image->head_end);
		break;
	case PLACE_BELOW_ROOT:
		return has_root && !image->deleted ? hf_sys_open_below(files->root_dir, image->path)
						   : -ENOENT;
	case PLACE_OURS:
		if (image->deleted)
			return -ENOENT;
		hf_fmt(path, sizeof(path), "%s", image->path);
		break;
	default:
		return -EINVAL;
	}
	return (int)hf_syscall4(SYS_openat, AT_FDCWD, path, OPEN_FLAGS, 0);
}

enum hf_status hf_symbols_open(struct hf_symbols *s, const struct hf_image *image,
	const struct hf_image_files *files, struct hf_err *err)
{
	*s = (struct hf_symbols){0};
	enum hf_status status =
		hf_err_set(err, HF_E_NOTFOUND, "%s: cannot be opened for symbols", image->path);
	for (enum place place = 0; status && !image->silent && place < N_PLACES; place++) {
		int fd = open_at(place, image, files);
		if (fd < 0)
			continue;
		status = map_file(s, fd, image, err);
		hf_sys_close(fd);
	}
	if (status)
		return status;
	Elf64_Ehdr eh;
	memcpy(&eh, s->file, sizeof(eh));
	if (memcmp(eh.e_ident, ELFMAG, SELFMAG) || eh.e_ident[EI_CLASS] != ELFCLASS64 ||
		eh.e_shentsize != sizeof(Elf64_Shdr) || eh.e_shoff > s->file_size ||
		(!use_section(s, &eh, SHT_SYMTAB) && !use_section(s, &eh, SHT_DYNSYM))) {
		hf_symbols_close(s);
		return hf_err_set(err, HF_E_NOTFOUND, "%s: no symbols", image->path);
	}
	return HF_OK;
}

void hf_symbols_close(struct hf_symbols *s)
{
	if (s->file)
		hf_syscall2(SYS_munmap, s->file, s->file_size);
	*s = (struct hf_symbols){0};
}

bool hf_symbols_get(
	const struct hf_symbols *s, const struct hf_image *image, uint64_t i, struct hf_symbol *ret)
{
	Elf64_Sym sym;
	if (i >= s->n)
		return false;
	memcpy(&sym, s->file + s->table + i * sizeof(sym), sizeof(sym));
	unsigned type = ELF64_ST_TYPE(sym.st_info), binding = ELF64_ST_BIND(sym.st_info);
	if ((type != STT_OBJECT && type != STT_COMMON && type != STT_TLS) ||
		sym.st_shndx == SHN_UNDEF || sym.st_shndx == SHN_ABS || !sym.st_size ||
		sym.st_name >= s->strings_size)
		return false;
	const char *name = (const char *)s->file + s->strings + sym.st_name;
	size_t left = s->strings_size - sym.st_name;
	size_t length = strnlen(name, left < HF_SYMBOL_NAME_MAX ? left : HF_SYMBOL_NAME_MAX);
	if (!length || length == left || length == HF_SYMBOL_NAME_MAX)
		return false;
	*ret = (struct hf_symbol){
		.addr = type == STT_TLS ? sym.st_value : image->bias + sym.st_value,
		.size = sym.st_size,
		.name = name,
		.tls = type == STT_TLS,
		.local = binding == STB_LOCAL,
	};
	return true;
}
