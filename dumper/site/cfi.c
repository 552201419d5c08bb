#include "site/cfi.h"

#include <string.h>

#include "base/varint.h"

enum {
	/* .eh_frame_hdr as the linkers write it */
	HDR_VERSION = 1,
	ENC_UDATA4 = 0x03,
	ENC_DATAREL_SDATA4 = 0x3b,
	ENC_PCREL_SDATA4 = 0x1b,
	ENC_OMIT = 0xff,
	/* registers, psABI figure 3.36 */
	REG_BP = 6,
	REG_SP = 7,
	REG_RA = 16,
	/* DWARF 5, 7.24 */
	CFA_SET_LOC = 0x01,
	CFA_ADVANCE_LOC1 = 0x02,
	CFA_ADVANCE_LOC2 = 0x03,
	CFA_ADVANCE_LOC4 = 0x04,
	CFA_OFFSET_EXTENDED = 0x05,
	CFA_RESTORE_EXTENDED = 0x06,
	CFA_UNDEFINED = 0x07,
	CFA_SAME_VALUE = 0x08,
	CFA_REGISTER = 0x09,
	CFA_REMEMBER_STATE = 0x0a,
	CFA_RESTORE_STATE = 0x0b,
	CFA_DEF_CFA = 0x0c,
	CFA_DEF_CFA_REGISTER = 0x0d,
	CFA_DEF_CFA_OFFSET = 0x0e,
	CFA_DEF_CFA_EXPRESSION = 0x0f,
	CFA_EXPRESSION = 0x10,
	CFA_OFFSET_EXTENDED_SF = 0x11,
	CFA_DEF_CFA_SF = 0x12,
	CFA_DEF_CFA_OFFSET_SF = 0x13,
	CFA_VAL_OFFSET = 0x14,
	CFA_VAL_OFFSET_SF = 0x15,
	CFA_VAL_EXPRESSION = 0x16,
	CFA_GNU_ARGS_SIZE = 0x2e,
	CFA_GNU_NEGATIVE_OFFSET_EXTENDED = 0x2f,
	CFA_HIGH = 0xc0, /* mask of the operations with an operand in the low six bits */
	CFA_HIGH_ADVANCE_LOC = 0x40,
	CFA_HIGH_OFFSET = 0x80,
	CFA_HIGH_RESTORE = 0xc0,
	OP_DEREF = 0x06,
	OP_BREG0 = 0x70,
	MAX_REMEMBERED = 8,
	MAX_OPS = 4096,
};

/* Bytes that are read from at to end; ok turns false at the first read past it. */
struct bytes {
	const uint8_t *at, *end;
	bool ok;
};

static uint64_t fixed(struct bytes *b, unsigned size)
{
	uint64_t v = 0;
	if (!b->ok || (uint64_t)(b->end - b->at) < size) {
		b->ok = false;
		return 0;
	}
	memcpy(&v, b->at, size);
	b->at += size;
	return v;
}

static uint64_t uleb(struct bytes *b)
{
	uint64_t v = 0;
	const uint8_t *next = b->ok ? hf_varint_get(b->at, b->end, &v) : NULL;
	if (!next) {
		b->ok = false;
		return 0;
	}
	b->at = next;
	return v;
}

static int64_t sleb(struct bytes *b)
{
	const uint8_t *from = b->at;
	uint64_t v = uleb(b);
	uint64_t bits = b->ok ? 7 * (uint64_t)(b->at - from) : 64;
	if (bits < 64 && v >> (bits - 1))
		v |= ~0ull << bits;
	return (int64_t)v;
}

static void skip(struct bytes *b, uint64_t n)
{
	if (!b->ok || (uint64_t)(b->end - b->at) < n)
		b->ok = false;
	else
		b->at += n;
}

/* Where a register was saved. */
enum where {
	SAME,
	AT_CFA, /* at CFA + offset */
	AT_BP,  /* at rbp + offset */
	UNDEFINED,
	ELSEWHERE, /* in some way that is not followed */
};

struct saved {
	enum where where;
	int64_t offset;
};

struct state {
	bool bp, deref; /* of the CFA: base, and whether it is read from there */
	bool unknown;   /* it is computed in some other way */
	int64_t offset;
	struct saved saved_bp, saved_ra;
};

struct program {
	struct state now, initial, remembered[MAX_REMEMBERED];
	unsigned n_remembered;
	uint64_t code_align;
	int64_t data_align;
	uint64_t loc, pc;
};

