/* profile: the heap profile of a process, without a dump. */
#include "cli/commands.h"
#include "cli/dumper.h"
#include "cli/session.h"

static enum hf_status check(const struct hf_args *args, struct hf_err *err)
{
	const char *file = hf_args_value(args, "file");
	if (file && args->n_args)
		return hf_err_set(err, HF_E_USAGE, "profile: a PID or --file, not both");
	if (!file && !args->n_args)
		return hf_err_set(
			err, HF_E_USAGE, "profile: of which process? Give a PID, or --file SITES");
	return file ? HF_OK : hf_dumper_check_pid("profile", args->args[0], err);
}

int hf_cmd_profile(const struct hf_args *args)
{
	struct hf_err err;
	const char *argv[HF_DUMPER_ARGS];
	int n = 0;
	if (check(args, &err) != HF_OK)
		return hf_fail(&err);
	if (hf_args_has(args, "file")) {
		argv[n++] = "--sites";
		argv[n++] = hf_args_value(args, "file");
	} else {
		argv[n++] = "--profile";
		argv[n++] = args->args[0];
	}
	if (hf_args_has(args, "o")) {
		argv[n++] = "-o";
		argv[n++] = hf_args_value(args, "o");
	}
	argv[n] = NULL;
	return hf_dumper_exec("profile", argv);
}
