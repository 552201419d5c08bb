/* `holdfast`: finds the command and runs it. Each is in a cmd_*.c of its own. */
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/session.h"

static int unknown(const char *name)
{
	const struct hf_command *near = hf_command_nearest(name);
	if (near)
		fprintf(stderr, "holdfast: %s: no such command; did you mean %s?\n", name,
			near->name);
	else
		fprintf(stderr, "holdfast: %s: no such command; see holdfast --help\n", name);
	return HF_EXIT_USAGE;
}

static int finish(int code)
{
	/* A full disk behind a redirection is a failure, however late it shows. */
	if ((fflush(stdout) != 0 || ferror(stdout)) && code == HF_EXIT_OK) {
		perror("holdfast: cannot write the result");
		return HF_EXIT_FAILED;
	}
	return code;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fputs("holdfast: which command? See holdfast --help\n", stderr);
		return HF_EXIT_USAGE;
	}
	const char *name = argv[1];
	if (!strcmp(name, "--help") || !strcmp(name, "-h") ||
		(!strcmp(name, "help") && argc == 2)) {
		hf_commands_help();
		return finish(HF_EXIT_OK);
	}
	if (!strcmp(name, "--version") || !strcmp(name, "-V")) {
		printf("holdfast %s\n", HF_VERSION);
		return finish(HF_EXIT_OK);
	}
	bool help = !strcmp(name, "help");
	const struct hf_command *command = hf_command_find(help ? argv[2] : name);
	if (!command)
		return unknown(help ? argv[2] : name);
	if (command->flags & HF_COMMAND_LATER) {
		fprintf(stderr, "holdfast: %s: not in this version\n", command->name);
		return HF_EXIT_USAGE;
	}
	if (help) {
		hf_command_help(command);
		return finish(HF_EXIT_OK);
	}
	struct hf_args args;
	struct hf_err err;
	if (hf_args_parse(command, argc - 2, argv + 2, &args, &err) != HF_OK)
		return hf_fail(&err);
	if (args.help) {
		hf_command_help(command);
		return finish(HF_EXIT_OK);
	}
	hf_session_locale();
	return finish(command->run(&args));
}
