#include "cli/sql_shell.h"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <readline/history.h>
#include <readline/readline.h>

#include "base/cleanup.h"
#include "emit/text.h"
#include "report/db.h"

enum { HISTORY_LINES = 1000 };

static const char help_text[] = "SQL statements end with a semicolon. For example:\n"
				"  SELECT * FROM top_held LIMIT 10;\n"
				"  SELECT name, held_size FROM root_summary;\n"
				"Commands:\n"
				"  .tables            tables and views\n"
				"  .schema [NAME]     how they are made\n"
				"  .mode table|json|csv\n"
				"  .help              this text\n"
				"  .quit              leave (also the end of input, Ctrl-D)\n";

/* Completion. readline calls back without a context. */

static sqlite3 *completion_db;
static sqlite3_stmt *completion;

static char *next_name(const char *text, int state)
{
	if (!state) {
		sqlite3_finalize(completion);
		completion = NULL;
		sqlite3_prepare_v2(completion_db,
			"SELECT DISTINCT n FROM (SELECT name AS n FROM sqlite_schema WHERE type IN "
			"('table', 'view') UNION ALL SELECT name FROM pragma_module_list "
			"UNION ALL SELECT c.name FROM sqlite_schema s, pragma_table_xinfo(s.name) "
			"c "
			"WHERE s.type IN ('table', 'view') "
			"UNION ALL VALUES ('SELECT'), ('FROM'), ('WHERE'), ('ORDER BY'), "
			"('GROUP BY'), ('LIMIT'), ('JOIN'), ('count(*)')) "
			"WHERE substr(n, 1, ?2) = ?1 COLLATE NOCASE ORDER BY 1",
			-1, &completion, NULL);
		sqlite3_bind_text(completion, 1, text, -1, SQLITE_TRANSIENT);
		sqlite3_bind_int64(completion, 2, (sqlite3_int64)strlen(text));
	}
	if (completion && sqlite3_step(completion) == SQLITE_ROW)
		return strdup((const char *)sqlite3_column_text(completion, 0));
	sqlite3_finalize(completion);
	completion = NULL;
	return NULL;
}

static char **complete(const char *text, int start, int end)
{
	(void)start;
	(void)end;
	rl_attempted_completion_over = 1;
	return rl_completion_matches(text, next_name);
}

/* History: $XDG_STATE_HOME/holdfast/sql_history */

static bool history_file(char *buf, size_t size)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	char dir[4096];
	if (state && *state == '/') {
		snprintf(dir, sizeof(dir), "%s/holdfast", state);
	} else if (home && *home == '/') {
		snprintf(dir, sizeof(dir), "%s/.local", home);
		mkdir(dir, 0700);
		snprintf(dir, sizeof(dir), "%s/.local/state", home);
		mkdir(dir, 0700);
		snprintf(dir, sizeof(dir), "%s/.local/state/holdfast", home);
	} else {
		return false;
	}
	mkdir(dir, 0700);
	return snprintf(buf, size, "%s/sql_history", dir) < (int)size;
}

/* Ctrl-C ends a statement that runs, or drops the one that is being typed. */
static volatile sig_atomic_t interrupted, reading;
static sigjmp_buf typing;

static void on_interrupt(int sig)
{
	(void)sig;
	interrupted = 1;
	hf_sql_interrupt();
	if (reading) /* readline has put the terminal and itself in order, and then called us */
		siglongjmp(typing, 1);
}

static char *read_terminal(const char *prompt)
{
	if (sigsetjmp(typing, 1)) {
		reading = 0;
		return strdup("");
	}
	interrupted = 0;
	reading = 1;
	char *line = readline(prompt);
	reading = 0;
	return line;
}

/* Lines in, statements out */

static char *read_line(bool terminal, bool more)
{
	if (terminal)
		return read_terminal(more ? "     ...> " : "holdfast> ");
	char *line = NULL;
	size_t cap = 0;
	ssize_t n = getline(&line, &cap, stdin);
	if (n < 0) {
		free(line);
		return NULL;
	}
	if (n && line[n - 1] == '\n')
		line[n - 1] = 0;
	return line;
}

