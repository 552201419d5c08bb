#include "frontend/config.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>

#include "base/fmt.h"
#include "base/sys.h"

static const struct {
	const char *name;
	int number;
} signals[] = {
	{"HUP", SIGHUP},
	{"INT", SIGINT},
	{"QUIT", SIGQUIT},
	{"TRAP", SIGTRAP},
	{"USR1", SIGUSR1},
	{"USR2", SIGUSR2},
	{"PIPE", SIGPIPE},
	{"ALRM", SIGALRM},
	{"TERM", SIGTERM},
	{"URG", SIGURG},
	{"XCPU", SIGXCPU},
	{"XFSZ", SIGXFSZ},
	{"VTALRM", SIGVTALRM},
	{"PROF", SIGPROF},
	{"WINCH", SIGWINCH},
	{"IO", SIGIO},
	{"PWR", SIGPWR},
};

enum { MAX_SECONDS = 1000000000, MAX_KEEP = 65536, DEFAULT_KEEP = 16, DEFAULT_MAX = 16 };
static const uint64_t NOT_GIVEN = UINT64_MAX;
enum { DEFAULT_SAMPLE = 512 << 10, MAX_SAMPLE = 1 << 30 }; /* bytes between samples */
enum { DEFAULT_LIMIT_S = 300, MAX_LIMIT_S = 1000000 };
enum { RTMIN = 34, RTMAX = 64 /* as a program sees them: glibc keeps 32 and 33 to itself */ };

int hf_signal_number(const char *text)
{
	uint64_t number;
	if (hf_parse_u64(&text, &number)) {
		bool fine = !*text && number > 0 && number <= RTMAX && number != SIGKILL &&
			    number != SIGSTOP && number != 32 && number != 33;
		return fine ? (int)number : 0;
	}
	if (strncmp(text, "SIG", 3) == 0)
		text += 3;
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		if (strcmp(text, signals[i].name) == 0)
			return signals[i].number;
	}
	if (strncmp(text, "RTMIN", 5) == 0) {
		text += 5;
		number = 0;
		if (*text == '+' && (text++, !hf_parse_u64(&text, &number)))
			return 0;
		return !*text && number <= RTMAX - RTMIN ? RTMIN + (int)number : 0;
	}
	if (strcmp(text, "RTMAX") == 0)
		return RTMAX;
	return 0;
}

const char *hf_signal_name(int number, char *buf, size_t size)
{
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		if (signals[i].number == number)
			return signals[i].name;
	}
	if (number >= RTMIN)
		hf_fmt(buf, size, "RTMIN+%d", number - RTMIN);
	else
		hf_fmt(buf, size, "%d", number);
	return buf;
}

static bool is_off(const char *value)
{
	return strcmp(value, "0") == 0 || strcmp(value, "off") == 0;
}

/* The keys: each has a parser, which gets the field of struct hf_config and says false to a wrong
 * value. */

static bool key_text(const char *value, void *field)
{
	return *value && hf_fmt(field, HF_PATH_MAX / 2, "%s", value) == strlen(value);
}

static bool key_bool(const char *value, void *field)
{
	bool *on = field;
	*on = strcmp(value, "1") == 0 || strcmp(value, "on") == 0;
	return *on || is_off(value);
}

static bool key_signal(const char *value, void *field)
{
	int *number = field;
	*number = is_off(value) ? 0 : hf_signal_number(value);
	return *number || is_off(value);
}

static bool key_count(const char *value, void *field)
{
	return hf_parse_u64(&value, field) && !*value;
}

static bool key_seconds(const char *value, void *field)
{
	return key_count(value, field) && *(uint64_t *)field <= MAX_LIMIT_S;
}

static bool key_size(const char *value, void *field)
{
	return hf_parse_size(value, field);
}

static bool key_percent(const char *value, void *field)
{
	uint64_t *percent = field;
	if (is_off(value)) {
		*percent = 0;
		return true;
	}
	return hf_parse_u64(&value, percent) && (!*value || strcmp(value, "%") == 0) &&
	       *percent >= 1 && *percent <= 100;
}

static bool key_every(const char *value, void *field)
{
	uint64_t *seconds = field;
	if (is_off(value)) {
		*seconds = 0;
		return true;
	}
	return hf_parse_u64(&value, seconds) && !*value && *seconds <= MAX_SECONDS;
}

static bool key_keep(const char *value, void *field)
{
	uint64_t *n = field;
	return hf_parse_u64(&value, n) && !*value && *n >= 1 && *n <= MAX_KEEP;
}

static bool key_sample(const char *value, void *field)
{
	return hf_parse_size(value, field) && *(uint64_t *)field <= MAX_SAMPLE;
}

static bool key_contents(const char *value, void *field)
{
	bool *all = field;
	*all = strcmp(value, "all") == 0;
	return *all || strcmp(value, "none") == 0;
}

static const struct {
	const char *key;
	bool (*parse)(const char *value, void *field);
	size_t field;
} keys[] = {
	{"out", key_text, offsetof(struct hf_config, pattern)},
	{"signal", key_signal, offsetof(struct hf_config, signal)},
	{"oom", key_bool, offsetof(struct hf_config, on_oom)},
	{"crash", key_bool, offsetof(struct hf_config, on_crash)},
	{"rss", key_size, offsetof(struct hf_config, rss_bytes)},
	{"cgroup", key_percent, offsetof(struct hf_config, cgroup_percent)},
	{"every", key_every, offsetof(struct hf_config, every_s)},
	{"keep", key_keep, offsetof(struct hf_config, keep)},
	{"exit", key_bool, offsetof(struct hf_config, on_exit)},
	{"timeout", key_seconds, offsetof(struct hf_config, limit_s)},
	{"max", key_count, offsetof(struct hf_config, max_dumps)},
	{"sample", key_sample, offsetof(struct hf_config, sample_bytes)},
	{"profile", key_text, offsetof(struct hf_config, profile)},
	{"contents", key_contents, offsetof(struct hf_config, contents)},
};

