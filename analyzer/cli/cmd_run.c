/* run: start a command with libholdfast.so preloaded. Our exit code is the command's. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/capture.h"
#include "cli/commands.h"
#include "cli/locate_file.h"
#include "cli/session.h"

enum { CANNOT_EXECUTE = 126, NOT_FOUND = 127 }; /* as a shell says it */

static enum hf_status find_library(char *buf, size_t size, struct hf_err *err)
{
	static const char *const places[] = {"../lib", "../lib/holdfast", "../lib/x86_64-linux-gnu",
		"../lib/x86_64-linux-gnu/holdfast", "", NULL};
	const char *given = getenv("HOLDFAST_LIB");
	if (given && *given) {
		/* The target may run elsewhere. */
		if (!realpath(given, buf))
			return hf_err_sys(err, HF_E_FAILED, errno, "HOLDFAST_LIB %s", given);
	} else if (!hf_near_self(places, "libholdfast.so", buf, size)) {
		return hf_err_set(err, HF_E_FAILED,
			"libholdfast.so is not near the executable (../lib); set HOLDFAST_LIB to "
			"it");
	} else {
		char *real = realpath(buf, NULL);
		if (real)
			snprintf(buf, size, "%s", real);
		free(real);
	}
	if (strpbrk(buf, " :"))
		return hf_err_set(err, HF_E_FAILED,
			"%s: a path with a blank or a colon cannot be preloaded", buf);
	return HF_OK;
}

/* An existing list stays, behind ours: the first malloc of the list is the one that is called. */
static bool preload(const char *library)
{
	const char *old = getenv("LD_PRELOAD");
	_cleanup_(hf_text_deinit) struct hf_text list = HF_TEXT_INIT;
	hf_text_addf(&list, "%s%s%s", library, old && *old ? ":" : "", old ? old : "");
	return !list.failed && setenv("LD_PRELOAD", hf_text_get(&list), 1) == 0;
}

/* What the user set in HOLDFAST stays where no flag says otherwise: later keys win. */
static bool set_options(const char *options)
{
	const char *old = getenv("HOLDFAST");
	_cleanup_(hf_text_deinit) struct hf_text all = HF_TEXT_INIT;
	if (!*options)
		return true;
	hf_text_addf(&all, "%s%s%s", old ? old : "", old && *old ? "," : "", options);
	return !all.failed && setenv("HOLDFAST", hf_text_get(&all), 1) == 0;
}

/* The file that execvp will take; false: leave it to execvp to say so. */
static bool resolve(const char *command, char *buf, size_t size)
{
	if (strchr(command, '/'))
		return snprintf(buf, size, "%s", command) < (int)size;
	const char *path = getenv("PATH");
	for (path = path ? path : "/bin:/usr/bin"; *path; path += *path == ':') {
		int n = (int)strcspn(path, ":");
		if (snprintf(buf, size, "%.*s/%s", n ? n : 1, n ? path : ".", command) <
				(int)size &&
			access(buf, X_OK) == 0)
			return true;
		path += n;
	}
	return false;
}

/* The loader preloads nothing into a static or set-user-id program, and says nothing. */
static void warn_unless_preloadable(const char *command)
{
	char path[PATH_MAX];
	struct stat st;
	Elf64_Ehdr header;
	if (!resolve(command, path, sizeof(path)) || stat(path, &st) != 0)
		return;
	if (st.st_mode & (S_ISUID | S_ISGID) && geteuid() != 0)
		fprintf(stderr,
			"holdfast: warning: %s is set-user-id: the library will not be preloaded\n",
			command);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (pread(fd, &header, sizeof(header), 0) == (ssize_t)sizeof(header) &&
		!memcmp(header.e_ident, ELFMAG, SELFMAG) &&
		header.e_ident[EI_CLASS] == ELFCLASS64 &&
		header.e_phentsize == sizeof(Elf64_Phdr)) {
		bool dynamic = false;
		for (unsigned i = 0; i < header.e_phnum; i++) {
			Elf64_Phdr segment;
			if (pread(fd, &segment, sizeof(segment),
				    (off_t)(header.e_phoff + i * sizeof(segment))) !=
				(ssize_t)sizeof(segment))
				break;
			dynamic |= segment.p_type == PT_INTERP || segment.p_type == PT_DYNAMIC;
		}
		if (!dynamic)
			fprintf(stderr,
				"holdfast: warning: %s is statically linked: the library cannot be "
				"preloaded, there will be no dump\n",
				command);
	}
	close(fd);
}

int hf_cmd_run(const struct hf_args *args)
{
	struct hf_err err;
	char library[PATH_MAX];
	_cleanup_(hf_text_deinit) struct hf_text options = HF_TEXT_INIT;
	if (hf_capture_environment(args, &options, &err) != HF_OK ||
		find_library(library, sizeof(library), &err) != HF_OK)
		return hf_fail(&err);
	warn_unless_preloadable(args->args[0]);
	if (!preload(library) || !set_options(hf_text_get(&options))) {
		hf_err_set(&err, HF_E_NOMEM, "no memory for the environment");
		return hf_fail(&err);
	}
	execvp(args->args[0], args->args);
	int code = errno == ENOENT ? NOT_FOUND : CANNOT_EXECUTE;
	fprintf(stderr, "holdfast: cannot start %s: %s\n", args->args[0], strerror(errno));
	return code;
}
