#include "stop/thread.h"

#include <string.h>

uint64_t hf_thread_register(const struct hf_thread *thread, uint32_t number)
{
	const struct user_regs_struct *r = &thread->regs;
	const unsigned long long values[] = {r->rax, r->rdx, r->rcx, r->rbx, r->rsi, r->rdi, r->rbp,
		r->rsp, r->r8, r->r9, r->r10, r->r11, r->r12, r->r13, r->r14, r->r15, r->rip};
	return number < sizeof(values) / sizeof(values[0]) ? values[number] : 0;
}

/* The XSAVE area in its standard (not compacted) form, as the kernel gives it to ptrace and to
 * signal handlers: xmm at 160, the upper halves of ymm at 576; the places of the AVX-512 parts come
 * from CPUID leaf 0xd on the machine itself, and are 1152 (upper zmm0-15) and 1664 (zmm16-31)
 * wherever PKRU and MPX are known to the CPU, 832 and 1344 … on others. */
enum { XMM = 160, XSTATE_BV = 512, YMM_HIGH = 576 };

static uint32_t component_offset(uint32_t component, uint32_t *ret_size)
{
	uint32_t a = 0xd, b = 0, c = component, d = 0;
	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	*ret_size = a;
	return b;
}

static void each_lane(const struct hf_thread *t, uint32_t offset, uint32_t first_vector,
	uint32_t n_vectors, uint32_t first_lane, uint32_t n_lanes,
	void (*fn)(void *, uint32_t, uint64_t), void *ctx)
{
	if (!offset || offset + n_vectors * n_lanes * 8 > t->xsave_size)
		return;
	for (uint32_t v = 0; v < n_vectors; v++) {
		for (uint32_t l = 0; l < n_lanes; l++) {
			uint64_t value;
			memcpy(&value, t->xsave + offset + (v * n_lanes + l) * 8, 8);
			fn(ctx, HF_REG_LANE0 + 8 * (first_vector + v) + first_lane + l, value);
		}
	}
}

void hf_thread_each_register(const struct hf_thread *t,
	void (*fn)(void *ctx, uint32_t number, uint64_t value), void *ctx)
{
	if (t->flags & HF_THREAD_NO_REGISTERS)
		return;
	for (uint32_t i = 0; i < HF_REG_RIP; i++)
		fn(ctx, i, hf_thread_register(t, i));
	if (t->xsave_size < 512)
		return;
	each_lane(t, XMM, 0, 16, 0, 2, fn, ctx);
	uint64_t present = 0;
	if (t->xsave_size >= XSTATE_BV + 64)
		memcpy(&present, t->xsave + XSTATE_BV, 8);
	uint32_t size;
	if (present & 1 << 2)
		each_lane(t, YMM_HIGH, 0, 16, 2, 2, fn, ctx);
	if (present & 1 << 6)
		each_lane(t, component_offset(6, &size), 0, 16, 4, 4, fn, ctx);
	if (present & 1 << 7)
		each_lane(t, component_offset(7, &size), 16, 16, 0, 8, fn, ctx);
}

void hf_thread_of_context(struct hf_thread *t, const ucontext_t *uc)
{
	enum {
		/* sw_reserved of struct _fpstate (asm/sigcontext.h) */
		FP_MAGIC1_AT = 464,
		FP_XSTATE_SIZE_AT = 480,
		FP_MAGIC1_VALUE = 0x46505853,
		FXSAVE_SIZE = 512,
	};
	const greg_t *g = uc->uc_mcontext.gregs;
	t->regs = (struct user_regs_struct){
		.r15 = (unsigned long)g[REG_R15],
		.r14 = (unsigned long)g[REG_R14],
		.r13 = (unsigned long)g[REG_R13],
		.r12 = (unsigned long)g[REG_R12],
		.rbp = (unsigned long)g[REG_RBP],
		.rbx = (unsigned long)g[REG_RBX],
		.r11 = (unsigned long)g[REG_R11],
		.r10 = (unsigned long)g[REG_R10],
		.r9 = (unsigned long)g[REG_R9],
		.r8 = (unsigned long)g[REG_R8],
		.rax = (unsigned long)g[REG_RAX],
		.rcx = (unsigned long)g[REG_RCX],
		.rdx = (unsigned long)g[REG_RDX],
		.rsi = (unsigned long)g[REG_RSI],
		.rdi = (unsigned long)g[REG_RDI],
		.rip = (unsigned long)g[REG_RIP],
		.rsp = (unsigned long)g[REG_RSP],
	};
	const uint8_t *fp = (const uint8_t *)uc->uc_mcontext.fpregs;
	uint32_t magic, size = FXSAVE_SIZE;
	if (!fp)
		return;
	memcpy(&magic, fp + FP_MAGIC1_AT, sizeof(magic));
	if (magic == FP_MAGIC1_VALUE)
		memcpy(&size, fp + FP_XSTATE_SIZE_AT, sizeof(size));
	t->xsave = (uint8_t *)fp;
	t->xsave_size = size < HF_XSAVE_MAX ? size : HF_XSAVE_MAX;
}
