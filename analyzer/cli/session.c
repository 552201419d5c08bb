#include "cli/session.h"

#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fmt.h"

static bool ascii = true;

int hf_exit_code(enum hf_status status)
{
	switch (status) {
	case HF_OK:
		return HF_EXIT_OK;
	case HF_E_USAGE:
		return HF_EXIT_USAGE;
	case HF_E_CORRUPT:
	case HF_E_UNSUPPORTED:
	case HF_E_NOTFOUND:
		return HF_EXIT_INPUT;
	case HF_E_PARTIAL:
		return HF_EXIT_PARTIAL;
	case HF_E_PERM:
		return HF_EXIT_PERMISSION;
	case HF_E_FAILED:
	case HF_E_NOMEM:
	case HF_E_IO:
	case HF_E_EXISTS:
		break;
	}
	return HF_EXIT_FAILED;
}

int hf_fail(const struct hf_err *err)
{
	fflush(stdout);
	/* A message may quote a name from a file. */
	fputs("holdfast: ", stderr);
	for (const unsigned char *s = (const unsigned char *)err->msg; *s; s++)
		putc(*s < 0x20 || *s == 0x7f ? '?' : *s, stderr);
	putc('\n', stderr);
	return hf_exit_code(err->status);
}

void hf_session_locale(void)
{
	setlocale(LC_CTYPE, "");
	ascii = strcmp(nl_langinfo(CODESET), "UTF-8") != 0;
	/* Names of programs are UTF-8 wherever we run; our own characters follow the locale. */
	if (ascii)
		setlocale(LC_CTYPE, "C.UTF-8");
}

/* 0: as wide as the text, for files and pipes. */
static int terminal_width(void)
{
	const char *columns = getenv("COLUMNS");
	uint64_t width;
	if (columns && hf_parse_u64(&columns, &width) && !*columns && width >= 40 && width < 10000)
		return (int)width;
	struct winsize size;
	if (!isatty(STDOUT_FILENO))
		return 0;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 40)
		return 80;
	return size.ws_col;
}

struct hf_emit_options hf_session_emit(const struct hf_args *args)
{
	const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");
	return (struct hf_emit_options){
		.form = hf_args_has(args, "json")  ? HF_EMIT_JSON
			: hf_args_has(args, "csv") ? HF_EMIT_CSV
						   : HF_EMIT_HUMAN,
		.out = stdout,
		.width = terminal_width(),
		.colour = isatty(STDOUT_FILENO) && !(no_colour && *no_colour) && term &&
			  strcmp(term, "dumb") != 0,
		.ascii = ascii,
	};
}

enum hf_status hf_session_open(
	struct hf_session *session, const struct hf_args *args, int input, struct hf_err *err)
{
	*session = (struct hf_session){0};
	if (hf_args_has(args, "json") && hf_args_has(args, "csv"))
		return hf_err_set(err, HF_E_USAGE, "--json and --csv: one of the two");
	enum hf_status status = hf_input_open(args->args[input], &session->db, err);
	if (status != HF_OK)
		return status;
	/* One transaction for all queries of the report: else each of them locks the file again. */
	sqlite3_exec(session->db, "BEGIN", NULL, NULL, NULL);
	struct hf_emit_options options = hf_session_emit(args);
	status = hf_emit_create(&options, args->command->name, &session->emit, err);
	if (status == HF_OK)
		status = hf_report_begin(
			&session->report, session->db, session->emit, args->args[input], err);
	return status;
}

int hf_session_findings(
	const struct hf_args *args, int code, const char *what, uint64_t bytes, uint64_t limit)
{
	char size[HF_NUMBER_SIZE], over[HF_NUMBER_SIZE];
	/* Of a partial heap there is no verdict: what is missing may hold, or be, all of it. */
	if (code != HF_EXIT_OK || bytes <= limit)
		return code;
	fprintf(stderr, "holdfast: %s: %s %s, more than the %s of --fail-over\n",
		args->command->name, hf_human_size(size, bytes), what, hf_human_size(over, limit));
	return HF_EXIT_FINDINGS;
}

int hf_session_close(struct hf_session *session, enum hf_status status, struct hf_err *err)
{
	bool partial = session->report.heap.partial;
	int code = HF_EXIT_OK;
	if (session->emit) {
		struct hf_err last;
		if (status != HF_OK)
			hf_emit_error(session->emit, err->msg);
		/* What was had before an error is still well-formed output. */
		enum hf_status finished = hf_emit_finish(session->emit, &last);
		if (status == HF_OK && finished != HF_OK) {
			status = finished;
			*err = last;
		}
	}
	if (status != HF_OK) {
		err->status = status;
		code = hf_fail(err);
	} else if (partial) {
		code = HF_EXIT_PARTIAL;
	}
	hf_report_end(&session->report);
	hf_emit_destroy(session->emit);
	sqlite3_close(session->db);
	*session = (struct hf_session){0};
	return code;
}
