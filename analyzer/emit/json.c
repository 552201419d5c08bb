#include "emit/json.h"

#include <assert.h>
#include <math.h>

/* Length of the valid UTF-8 character at s, 0 if there is none (RFC 3629). */
static int utf8_length(const unsigned char *s)
{
	if (s[0] < 0x80)
		return 1;
	int n = s[0] >= 0xf0 && s[0] <= 0xf4 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc2 ? 2 : 0;
	if (s[0] > 0xf4 || !n)
		return 0;
	for (int i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	}
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
		(s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

static void string(FILE *out, const char *text)
{
	putc('"', out);
	for (const unsigned char *s = (const unsigned char *)text; *s;) {
		int n = utf8_length(s);
		if (!n) {
			fputs("\\ufffd", out);
			n = 1;
		} else if (*s == '"' || *s == '\\') {
			fprintf(out, "\\%c", *s);
		} else if (*s < 0x20 || *s == 0x7f) {
			fprintf(out, "\\u%04x", *s);
		} else {
			fwrite(s, 1, (size_t)n, out);
		}
		s += n;
	}
	putc('"', out);
}

static void start(struct hf_json *json, const char *key)
{
	if (json->filled[json->depth])
		putc(',', json->out);
	if (json->in_record) {
		if (json->filled[json->depth])
			putc(' ', json->out);
	} else if (json->depth) {
		putc('\n', json->out);
		for (int i = 0; i < json->depth; i++)
			fputs("  ", json->out);
	}
	json->filled[json->depth] = true;
	if (key) {
		string(json->out, key);
		fputs(": ", json->out);
	}
}

static void open_level(struct hf_json *json, const char *key, char c)
{
	start(json, key);
	putc(c, json->out);
	assert(json->depth + 1 < HF_JSON_DEPTH);
	json->filled[++json->depth] = false;
}

static void close_level(struct hf_json *json, char c)
{
	bool filled = json->filled[json->depth--];
	if (filled && !json->in_record) {
		putc('\n', json->out);
		for (int i = 0; i < json->depth; i++)
			fputs("  ", json->out);
	}
	putc(c, json->out);
	if (!json->depth)
		putc('\n', json->out);
}

void hf_json_object_begin(struct hf_json *json, const char *key)
{
	open_level(json, key, '{');
}

void hf_json_object_end(struct hf_json *json)
{
	close_level(json, '}');
}

void hf_json_array_begin(struct hf_json *json, const char *key)
{
	open_level(json, key, '[');
}

void hf_json_array_end(struct hf_json *json)
{
	close_level(json, ']');
}

void hf_json_record_begin(struct hf_json *json)
{
	open_level(json, NULL, '{');
	json->in_record = true;
}

void hf_json_record_end(struct hf_json *json)
{
	close_level(json, '}');
	json->in_record = false;
}

void hf_json_text(struct hf_json *json, const char *key, const char *value)
{
	start(json, key);
	string(json->out, value);
}

void hf_json_int(struct hf_json *json, const char *key, int64_t value)
{
	start(json, key);
	fprintf(json->out, "%lld", (long long)value);
}

void hf_json_real(struct hf_json *json, const char *key, double value)
{
	start(json, key);
	if (isfinite(value))
		fprintf(json->out, "%.15g", value);
	else
		fputs("null", json->out);
}

void hf_json_bool(struct hf_json *json, const char *key, bool value)
{
	start(json, key);
	fputs(value ? "true" : "false", json->out);
}

void hf_json_null(struct hf_json *json, const char *key)
{
	start(json, key);
	fputs("null", json->out);
}
