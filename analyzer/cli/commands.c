#include "cli/commands.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define JSON_OPTION                                                                                \
	{                                                                                          \
		"json", 0, NULL, "the result as JSON", 0                                           \
	}
#define CSV_OPTION                                                                                 \
	{                                                                                          \
		"csv", 0, NULL, "the result's first table as CSV", 0                               \
	}
#define N_OPTION                                                                                   \
	{                                                                                          \
		NULL, 'n', "N", "show N rows", 0                                                   \
	}
#define END                                                                                        \
	{                                                                                          \
		0                                                                                  \
	}

static const struct hf_option run_options[] = {
	{NULL, 'o', "PATTERN",
		"name of the dumps: %p pid, %t unix time, %n running number, %e program "
		"(default %e.%p.%n.hfd)",
		0},
	{"on-signal", 0, "SIG", "dump when SIG arrives (default USR2)", 0},
	{"on-oom", 0, NULL, "dump when an allocation is about to fail (the default)", 0},
	{"no-oom", 0, NULL, "no dump when an allocation fails", 0},
	{"at-rss", 0, "SIZE", "dump once when resident memory passes SIZE", 0},
	{"at-cgroup", 0, "PCT", "dump once at PCT % of the cgroup's limit", 0},
	{"on-crash", 0, NULL, "dump on SIGSEGV, SIGBUS, SIGABRT, SIGFPE and SIGILL", 0},
	{"on-exit", 0, NULL, "dump when the process exits normally", 0},
	{"every", 0, "SECONDS", "dump each SECONDS, keeping the newest", 0},
	{"keep", 0, "N", "how many of them to keep (default 16)", 0},
	{"sample", 0, "BYTES", "allocation sites: one sample per BYTES (512K)", 0},
	{"exact", 0, NULL, "record the site of every allocation", 0},
	{"no-sites", 0, NULL, "no allocation sites", 0},
	{"contents", 0, "MODE", "object bytes in the dump: none (default) or all", 0},
	{"max-dumps", 0, "N", "stop after N dumps (default 16, without those of --every)", 0},
	{"timeout", 0, "SECONDS", "give up a dump after SECONDS, 0 never (default 300)", 0},
	END,
};

static const struct hf_option dump_options[] = {
	{NULL, 'o', "FILE", "the dump to write", 0},
	{"core", 0, "CORE", "dump from an ELF core file", 0},
	{"exe", 0, "EXE", "the program the core is of", 0},
	{"sysroot", 0, "DIR", "where the files of its process are, as below /", 0},
	END,
};

static const struct hf_option profile_options[] = {
	{NULL, 'o', "FILE", "the profile to write", 0},
	{"file", 0, "SITES", "of a process that has ended: the file that it kept", 0},
	END,
};

static const struct hf_option ctl_options[] = {
	{"sample", 0, "WHAT",
		"record one sample per so many bytes, exact: every allocation, off: none "
		"(without it: tell)",
		0},
	END,
};

static const struct hf_option load_options[] = {
	{NULL, 'o', "DB", "the database to write (default: beside INPUT)", 0},
	{"profile", 0, "FILE", "heap profile with the sites (default: the one beside INPUT)", 0},
	{"debug-dir", 0, "DIR", "where separate debug files are, before the usual places",
		HF_OPTION_REPEATS},
	{"sysroot", 0, "DIR", "where the files of the process are (default: /)", 0},
	{"no-cache", 0, NULL, "neither read nor keep indexes of large debug files", 0},
	{"precise", 0, NULL, "words that are certainly no pointers retain nothing", 0},
	{"tagged-pointers", 0, NULL, "the low three bits of a pointer to a struct are not its own",
		0},
	{"allocator", 0, "NAME",
		"a function, or pattern, that only hands memory on: it names no site",
		HF_OPTION_REPEATS},
	JSON_OPTION,
	END,
};

static const struct hf_option report_options[] = {JSON_OPTION, END};

static const struct hf_option who_options[] = {
	{"all", 0, "N", "also paths from other roots, N in all (default 5)", HF_OPTION_OPTIONAL},
	{"type", 0, "TYPE", "of all objects of a type (* and ? match any)", 0},
	{"site", 0, "SITE", "of all objects of a site: function, file:line or id", 0},
	{"sql", 0, "QUERY", "of the objects whose ids QUERY selects", 0},
	N_OPTION,
	JSON_OPTION,
	END,
};

static const struct hf_option top_options[] = {
	{"by", 0, "WHAT", "object, type, site, function, module, root or arena (default object)",
		0},
	{"sort", 0, "BY", "retained, size, count or held (default: what suits --by)", 0},
	N_OPTION,
	JSON_OPTION,
	CSV_OPTION,
	END,
};