static enum hf_status schema(sqlite3 *db, const char *name, struct hf_err *err)
{
	_cleanup_stmt_ sqlite3_stmt *q = NULL;
	enum hf_status status = hf_query(db, &q, err,
		"SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND "
		"(?1 = '' OR name = ?1 OR tbl_name = ?1) ORDER BY rowid",
		"s", name);
	while (hf_row(q, &status, err))
		printf("%s;\n", hf_column_text(q, 0));
	return status;
}

/* Sets *quit for .quit. HF_E_USAGE for what is not known. */
static enum hf_status dot_command(
	sqlite3 *db, char *line, struct hf_sql_options *options, bool *quit, struct hf_err *err)
{
	char *rest, *word = strtok_r(line, " \t", &rest), *arg = strtok_r(NULL, " \t", &rest);
	if (!strcmp(word, ".quit") || !strcmp(word, ".exit") || !strcmp(word, ".q")) {
		*quit = true;
	} else if (!strcmp(word, ".help")) {
		fputs(help_text, stdout);
	} else if (!strcmp(word, ".tables")) {
		return hf_sql_run(db,
			"SELECT type, name FROM sqlite_schema WHERE type IN ('table', 'view') AND "
			"name NOT LIKE 'sqlite_%' ORDER BY type = 'table', name",
			options, err);
	} else if (!strcmp(word, ".schema")) {
		return schema(db, arg ? arg : "", err);
	} else if (!strcmp(word, ".mode") && arg &&
		   (!strcmp(arg, "table") || !strcmp(arg, "json") || !strcmp(arg, "csv"))) {
		options->emit.form = arg[0] == 't'   ? HF_EMIT_HUMAN
				     : arg[0] == 'j' ? HF_EMIT_JSON
						     : HF_EMIT_CSV;
	} else {
		return hf_err_set(
			err, HF_E_USAGE, "%s: not a command of the shell; see .help", word);
	}
	return HF_OK;
}

static enum hf_status loop(
	sqlite3 *db, bool terminal, struct hf_sql_options *options, struct hf_err *err)
{
	_cleanup_(hf_text_deinit) struct hf_text statement = HF_TEXT_INIT;
	enum hf_status status = HF_OK;
	bool quit = false;
	while (!quit && (status == HF_OK || terminal)) {
		char *line = read_line(terminal, statement.len != 0);
		if (!line)
			break;
		if (terminal && *line)
			add_history(line);
		status = HF_OK;
		if (terminal && interrupted) { /* the lines before it go as well */
			hf_text_clear(&statement);
			putchar('\n');
		} else if (!statement.len && *line == '.') {
			status = dot_command(db, line, options, &quit, err);
		} else if (*line || statement.len) {
			hf_text_addf(&statement, "%s\n", line);
			if (sqlite3_complete(hf_text_get(&statement))) {
				status = hf_sql_run(db, hf_text_get(&statement), options, err);
				hf_text_clear(&statement);
			}
		}
		free(line);
		if (status != HF_OK && terminal) {
			fflush(stdout);
			fprintf(stderr, "%s\n", err->msg);
		}
	}
	/* The last statement of a pipe needs no semicolon. */
	if (status == HF_OK && statement.len && !terminal)
		status = hf_sql_run(db, hf_text_get(&statement), options, err);
	return terminal ? HF_OK : status;
}

enum hf_status hf_sql_shell(
	sqlite3 *db, const char *input, const struct hf_sql_options *options, struct hf_err *err)
{
	struct hf_sql_options own = *options;
	bool terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	char history[4200] = "";
	if (terminal) {
		printf("%s: read only. .help tells what is there, .quit leaves.\n", input);
		completion_db = db;
		rl_readline_name = "holdfast";
		rl_attempted_completion_function = complete;
		using_history();
		if (history_file(history, sizeof(history)))
			read_history(history);
		stifle_history(HISTORY_LINES);
		signal(SIGINT, on_interrupt);
	}
	enum hf_status status = loop(db, terminal, &own, err);
	if (terminal) {
		putchar('\n');
		if (*history)
			write_history(history);
		signal(SIGINT, SIG_DFL);
	}
	return status;
}
