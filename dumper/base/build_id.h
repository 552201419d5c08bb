/*
 * The build id of an ELF file: the bytes by which a file is known to be the one that was mapped.
 * Source: ELF gABI, "Note Section"; ld(1), --build-id.
 * Async-signal-safe. The notes are a stranger's.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { HF_BUILD_ID_MAX = 64 };

struct hf_build_id {
	uint8_t bytes[HF_BUILD_ID_MAX];
	uint32_t size;
};

/* The build id among the notes of a PT_NOTE segment. */
bool hf_build_id_of_notes(const void *notes, uint64_t size_bytes, struct hf_build_id *ret);
