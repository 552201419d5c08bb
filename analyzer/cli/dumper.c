#include "cli/dumper.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fmt.h"
#include "cli/locate_file.h"
#include "cli/session.h"

enum hf_status hf_dumper_check_pid(const char *command, const char *text, struct hf_err *err)
{
	const char *s = text;
	uint64_t pid;
	if (!hf_parse_u64(&s, &pid) || *s || !pid || pid > INT32_MAX)
		return hf_err_set(
			err, HF_E_USAGE, "%s: \"%s\" is not a process number", command, text);
	return HF_OK;
}

int hf_dumper_exec(const char *command, const char *const *args)
{
	static const char *const places[] = {"", "../libexec/holdfast", "../lib/holdfast", NULL};
	const char *argv[HF_DUMPER_ARGS + 1] = {"holdfast-dump"};
	char path[PATH_MAX];
	if (!hf_near_self(places, "holdfast-dump", path, sizeof(path))) {
		fprintf(stderr,
			"holdfast: %s: not in this build: there is no holdfast-dump beside "
			"holdfast\n",
			command);
		return HF_EXIT_FAILED;
	}
	for (int i = 0; i < HF_DUMPER_ARGS - 1 && args[i]; i++)
		argv[i + 1] = args[i];
	execv(path, (char *const *)argv);
	fprintf(stderr, "holdfast: cannot start %s: %s\n", path, strerror(errno));
	return HF_EXIT_FAILED;
}