static void set_base(struct state *s, uint64_t reg)
{
	s->bp = reg == REG_BP;
	s->unknown = reg != REG_BP && reg != REG_SP;
	s->deref = false;
}

static struct saved *saved_of(struct state *s, uint64_t reg)
{
	return reg == REG_BP ? &s->saved_bp : reg == REG_RA ? &s->saved_ra : NULL;
}

static void set_saved(struct program *p, uint64_t reg, enum where where, int64_t offset)
{
	struct saved *saved = saved_of(&p->now, reg);
	if (saved)
		*saved = (struct saved){where, offset};
}

static void restore(struct program *p, uint64_t reg)
{
	struct saved *saved = saved_of(&p->now, reg);
	if (saved)
		*saved = *saved_of(&p->initial, reg);
}

/* The two forms that compilers use to find the frame of a function that realigned its stack:
 * «register + offset» and «the word at register + offset». */
static void cfa_expression(struct program *p, struct bytes *b)
{
	uint64_t size = uleb(b);
	struct bytes e = *b;
	skip(b, size);
	if (!b->ok)
		return;
	e.end = b->at;
	uint64_t op = fixed(&e, 1);
	p->now.unknown = true;
	if (op != OP_BREG0 + REG_BP && op != OP_BREG0 + REG_SP)
		return;
	int64_t offset = sleb(&e);
	bool deref = e.ok && e.at < e.end && *e.at == OP_DEREF;
	if (!e.ok || e.end - e.at != deref)
		return;
	p->now.unknown = false;
	p->now.bp = op == OP_BREG0 + REG_BP;
	p->now.deref = deref;
	p->now.offset = offset;
}

/* In a function that realigned its stack, rbp of the caller lies at a fixed distance from the base
 * and not from the CFA: «register + offset» again. Other expressions are not followed. */
static void register_expression(struct program *p, struct bytes *b)
{
	uint64_t reg = uleb(b), size = uleb(b);
	struct bytes e = *b;
	skip(b, size);
	if (!b->ok)
		return;
	e.end = b->at;
	uint64_t op = fixed(&e, 1);
	int64_t offset = sleb(&e);
	bool simple = e.ok && e.at == e.end && op == OP_BREG0 + REG_BP;
	set_saved(p, reg, simple ? AT_BP : ELSEWHERE, offset);
}

static void skip_block(struct bytes *b)
{
	uint64_t size = uleb(b);
	skip(b, size);
}

static void extended(struct program *p, struct bytes *b, uint64_t op)
{
	uint64_t reg;
	switch (op) {
	case CFA_OFFSET_EXTENDED:
		reg = uleb(b);
		set_saved(p, reg, AT_CFA, (int64_t)uleb(b) * p->data_align);
		break;
	case CFA_OFFSET_EXTENDED_SF:
		reg = uleb(b);
		set_saved(p, reg, AT_CFA, sleb(b) * p->data_align);
		break;
	case CFA_GNU_NEGATIVE_OFFSET_EXTENDED:
		reg = uleb(b);
		set_saved(p, reg, AT_CFA, -(int64_t)uleb(b) * p->data_align);
		break;
	case CFA_RESTORE_EXTENDED:
		restore(p, uleb(b));
		break;
	case CFA_UNDEFINED:
		set_saved(p, uleb(b), UNDEFINED, 0);
		break;
	case CFA_SAME_VALUE:
		set_saved(p, uleb(b), SAME, 0);
		break;
	case CFA_REGISTER:
	case CFA_VAL_OFFSET:
		reg = uleb(b);
		uleb(b);
		set_saved(p, reg, ELSEWHERE, 0);
		break;
	case CFA_VAL_OFFSET_SF:
		reg = uleb(b);
		sleb(b);
		set_saved(p, reg, ELSEWHERE, 0);
		break;
	case CFA_EXPRESSION:
	case CFA_VAL_EXPRESSION:
		register_expression(p, b);
		break;
	case CFA_GNU_ARGS_SIZE:
		uleb(b);
		break;
	default:
		b->ok = false;
	}
}

