/*
 * holdfast-dump: what its two ways of capturing share. Internal to the program; one thread; may
 * print and exit.
 */
#pragma once
#include "dump.h"
#include "write/sink_file.h"

struct hf_outside_options {
	int pid;             /* 0: a core file */
	const char *core;    /* NULL: a process */
	const char *exe;     /* for a core; or NULL */
	const char *sysroot; /* for a core: where the files of its process are; or NULL */
	const char *output;  /* NULL: %e.%p.%n.hfd */
};

/* One capture. Fill file (opened, not committed: the caller does) and the rest of the result.
 * HF_E_PARTIAL: there is a dump, but it is partial. */
struct hf_outside_result {
	struct hf_sink_file file;
	struct hf_dump_totals totals;
	uint64_t stop_ns; /* how long the target stood still */
	char note[200];   /* for the line on stdout; "" for none */
};

enum hf_status hf_outside_pid(const struct hf_outside_options *options,
	struct hf_outside_result *result, struct hf_err *err);
enum hf_status hf_outside_core(const struct hf_outside_options *options,
	struct hf_outside_result *result, struct hf_err *err);

/* Open the output: the name that was asked for, or the first PROGRAM.PID.N.hfd that is free. */
enum hf_status hf_outside_open(struct hf_sink_file *file, const char *output, const char *program,
	int pid, struct hf_err *err);

/* What libholdfast.so has in the target, if it is there. */
struct hf_outside_library {
	uint64_t code;     /* an address in its image, 0: it is not there */
	struct hf_vec own; /* of struct hf_walk_range, sorted: memory that it holds for dumps */
	struct hf_vec registered; /* of struct hf_registered_root */
	struct hf_vec labels;     /* of struct hf_label */
};

void hf_outside_library_init(struct hf_outside_library *library);
void hf_outside_library_deinit(struct hf_outside_library *library);
void hf_outside_library_find(struct hf_outside_library *library, struct hf_mem *mem);
/* Hand it to the pipeline. */
void hf_outside_library_use(const struct hf_outside_library *library, struct hf_dump_input *input);
