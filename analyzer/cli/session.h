/*
 * What commands have in common: exit codes, messages, the input opened, the emitter made, a report
 * run between the two.
 */
#pragma once
#include <sqlite3.h>
#include <stdbool.h>

#include "cli/args.h"
#include "report/report.h"

enum hf_exit {
	HF_EXIT_OK = 0,
	HF_EXIT_FAILED = 1,
	HF_EXIT_USAGE = 2,
	HF_EXIT_INPUT = 3,
	HF_EXIT_PARTIAL = 4,
	HF_EXIT_PERMISSION = 5,
	HF_EXIT_FINDINGS = 6,
};

/* The exit code of a status. */
int hf_exit_code(enum hf_status status);
/* Print "holdfast: MESSAGE" and return the exit code of the error. */
int hf_fail(const struct hf_err *err);

/* Once, before any output: take the locale, remember whether our own characters may leave ASCII. */
void hf_session_locale(void);

/* Options of the emitter for stdout, from --json, --csv and the terminal. */
struct hf_emit_options hf_session_emit(const struct hf_args *args);

struct hf_session {
	sqlite3 *db;
	struct hf_emit *emit;
	struct hf_report report;
};

/* Open args->args[input] and start its report; session is to be closed in any case. */
enum hf_status hf_session_open(
	struct hf_session *session, const struct hf_args *args, int input, struct hf_err *err);
/* Finish the output of a report that ended with status, print its error, and give the exit code:
 * HF_EXIT_PARTIAL for a good answer about a partial heap. */
int hf_session_close(struct hf_session *session, enum hf_status status, struct hf_err *err);

/* The exit code of a report that ended with code: HF_EXIT_FINDINGS, with a line on stderr, if it
 * ended well and bytes are more than the limit that --fail-over gave. what: "leaked". */
int hf_session_findings(
	const struct hf_args *args, int code, const char *what, uint64_t bytes, uint64_t limit);

struct hf_analyze_options;
/* Hooks that show the progress of a load on a terminal; done: take the line of progress away. */
void hf_input_options(struct hf_analyze_options *ret);
void hf_input_done(void);
/* Open INPUT: a database, or a dump of any readable kind, which is loaded first. */
enum hf_status hf_input_open(const char *path, sqlite3 **ret, struct hf_err *err);
