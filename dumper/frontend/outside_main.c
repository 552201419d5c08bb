/*
 * holdfast-dump: a dump from outside, of a process by its pid or of a core file.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fmt.h"
#include "frontend/outside.h"

static const char usage[] =
	"usage: holdfast-dump PID [-o FILE]\n"
	"       holdfast-dump --core CORE [--exe EXE] [--sysroot DIR] [-o FILE]\n"
	"\n"
	"Writes a dump of the heap of a running process, which needs no preparation and runs on\n"
	"after milliseconds, or of an ELF core file. Read it with `holdfast report FILE`.\n"
	"\n"
	"  -o, --output FILE  the dump; never over a file that exists\n"
	"                     (default: PROGRAM.PID.N.hfd, with the first N that is free)\n"
	"      --core CORE    a core file, as the kernel or gcore writes it\n"
	"      --exe EXE      the program that dumped core, if it is not where it was\n"
	"      --sysroot DIR  where the files of its process are, as below / (a container's)\n"
	"      --help, --version\n"
	"\n"
	"Exit status: 0 ok, 1 failed, 2 usage, 3 no such process or unreadable core, 4 the dump "
	"is\n"
	"partial, 5 not permitted.\n";

static int exit_code(enum hf_status status)
{
	switch (status) {
	case HF_OK:
		return 0;
	case HF_E_FAILED:
	case HF_E_NOMEM:
	case HF_E_IO:
	case HF_E_EXISTS:
		return 1;
	case HF_E_USAGE:
		return 2;
	case HF_E_CORRUPT:
	case HF_E_UNSUPPORTED:
	case HF_E_NOTFOUND:
		return 3;
	case HF_E_PARTIAL:
		return 4;
	case HF_E_PERM:
		return 5;
	}
	return 1;
}

static int wrong_usage(const char *what, const char *arg)
{
	fprintf(stderr, "holdfast-dump: %s%s\n%s", what, arg ? arg : "", usage);
	return 2;
}

/* 0 to go on, else the exit status + 1. */
static int parse(int argc, char **argv, struct hf_outside_options *o)
{
	static const struct option known[] = {
		{"core", required_argument, NULL, 'c'},
		{"exe", required_argument, NULL, 'e'},
		{"sysroot", required_argument, NULL, 's'},
		{"output", required_argument, NULL, 'o'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},
		{0},
	};
	for (int c; (c = getopt_long(argc, argv, "o:h", known, NULL)) != -1;) {
		switch (c) {
		case 'c':
			o->core = optarg;
			break;
		case 'e':
			o->exe = optarg;
			break;
		case 's':
			o->sysroot = optarg;
			break;
		case 'o':
			o->output = optarg;
			break;
		case 'h':
			fputs(usage, stdout);
			return 1;
		case 'v':
			puts("holdfast-dump " HF_VERSION);
			return 1;
		default:
			fputs(usage, stderr);
			return 3;
		}
	}
	if (o->output && !*o->output)
		return 1 + wrong_usage("an empty file name", NULL);
	if (o->core)
		return optind < argc ? 1 + wrong_usage("a pid and --core exclude each other: ",
						   argv[optind])
				     : 0;
	if (o->exe || o->sysroot)
		return 1 + wrong_usage(o->exe ? "--exe" : "--sysroot", " goes with --core");
	if (optind == argc)
		return 1 + wrong_usage("which process? give a pid, or --core CORE", NULL);
	if (optind + 1 < argc)
		return 1 + wrong_usage("one process at a time: ", argv[optind + 1]);
	const char *text = argv[optind];
	uint64_t pid;
	if (!hf_parse_u64(&text, &pid) || *text || !pid || pid > 1u << 30)
		return 1 + wrong_usage("not a pid: ", argv[optind]);
	o->pid = (int)pid;
	return 0;
}

static void put_size(double bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	size_t i = 0;
	for (; bytes >= 1024 && i + 1 < sizeof(units) / sizeof(units[0]); i++)
		bytes /= 1024;
	printf(i ? "%.1f %s" : "%.0f %s", bytes, units[i]);
}

static void say_result(const struct hf_outside_options *o, const struct hf_outside_result *r)
{
	struct stat st = {0};
	stat(r->file.path, &st);
	printf("%s: %llu objects, ", r->file.path, (unsigned long long)r->totals.n_objects);
	put_size((double)r->totals.object_bytes);
	printf(" live; dump ");
	put_size((double)st.st_size);
	if (o->pid)
		printf("; the process stood still for %.1f ms", (double)r->stop_ns / 1e6);
	printf("%s%s\n", r->note[0] ? "; " : "", r->note);
}

int main(int argc, char **argv)
{
	struct hf_outside_options options = {0};
	static struct hf_outside_result result;
	struct hf_err err = {0};
	int stop = parse(argc, argv, &options);
	if (stop)
		return stop - 1;
	result.file.fd = -1;
	enum hf_status status = options.pid ? hf_outside_pid(&options, &result, &err)
					    : hf_outside_core(&options, &result, &err);
	if (!status || status == HF_E_PARTIAL) {
		struct hf_err commit = {0};
		enum hf_status committed = hf_sink_file_commit(&result.file, &commit);
		if (committed) {
			status = committed;
			err = commit;
		} else {
			say_result(&options, &result);
		}
	}
	hf_sink_file_abort(&result.file);
	if (status)
		fprintf(stderr, "holdfast-dump: %s\n", err.msg);
	return fflush(stdout) && !status ? 1 : exit_code(status);
}
