/*
 * Call frame information: how the caller's registers are found from those of a frame, for one
 * return address, out of a module's .eh_frame. Only what a walk of return addresses needs: the
 * canonical frame address, and where the return address and rbp were saved.
 *
 * Sources: DWARF 5, 6.4; Linux Standard Base 5.0, core, 10.6 (.eh_frame, .eh_frame_hdr); System V
 * psABI for x86-64, 3.7.
 * Thread and signal safety: async-signal-safe. The tables are bytes of a stranger: reads stay in
 * the segment that they lie in.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* The rule of a return address, in 64 bits so that it can be kept in one word:
 *   bits 0-2  enum hf_cfi_kind     bit 3  the base is rbp, else rsp
 *   bit 4     the CFA is the word at base + offset      bit 5  rbp was saved
 *   bit 6     the caller's rbp is not known
 *   bits 8-31 offset of the CFA from the base, bytes, signed
 *   bits 32-47, 48-63  offsets of the return address and of rbp from the CFA, words, signed; with
 *             bit 4, that of rbp counts from the base */
typedef uint64_t hf_cfi_rule;

enum hf_cfi_kind {
	HF_CFI_NONE = 0, /* nothing is known of that address: the stack ends here */
	HF_CFI_FRAME = 1,
	HF_CFI_LAST = 2,   /* the outermost frame: no caller */
	HF_CFI_SIGNAL = 3, /* the trampoline of a signal handler: a rt_sigframe lies at rsp */
};

/* A segment in memory, and the .eh_frame_hdr in it. */
struct hf_cfi_table {
	const uint8_t *start, *end;
	const uint8_t *header;
};

/* The rule at pc, which is inside the call instruction (return address - 1), or, behind a signal
 * frame, the interrupted instruction. */
hf_cfi_rule hf_cfi_find(const struct hf_cfi_table *table, uint64_t pc);

static inline enum hf_cfi_kind hf_cfi_kind(hf_cfi_rule rule)
{
	return (enum hf_cfi_kind)(rule & 7);
}
static inline bool hf_cfi_base_is_bp(hf_cfi_rule rule)
{
	return rule & 8;
}
static inline bool hf_cfi_deref(hf_cfi_rule rule)
{
	return rule & 16;
}
static inline bool hf_cfi_bp_saved(hf_cfi_rule rule)
{
	return rule & 32;
}
static inline bool hf_cfi_bp_lost(hf_cfi_rule rule)
{
	return rule & 64;
}
static inline int64_t hf_cfi_cfa_offset(hf_cfi_rule rule)
{
	return (int32_t)(uint32_t)rule >> 8;
}
static inline int64_t hf_cfi_ra_offset(hf_cfi_rule rule)
{
	return (int64_t)(int16_t)(uint16_t)(rule >> 32) * 8;
}
static inline int64_t hf_cfi_bp_offset(hf_cfi_rule rule)
{
	return (int64_t)(int16_t)(uint16_t)(rule >> 48) * 8;
}
