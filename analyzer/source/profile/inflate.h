/* Unpacking of gzip files within a bound, for the readers of this folder. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Is it gzip'd? */
int profile_is_gzip(const uint8_t *data, size_t size);
/* Unpack all members. *ret is to be freed. HF_E_CORRUPT: damaged or cut off; HF_E_UNSUPPORTED: more
 * than max_bytes. */
enum hf_status profile_gunzip(const uint8_t *data, size_t size, uint64_t max_bytes,
	const char *name, uint8_t **ret, size_t *ret_size, struct hf_err *err);
