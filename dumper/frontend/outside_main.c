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
#include "site/control.h"

static const char usage[] =
	"usage: holdfast-dump PID [-o FILE]\n"
	"       holdfast-dump --core CORE [--exe EXE] [--sysroot DIR] [-o FILE]\n"
	"       holdfast-dump --profile PID [-o FILE]\n"
	"       holdfast-dump --sites SITES [-o FILE]\n"
	"       holdfast-dump --sample BYTES|exact|off|ask PID\n"
	"\n"
	"Writes a dump of the heap of a running process, which needs no preparation and runs on\n"
	"after milliseconds, or of an ELF core file. Read it with `holdfast report FILE`.\n"
	"\n"
	"  -o, --output FILE  the dump; never over a file that exists\n"
	"                     (default: PROGRAM.PID.N.hfd, with the first N that is free)\n"
	"      --core CORE    a core file, as the kernel or gcore writes it\n"
	"      --exe EXE      the program that dumped core, if it is not where it was\n"
	"      --sysroot DIR  where the files of its process are, as below / (a container's)\n"
	"      --profile      of a process that records allocation sites (libholdfast.so):\n"
	"                     its heap profile, and no dump\n"
	"      --sites SITES  the heap profile of such a process that has ended, out of the\n"
	"                     file that it kept (HOLDFAST=profile=SITES)\n"
	"      --sample WHAT  what such a process records from now on: one sample per BYTES\n"
	"                     allocated, every allocation, nothing; or only ask it\n"
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

static bool parse_sample(const char *text, int64_t *ret)
{
	uint64_t bytes;
	if (strcmp(text, "ask") == 0)
		*ret = HF_OUTSIDE_ASK;
	else if (strcmp(text, "off") == 0)
		*ret = 0;
	else if (strcmp(text, "exact") == 0)
		*ret = 1;
	else if (hf_parse_size(text, &bytes) && bytes <= HF_SITE_MAX_PERIOD)
		*ret = (int64_t)bytes;
	else
		return false;
	return true;
}

/* 0 to go on, else the exit status + 1. */
static int parse(int argc, char **argv, struct hf_outside_options *o)
{
	static const struct option known[] = {
		{"core", required_argument, NULL, 'c'},
		{"exe", required_argument, NULL, 'e'},
		{"sysroot", required_argument, NULL, 's'},
		{"output", required_argument, NULL, 'o'},
		{"profile", no_argument, NULL, 'p'},
		{"sites", required_argument, NULL, 'f'},
		{"sample", required_argument, NULL, 'r'},
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
		case 'p':
			o->profile = true;
			break;
		case 'f':
			o->sites = optarg;
			break;
		case 'r':
			o->ctl = true;
			if (!parse_sample(optarg, &o->sample))
				return 1 + wrong_usage("--sample takes a size up to 1G, exact, "
						       "off or ask, not ",
						   optarg);
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
	if (!!o->core + o->profile + !!o->sites + o->ctl > 1)
		return 1 + wrong_usage("one of --core, --profile, --sites, --sample", NULL);
	if (o->core || o->sites)
		return optind < argc ? 1 + wrong_usage("a pid and a file exclude each other: ",
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
	if (o->profile || o->sites) {
		printf("%s: %llu sites, %llu live objects recorded", r->file.path,
			(unsigned long long)r->n_sites, (unsigned long long)r->n_recorded);
		if (o->profile)
			printf("; the process stood still for %.1f ms", (double)r->stop_ns / 1e6);
		printf("%s%s\n", r->note[0] ? "; " : "", r->note);
		return;
	}
	if (r->totals.n_objects) {
		printf("%s: %llu objects, ", r->file.path, (unsigned long long)r->totals.n_objects);
		put_size((double)r->totals.object_bytes);
		printf(" live; dump ");
	} else {
		printf("%s: no object was found; dump ", r->file.path);
	}
	put_size((double)st.st_size);
	if (o->pid)
		printf("; the process stood still for %.1f ms", (double)r->stop_ns / 1e6);
	if (r->profile.path[0])
		printf("; heap profile beside it");
	printf("%s%s\n", r->note[0] ? "; " : "", r->note);
}

static void say_sample(const struct hf_outside_options *o, const struct hf_outside_result *r)
{
	if (o->sample == HF_OUTSIDE_ASK)
		printf("process %d records %s\n", o->pid, r->was);
	else
		printf("process %d records %s (before: %s)%s%s\n", o->pid, r->now, r->was,
			r->note[0] ? ", " : "", r->note);
}

static enum hf_status run(
	const struct hf_outside_options *o, struct hf_outside_result *r, struct hf_err *err)
{
	if (o->ctl)
		return hf_outside_ctl(o, r, err);
	if (o->sites)
		return hf_outside_sites_file(o, r, err);
	return o->pid ? hf_outside_pid(o, r, err) : hf_outside_core(o, r, err);
}

/* The profile is more than was asked for: that it is not there does not fail the dump. */
static void commit_profile(struct hf_outside_result *r)
{
	struct hf_err err;
	if (!r->profile.path[0] || !hf_sink_file_commit(&r->profile, &err))
		return;
	fprintf(stderr, "holdfast-dump: no heap profile: %s\n", err.msg);
	r->profile.path[0] = 0;
}

int main(int argc, char **argv)
{
	struct hf_outside_options options = {0};
	static struct hf_outside_result result;
	struct hf_err err = {0};
	int stop = parse(argc, argv, &options);
	if (stop)
		return stop - 1;
	result.file.fd = result.profile.fd = -1;
	enum hf_status status = run(&options, &result, &err);
	if (!status && options.ctl) {
		say_sample(&options, &result);
	} else if (!status || status == HF_E_PARTIAL) {
		struct hf_err commit = {0};
		enum hf_status committed = hf_sink_file_commit(&result.file, &commit);
		if (committed) {
			status = committed;
			err = commit;
		} else {
			commit_profile(&result);
			say_result(&options, &result);
		}
	}
	hf_sink_file_abort(&result.file);
	hf_sink_file_abort(&result.profile);
	if (status)
		fprintf(stderr, "holdfast-dump: %s\n", err.msg);
	return fflush(stdout) && !status ? 1 : exit_code(status);
}