static const struct hf_option tree_options[] = {
	{"dominators", 0, NULL, "the dominator tree with retained sizes, not the holder tree", 0},
	{"min", 0, "PCT", "sum up children below PCT % of the whole (default 5)", 0},
	{"depth", 0, "N", "drops shown below one another (default 4)", 0},
	{NULL, 'n', "N", "children shown of each (default 6)", 0},
	JSON_OPTION,
	CSV_OPTION,
	END,
};

static const struct hf_option refs_options[] = {
	{"in", 0, NULL, "only the words that point to it", 0},
	{"out", 0, NULL, "only the objects that it points to", 0},
	{"limit", 0, "N", "show N of each (default 20)", 0},
	JSON_OPTION,
	CSV_OPTION,
	END,
};

static const struct hf_option leaks_options[] = {
	{"older", 0, "AGE", "only what was allocated AGE (90s, 10m, 2h, 1d) before the dump", 0},
	{"fail-over", 0, "SIZE", "exit with 6 if more than SIZE is leaked", 0},
	N_OPTION,
	JSON_OPTION,
	CSV_OPTION,
	END,
};

static const struct hf_option diff_options[] = {
	{"by", 0, "WHAT", "type, site, root or object (default: the finest group that all know)",
		0},
	{"fail-over", 0, "SIZE", "exit with 6 if the heap grew by more than SIZE", 0},
	N_OPTION,
	JSON_OPTION,
	CSV_OPTION,
	END,
};

static const struct hf_option export_options[] = {
	{"format", 0, "FORMAT", "pprof (go tool pprof reads it) or svg (a flame graph)", 0},
	{NULL, 'o', "FILE", "the file to write; - is standard output", 0},
	{"what", 0, "WHAT", "live: bytes that live (default), or retained", 0},
	END,
};

static const struct hf_option symbolize_options[] = {
	{NULL, 'o', "FILE", "the file to write (default: PROFILE itself)", 0},
	{"debug-dir", 0, "DIR", "where separate debug files are, before the usual places",
		HF_OPTION_REPEATS},
	END,
};

static const struct hf_option sql_options[] = {
	{"json", 0, NULL, "rows as JSON", 0},
	{"csv", 0, NULL, "rows as CSV", 0},
	{"time-limit", 0, "SECONDS", "give up a query after SECONDS", 0},
	END,
};

const struct hf_command hf_commands[] = {
	{"run", "[OPTION]... -- CMD [ARG]...", "start CMD with the library preloaded", run_options,
		1, -1, hf_cmd_run, HF_COMMAND_STOP_AT_ARG},
	{"dump", "PID [-o FILE]\n--core CORE [--exe EXE] [--sysroot DIR] [-o FILE]",
		"dump a running process, or from a core file", dump_options, 0, 1, hf_cmd_dump, 0},
	{"profile", "PID [-o FILE]\n--file SITES [-o FILE]",
		"the heap profile of a process that records sites", profile_options, 0, 1,
		hf_cmd_profile, 0},
	{"ctl", "PID [--sample BYTES|exact|off]", "what a running process records", ctl_options, 1,
		1, hf_cmd_ctl, 0},
	{"load", "INPUT [-o DB] [--profile FILE]", "make the database of a dump", load_options, 1,
		1, hf_cmd_load, 0},
	{"report", "INPUT", "one screen: totals, who holds most, where memory is", report_options,
		1, 1, hf_cmd_report, 0},
	{"who", "INPUT ADDR [--all[=N]]\nINPUT --type T | --site S | --sql QUERY [-n N]",
		"who holds the object that contains ADDR, or a set of objects", who_options, 1, 2,
		hf_cmd_who, 0},
	{"top", "INPUT [--by WHAT] [--sort BY] [-n N]", "the largest objects, types, roots ...",
		top_options, 1, 1, hf_cmd_top, 0},
	{"tree", "INPUT [ADDR]", "what is held, down to each next big drop", tree_options, 1, 2,
		hf_cmd_tree, 0},
	{"refs", "INPUT ADDR [--in|--out]", "what points to an object, what it points to",
		refs_options, 2, 2, hf_cmd_refs, 0},
	{"leaks", "INPUT [--fail-over SIZE]", "what no root reaches", leaks_options, 1, 1,
		hf_cmd_leaks, 0},
	{"diff", "OLD NEW [NEWER]... [--by WHAT]", "what grew, and who holds the growth",
		diff_options, 2, 16, hf_cmd_diff, 0},
	{"sql", "INPUT [QUERY]", "SQL over everything; a shell without QUERY", sql_options, 1, 2,
		hf_cmd_sql, 0},
	{"info", "FILE", "header, totals, what is missing", report_options, 1, 1, hf_cmd_info, 0},
	{"verify", "FILE", "check every checksum and invariant", report_options, 1, 1,
		hf_cmd_verify, 0},
	{"export", "INPUT --format FORMAT -o FILE [--what WHAT]",
		"the heap by site, for other tools", export_options, 1, 1, hf_cmd_export, 0},
	{"symbolize", "PROFILE [-o FILE]", "functions and lines into a heap profile",
		symbolize_options, 1, 1, hf_cmd_symbolize, 0},
	{.name = "serve", .usage = "", .summary = "", .flags = HF_COMMAND_LATER},
	{0},
};

