#include "cli/args.h"

#include <stdio.h>
#include <string.h>

#include "base/fmt.h"

static const struct hf_option help_option = {"help", 'h', NULL, "show this text", 0};

static bool is_end(const struct hf_option *option)
{
	return !option->name && !option->letter;
}

static const struct hf_option *by_name(const struct hf_command *command, const char *name, size_t n)
{
	if (n == 4 && !strncmp(name, "help", 4))
		return &help_option;
	for (const struct hf_option *o = command->options; o && !is_end(o); o++) {
		if (o->name && strlen(o->name) == n && !strncmp(o->name, name, n))
			return o;
	}
	return NULL;
}

static const struct hf_option *by_letter(const struct hf_command *command, char letter)
{
	if (letter == 'h')
		return &help_option;
	for (const struct hf_option *o = command->options; o && !is_end(o); o++) {
		if (o->letter == letter)
			return o;
	}
	return NULL;
}

static enum hf_status give(struct hf_args *args, const struct hf_option *option, const char *value,
	const char *typed, struct hf_err *err)
{
	if (option == &help_option) {
		args->help = true;
		return HF_OK;
	}
	if (option->flags & HF_OPTION_LATER)
		return hf_err_set(err, HF_E_USAGE, "%s: not in this version of Holdfast", typed);
	if (option->arg && !value && !(option->flags & HF_OPTION_OPTIONAL))
		return hf_err_set(err, HF_E_USAGE, "%s needs an argument: %s", typed, option->arg);
	if (!option->arg && value)
		return hf_err_set(err, HF_E_USAGE, "%s takes no argument", typed);
	for (size_t i = 0; i < args->n_given; i++) {
		if (args->given[i].option == option && !(option->flags & HF_OPTION_REPEATS))
			return hf_err_set(err, HF_E_USAGE, "%s is given twice", typed);
	}
	if (args->n_given == HF_MAX_GIVEN)
		return hf_err_set(err, HF_E_USAGE, "too many options");
	args->given[args->n_given].option = option;
	args->given[args->n_given++].value = value;
	return HF_OK;
}

static enum hf_status unknown(
	const struct hf_command *command, const char *typed, struct hf_err *err)
{
	return hf_err_set(err, HF_E_USAGE, "%s: no such option; see holdfast %s --help", typed,
		command->name);
}

static enum hf_status parse_long(
	struct hf_args *args, int argc, char **argv, int *i, struct hf_err *err)
{
	const char *text = argv[*i] + 2, *equals = strchr(text, '=');
	size_t n = equals ? (size_t)(equals - text) : strlen(text);
	const struct hf_option *option = by_name(args->command, text, n);
	char typed[80];
	snprintf(typed, sizeof(typed), "--%.*s", (int)(n < 64 ? n : 64), text);
	if (!option)
		return unknown(args->command, typed, err);
	const char *value = equals ? equals + 1 : NULL;
	bool wants = option->arg && !(option->flags & (HF_OPTION_OPTIONAL | HF_OPTION_LATER));
	if (wants && !value && *i + 1 < argc)
		value = argv[++*i];
	return give(args, option, value, typed, err);
}

static enum hf_status parse_letters(
	struct hf_args *args, int argc, char **argv, int *i, struct hf_err *err)
{
	for (const char *s = argv[*i] + 1; *s; s++) {
		char typed[] = {'-', *s, 0};
		const struct hf_option *option = by_letter(args->command, *s);
		if (!option)
			return unknown(args->command, typed, err);
		const char *value = NULL;
		if (option->arg && s[1])
			value = s + 1;
		else if (option->arg && *i + 1 < argc)
			value = argv[++*i];
		enum hf_status status = give(args, option, value, typed, err);
		if (status != HF_OK || option->arg)
			return status;
	}
	return HF_OK;
}

enum hf_status hf_args_parse(const struct hf_command *command, int argc, char **argv,
	struct hf_args *ret, struct hf_err *err)
{
	*ret = (struct hf_args){.command = command, .args = argv};
	enum hf_status status = HF_OK;
	int i = 0;
	for (; i < argc && status == HF_OK; i++) {
		if (!strcmp(argv[i], "--")) {
			i++;
			break;
		}
		if (argv[i][0] != '-' || !argv[i][1]) {
			if (command->flags & HF_COMMAND_STOP_AT_ARG)
				break;
			/* Options may follow: the others move to the front, never past i. */
			argv[ret->n_args++] = argv[i];
		} else if (argv[i][1] == '-') {
			status = parse_long(ret, argc, argv, &i, err);
		} else {
			status = parse_letters(ret, argc, argv, &i, err);
		}
	}
	if (status != HF_OK || ret->help)
		return status;
	for (; i < argc; i++)
		argv[ret->n_args++] = argv[i];
	argv[ret->n_args < argc ? ret->n_args : argc] = NULL;
	if (ret->n_args < command->min_args)
		return hf_err_set(err, HF_E_USAGE,
			"%s: something is missing; usage: holdfast %s %.*s", command->name,
			command->name, (int)strcspn(command->usage, "\n"), command->usage);
	if (command->max_args >= 0 && ret->n_args > command->max_args)
		return hf_err_set(err, HF_E_USAGE, "%s: \"%s\" is one argument too many",
			command->name, ret->args[command->max_args]);
	return HF_OK;
}

