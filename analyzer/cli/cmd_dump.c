/* dump: of a process, or from a core file. */
#include "cli/commands.h"
#include "cli/dumper.h"
#include "cli/session.h"

static enum hf_status check(const struct hf_args *args, struct hf_err *err)
{
	const char *core = hf_args_value(args, "core");
	if (core && args->n_args)
		return hf_err_set(err, HF_E_USAGE, "dump: a PID or --core, not both");
	if (!core && !args->n_args)
		return hf_err_set(
			err, HF_E_USAGE, "dump: which process? Give a PID, or --core CORE");
	if (!core && (hf_args_has(args, "exe") || hf_args_has(args, "sysroot")))
		return hf_err_set(err, HF_E_USAGE, "%s goes with --core",
			hf_args_has(args, "exe") ? "--exe" : "--sysroot");
	if (core)
		return HF_OK;
	return hf_dumper_check_pid("dump", args->args[0], err);
}

int hf_cmd_dump(const struct hf_args *args)
{
	struct hf_err err;
	if (check(args, &err) != HF_OK)
		return hf_fail(&err);
	const char *argv[HF_DUMPER_ARGS];
	int n = 0;
	static const char *const passed[] = {"core", "exe", "sysroot", "o"};
	static const char *const flags[] = {"--core", "--exe", "--sysroot", "-o"};
	for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++) {
		if (!hf_args_has(args, passed[i]))
			continue;
		argv[n++] = flags[i];
		argv[n++] = hf_args_value(args, passed[i]);
	}
	if (args->n_args)
		argv[n++] = args->args[0];
	argv[n] = NULL;
	return hf_dumper_exec("dump", argv);
}
