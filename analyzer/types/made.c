/* Types that no program defines: with a header before them, or with what a definition leaves out.
 */
#include <string.h>

#include "types/build.h"

uint32_t hf_types_record(struct hf_types *types, const char *name, uint32_t variant_of,
	const struct hf_type_member *members, uint32_t n)
{
	struct hf_type type = {.name = name ? name : hf_types_name(types, variant_of),
		.kind = HF_TYPE_STRUCT,
		.flags = HF_TYPE_FILLED,
		.target = name ? 0 : variant_of,
		.module = types->at[variant_of].module,
		.member = (uint32_t)types->n_members};
	for (uint32_t i = 0; i < n; i++) {
		uint32_t unused;
		hf_types_members(types, members[i].type, &unused); /* for its flags */
	}
	type.member = (uint32_t)types->n_members;
	for (uint32_t i = 0; i < n; i++) {
		if (!hf_grow((void **)&types->members, types->n_members, &types->cap_members,
			    sizeof(*types->members)) ||
			types->n_members >= UINT32_MAX) {
			types->no_memory = true;
			return 0;
		}
		types->members[types->n_members++] = members[i];
		uint64_t end = members[i].offset + types->at[members[i].type].size;
		type.size = end > type.size ? end : type.size;
	}
	type.n_members = n;
	if (!name)
		type.flags |= HF_TYPE_VARIANT;
	if (hf_types_end_flexibly(types, types->members + type.member, n))
		type.flags |= HF_TYPE_FLEXIBLE;
	return hf_types_new(types, &type);
}

uint32_t hf_types_behind(struct hf_types *types, uint32_t type, uint64_t header)
{
	uint32_t *slot =
		header >> 24 ? NULL : hf_map_put(&types->behind, (uint64_t)type << 24 | header);
	if (!slot || *slot)
		return slot ? *slot : 0;
	const struct hf_type_member members[] = {
		{"(header)", 0, hf_types_array(types, hf_types_pointer(types, 0), header / 8), 0},
		{"", header, type, types->at[type].kind == HF_TYPE_ARRAY ? 0 : HF_MEMBER_BASE}};
	uint32_t made = hf_types_record(types, NULL, type, members, 2);
	slot = hf_map_put(&types->behind, (uint64_t)type << 24 | header);
	return slot ? *slot = made : 0;
}