static void about_cfa(struct program *p, struct bytes *b, uint64_t op)
{
	switch (op) {
	case CFA_DEF_CFA:
		set_base(&p->now, uleb(b));
		p->now.offset = (int64_t)uleb(b);
		break;
	case CFA_DEF_CFA_SF:
		set_base(&p->now, uleb(b));
		p->now.offset = sleb(b) * p->data_align;
		break;
	case CFA_DEF_CFA_REGISTER:
		set_base(&p->now, uleb(b));
		break;
	case CFA_DEF_CFA_OFFSET:
		p->now.offset = (int64_t)uleb(b);
		break;
	case CFA_DEF_CFA_OFFSET_SF:
		p->now.offset = sleb(b) * p->data_align;
		break;
	case CFA_DEF_CFA_EXPRESSION:
		cfa_expression(p, b);
		break;
	case CFA_REMEMBER_STATE:
		if (p->n_remembered == MAX_REMEMBERED)
			b->ok = false;
		else
			p->remembered[p->n_remembered++] = p->now;
		break;
	case CFA_RESTORE_STATE:
		if (!p->n_remembered)
			b->ok = false;
		else
			p->now = p->remembered[--p->n_remembered];
		break;
	default:
		extended(p, b, op);
	}
}

/* One operation; false: the location has passed pc. */
static bool step(struct program *p, struct bytes *b)
{
	uint64_t op = fixed(b, 1), low = op & ~(uint64_t)CFA_HIGH, advance = 0;
	switch (op & CFA_HIGH) {
	case CFA_HIGH_ADVANCE_LOC:
		advance = low;
		break;
	case CFA_HIGH_OFFSET:
		set_saved(p, low, AT_CFA, (int64_t)uleb(b) * p->data_align);
		return true;
	case CFA_HIGH_RESTORE:
		restore(p, low);
		return true;
	default:
		if (op == 0)
			return true; /* DW_CFA_nop */
		if (op == CFA_SET_LOC)
			b->ok = false;
		else if (op == CFA_ADVANCE_LOC1)
			advance = fixed(b, 1);
		else if (op == CFA_ADVANCE_LOC2)
			advance = fixed(b, 2);
		else if (op == CFA_ADVANCE_LOC4)
			advance = fixed(b, 4);
		else
			about_cfa(p, b, op);
	}
	p->loc += advance * p->code_align;
	return p->loc <= p->pc;
}

static bool run(struct program *p, struct bytes b)
{
	for (int i = 0; i < MAX_OPS && b.ok && b.at < b.end; i++) {
		if (!step(p, &b))
			return true;
	}
	return b.ok && b.at == b.end;
}

struct entry {
	struct bytes body; /* behind the id word */
	const uint8_t *id; /* address of the id word: a FDE's distance to its CIE */
	uint64_t id_value;
};

/* A CIE or FDE at `at`. The 64-bit form is not written by anyone for x86-64. */
static bool open_entry(const struct hf_cfi_table *t, const uint8_t *at, struct entry *ret)
{
	struct bytes b = {at, t->end, at >= t->start && at < t->end};
	uint64_t size = fixed(&b, 4);
	if (!b.ok || size < 4 || size >= 0xfffffff0u || size > (uint64_t)(b.end - b.at))
		return false;
	b.end = b.at + size;
	ret->id = b.at;
	ret->id_value = fixed(&b, 4);
	ret->body = b;
	return b.ok;
}

struct cie {
	bool signal, has_augmentation;
	uint8_t pointer_encoding;
	uint64_t code_align;
	int64_t data_align;
	struct bytes instructions;
};

static bool read_augmentation(struct cie *cie, struct bytes *b, const char *text)
{
	uint64_t size = uleb(b);
	struct bytes data = *b;
	skip(b, size);
	if (!b->ok)
		return false;
	data.end = b->at;
	for (const char *c = text + 1; *c; c++) {
		if (*c == 'R')
			cie->pointer_encoding = (uint8_t)fixed(&data, 1);
		else if (*c == 'L')
			fixed(&data, 1);
		else if (*c == 'P') {
			uint8_t encoding = (uint8_t)fixed(&data, 1);
			/* only its size matters here: absptr and data8 have eight bytes */
			unsigned low = encoding & 7;
			fixed(&data, encoding == ENC_OMIT   ? 0
				     : low == 0 || low == 4 ? 8
				     : low == 3             ? 4
							    : 2);
		} else if (*c == 'S')
			cie->signal = true;
		else if (*c != 'B')
			return false;
	}
	return data.ok;
}

