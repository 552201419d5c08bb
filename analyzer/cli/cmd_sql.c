#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/session.h"
#include "cli/sql_run.h"
#include "cli/sql_shell.h"
#include "sql/sql.h"

static enum hf_status time_limit(const struct hf_args *args, double *ret, struct hf_err *err)
{
	const char *text = hf_args_value(args, "time-limit");
	char *end = NULL;
	double seconds = text ? strtod(text, &end) : 0;
	if (text && (end == text || *end || !(seconds > 0) || seconds > 1e9))
		return hf_err_set(
			err, HF_E_USAGE, "--time-limit %s: not a number of seconds", text);
	*ret = seconds;
	return HF_OK;
}

static enum hf_status register_functions(sqlite3 *db, struct hf_err *err)
{
	char *message = NULL;
	if (hf_sql_register(db, &message) == SQLITE_OK)
		return HF_OK;
	hf_err_set(err, HF_E_FAILED, "%s", message ? message : "no memory");
	sqlite3_free(message);
	return HF_E_FAILED;
}

int hf_cmd_sql(const struct hf_args *args)
{
	struct hf_err err;
	struct hf_sql_options options = {.emit = hf_session_emit(args)};
	sqlite3 *db = NULL;
	if (hf_args_has(args, "json") && hf_args_has(args, "csv")) {
		hf_err_set(&err, HF_E_USAGE, "--json and --csv: one of the two");
		return hf_fail(&err);
	}
	if (time_limit(args, &options.time_limit, &err) != HF_OK ||
		hf_input_open(args->args[0], &db, &err) != HF_OK)
		return hf_fail(&err);
	enum hf_status status = register_functions(db, &err);
	if (!status && args->n_args > 1)
		status = hf_sql_run(db, args->args[1], &options, &err);
	else if (!status)
		status = hf_sql_shell(db, args->args[0], &options, &err);
	int code = status == HF_OK ? HF_EXIT_OK : hf_fail(&err);
	sqlite3_close(db);
	return code;
}
