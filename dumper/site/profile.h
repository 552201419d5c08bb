/*
 * The accompanying heap profile: pprof's profile.proto, gzip'd (FILE.hfp.pb.gz). Sample types
 * alloc_objects, alloc_space, inuse_objects, inuse_space (the default); one sample a site, with its
 * id as the numeric label `site`; mappings with build ids; addresses without names. The values are
 * estimates of the whole where the recorder samples.
 *
 * Source: github.com/google/pprof, proto/profile.proto.
 * Thread and signal safety: async-signal-safe; takes its memory from pages. For a snapshot, or the
 * file of a process that has died.
 */
#pragma once
#include "site/store.h"
#include "write/writer.h"

struct hf_profile_options {
	uint64_t time_ns; /* CLOCK_REALTIME of the moment that the profile shows */
	/* The token of the dump that it belongs to, as the comment "holdfast-token: HEX"; NULL:
	 * none.
	 */
	const uint8_t *token;   /* HF_FORMAT_TOKEN_SIZE bytes */
	const char *about_time; /* a comment on time_ns; or NULL */
};

enum hf_status hf_profile_write(const struct hf_site_store *store,
	const struct hf_profile_options *options, struct hf_sink *sink, struct hf_err *err);
