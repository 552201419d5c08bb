/* A dump file that is open for reading: its header, its tail, bytes at offsets. Inside source/dump
 * only. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "holdfast/format.h"

struct dump_file {
	int fd;           /* -1: closed */
	const char *name; /* the caller's, for messages */
	uint64_t size;
	struct hf_file_header header;
	bool header_damaged; /* its checksum differs: time and token are not to be trusted */
	bool has_tail;
	uint64_t index_offset; /* of the tail */
	uint64_t blocks_end;   /* offset of the tail, or of the end of the file */
	bool ignore_checksums;
};

/* Open and check header and tail. A damaged tail is no error, only absent. */
enum hf_status dump_file_open(
	struct dump_file *file, const char *path, bool ignore_checksums, struct hf_err *err);
void dump_file_close(struct dump_file *file);
/* All of size bytes at offset, or false. */
bool dump_file_read(const struct dump_file *file, uint64_t offset, void *buf, size_t size);
