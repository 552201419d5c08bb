/*
 * Names of variables and root words, as they stand in root.name and on paths.
 *
 * Thread rule: pure functions over read-only arrays.
 */
#pragma once
#include "source/heap.h"
#include "source/names.h"

enum { HF_ROOT_NAME_SIZE = 320 };

/* Of the heap, or of debug information where that knows better. */
const char *hf_variable_name(
	const struct hf_heap *heap, const struct hf_names *names, uint32_t variable);

/* "table", "table.first" or "table[+0x18]" for a word inside a larger variable, "rbx" for a
 * register, or the kind and address of a word without a variable. Long names are cut. */
void hf_root_name(char ret[HF_ROOT_NAME_SIZE], const struct hf_heap *heap,
	const struct hf_names *names, uint32_t root);

/* "user", or "buckets[17]" by the offset of the word. */
void hf_field_name(
	char ret[HF_ROOT_NAME_SIZE], const struct hf_names_field *field, uint64_t offset);

/* 'global', 'static', … of enum hf_root_kind. */
const char *hf_root_kind_name(uint32_t kind);
