/*
 * A pprof profile with all that is in its file, beside what profile.h keeps of it: for changing and
 * writing it again. Thread rule: as profile.h.
 */
#pragma once
#include "profile/profile.h"
/* generated from profile.proto */
#include "profile.pb-c.h"

struct hf_profile_raw {
	HfPb__Profile
		*pb; /* NULL: the file is a text; record i of each table is that of hf_profile */
	uint64_t memory;
};

/* As hf_profile_read(); *raw is zeroed before. */
enum hf_status hf_profile_read_raw(
	const char *path, struct hf_profile *ret, struct hf_profile_raw *raw, struct hf_err *err);
void hf_profile_raw_deinit(struct hf_profile_raw *raw);
