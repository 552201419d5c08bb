#include "source/dump/file.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/crc32c.h"
#include "base/sys.h"
#include "source/dump/dump.h"

enum { MAX_HEADER = 64 << 10 };

/* What else people give us by mistake, and what to do with it. */
static const struct foreign {
	const char *magic;
	uint8_t size;
	const char *advice;
} foreign[] = {
	{"SQLite format 3", 16, "a SQLite database: use it directly as INPUT"},
	{"\177ELF", 4, "an ELF file: dump a core file with `holdfast dump --core CORE -o FILE`"},
	{"go1.", 4, "a Go heap dump"},
	{"\037\213", 2, "gzip data: give a heap profile with --profile"},
	{"heap profile:", 13, "a gperftools heap profile: give it with --profile"},
	{"heap_v2/", 8, "a jemalloc heap profile: give it with --profile"},
	{"JAVA PROFILE", 12, "a Java heap dump"},
	{HF_FORMAT_TAIL_MAGIC, 8, "the end of a dump"},
};

static enum hf_status not_a_dump(
	const char *path, const uint8_t *bytes, size_t size, struct hf_err *err)
{
	if (!size)
		return hf_err_set(err, HF_E_CORRUPT, "%s: empty, not a Holdfast dump", path);
	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
		if (size >= foreign[i].size && !memcmp(bytes, foreign[i].magic, foreign[i].size))
			return hf_err_set(err, HF_E_UNSUPPORTED, "%s: not a Holdfast dump (%s)",
				path, foreign[i].advice);
	}
	if (size < 8 && !memcmp(bytes, HF_FORMAT_MAGIC, size))
		return hf_err_set(err, HF_E_CORRUPT,
			"%s: a Holdfast dump that was cut off after %zu bytes", path, size);
	return hf_err_set(err, HF_E_UNSUPPORTED, "%s: not a Holdfast dump", path);
}

static bool header_crc_ok(const struct dump_file *file)
{
	const struct hf_file_header *header = &file->header;
	struct hf_file_header copy = *header;
	copy.crc = 0;
	uint32_t crc = hf_crc32c(0, &copy, sizeof(copy));
	uint8_t more[1024];
	for (uint64_t at = sizeof(copy); at < header->header_size;) {
		size_t n = header->header_size - at < sizeof(more) ? header->header_size - at
								   : sizeof(more);
		if (!dump_file_read(file, at, more, n))
			return false;
		crc = hf_crc32c(crc, more, n);
		at += n;
	}
	return crc == header->crc;
}

/* Versions and features. A header whose checksum differs may still lead to sound blocks. */
static enum hf_status check_header(struct dump_file *file, struct hf_err *err)
{
	const struct hf_file_header *header = &file->header;
	if (!header->major || header->major > HF_FORMAT_MAJOR)
		return hf_err_set(err, HF_E_UNSUPPORTED,
			"%s: dump format %u.%u, but this holdfast (" HF_VERSION
			") reads formats up to %d.x: use a newer holdfast, or dump again with this "
			"one",
			file->name, header->major, header->minor, HF_FORMAT_MAJOR);
	if (header->header_size < sizeof(*header) || header->header_size > MAX_HEADER ||
		header->header_size > file->size)
		return hf_err_set(err, HF_E_CORRUPT, "%s: its header is damaged (size %u)",
			file->name, header->header_size);
	file->header_damaged = !file->ignore_checksums && !header_crc_ok(file);
	bool ours = header->byte_order == HF_FORMAT_LITTLE_ENDIAN && header->pointer_size == 8 &&
		    !header->incompatible;
	if (file->header_damaged && !ours)
		return hf_err_set(
			err, HF_E_CORRUPT, "%s: its header is damaged (checksum)", file->name);
	if (!ours)
		return hf_err_set(err, HF_E_UNSUPPORTED,
			"%s: of a kind that this holdfast (" HF_VERSION ", dump format %d.%d) "
			"cannot read (format %u.%u, byte order %u, pointer size %u, features 0x%x):"
			" use a newer holdfast",
			file->name, HF_FORMAT_MAJOR, HF_FORMAT_MINOR, header->major, header->minor,
			header->byte_order, header->pointer_size, header->incompatible);
	if (!file->header_damaged && (header->reserved0 || header->reserved1 || header->reserved2))
		return hf_err_set(err, HF_E_CORRUPT,
			"%s: its header is damaged (reserved fields are not zero)", file->name);
	return HF_OK;
}

