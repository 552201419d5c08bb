#include "store/root_name.h"

#include <string.h>

#include "base/fmt.h"
#include "base/path.h"

const char *hf_root_kind_name(uint32_t kind)
{
	static const char *const names[] = {
		[HF_ROOT_GLOBAL] = "global",
		[HF_ROOT_STATIC] = "static",
		[HF_ROOT_TLS] = "tls",
		[HF_ROOT_STACK] = "stack",
		[HF_ROOT_REGISTER] = "register",
		[HF_ROOT_MAPPING] = "mapping",
		[HF_ROOT_REGISTERED] = "registered",
	};
	const char *name = kind < sizeof(names) / sizeof(*names) ? names[kind] : NULL;
	return name ? name : "other";
}

const char *hf_variable_name(
	const struct hf_heap *heap, const struct hf_names *names, uint32_t variable)
{
	if (names && names->variable_name && names->variable_name[variable])
		return names->variable_name[variable];
	return heap->variables.at[variable].name;
}

static void register_name(char ret[HF_ROOT_NAME_SIZE], uint64_t number)
{
	static const char *const names[] = {"rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp",
		"r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip"};
	if (number < sizeof(names) / sizeof(*names))
		hf_fmt(ret, HF_ROOT_NAME_SIZE, "%s", names[number]);
	else if (number >= HF_REG_LANE0 && number < HF_REG_LANE0 + 32 * 8)
		hf_fmt(ret, HF_ROOT_NAME_SIZE, "zmm%u[%u]", (unsigned)(number - HF_REG_LANE0) / 8,
			(unsigned)(number - HF_REG_LANE0) % 8);
	else
		hf_fmt(ret, HF_ROOT_NAME_SIZE, "register %llu", (unsigned long long)number);
}

void hf_field_name(char ret[HF_ROOT_NAME_SIZE], const struct hf_names_field *field, uint64_t offset)
{
	const char *index = field->stride ? strstr(field->name, "[]") : NULL;
	if (!index) {
		hf_fmt(ret, HF_ROOT_NAME_SIZE, "%s", field->name);
		return;
	}
	hf_fmt(ret, HF_ROOT_NAME_SIZE, "%.*s[%llu]%s", (int)(index - field->name), field->name,
		(unsigned long long)((offset - field->offset) / field->stride), index + 2);
}

void hf_root_name(char ret[HF_ROOT_NAME_SIZE], const struct hf_heap *heap,
	const struct hf_names *names, uint32_t root)
{
	const struct hf_heap_root *r = &heap->roots.at[root];
	bool of_frame = names && names->variable_frame && r->variable != HF_NONE &&
			names->variable_frame[r->variable];
	if (r->kind == HF_ROOT_REGISTER && !of_frame) {
		register_name(ret, r->addr);
		return;
	}
	if (r->variable == HF_NONE && r->module != HF_NONE) {
		/* No symbol covers it: the file and the offset in it are the same in each run. */
		const struct hf_heap_module *m = &heap->modules.at[r->module];
		hf_fmt(ret, HF_ROOT_NAME_SIZE, "%.*s+0x%llx", HF_ROOT_NAME_SIZE - 26,
			hf_base_name(m->path), (unsigned long long)(r->addr - m->base));
		return;
	}
	if (r->variable == HF_NONE) {
		hf_fmt(ret, HF_ROOT_NAME_SIZE, "%s 0x%llx", hf_root_kind_name(r->kind),
			(unsigned long long)r->addr);
		return;
	}
	if (names && names->root_name && names->root_name[root]) {
		hf_fmt(ret, HF_ROOT_NAME_SIZE, "%.*s", HF_ROOT_NAME_SIZE - 1,
			names->root_name[root]);
		return;
	}
	const char *name = hf_variable_name(heap, names, r->variable);
	uint64_t offset = r->addr - heap->variables.at[r->variable].addr;
	if (offset)
		hf_fmt(ret, HF_ROOT_NAME_SIZE, "%.*s[+0x%llx]", HF_ROOT_NAME_SIZE - 26, name,
			(unsigned long long)offset);
	else
		hf_fmt(ret, HF_ROOT_NAME_SIZE, "%s", name);
}
