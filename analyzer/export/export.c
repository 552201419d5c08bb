#include "export/export.h"

#include <string.h>

#include "base/cleanup.h"
#include "export/formats.h"

static const struct {
	const char *name;
	enum hf_status (*write)(
		const struct hf_stacks *, const struct hf_export_options *, struct hf_err *);
} formats[] = {{"pprof", hf_export_pprof}, {"svg", hf_export_svg}};

const char *hf_export_formats(void)
{
	return "pprof, svg";
}

bool hf_export_has(const char *format)
{
	bool found = false;
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		found |= !strcmp(formats[i].name, format);
	return found;
}

enum hf_status hf_export(sqlite3 *db, const struct hf_export_options *options, struct hf_err *err)
{
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		if (strcmp(formats[i].name, options->format) != 0)
			continue;
		_cleanup_(hf_stacks_deinit) struct hf_stacks stacks;
		enum hf_status status = hf_stacks_read(&stacks, db, err);
		return status ? status : formats[i].write(&stacks, options, err);
	}
	return hf_err_set(err, HF_E_USAGE, "--format %s: not in this version; there are %s",
		options->format, hf_export_formats());
}
