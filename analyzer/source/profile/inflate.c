#include "profile/inflate.h"

#include <stdlib.h>
#include <zlib.h>

enum { WINDOW = 15 + 16 /* inflateInit2: gzip only */, FIRST_SIZE = 1 << 16 };

int profile_is_gzip(const uint8_t *data, size_t size)
{
	return size > 2 && data[0] == 0x1f && data[1] == 0x8b;
}

/* Room for more output; 0: no memory, or too much. */
static int grow(uint8_t **buf, size_t *cap, uint64_t max_bytes)
{
	if (*cap > max_bytes)
		return 0;
	size_t bigger = *cap ? *cap * 2 : FIRST_SIZE;
	bigger = bigger > max_bytes + 1 ? (size_t)max_bytes + 1 : bigger;
	uint8_t *new = realloc(*buf, bigger);
	if (!new)
		return 0;
	*buf = new;
	*cap = bigger;
	return 1;
}

enum hf_status profile_gunzip(const uint8_t *data, size_t size, uint64_t max_bytes,
	const char *name, uint8_t **ret, size_t *ret_size, struct hf_err *err)
{
	z_stream z = {0};
	if (inflateInit2(&z, WINDOW) != Z_OK)
		return hf_err_set(err, HF_E_NOMEM, "%s: no memory to unpack it", name);
	uint8_t *buf = NULL;
	size_t n = 0, cap = 0, given = 0;
	int rc = Z_OK;
	enum hf_status status = HF_OK;
	while (!status) {
		if (n == cap && !grow(&buf, &cap, max_bytes)) {
			status = cap > max_bytes ? hf_err_set(err, HF_E_UNSUPPORTED,
							   "%s: more than %llu MiB unpacked", name,
							   (unsigned long long)(max_bytes >> 20))
						 : hf_err_set(err, HF_E_NOMEM,
							   "%s: no memory to unpack it", name);
			break;
		}
		if (!z.avail_in) {
			size_t part = size - given > 1u << 30 ? 1u << 30 : size - given;
			z.next_in = (Bytef *)(uintptr_t)(data + given);
			z.avail_in = (uInt)part;
			given += part;
		}
		size_t room = cap - n > 1u << 30 ? 1u << 30 : cap - n;
		z.next_out = buf + n;
		z.avail_out = (uInt)room;
		rc = inflate(&z, Z_NO_FLUSH);
		n += room - z.avail_out;
		if (rc == Z_STREAM_END) {
			/* gzip files may follow one another */
			if ((!z.avail_in && given == size) || inflateReset(&z) != Z_OK)
				break;
			if (z.avail_in + (size - given) < 18 || z.next_in[0] != 0x1f)
				break; /* padding */
		} else if (rc != Z_OK && !(rc == Z_BUF_ERROR && z.avail_out == 0)) {
			status = hf_err_set(err, HF_E_CORRUPT, "%s: %s", name,
				rc == Z_BUF_ERROR ? "cut off" : "damaged gzip data");
		} else if (!z.avail_in && given == size && z.avail_out) {
			status = hf_err_set(err, HF_E_CORRUPT, "%s: cut off", name);
		}
	}
	inflateEnd(&z);
	if (status) {
		free(buf);
		return status;
	}
	*ret = buf;
	*ret_size = n;
	return HF_OK;
}
