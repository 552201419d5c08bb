#include <sys/stat.h>

#include "base/fmt.h"
#include "frontend/outside.h"

enum { MAX_NUMBER = 100000 };

enum hf_status hf_outside_open(struct hf_sink_file *file, const char *output, const char *program,
	int pid, struct hf_err *err)
{
	char path[HF_PATH_MAX], name[64];
	struct stat st;
	if (output)
		return hf_sink_file_open(file, output, err);
	hf_fmt(name, sizeof(name), "%s", program && *program ? program : "process");
	for (char *p = name; *p; p++)
		*p = *p == '/' || (unsigned char)*p < ' ' ? '_' : *p;
	for (unsigned n = 1; n < MAX_NUMBER; n++) {
		hf_fmt(path, sizeof(path), "%s.%d.%u.hfd", name, pid, n);
		if (lstat(path, &st))
			return hf_sink_file_open(file, path, err);
	}
	return hf_err_set(
		err, HF_E_EXISTS, "%s.%d.N.hfd: all names up to %d exist", name, pid, MAX_NUMBER);
}
