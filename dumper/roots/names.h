/*
 * Names for root words in static data and TLS, from the symbol tables of the modules they lie in.
 * Async-signal-safe; one thread.
 */
#pragma once
#include "roots/roots.h"

/* Give each word of static data and TLS the variable (symbol) that covers it, and its kind by the
 * symbol's binding. Words that no symbol covers keep variable 0. */
enum hf_status hf_names_assign(struct hf_roots *roots, const struct hf_layout *layout,
	const struct hf_image_files *files, struct hf_err *err);
