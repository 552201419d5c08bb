/* The kinds of profiles: each fills a build from the unpacked bytes of a file. */
#pragma once
#include "profile/build.h"

/* Does the text start like one of that kind? */
bool profile_is_gperftools(const char *text, size_t size);
bool profile_is_jemalloc(const char *text, size_t size);

/* pprof; bytes that are none of it give HF_E_UNSUPPORTED. */
enum hf_status profile_read_pprof(struct profile_build *b, const uint8_t *data, size_t size);
/* The texts are NUL-terminated. */
enum hf_status profile_read_gperftools(struct profile_build *b, const char *text, size_t size);
enum hf_status profile_read_jemalloc(struct profile_build *b, const char *text, size_t size);
