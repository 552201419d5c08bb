#include "cli/capture.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/fmt.h"

int hf_capture_signal(const char *text)
{
	const char *s = text;
	uint64_t number;
	if (hf_parse_u64(&s, &number)) {
		bool fine = !*s && number > 0 && number < (uint64_t)NSIG && number != SIGKILL &&
			    number != SIGSTOP;
		return fine ? (int)number : 0;
	}
	if (!strncasecmp(text, "SIG", 3))
		text += 3;
	if (!strncasecmp(text, "RTMIN", 5) || !strncasecmp(text, "RTMAX", 5)) {
		bool from_max = !strncasecmp(text, "RTMAX", 5);
		s = text + 5;
		number = 0;
		if (*s && (*s++ != (from_max ? '-' : '+') || !hf_parse_u64(&s, &number)))
			return 0;
		if (*s || number > (uint64_t)(SIGRTMAX - SIGRTMIN))
			return 0;
		return from_max ? SIGRTMAX - (int)number : SIGRTMIN + (int)number;
	}
	for (int sig = 1; sig < SIGRTMIN; sig++) {
		const char *name = sigabbrev_np(sig);
		if (name && !strcasecmp(name, text) && sig != SIGKILL && sig != SIGSTOP)
			return sig;
	}
	return 0;
}

enum { MAX_SAMPLE = 1 << 30 }; /* bytes; as the library has it */
enum { MAX_SECONDS = 1000000000, MAX_KEEP = 65536 };

static enum hf_status check_pattern(const char *value, struct hf_err *err)
{
	/* A comma would end the value: the variable has no way to quote one. */
	if (strchr(value, ','))
		return hf_err_set(err, HF_E_USAGE, "-o %s: a comma cannot be in the name", value);
	if (!*value)
		return hf_err_set(err, HF_E_USAGE, "-o: the name is empty");
	for (const char *s = strchr(value, '%'); s; s = strchr(s + 2, '%')) {
		if (!s[1] || !strchr("ptne%", s[1]))
			return hf_err_set(err, HF_E_USAGE,
				"-o %s: after %% come p, t, n, e or %% only", value);
	}
	return HF_OK;
}

static enum hf_status check_signal(const char *value, struct hf_err *err)
{
	return hf_capture_signal(value)
		       ? HF_OK
		       : hf_err_set(err, HF_E_USAGE,
				 "--on-signal %s: not a signal that can be caught", value);
}

static enum hf_status check_contents(const char *value, struct hf_err *err)
{
	return !strcmp(value, "none") || !strcmp(value, "all")
		       ? HF_OK
		       : hf_err_set(err, HF_E_USAGE, "--contents %s: it is none or all", value);
}

static enum hf_status check_number(
	const char *option, const char *value, uint64_t most, struct hf_err *err)
{
	const char *s = value;
	uint64_t n;
	return hf_parse_u64(&s, &n) && !*s && n > 0 && n <= most
		       ? HF_OK
		       : hf_err_set(err, HF_E_USAGE, "%s %s: not a number from 1 to %lu", option,
				 value, most);
}

static enum hf_status check_count(const char *value, struct hf_err *err)
{
	return check_number("--max-dumps", value, INT32_MAX, err);
}

static enum hf_status check_seconds(const char *value, struct hf_err *err)
{
	return check_number("--every", value, MAX_SECONDS, err);
}

static enum hf_status check_keep(const char *value, struct hf_err *err)
{
	return check_number("--keep", value, MAX_KEEP, err);
}

static enum hf_status check_rss(const char *value, struct hf_err *err)
{
	uint64_t bytes;
	return hf_parse_size(value, &bytes) && bytes > 0
		       ? HF_OK
		       : hf_err_set(err, HF_E_USAGE,
				 "--at-rss %s: not a size; write 500M, 2G or 65536", value);
}

static enum hf_status check_percent(const char *value, struct hf_err *err)
{
	const char *s = value;
	uint64_t n;
	return hf_parse_u64(&s, &n) && (!*s || !strcmp(s, "%")) && n >= 1 && n <= 100
		       ? HF_OK
		       : hf_err_set(err, HF_E_USAGE,
				 "--at-cgroup %s: not a percentage from 1 to 100", value);
}

static enum hf_status check_timeout(const char *value, struct hf_err *err)
{
	enum { MAX_TIMEOUT = 1000000 };
	const char *s = value;
	uint64_t n;
	return hf_parse_u64(&s, &n) && !*s && n <= MAX_TIMEOUT
		       ? HF_OK
		       : hf_err_set(
				 err, HF_E_USAGE, "--timeout %s: not a number of seconds", value);
}

static enum hf_status check_sample(const char *value, struct hf_err *err)
{
	uint64_t bytes;
	if (hf_parse_size(value, &bytes) && !bytes)
		return hf_err_set(err, HF_E_USAGE,
			"--sample %s: nothing would be recorded, which --no-sites says; for every "
			"allocation: --exact",
			value);
	return hf_parse_size(value, &bytes) && bytes <= MAX_SAMPLE
		       ? HF_OK
		       : hf_err_set(err, HF_E_USAGE,
				 "--sample %s: not a size up to 1G; write 4096, 512K, 2M", value);
}

/* Options that this version refuses are HF_OPTION_LATER in the table of commands. */
static const struct {
	const char *name, *key;
	const char *fixed; /* the key's value; NULL: what was given */
	enum hf_status (*check)(const char *value, struct hf_err *err);
} keys[] = {
	{"o", "out", NULL, check_pattern},
	{"on-signal", "signal", NULL, check_signal},
	{"no-oom", "oom", "0", NULL},
	{"on-oom", "oom", "1", NULL},
	{"on-crash", "crash", "1", NULL},
	{"on-exit", "exit", "1", NULL},
	{"contents", "contents", NULL, check_contents},
	{"at-rss", "rss", NULL, check_rss},
	{"at-cgroup", "cgroup", NULL, check_percent},
	{"every", "every", NULL, check_seconds},
	{"keep", "keep", NULL, check_keep},
	{"max-dumps", "max", NULL, check_count},
	{"timeout", "timeout", NULL, check_timeout},
	{"sample", "sample", NULL, check_sample},
	{"exact", "sample", "1", NULL},
	{"no-sites", "sample", "0", NULL},
};

enum hf_status hf_capture_environment(
	const struct hf_args *args, struct hf_text *ret, struct hf_err *err)
{
	if (hf_args_has(args, "sample") + hf_args_has(args, "exact") +
			hf_args_has(args, "no-sites") >
		1)
		return hf_err_set(err, HF_E_USAGE, "--sample, --exact, --no-sites: one of them");
	if (hf_args_has(args, "keep") && !hf_args_has(args, "every"))
		return hf_err_set(err, HF_E_USAGE, "--keep goes with --every");
	const char *pattern = hf_args_value(args, "o");
	if (hf_args_has(args, "every") && pattern && !strstr(pattern, "%n") &&
		!strstr(pattern, "%t"))
		return hf_err_set(err, HF_E_USAGE,
			"-o %s: --every needs %%n or %%t in it, for names that differ", pattern);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (!hf_args_has(args, keys[i].name))
			continue;
		const char *value =
			keys[i].fixed ? keys[i].fixed : hf_args_value(args, keys[i].name);
		enum hf_status status = keys[i].check ? keys[i].check(value, err) : HF_OK;
		if (status != HF_OK)
			return status;
		hf_text_addf(ret, "%s%s=%s", ret->len ? "," : "", keys[i].key, value);
	}
	return ret->failed ? hf_err_set(err, HF_E_NOMEM, "no memory") : HF_OK;
}
