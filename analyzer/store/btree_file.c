#include "store/btree_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/record.h"

/* Offsets in the database header, the first 100 bytes of the file. */
enum {
	HEADER_SIZE = 100,
	HEADER_PAGE_SIZE = 16, /* u16; 1 stands for 65536 */
	HEADER_WRITE_VERSION = 18,
	HEADER_READ_VERSION = 19, /* 2: write-ahead log */
	HEADER_RESERVED = 20,     /* bytes at the end of each page */
	HEADER_CHANGE_COUNTER = 24,
	HEADER_N_PAGES = 28,
	HEADER_AUTO_VACUUM = 52,
	HEADER_VALID_FOR = 92, /* change counter for which the page count is valid */
	BUFFER_SIZE = 1 << 20,
	WRITE_OUT = 16 << 20, /* bytes after which the kernel is told to write them to the disk */
};

static const uint32_t MAX_PAGES = 0xfffffffe;
static const uint64_t LOCK_BYTE = 1u << 30;

static enum hf_status write_at(struct hf_btree_file *file, const void *data, size_t size,
	uint64_t offset, struct hf_err *err)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = pwrite(file->fd, (const uint8_t *)data + done, size - done,
			(off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return hf_err_sys(err, HF_E_IO, n ? errno : EIO, "writing the database");
		done += (size_t)n;
	}
	return HF_OK;
}

enum hf_status hf_btree_file_init(struct hf_btree_file *file, int fd, struct hf_err *err)
{
	*file = (struct hf_btree_file){.fd = fd};
	uint8_t h[HEADER_SIZE];
	ssize_t n = pread(fd, h, sizeof(h), 0);
	if (n < 0)
		return hf_err_sys(err, HF_E_IO, errno, "reading the database");
	if (n < HEADER_SIZE || memcmp(h, "SQLite format 3", 16) != 0)
		return hf_err_set(err, HF_E_UNSUPPORTED, "not an SQLite database");
	uint32_t page_size = hf_record_get16(h + HEADER_PAGE_SIZE);
	file->page_size = page_size == 1 ? 65536 : page_size;
	file->n_pages = hf_record_get32(h + HEADER_N_PAGES);
	file->change_counter = hf_record_get32(h + HEADER_CHANGE_COUNTER);
	if (file->page_size < 512 || (file->page_size & (file->page_size - 1)) ||
		h[HEADER_READ_VERSION] != 1 || h[HEADER_WRITE_VERSION] != 1 || h[HEADER_RESERVED] ||
		hf_record_get32(h + HEADER_AUTO_VACUUM) || !file->n_pages)
		return hf_err_set(err, HF_E_UNSUPPORTED,
			"an SQLite database that pages cannot be appended to");
	file->lock_page = (uint32_t)(LOCK_BYTE / file->page_size) + 1;
	file->buffer = malloc(BUFFER_SIZE);
	if (!file->buffer)
		return hf_err_set(err, HF_E_NOMEM, "no memory");
	file->buffer_page = file->n_pages + 1;
	return HF_OK;
}

void hf_btree_file_deinit(struct hf_btree_file *file)
{
	free(file->buffer);
	file->buffer = NULL;
}

/* Let the kernel start to write what will be synced at the end. Only a hint. */
static void write_out(struct hf_btree_file *file, uint64_t end)
{
	if (end - file->written_out < WRITE_OUT)
		return;
	sync_file_range(file->fd, (off_t)file->written_out, (off_t)(end - file->written_out),
		SYNC_FILE_RANGE_WRITE);
	file->written_out = end;
}

static enum hf_status flush(struct hf_btree_file *file, struct hf_err *err)
{
	size_t size = (size_t)file->buffered * file->page_size;
	uint64_t offset = (uint64_t)(file->buffer_page - 1) * file->page_size;
	file->buffer_page += file->buffered;
	file->buffered = 0;
	if (file->progress && !file->progress(file->progress_ctx, file->n_pages))
		return hf_err_set(err, HF_E_FAILED, "cancelled");
	enum hf_status status = write_at(file, file->buffer, size, offset, err);
	write_out(file, offset + size);
	return status;
}

static enum hf_status append(struct hf_btree_file *file, const uint8_t *page, struct hf_err *err)
{
	if (file->n_pages >= MAX_PAGES)
		return hf_err_set(
			err, HF_E_FAILED, "the database would exceed SQLite's 2^32 pages");
	uint8_t *at = file->buffer + (size_t)file->buffered * file->page_size;
	if (!page)
		memset(at, 0, file->page_size);
	else if (page != at)
		memcpy(at, page, file->page_size);
	file->n_pages++;
	file->buffered++;
	if ((file->buffered + 1) * (size_t)file->page_size > BUFFER_SIZE)
		return flush(file, err);
	return HF_OK;
}

uint8_t *hf_btree_file_reserve(struct hf_btree_file *file, struct hf_err *err)
{
	if (file->n_pages + 1 == file->lock_page && append(file, NULL, err))
		return NULL;
	return file->buffer + (size_t)file->buffered * file->page_size;
}

enum hf_status hf_btree_file_append(
	struct hf_btree_file *file, const uint8_t *page, uint32_t *ret_number, struct hf_err *err)
{
	enum hf_status status = HF_OK;
	if (file->n_pages + 1 == file->lock_page)
		status = append(file, NULL, err);
	if (!status)
		status = append(file, page, err);
	if (!status)
		*ret_number = file->n_pages;
	return status;
}

enum hf_status hf_btree_file_put_root(
	struct hf_btree_file *file, uint32_t root, const uint8_t *page, struct hf_err *err)
{
	if (root < 2 || root >= file->buffer_page)
		return hf_err_set(err, HF_E_FAILED, "page %u is no table's root", root);
	return write_at(file, page, file->page_size, (uint64_t)(root - 1) * file->page_size, err);
}

enum hf_status hf_btree_file_finish(struct hf_btree_file *file, struct hf_err *err)
{
	enum hf_status status = flush(file, err);
	if (status)
		return status;
	uint8_t word[4];
	hf_record_put32(word, file->n_pages);
	status = write_at(file, word, sizeof(word), HEADER_N_PAGES, err);
	if (status)
		return status;
	hf_record_put32(word, ++file->change_counter);
	status = write_at(file, word, sizeof(word), HEADER_CHANGE_COUNTER, err);
	if (status)
		return status;
	return write_at(file, word, sizeof(word), HEADER_VALID_FOR, err);
}