static enum hf_status set(
	struct hf_config *c, const char *key, const char *value, struct hf_err *err)
{
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (strcmp(key, keys[i].key) != 0)
			continue;
		if (keys[i].parse(value, (char *)c + keys[i].field))
			return HF_OK;
		return hf_err_set(err, HF_E_USAGE, "%s=%s: wrong value", key, value);
	}
	return hf_err_set(err, HF_E_USAGE, "unknown key «%s»", key);
}

static enum hf_status parse_pairs(struct hf_config *config, const char *text, struct hf_err *err)
{
	while (text && *text) {
		char pair[HF_PATH_MAX];
		size_t n = strcspn(text, ",");
		if (n >= sizeof(pair))
			return hf_err_set(err, HF_E_USAGE, "a value is too long");
		hf_fmt(pair, sizeof(pair), "%.*s", (int)n, text);
		text += n + (text[n] == ',');
		char *equals = strchr(pair, '=');
		if (!n)
			continue;
		if (!equals)
			return hf_err_set(err, HF_E_USAGE, "«%s» is not key=value", pair);
		*equals = 0;
		enum hf_status status = set(config, pair, equals + 1, err);
		if (status)
			return status;
	}
	return HF_OK;
}

/* The program may change its directory: the pattern is relative to where it started. */
static void make_absolute(char pattern[HF_PATH_MAX])
{
	char dir[HF_PATH_MAX], relative[HF_PATH_MAX];
	if (!*pattern || *pattern == '/' || hf_syscall2(SYS_getcwd, dir, sizeof(dir)) <= 0)
		return;
	hf_fmt(relative, sizeof(relative), "%s", pattern);
	/* A % in the directory's name is no directive. */
	size_t n = 0;
	for (const char *p = dir; *p && n + 2 < HF_PATH_MAX; p++) {
		pattern[n++] = *p;
		if (*p == '%')
			pattern[n++] = '%';
	}
	hf_fmt(pattern + n, HF_PATH_MAX - n, "/%s", relative);
}

/* Has the pattern another name for each dump of a process? */
static bool differ(const char *pattern)
{
	for (const char *p = pattern; (p = strchr(p, '%')) && p[1]; p += 2) {
		if (p[1] == 'n' || p[1] == 't')
			return true;
	}
	return false;
}

enum hf_status hf_config_parse(struct hf_config *config, const char *text, struct hf_err *err)
{
	*config = (struct hf_config){.signal = SIGUSR2,
		.on_oom = true,
		.keep = DEFAULT_KEEP,
		.max_dumps = NOT_GIVEN,
		.limit_s = DEFAULT_LIMIT_S,
		.sample_bytes = DEFAULT_SAMPLE};
	hf_fmt(config->pattern, sizeof(config->pattern), "%s", "%e.%p.%n.hfd");
	int64_t n = hf_sys_read_file("/proc/self/comm", config->program, sizeof(config->program));
	if (n > 0 && config->program[n - 1] == '\n')
		config->program[n - 1] = 0;
	for (char *p = config->program; *p; p++)
		*p = *p == '/' || (unsigned char)*p < ' ' ? '_' : *p;
	enum hf_status status = parse_pairs(config, text, err);
	config->max_given = config->max_dumps != NOT_GIVEN;
	if (!config->max_given)
		config->max_dumps = DEFAULT_MAX;
	if (!status && config->every_s && !differ(config->pattern))
		status = hf_err_set(err, HF_E_USAGE,
			"every=%lu: out=%s needs %%n or %%t, for names that differ",
			config->every_s, config->pattern);
	if (!status) {
		make_absolute(config->pattern);
		make_absolute(config->profile);
	}
	return status;
}

static enum hf_status expand(const struct hf_config *config, const char *pattern, int pid,
	uint64_t unix_time, uint64_t number, char *ret, size_t ret_size, struct hf_err *err)
{
	size_t n = 0;
	for (const char *p = pattern; *p; p++) {
		char piece[80] = {*p, 0};
		if (*p == '%' && p[1]) {
			switch (*++p) {
			case 'p':
				hf_fmt(piece, sizeof(piece), "%d", pid);
				break;
			case 't':
				hf_fmt(piece, sizeof(piece), "%lu", unix_time);
				break;
			case 'n':
				hf_fmt(piece, sizeof(piece), "%lu", number);
				break;
			case 'e':
				hf_fmt(piece, sizeof(piece), "%s", config->program);
				break;
			case '%':
				break;
			default:
				return hf_err_set(err, HF_E_USAGE,
					"%s: %%%c is none of %%p %%t %%n %%e %%%%", pattern, *p);
			}
		}
		size_t k = strlen(piece);
		if (n + k + 1 > ret_size)
			return hf_err_set(
				err, HF_E_USAGE, "%s: the file name is too long", pattern);
		memcpy(ret + n, piece, k);
		n += k;
	}
	ret[n] = 0;
	return HF_OK;
}

enum hf_status hf_config_path(const struct hf_config *config, int pid, uint64_t unix_time,
	uint64_t number, char *ret, size_t ret_size, struct hf_err *err)
{
	return expand(config, config->pattern, pid, unix_time, number, ret, ret_size, err);
}

enum hf_status hf_config_profile_path(const struct hf_config *config, int pid, uint64_t unix_time,
	char *ret, size_t ret_size, struct hf_err *err)
{
	return expand(config, config->profile, pid, unix_time, 0, ret, ret_size, err);
}
