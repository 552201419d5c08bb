/*
 * The words of live objects that may be pointers, with whose they are: what the scan reads the heap
 * for. Free chunks, gaps and tails are passed by, and words that cannot be pointers fall through at
 * the speed of memory. Inside the module scan only.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "index/index.h"

enum {
	HF_WORDS_FULL = 128, /* as many cells as can be on their way from memory */
	HF_WORDS_CELL = HF_CELL_BYTES / 8,
	/* One cell may go past FULL, and a step of the vector code past that. */
	HF_WORDS_MAX = HF_WORDS_FULL + HF_WORDS_CELL + 8,
};
typedef uint64_t hf_words_array[HF_WORDS_MAX];

struct hf_words {
	uint64_t lo, span; /* words in [lo, lo + span) stay */
	uint32_t n;
	/* The word, the object that has it, and how many words inside that it is. */
	hf_words_array word, src, offset;
};

/* The words of one cell, or of a part of it: the first `first` are not looked at, nor are those
 * from `end` on. `data` is where the first word of the cell would be. Inside words*.c. */
struct hf_words_part {
	uint64_t starts, live;
	uint64_t id;         /* of the object that the first word is in, if it is live */
	uint64_t carried;    /* words of it before the cell */
	uint64_t inside[2];  /* bit i: word i is a live object's and is looked at */
	const uint8_t *data; /* of the first word of the cell, which itself may not be there */
	bool whole;          /* every word may be read */
};

void hf_words_init(struct hf_words *words, uint64_t lo, uint64_t span);
/* Look at the words from `at` in the region up to `stop`, which is no further than its last extent
 * goes, at data. Returns where it stopped: there, or earlier when n ≥ HF_WORDS_FULL. */
uint64_t hf_words_take(struct hf_words *words, const struct hf_index_region *region, uint64_t at,
	uint64_t stop, const uint8_t *data);
void hf_words_part_512(struct hf_words *words, const struct hf_words_part *part);
