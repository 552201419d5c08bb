#include "frames/expression.h"

#include <dwarf.h>

enum { MAX_STACK = 64, MAX_OPS = 4096 };

struct machine {
	const struct hf_expression_context *c;
	uint64_t stack[MAX_STACK];
	size_t n;
	bool failed;
};

static void push(struct machine *m, uint64_t value)
{
	if (m->n == MAX_STACK)
		m->failed = true;
	else
		m->stack[m->n++] = value;
}

static uint64_t pop(struct machine *m)
{
	if (!m->n) {
		m->failed = true;
		return 0;
	}
	return m->stack[--m->n];
}

static void push_register(struct machine *m, uint64_t number, uint64_t offset)
{
	if (number >= HF_UNWIND_REGISTERS || !m->c->frame->registers[number].known)
		m->failed = true;
	else
		push(m, m->c->frame->registers[number].value + offset);
}

/* size: bytes of the word that are wanted. */
static void deref(struct machine *m, uint64_t size)
{
	uint64_t value = 0, addr = pop(m);
	if (m->failed || size > 8 || !hf_unwind_read(m->c->stack, addr, &value)) {
		m->failed = true;
		return;
	}
	push(m, size < 8 ? value & ((1ull << size * 8) - 1) : value);
}

static void binary(struct machine *m, unsigned atom)
{
	uint64_t b = pop(m), a = pop(m);
	switch (atom) {
	case DW_OP_and:
		push(m, a & b);
		return;
	case DW_OP_or:
		push(m, a | b);
		return;
	case DW_OP_xor:
		push(m, a ^ b);
		return;
	case DW_OP_plus:
		push(m, a + b);
		return;
	case DW_OP_minus:
		push(m, a - b);
		return;
	case DW_OP_mul:
		push(m, a * b);
		return;
	case DW_OP_shl:
		push(m, b < 64 ? a << b : 0);
		return;
	case DW_OP_shr:
		push(m, b < 64 ? a >> b : 0);
		return;
	case DW_OP_shra:
		push(m, (uint64_t)((int64_t)a >> (b < 64 ? b : 63)));
		return;
	case DW_OP_eq:
		push(m, a == b);
		return;
	case DW_OP_ne:
		push(m, a != b);
		return;
	case DW_OP_lt:
		push(m, (int64_t)a < (int64_t)b);
		return;
	case DW_OP_le:
		push(m, (int64_t)a <= (int64_t)b);
		return;
	case DW_OP_gt:
		push(m, (int64_t)a > (int64_t)b);
		return;
	case DW_OP_ge:
		push(m, (int64_t)a >= (int64_t)b);
		return;
	default:
		m->failed = true;
	}
}

static bool is_binary(unsigned atom)
{
	return atom == DW_OP_and || atom == DW_OP_or || atom == DW_OP_xor || atom == DW_OP_plus ||
	       atom == DW_OP_minus || atom == DW_OP_mul || atom == DW_OP_shl || atom == DW_OP_shr ||
	       atom == DW_OP_shra || (atom >= DW_OP_eq && atom <= DW_OP_ne);
}

static void stack_operation(struct machine *m, unsigned atom)
{
	uint64_t a = pop(m), b, c;
	switch (atom) {
	case DW_OP_drop:
		return;
	case DW_OP_dup:
		push(m, a);
		push(m, a);
		return;
	case DW_OP_over:
		b = pop(m);
		push(m, b);
		push(m, a);
		push(m, b);
		return;
	case DW_OP_swap:
		b = pop(m);
		push(m, a);
		push(m, b);
		return;
	case DW_OP_rot:
		b = pop(m);
		c = pop(m);
		push(m, a);
		push(m, c);
		push(m, b);
		return;
	case DW_OP_neg:
		push(m, -a);
		return;
	case DW_OP_not:
		push(m, ~a);
		return;
	default:
		m->failed = true;
	}
}

/* Everything that neither jumps nor says what a result is. */
static void operation(struct machine *m, const Dwarf_Op *op)
{
	unsigned atom = op->atom;
	const struct hf_expression_context *c = m->c;
	if (atom >= DW_OP_lit0 && atom <= DW_OP_lit31) {
		push(m, atom - DW_OP_lit0);
	} else if (atom >= DW_OP_breg0 && atom <= DW_OP_breg31) {
		push_register(m, atom - DW_OP_breg0, op->number);
	} else if (is_binary(atom)) {
		binary(m, atom);
	} else if (atom >= DW_OP_const1u && atom <= DW_OP_consts) {
		push(m, op->number);
	} else if (atom == DW_OP_bregx) {
		push_register(m, op->number, op->number2);
	} else if (atom == DW_OP_addr) {
		push(m, op->number + c->bias);
	} else if (atom == DW_OP_plus_uconst) {
		push(m, pop(m) + op->number);
	} else if (atom == DW_OP_deref) {
		deref(m, 8);
	} else if (atom == DW_OP_deref_size) {
		deref(m, op->number);
	} else if (atom == DW_OP_fbreg && c->has_frame_base) {
		push(m, c->frame_base + op->number);
	} else if (atom == DW_OP_call_frame_cfa && c->frame->cfa) {
		push(m, c->frame->cfa);
	} else if (atom != DW_OP_nop) {
		stack_operation(m, atom);
	}
}

/* The number of the register that the operation names as the place itself; -1: none. */
static int64_t register_of(const Dwarf_Op *op)
{
	if (op->atom >= DW_OP_reg0 && op->atom <= DW_OP_reg31)
		return op->atom - DW_OP_reg0;
	return op->atom == DW_OP_regx && op->number < HF_UNWIND_REGISTERS ? (int64_t)op->number
									  : -1;
}

size_t hf_expression_places(const struct hf_expression_context *context, const Dwarf_Op *ops,
	size_t n, struct hf_place ret[HF_PLACE_MAX])
{
	struct machine m = {.c = context};
	struct hf_place place = {0};
	size_t n_places = 0;
	uint64_t offset = 0;
	bool named = false;
	for (size_t i = 0; i < n && i < MAX_OPS; i++) {
		const Dwarf_Op *op = &ops[i];
		int64_t number = register_of(op);
		if (op->atom == DW_OP_piece || op->atom == DW_OP_bit_piece) {
			uint64_t size = op->atom == DW_OP_piece ? op->number : op->number / 8;
			if (!named && m.n && !m.failed)
				place = (struct hf_place){.kind = HF_PLACE_STACK, .at = pop(&m)};
			place.offset = offset;
			place.size = size;
			offset += size;
			if (n_places == HF_PLACE_MAX)
				return n_places;
			ret[n_places++] = place;
			place = (struct hf_place){0};
			m.n = 0;
			m.failed = named = false;
			continue;
		}
		if (number >= 0) {
			place = (struct hf_place){.kind = HF_PLACE_STACK,
				.is_register = true,
				.at = (uint64_t)number};
			named = true;
		} else if (op->atom == DW_OP_stack_value) {
			if (!m.failed && m.n)
				place = (struct hf_place){.kind = HF_PLACE_VALUE, .at = pop(&m)};
			named = true;
		} else if (!m.failed) {
			operation(&m, op);
		}
	}
	if (n_places)
		return n_places;
	if (!named && !m.failed && m.n)
		place = (struct hf_place){.kind = HF_PLACE_STACK, .at = pop(&m)};
	if (place.kind == HF_PLACE_NONE)
		return 0;
	ret[0] = place;
	return 1;
}
