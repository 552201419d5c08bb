/*
 * A JSON text writer: members and elements in order, commas and indentation by itself.
 *
 * Every object and array of the top levels is on lines of its own; a record (an object written
 * with hf_json_record_begin) is one line. Not thread safe.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { HF_JSON_DEPTH = 16 };

struct hf_json {
	FILE *out;
	int depth;
	bool filled[HF_JSON_DEPTH]; /* something was written at this depth */
	bool in_record;
};

/* key is NULL for elements of an array and for the outermost value. */
void hf_json_object_begin(struct hf_json *json, const char *key);
void hf_json_object_end(struct hf_json *json);
void hf_json_array_begin(struct hf_json *json, const char *key);
void hf_json_array_end(struct hf_json *json);
void hf_json_record_begin(struct hf_json *json);
void hf_json_record_end(struct hf_json *json);

/* Bytes that are not UTF-8 become U+FFFD: the output is always valid JSON. */
void hf_json_text(struct hf_json *json, const char *key, const char *value);
void hf_json_int(struct hf_json *json, const char *key, int64_t value);
void hf_json_real(struct hf_json *json, const char *key, double value);
void hf_json_bool(struct hf_json *json, const char *key, bool value);
void hf_json_null(struct hf_json *json, const char *key);
