/*
 * The frames of every thread, and which variable of which frame a root word of a stack or a
 * register belongs to.
 *
 *     thread worker-3 › handle_request() › buf
 *
 * A word that is no variable's (spilled by the compiler, or of a function without debug
 * information) belongs to its frame: "thread worker-3 › handle_request()". What could not be
 * unwound stays with the thread's stack, as the dump has it.
 *
 * Thread rule: as types/table.h.
 */
#pragma once
#include "source/heap.h"
#include "source/names.h"
#include "symbolize/symbolizer.h"
#include "types/typing.h"

struct hf_frames; /* opaque */

/* Unwinds; adds variables to the heap, gives them their root words, and their types to typing
 * (which is to have found its variables already). All arguments must outlive *ret. HF_E_NOMEM. */
enum hf_status hf_frames_create(struct hf_frames **ret, struct hf_heap *heap,
	struct hf_debug_files *files, struct hf_symbolizer *symbolizer, struct hf_typing *typing,
	struct hf_err *err);
void hf_frames_destroy(struct hf_frames *frames);

/* Set frames, n_frames and variable_frame of names; they belong to *frames. After the last variable
 * was added to the heap. HF_E_NOMEM. */
enum hf_status hf_frames_names(
	struct hf_frames *frames, struct hf_names *names, struct hf_err *err);
