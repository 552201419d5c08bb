/*
 * An ELF core file of an x86-64 Linux process, as the kernel or gcore writes it: its memory
 * segments, threads, mapped files and the facts in its notes.
 *
 * Sources: ELF gABI; Linux fs/binfmt_elf.c (order and contents of notes), include/uapi/linux/
 * elfcore.h and arch/x86/include/asm/elf.h (struct layouts).
 *
 * Everything in the file is a stranger's: offsets and counts are checked, and a file that ends too
 * early gives what it has. Not for use inside a target. One thread.
 */
#pragma once
#include "base/err.h"
#include "memory/maps.h"

enum {
	HF_CORE_XSAVE_MAX = 4096,
	HF_CORE_MAX_THREADS = 1 << 20,
};

struct hf_core_segment {
	uint64_t start, end; /* addresses */
	uint64_t offset;     /* in the core */
	uint64_t dumped;     /* bytes from start that the core claims to have */
	uint64_t available;  /* bytes of them that are in the file */
	uint32_t perms;
};

struct hf_core_mapped {
	uint64_t start, end, offset;
	const char *path; /* in the pool */
};

/* A thread: its registers as the kernel lays them out (struct user_regs_struct, 216 bytes). */
struct hf_core_thread {
	int tid;
	const uint8_t *regs;  /* in the core */
	const uint8_t *xsave; /* in the core; NULL: none */
	uint32_t xsave_size;
};

struct hf_core {
	int fd;
	const uint8_t *data;
	uint64_t size;
	struct hf_vec segments; /* of struct hf_core_segment, by address */
	struct hf_vec mapped;   /* of struct hf_core_mapped, by address */
	struct hf_vec threads;  /* of struct hf_core_thread, in file order: a crashed one first */
	int pid, ppid;
	uint32_t uid;
	char program[17];
	int signal;          /* 0: none */
	uint64_t fault_addr; /* what the crashing thread could not reach */
	bool has_fault_addr;
	int sender_pid; /* of a signal that another process sent; 0: the kernel did */
	uint64_t at_phdr, at_random, at_sysinfo_ehdr; /* of the auxiliary vector; 0: unknown */
	uint64_t missing; /* bytes of segments that the file is too short for */
	uint64_t dropped; /* segments and notes that make no sense */
	uint64_t time_ns; /* of the file */
};

/* Open and read the tables. A core without notes (one that is cut before them) has no threads, and
 * its mapped files are found by what their images in memory say. HF_E_NOTFOUND, HF_E_IO;
 * HF_E_CORRUPT: not a core file, or there is no memory in it; HF_E_UNSUPPORTED: of another machine,
 * or compressed. */
enum hf_status hf_core_open(
	struct hf_core *core, const char *path, struct hf_pool *pool, struct hf_err *err);
void hf_core_deinit(struct hf_core *core);

/* The list of mappings as /proc/PID/maps would have shown it, as far as the core tells. exe: the
 * path to show for the program's own file; NULL: as in the core. Inodes are numbers for paths. */
enum hf_status hf_core_maps(const struct hf_core *core, const char *exe, struct hf_pool *pool,
	struct hf_maps *ret, struct hf_err *err);

static inline struct hf_core_segment *hf_core_segment_at(const struct hf_core *core, size_t i)
{
	return hf_vec_at(&core->segments, i);
}

/* Bytes of the core at addr, up to *size of them, which becomes their number; NULL: none. */
const uint8_t *hf_core_at(const struct hf_core *core, uint64_t addr, uint64_t *size);

/* Index of the first segment that ends after addr; the count if there is none. */
size_t hf_core_segment_lower(const struct hf_core *core, uint64_t addr);

/* Where there is no list of mapped files: what the images in memory tell of theirs, named by the
 * dynamic loader's list. False: no memory. */
bool hf_core_guess_files(struct hf_core *core, struct hf_pool *pool);

/* The path of the program's own file, or NULL. */
const char *hf_core_exe(const struct hf_core *core);
