/*
 * Commands and their options: one table that is parsed by, printed as --help and compared with the
 * man pages.
 *
 * Thread rule: used by the main thread alone.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum hf_option_flag {
	HF_OPTION_OPTIONAL = 1, /* its argument may be left out (--all[=N]) */
	HF_OPTION_REPEATS = 2,
	HF_OPTION_LATER = 4, /* known, but not in this version: refused, not in --help */
};

struct hf_option {
	const char *name; /* long name without the dashes; NULL: only a letter; ends the table
			     when letter is 0, too */
	char letter;      /* 0: none */
	const char *arg;  /* what its argument is called, NULL: it has none */
	const char *help;
	unsigned flags;
};

struct hf_args;

enum hf_command_flag {
	HF_COMMAND_LATER = 1,       /* known, but not in this version */
	HF_COMMAND_STOP_AT_ARG = 2, /* options end at the first other argument */
};

struct hf_command {
	const char *name;
	const char *usage;   /* what follows the name; a line each form */
	const char *summary; /* one line */
	const struct hf_option *options;
	int min_args, max_args; /* other arguments; max_args < 0: any number */
	int (*run)(const struct hf_args *args);
	unsigned flags;
};

enum { HF_MAX_GIVEN = 64 };

struct hf_args {
	const struct hf_command *command;
	struct {
		const struct hf_option *option;
		const char *value; /* NULL: none was given */
	} given[HF_MAX_GIVEN];
	size_t n_given;
	char **args; /* the others */
	int n_args;
	bool help;
};

/* Parse argv (after the command's name). HF_E_USAGE with one clear line. */
enum hf_status hf_args_parse(const struct hf_command *command, int argc, char **argv,
	struct hf_args *ret, struct hf_err *err);
/* Was the option given? Its last value; NULL if it was not given or had none. By long name, or by
 * letter where there is no long name ("n"). */
bool hf_args_has(const struct hf_args *args, const char *name);
const char *hf_args_value(const struct hf_args *args, const char *name);
/* All values of an option that may be given several times, in order; at most max. How many. */
size_t hf_args_values(const struct hf_args *args, const char *name, const char **ret, size_t max);
/* The number of an option in [min, max], or what *ret holds if it was not given. */
enum hf_status hf_args_number(const struct hf_args *args, const char *name, int64_t min,
	int64_t max, int64_t *ret, struct hf_err *err);
/* From 0 to 100, with a fraction. */
enum hf_status hf_args_percent(
	const struct hf_args *args, const char *name, double *ret, struct hf_err *err);
enum hf_status hf_args_size(
	const struct hf_args *args, const char *name, uint64_t *ret, struct hf_err *err);
/* "90", "90s", "10m", "2h", "1d" in seconds. */
enum hf_status hf_args_age(
	const struct hf_args *args, const char *name, int64_t *ret_s, struct hf_err *err);
/* "-o, --output FILE" */
void hf_option_text(const struct hf_option *option, char *buf, size_t size);