const struct hf_command *hf_command_find(const char *name)
{
	for (const struct hf_command *c = hf_commands; c->name; c++) {
		if (!strcmp(c->name, name))
			return c;
	}
	return NULL;
}

/* Levenshtein distance of short words, saturating at 9. */
static unsigned distance(const char *a, const char *b)
{
	enum { MAX = 24 };
	size_t n = strlen(a), m = strlen(b);
	if (n >= MAX || m >= MAX)
		return 9;
	unsigned row[MAX];
	for (size_t j = 0; j <= m; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= n; i++) {
		unsigned diagonal = row[0];
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= m; j++) {
			unsigned above = row[j], best = diagonal + (a[i - 1] != b[j - 1]);
			best = best < above + 1 ? best : above + 1;
			row[j] = best < row[j - 1] + 1 ? best : row[j - 1] + 1;
			diagonal = above;
		}
	}
	return row[m];
}

const struct hf_command *hf_command_nearest(const char *name)
{
	const struct hf_command *nearest = NULL;
	unsigned best = 3;
	for (const struct hf_command *c = hf_commands; c->name; c++) {
		unsigned d = distance(name, c->name);
		if (c->flags & HF_COMMAND_LATER || d >= best)
			continue;
		/* Two letters of a short word may be all of it. */
		if (d * 2 <= strlen(c->name)) {
			nearest = c;
			best = d;
		}
	}
	return nearest;
}

void hf_command_help(const struct hf_command *command)
{
	const char *usage = command->usage;
	for (const char *lead = "Usage:"; *usage; lead = "      ") {
		int n = (int)strcspn(usage, "\n");
		printf("%s holdfast %s %.*s\n", lead, command->name, n, usage);
		usage += n + (usage[n] == '\n');
	}
	printf("\n%c%s.\n\nOptions:\n", toupper((unsigned char)command->summary[0]),
		command->summary + 1);
	for (const struct hf_option *o = command->options; o->name || o->letter; o++) {
		char text[80];
		if (o->flags & HF_OPTION_LATER)
			continue;
		hf_option_text(o, text, sizeof(text));
		printf("  %-22s ", text);
		/* The texts wrap at 80 columns. */
		int column = 25;
		for (const char *s = o->help; *s;) {
			int word = (int)strcspn(s, " ");
			if (column > 25 && column + word > 79) {
				printf("\n%25s", "");
				column = 25;
			}
			printf("%.*s", word, s);
			column += word;
			s += word;
			if (*s == ' ') {
				s++;
				if (column + 1 + (int)strcspn(s, " ") <= 79) {
					putchar(' ');
					column++;
				} else {
					printf("\n%25s", "");
					column = 25;
				}
			}
		}
		putchar('\n');
	}
	printf("  %-22s show this text\n", "-h, --help");
}

void hf_commands_help(void)
{
	printf("Holdfast tells who holds the memory of a native Linux process.\n\n"
	       "Usage: holdfast COMMAND [OPTION]... [ARG]...\n\nCommands:\n");
	for (const struct hf_command *c = hf_commands; c->name; c++) {
		if (!(c->flags & HF_COMMAND_LATER))
			printf("  %-8s %s\n", c->name, c->summary);
	}
	printf("\nINPUT is a dump (.hfd) or a database (.hfdb); a dump is loaded first, once.\n"
	       "ADDR is 0x... or decimal, and may point into the middle of an object.\n"
	       "holdfast COMMAND --help tells the options, holdfast --version the version.\n\n"
	       "Exit codes: 0 ok, 1 failed, 2 usage, 3 unreadable or not found, 4 partial,\n"
	       "5 not permitted, 6 over a --fail-over threshold.\n");
}
