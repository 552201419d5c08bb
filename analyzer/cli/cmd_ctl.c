/* ctl: what a running process records. */
#include "cli/commands.h"
#include "cli/dumper.h"
#include "cli/session.h"

int hf_cmd_ctl(const struct hf_args *args)
{
	struct hf_err err;
	const char *sample = hf_args_value(args, "sample");
	if (hf_dumper_check_pid("ctl", args->args[0], &err) != HF_OK)
		return hf_fail(&err);
	const char *const argv[HF_DUMPER_ARGS] = {
		"--sample", sample ? sample : "ask", args->args[0], NULL};
	return hf_dumper_exec("ctl", argv);
}
