/*
 * holdfast-dump: what its ways of capturing share. Internal to the program; one thread; may
 * print and exit.
 */
#pragma once
#include "dump.h"
#include "site/store.h"
#include "write/sink_file.h"

#define HF_OUTSIDE_PROFILE ".hfp.pb.gz"

enum { HF_OUTSIDE_ASK = -1 };

struct hf_outside_options {
	int pid;             /* 0: a core file, or a file of allocation sites */
	bool profile;        /* of a process: its heap profile and no dump */
	const char *sites;   /* a file of allocation sites, to make the profile of; or NULL */
	bool ctl;            /* ask what a process records, or change it: */
	int64_t sample;      /* from now on: bytes, 1 every allocation, 0 none; HF_OUTSIDE_ASK */
	const char *core;    /* NULL: a process */
	const char *exe;     /* for a core; or NULL */
	const char *sysroot; /* for a core: where the files of its process are; or NULL */
	const char *output;  /* NULL: %e.%p.%n.hfd */
};

/* One capture. Fill file (opened, not committed: the caller does) and the rest of the result.
 * HF_E_PARTIAL: there is a dump, but it is partial. */
struct hf_outside_result {
	struct hf_sink_file file;
	struct hf_sink_file profile; /* beside the dump; its fd is -1 if there is none */
	struct hf_dump_totals totals;
	uint64_t n_sites, n_recorded; /* of the profile: stacks, live objects */
	char was[80], now[80];        /* what is recorded */
	uint64_t stop_ns;             /* how long the target stood still */
	char note[200];               /* for the line on stdout; "" for none */
};

enum hf_status hf_outside_pid(const struct hf_outside_options *options,
	struct hf_outside_result *result, struct hf_err *err);
enum hf_status hf_outside_core(const struct hf_outside_options *options,
	struct hf_outside_result *result, struct hf_err *err);
enum hf_status hf_outside_sites_file(const struct hf_outside_options *options,
	struct hf_outside_result *result, struct hf_err *err);
/* Change what a process records, or (HF_OUTSIDE_ASK) ask. There is no file. */
enum hf_status hf_outside_ctl(const struct hf_outside_options *options,
	struct hf_outside_result *result, struct hf_err *err);

/* Open the output: the name that was asked for, or the first PROGRAM.PID.N with that ending that is
 * free. */
enum hf_status hf_outside_open(struct hf_sink_file *file, const char *output, const char *program,
	int pid, const char *ending, struct hf_err *err);

/* File systems that depend on a server (FUSE, a network), and which of them do not answer. */
struct hf_served_dev {
	uint32_t dev; /* as in struct hf_map */
	bool asked, silent;
	char type[32], path[128]; /* path of a file that the process has mapped */
};

struct hf_served {
	struct hf_vec devs; /* of struct hf_served_dev */
};

void hf_served_init(struct hf_served *served, int pid);
void hf_served_deinit(struct hf_served *served);
/* Mark the mappings whose files must not be waited for; asks each server once, for two seconds. */
void hf_served_mark(struct hf_served *served, struct hf_maps *maps, const char *proc_dir);

/* What libholdfast.so has in the target, if it is there. */
struct hf_outside_library {
	uint64_t code;     /* an address in its image, 0: it is not there */
	struct hf_vec own; /* of struct hf_walk_range, sorted: memory that it holds for dumps */
	struct hf_vec registered;    /* of struct hf_registered_root */
	struct hf_vec labels;        /* of struct hf_label */
	bool only_control;           /* look for the following and no more */
	uint64_t control;            /* address of its struct hf_site_control, 0: none found */
	struct hf_site_store *sites; /* a copy of what it recorded; NULL: nothing, or */
	bool other_sites;            /* in another version's way */
	uint64_t time_ns;            /* of the dump */
	uint8_t token[HF_FORMAT_TOKEN_SIZE];
};

void hf_outside_library_init(struct hf_outside_library *library);
void hf_outside_library_deinit(struct hf_outside_library *library);
void hf_outside_library_find(struct hf_outside_library *library, struct hf_mem *mem);
/* Hand it to the pipeline. */
void hf_outside_library_use(struct hf_outside_library *library, struct hf_dump_input *input);

/* Of the library: its records, by its control structure, and what is made of them: a part of the
 * dump, the profile beside it, or a profile alone. */
void hf_outside_sites_find(
	struct hf_outside_library *library, struct hf_mem *mem, uint64_t control_addr);
void hf_outside_sites_use(struct hf_outside_library *library, struct hf_dump_input *input);
void hf_outside_sites_beside(
	const struct hf_outside_library *library, struct hf_outside_result *result);
enum hf_status hf_outside_sites_profile(const struct hf_outside_library *library, uint64_t time_ns,
	struct hf_outside_result *result, struct hf_err *err);