static bool read_cie(const struct hf_cfi_table *t, const uint8_t *at, struct cie *cie)
{
	struct entry e;
	if (!open_entry(t, at, &e) || e.id_value != 0)
		return false;
	struct bytes *b = &e.body;
	uint64_t version = fixed(b, 1);
	const char *text = (const char *)b->at;
	const uint8_t *nul = b->ok ? memchr(b->at, 0, (size_t)(b->end - b->at)) : NULL;
	if (!nul || (version != 1 && version != 3))
		return false;
	b->at = nul + 1;
	*cie = (struct cie){.code_align = uleb(b), .data_align = sleb(b)};
	uint64_t ra = version == 1 ? fixed(b, 1) : uleb(b);
	if (ra != REG_RA)
		return false;
	cie->has_augmentation = *text == 'z';
	if (cie->has_augmentation ? !read_augmentation(cie, b, text) : *text != 0)
		return false;
	cie->instructions = *b;
	return b->ok;
}

/* The FDE of the last function that starts at or before pc, by the sorted table. */
static const uint8_t *search(const struct hf_cfi_table *t, uint64_t pc)
{
	struct bytes b = {t->header, t->end, t->header >= t->start && t->header < t->end};
	uint64_t version = fixed(&b, 1), pointer = fixed(&b, 1);
	uint64_t count_encoding = fixed(&b, 1), table_encoding = fixed(&b, 1);
	if (!b.ok || version != HDR_VERSION || pointer == ENC_OMIT ||
		count_encoding != ENC_UDATA4 || table_encoding != ENC_DATAREL_SDATA4)
		return NULL;
	skip(&b, (pointer & 7) == 0 || (pointer & 7) == 4 ? 8 : 4);
	uint64_t n = fixed(&b, 4);
	if (!b.ok || n > (uint64_t)(b.end - b.at) / 8)
		return NULL;
	int64_t wanted = (int64_t)(pc - (uint64_t)t->header);
	uint64_t low = 0, high = n;
	int32_t pair[2];
	while (low < high) {
		uint64_t middle = (low + high) / 2;
		memcpy(pair, b.at + middle * 8, 8);
		if (pair[0] <= wanted)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low)
		return NULL;
	memcpy(pair, b.at + (low - 1) * 8, 8);
	return t->header + pair[1];
}

static bool fits(int64_t v, int bits)
{
	return v >= -(1ll << (bits - 1)) && v < 1ll << (bits - 1);
}

static hf_cfi_rule pack(const struct state *s, bool signal)
{
	if (signal)
		return HF_CFI_SIGNAL;
	if (s->saved_ra.where == UNDEFINED)
		return HF_CFI_LAST;
	enum where bp = s->saved_bp.where;
	bool at_base = bp == AT_BP && s->bp && s->deref;
	bool saved = at_base || (bp == AT_CFA && !s->deref);
	if (s->unknown || s->saved_ra.where != AT_CFA || !fits(s->offset, 24) ||
		s->saved_ra.offset % 8 || !fits(s->saved_ra.offset / 8, 16) ||
		(saved && (s->saved_bp.offset % 8 || !fits(s->saved_bp.offset / 8, 16))))
		return HF_CFI_NONE;
	return HF_CFI_FRAME | (s->bp ? 8u : 0) | (s->deref ? 16u : 0) | (saved ? 32u : 0) |
	       (!saved && bp != SAME ? 64u : 0) | (uint64_t)((uint32_t)s->offset & 0xffffff) << 8 |
	       (uint64_t)(uint16_t)(s->saved_ra.offset / 8) << 32 |
	       (saved ? (uint64_t)(uint16_t)(s->saved_bp.offset / 8) << 48 : 0);
}

hf_cfi_rule hf_cfi_find(const struct hf_cfi_table *t, uint64_t pc)
{
	struct entry fde;
	struct cie cie;
	const uint8_t *at = search(t, pc);
	if (!at || !open_entry(t, at, &fde) || !fde.id_value ||
		fde.id_value > (uint64_t)(fde.id - t->start) ||
		!read_cie(t, fde.id - fde.id_value, &cie) ||
		cie.pointer_encoding != ENC_PCREL_SDATA4)
		return HF_CFI_NONE;
	struct bytes *b = &fde.body;
	uint64_t here = (uint64_t)b->at;
	uint64_t begin = here + (uint64_t)(int64_t)(int32_t)fixed(b, 4);
	uint64_t size = fixed(b, 4);
	if (cie.has_augmentation)
		skip_block(b);
	if (!b->ok || pc < begin || pc - begin >= size)
		return HF_CFI_NONE;
	struct program p = {
		.code_align = cie.code_align, .data_align = cie.data_align, .loc = begin, .pc = pc};
	p.now.unknown = true;
	if (!run(&p, cie.instructions))
		return HF_CFI_NONE;
	p.initial = p.now;
	p.loc = begin;
	return run(&p, *b) ? pack(&p.now, cie.signal) : HF_CFI_NONE;
}
