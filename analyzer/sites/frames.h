/*
 * The functions at each location of a profile: those that the profile has itself, else by the
 * symbols of the modules.
 *
 * Thread rule: as hf_symbolizer.
 */
#pragma once
#include "profile/profile.h"
#include "source/heap.h"
#include "symbolize/symbolizer.h"

/* The functions of a location, innermost first. */
struct hf_sites_location {
	uint32_t first, n;
	uint32_t module; /* index in the heap given, or HF_NONE */
};

struct hf_sites_frames {
	const struct hf_profile *profile;
	struct hf_heap own; /* modules of the profile, and strings */
	struct hf_debug_files *own_files;
	struct hf_symbolizer *symbolizer, *own_symbolizer;
	struct hf_sites_location *locations; /* [profile->n_locations] */
	struct hf_symbol_frame *frames;
	size_t n_frames, cap_frames;
	size_t n_named; /* locations with a function */
};

struct hf_sites_frames_options {
	/* Of the dump that the profile belongs to; NULL: it stands alone. */
	const struct hf_heap *heap;
	struct hf_debug_files *files;
	const struct hf_debug_options *debug;
};

/* Resolve all locations. profile and what the options point to must outlive it. */
enum hf_status hf_sites_frames_init(struct hf_sites_frames *ret, const struct hf_profile *profile,
	const struct hf_sites_frames_options *options, struct hf_err *err);
void hf_sites_frames_deinit(struct hf_sites_frames *frames);
