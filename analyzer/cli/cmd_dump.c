/* dump: hands over to holdfast-dump, which links no database and can run where little is. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fmt.h"
#include "cli/commands.h"
#include "cli/locate_file.h"
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
	const char *s = args->args[0];
	uint64_t pid;
	if (!hf_parse_u64(&s, &pid) || *s || !pid || pid > INT32_MAX)
		return hf_err_set(
			err, HF_E_USAGE, "dump: \"%s\" is not a process number", args->args[0]);
	return HF_OK;
}

int hf_cmd_dump(const struct hf_args *args)
{
	static const char *const places[] = {"", "../libexec/holdfast", "../lib/holdfast", NULL};
	struct hf_err err;
	char path[PATH_MAX];
	if (check(args, &err) != HF_OK)
		return hf_fail(&err);
	if (!hf_near_self(places, "holdfast-dump", path, sizeof(path))) {
		fputs("holdfast: dump: not in this build: there is no holdfast-dump beside "
		      "holdfast\n",
			stderr);
		return HF_EXIT_FAILED;
	}
	const char *argv[12];
	int n = 0;
	argv[n++] = "holdfast-dump";
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
	execv(path, (char *const *)argv);
	fprintf(stderr, "holdfast: cannot start %s: %s\n", path, strerror(errno));
	return HF_EXIT_FAILED;
}
