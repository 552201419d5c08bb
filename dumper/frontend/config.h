/*
 * What the library was told to do: HOLDFAST=key=value,… in the environment (the keys are those of
 * the capture options of `holdfast run`), and the file name pattern. Read once at start-up. Thread
 * and signal safety: read-only after start-up; hf_config_path() is async-signal-safe.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "write/sink_file.h"

struct hf_config {
	int signal; /* number, 0: none */
	bool on_exit, on_oom, on_crash;
	uint64_t rss_bytes;      /* 0: off */
	uint64_t cgroup_percent; /* 0: off */
	uint64_t every_s, keep;  /* every_s 0: off */
	bool contents;           /* the bytes of objects in the dump */
	uint64_t max_dumps;
	bool max_given;
	uint64_t limit_s;          /* of a dump; 0: none */
	char pattern[HF_PATH_MAX]; /* absolute */
	char program[64];          /* for %e */
	uint64_t sample_bytes; /* one sample of the allocation sites in so many bytes; 0: none, 1:
				  every allocation */
	char profile[HF_PATH_MAX]; /* absolute pattern; "": the records are kept in memory only */
};

/* Fill with the defaults, then by text (may be NULL). Keys of later versions and wrong values are
 * errors that name the key. */
enum hf_status hf_config_parse(struct hf_config *config, const char *text, struct hf_err *err);

/* The pattern with %p pid, %t unix time, %n number, %e program name and %% replaced. */
enum hf_status hf_config_path(const struct hf_config *config, int pid, uint64_t unix_time,
	uint64_t number, char *ret, size_t ret_size, struct hf_err *err);

/* The same for the file that keeps the allocation sites. */
enum hf_status hf_config_profile_path(const struct hf_config *config, int pid, uint64_t unix_time,
	char *ret, size_t ret_size, struct hf_err *err);

/* A signal's number by name ("USR2", "SIGUSR2", "RTMIN+3") or number; 0 if it is none, or one that
 * cannot be caught. */
int hf_signal_number(const char *text);
/* Its name without "SIG", into buf ("USR2", "RTMIN+3"). */
const char *hf_signal_name(int number, char *buf, size_t size);
