#include "symbolize/variables.h"

#include <string.h>

#include "symbolize/demangle.h"

size_t hf_variables_demangle(struct hf_heap *heap, const char **ret)
{
	char buf[HF_DEMANGLED_SIZE];
	size_t n = 0;
	for (size_t i = 0; i < heap->variables.n; i++) {
		const char *name = heap->variables.at[i].name;
		if (ret[i] || !hf_is_mangled(name))
			continue;
		const char *better = hf_demangle(name, buf, sizeof(buf));
		if (better != name && (ret[i] = hf_heap_string(heap, better, strlen(better))))
			n++;
	}
	return n;
}