static int find(const struct hf_args *args, const char *name)
{
	for (size_t i = args->n_given; i-- > 0;) {
		const struct hf_option *o = args->given[i].option;
		if (o->name ? !strcmp(o->name, name) : o->letter == name[0] && !name[1])
			return (int)i;
	}
	return -1;
}

bool hf_args_has(const struct hf_args *args, const char *name)
{
	return find(args, name) >= 0;
}

const char *hf_args_value(const struct hf_args *args, const char *name)
{
	int i = find(args, name);
	return i < 0 ? NULL : args->given[i].value;
}

size_t hf_args_values(const struct hf_args *args, const char *name, const char **ret, size_t max)
{
	size_t n = 0;
	for (size_t i = 0; i < args->n_given && n < max; i++) {
		const struct hf_option *o = args->given[i].option;
		if (o->name && !strcmp(o->name, name) && args->given[i].value)
			ret[n++] = args->given[i].value;
	}
	return n;
}

enum hf_status hf_args_number(const struct hf_args *args, const char *name, int64_t min,
	int64_t max, int64_t *ret, struct hf_err *err)
{
	const char *text = hf_args_value(args, name), *s = text;
	uint64_t value;
	if (!text)
		return HF_OK;
	if (hf_parse_u64(&s, &value) && !*s && value <= (uint64_t)max && (int64_t)value >= min) {
		*ret = (int64_t)value;
		return HF_OK;
	}
	return hf_err_set(err, HF_E_USAGE, "%s%s %s: not a number from %lld to %lld",
		name[1] ? "--" : "-", name, text, (long long)min, (long long)max);
}

enum hf_status hf_args_percent(
	const struct hf_args *args, const char *name, double *ret, struct hf_err *err)
{
	const char *text = hf_args_value(args, name), *s = text;
	uint64_t whole = 0, fraction = 0;
	if (!text)
		return HF_OK;
	bool ok = hf_parse_u64(&s, &whole) && whole <= 100;
	double value = (double)whole;
	if (ok && *s == '.') {
		const char *digits = ++s;
		ok = hf_parse_u64(&s, &fraction);
		double part = (double)fraction;
		while (digits++ < s)
			part /= 10;
		value += part;
	}
	if (ok && *s == '%')
		s++;
	if (ok && !*s && value <= 100) {
		*ret = value;
		return HF_OK;
	}
	return hf_err_set(
		err, HF_E_USAGE, "--%s %s: no percentage; write 5, 0.1, up to 100", name, text);
}

enum hf_status hf_args_size(
	const struct hf_args *args, const char *name, uint64_t *ret, struct hf_err *err)
{
	const char *text = hf_args_value(args, name);
	if (!text || hf_parse_size(text, ret))
		return HF_OK;
	return hf_err_set(
		err, HF_E_USAGE, "--%s %s: not a size; write 4096, 512K, 64M, 2G", name, text);
}

enum hf_status hf_args_age(
	const struct hf_args *args, const char *name, int64_t *ret_s, struct hf_err *err)
{
	static const struct {
		const char *unit;
		uint64_t seconds;
	} units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"min", 60}, {"h", 3600}, {"d", 86400}};
	const char *text = hf_args_value(args, name), *s = text;
	uint64_t n;
	if (!text)
		return HF_OK;
	bool number = hf_parse_u64(&s, &n) && n <= UINT32_MAX;
	for (size_t i = 0; number && i < sizeof(units) / sizeof(units[0]); i++) {
		if (!strcmp(s, units[i].unit)) {
			*ret_s = (int64_t)(n * units[i].seconds);
			return HF_OK;
		}
	}
	return hf_err_set(
		err, HF_E_USAGE, "--%s %s: not an age; write 90s, 10m, 2h, 1d", name, text);
}

void hf_option_text(const struct hf_option *option, char *buf, size_t size)
{
	char arg[64] = "";
	if (option->arg)
		snprintf(arg, sizeof(arg), option->flags & HF_OPTION_OPTIONAL ? "[=%s]" : " %s",
			option->arg);
	if (option->letter && option->name)
		snprintf(buf, size, "-%c, --%s%s", option->letter, option->name, arg);
	else if (option->letter)
		snprintf(buf, size, "-%c%s", option->letter, arg);
	else
		snprintf(buf, size, "    --%s%s", option->name, arg);
}
