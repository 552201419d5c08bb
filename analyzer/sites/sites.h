/*
 * Allocation sites: the heap profile that belongs to a dump, with names, as the store wants it.
 *
 * A profile is tied to a dump by its token: then the site ids of the dump's objects are those of
 * the profile. Any other heap profile stands beside the objects as totals by site.
 *
 * Thread rule: as hf_symbolizer; nothing here may run while others use the same debug files.
 */
#pragma once
#include "profile/profile.h"
#include "source/heap.h"
#include "source/names.h"
#include "symbolize/allocators.h"
#include "symbolize/debug_files.h"

struct hf_sites_options {
	const char *dump_path;
	const char *profile_path; /* NULL: looked for beside the dump */
	const struct hf_debug_options *debug;
	struct hf_allocators allocators; /* further functions that only hand memory on */
	/* A line for the user; may be NULL. */
	void (*message)(void *ctx, const char *text);
	void *ctx;
};

struct hf_sites; /* opaque */

/*
 * Find and read the profile and name its sites. No profile beside the dump, or one that cannot be
 * used, is a message and *ret without sites; one that was asked for by name is an error then. What
 * was found is noted as properties of the heap (profile, profile_maker, profile_tied,
 * profile_period, profile_samples, profile_lost). heap and files must outlive *ret.
 */
enum hf_status hf_sites_create(struct hf_sites **ret, struct hf_heap *heap,
	struct hf_debug_files *files, const struct hf_sites_options *options, struct hf_err *err);
void hf_sites_destroy(struct hf_sites *sites);

/* Set the members of names that are about sites; they live as long as *sites. */
void hf_sites_names(const struct hf_sites *sites, struct hf_names *names);
