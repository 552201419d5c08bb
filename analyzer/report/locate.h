/*
 * What an address is, when it is no object: where it lies and what is near.
 */
#pragma once
#include "report/heapdb.h"

enum hf_place {
	HF_PLACE_UNMAPPED,
	HF_PLACE_HEAP_GAP, /* an allocator's memory, but no live object */
	HF_PLACE_STACK,
	HF_PLACE_VARIABLE, /* a variable in static data or TLS */
	HF_PLACE_MODULE,
	HF_PLACE_MAPPING, /* any other mapping */
};

struct hf_location {
	enum hf_place place;
	char name[32]; /* stable, for JSON: "unmapped", "heap_gap", … */
	/* the mapping, if any */
	uint64_t mapping_start, mapping_size;
	char mapping_kind[32], mapping_path[HF_NAME_SIZE], perms[8];
	char module[HF_NAME_SIZE];
	uint64_t module_offset;
	char variable[HF_NAME_SIZE];
	uint64_t variable_offset;
	int64_t tid; /* of a stack; 0: none */
	char thread[HF_NAME_SIZE];
	bool has_before, has_after; /* nearest objects */
	struct hf_object before, after;
};

enum hf_status hf_locate(
	struct hf_heapdb *heap, uint64_t addr, struct hf_location *ret, struct hf_err *err);
/* "in the stack of thread 12 (worker)" */
void hf_location_text(struct hf_text *text, const struct hf_location *where);

/* "0x…" hex or decimal; HF_E_USAGE if it is neither. */
enum hf_status hf_parse_address(const char *text, uint64_t *ret, struct hf_err *err);
