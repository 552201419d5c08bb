#include "frames/locals.h"

#include <dwarf.h>

enum { MAX_DEPTH = 128, MAX_CHILDREN = 1 << 16, MAX_ALTERNATIVES = 4 };

struct scope {
	Dwarf_Die die;
	uint32_t inlined;
};

static bool is_scope(int tag)
{
	return tag == DW_TAG_lexical_block || tag == DW_TAG_inlined_subroutine ||
	       tag == DW_TAG_try_block || tag == DW_TAG_catch_block;
}

/* The function and the scopes in it around the address, outermost first. */
static size_t find_scopes(Dwarf_Die *function, uint64_t address, struct scope *ret)
{
	size_t n = 1;
	Dwarf_Die die;
	ret[0] = (struct scope){.die = *function};
	bool more = dwarf_child(function, &die) == 0;
	for (int i = 0; more && i < MAX_CHILDREN && n < MAX_DEPTH; i++) {
		int tag = dwarf_tag(&die);
		if (is_scope(tag) && dwarf_haspc(&die, address) > 0) {
			ret[n] = (struct scope){
				die, ret[n - 1].inlined + (tag == DW_TAG_inlined_subroutine)};
			n++;
			more = dwarf_child(&ret[n - 1].die, &die) == 0;
		} else {
			more = dwarf_siblingof(&die, &die) == 0;
		}
	}
	return n;
}

/* The operations that an attribute has for the address. */
static bool operations(
	Dwarf_Die *die, unsigned name, uint64_t address, Dwarf_Op **ret, size_t *ret_n)
{
	Dwarf_Attribute attribute;
	Dwarf_Op *ops[MAX_ALTERNATIVES];
	size_t n[MAX_ALTERNATIVES];
	if (!dwarf_attr(die, name, &attribute) ||
		dwarf_getlocation_addr(&attribute, address, ops, n, MAX_ALTERNATIVES) <= 0)
		return false;
	*ret = ops[0];
	*ret_n = n[0];
	return true;
}

static void find_frame_base(
	Dwarf_Die *function, uint64_t address, struct hf_expression_context *context)
{
	struct hf_place place[HF_PLACE_MAX];
	Dwarf_Op *ops;
	size_t n;
	if (!operations(function, DW_AT_frame_base, address, &ops, &n) ||
		hf_expression_places(context, ops, n, place) != 1)
		return;
	/* A frame base in a register is what the register holds. */
	const struct hf_unwind_register *r =
		place[0].is_register ? &context->frame->registers[place[0].at] : NULL;
	context->has_frame_base = !r || r->known;
	context->frame_base = r ? r->value : place[0].at;
}

size_t hf_locals(Dwarf_Die *function, uint64_t bias, const struct hf_unwind_frame *frame,
	const struct hf_unwind_stack *stack, struct hf_local *ret, size_t max)
{
	struct scope scopes[MAX_DEPTH];
	uint64_t address = frame->lookup - bias;
	struct hf_expression_context context = {.frame = frame, .stack = stack, .bias = bias};
	size_t n = 0, n_scopes = find_scopes(function, address, scopes);
	find_frame_base(function, address, &context);
	for (size_t s = n_scopes; s-- > 0;) {
		Dwarf_Die die;
		bool more = dwarf_child(&scopes[s].die, &die) == 0;
		for (int i = 0; more && i < MAX_CHILDREN && n < max; i++) {
			int tag = dwarf_tag(&die);
			struct hf_local *local = &ret[n];
			Dwarf_Op *ops;
			size_t n_ops;
			if ((tag == DW_TAG_variable || tag == DW_TAG_formal_parameter) &&
				operations(&die, DW_AT_location, address, &ops, &n_ops)) {
				*local =
					(struct hf_local){.die = die, .inlined = scopes[s].inlined};
				local->n_places =
					hf_expression_places(&context, ops, n_ops, local->places);
				Dwarf_Attribute attribute;
				local->name = dwarf_formstring(
					dwarf_attr_integrate(&die, DW_AT_name, &attribute));
				n += local->n_places > 0;
			}
			more = dwarf_siblingof(&die, &die) == 0;
		}
	}
	return n;
}
