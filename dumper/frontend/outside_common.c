#include <sys/stat.h>

#include "base/fmt.h"
#include "frontend/outside.h"

enum { MAX_NUMBER = 100000 };

enum hf_status hf_outside_open(struct hf_sink_file *file, const char *output, const char *program,
	int pid, const char *ending, struct hf_err *err)
{
	char path[HF_PATH_MAX], name[64];
	char profile[HF_PATH_MAX];
	struct stat st;
	if (output)
		return hf_sink_file_open(file, output, err);
	hf_fmt(name, sizeof(name), "%s", program && *program ? program : "process");
	for (char *p = name; *p; p++)
		*p = *p == '/' || (unsigned char)*p < ' ' ? '_' : *p;
	for (unsigned n = 1; n < MAX_NUMBER; n++) {
		hf_fmt(path, sizeof(path), "%s.%d.%u%s", name, pid, n, ending);
		hf_fmt(profile, sizeof(profile), "%s.%d.%u" HF_OUTSIDE_PROFILE, name, pid, n);
		/* a dump may get a profile beside it */
		if (lstat(path, &st) && lstat(profile, &st))
			return hf_sink_file_open(file, path, err);
	}
	return hf_err_set(err, HF_E_EXISTS, "%s.%d.N%s: all names up to %d exist", name, pid,
		ending, MAX_NUMBER);
}