static void read_tail(struct dump_file *file)
{
	struct hf_file_tail tail;
	file->blocks_end = file->size;
	uint64_t least = (uint64_t)file->header.header_size + sizeof(tail);
	if (file->size < least ||
		!dump_file_read(file, file->size - sizeof(tail), &tail, sizeof(tail)))
		return;
	uint32_t crc = tail.crc;
	tail.crc = 0;
	bool sound = crc == hf_crc32c(0, &tail, sizeof(tail)) || file->ignore_checksums;
	if (memcmp(tail.magic, HF_FORMAT_TAIL_MAGIC, 8) || tail.reserved || !sound)
		return;
	file->has_tail = true;
	file->blocks_end = file->size - sizeof(tail);
	file->index_offset = tail.index_offset;
}

/* Only regular files are opened: opening a pipe waits for a writer, a device may do anything. */
static enum hf_status open_regular(struct dump_file *file, struct hf_err *err)
{
	struct stat st;
	if (stat(file->name, &st) < 0)
		return hf_err_sys(err, HF_E_NOTFOUND, errno, "cannot open %s", file->name);
	if (!S_ISREG(st.st_mode))
		return hf_err_set(err, HF_E_UNSUPPORTED, "%s: %s, not a dump file", file->name,
			S_ISDIR(st.st_mode) ? "a directory" : "not a regular file");
	file->fd = hf_sys_open_read(file->name);
	if (file->fd < 0)
		return hf_err_sys(err, HF_E_NOTFOUND, -file->fd, "cannot open %s", file->name);
	if (fstat(file->fd, &st) < 0)
		return hf_err_sys(err, HF_E_NOTFOUND, errno, "cannot read %s", file->name);
	file->size = (uint64_t)st.st_size;
	return HF_OK;
}

enum hf_status dump_file_open(
	struct dump_file *file, const char *path, bool ignore_checksums, struct hf_err *err)
{
	*file = (struct dump_file){.fd = -1, .name = path, .ignore_checksums = ignore_checksums};
	enum hf_status status = open_regular(file, err);
	if (status != HF_OK)
		return status;
	size_t size = file->size < sizeof(file->header) ? file->size : sizeof(file->header);
	if (!dump_file_read(file, 0, &file->header, size))
		return hf_err_set(err, HF_E_IO, "%s: cannot be read", path);
	if (size < 8 || memcmp(file->header.magic, HF_FORMAT_MAGIC, 8))
		return not_a_dump(path, (const uint8_t *)&file->header, size, err);
	if (size < sizeof(file->header))
		return hf_err_set(err, HF_E_CORRUPT,
			"%s: a Holdfast dump that was cut off after %zu bytes", path, size);
	status = check_header(file, err);
	if (status == HF_OK)
		read_tail(file);
	return status;
}

void dump_file_close(struct dump_file *file)
{
	if (file->fd >= 0)
		hf_sys_close(file->fd);
	file->fd = -1;
}

bool dump_file_read(const struct dump_file *file, uint64_t offset, void *buf, size_t size)
{
	return hf_sys_pread_full(file->fd, buf, size, offset) == (int64_t)size;
}

bool hf_dump_is_dump(const char *path)
{
	char magic[8] = {0};
	struct dump_file file = {.fd = -1, .name = path};
	if (open_regular(&file, NULL) == HF_OK)
		dump_file_read(&file, 0, magic, sizeof(magic));
	dump_file_close(&file);
	return !memcmp(magic, HF_FORMAT_MAGIC, sizeof(magic));
}
