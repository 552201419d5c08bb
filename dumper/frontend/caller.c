#include "frontend/caller.h"

#include <string.h>

#include "base/sys.h"

enum {
	GET_FS = 0x1003, /* arch_prctl(2): ARCH_GET_FS */
	/* sw_reserved of struct _fpstate (asm/sigcontext.h) */
	FP_MAGIC1_AT = 464,
	FP_XSTATE_SIZE_AT = 480,
	FP_MAGIC1 = 0x46505853,
	FXSAVE_SIZE = 512,
	RED_ZONE = 128,
};

static void set_thread(struct hf_thread *t)
{
	unsigned long fs = 0;
	hf_syscall2(SYS_arch_prctl, GET_FS, &fs);
	t->tid = (int)hf_syscall0(SYS_gettid);
	t->flags = HF_THREAD_CALLER;
	t->regs.fs_base = fs;
}

void hf_caller_of_context(struct hf_thread *t, const ucontext_t *uc)
{
	const greg_t *g = uc->uc_mcontext.gregs;
	*t = (struct hf_thread){0};
	set_thread(t);
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
		.fs_base = t->regs.fs_base,
	};
	const uint8_t *fp = (const uint8_t *)uc->uc_mcontext.fpregs;
	uint32_t magic, size = FXSAVE_SIZE;
	if (!fp)
		return;
	memcpy(&magic, fp + FP_MAGIC1_AT, sizeof(magic));
	if (magic == FP_MAGIC1)
		memcpy(&size, fp + FP_XSTATE_SIZE_AT, sizeof(size));
	/* In place: the frame stays while the handler runs, and the snapshot has a copy of it. */
	t->xsave = (uint8_t *)fp;
	t->xsave_size = size < HF_XSAVE_MAX ? size : HF_XSAVE_MAX;
}

void hf_caller_of_call(struct hf_thread *t, const struct hf_call_frame *f)
{
	*t = (struct hf_thread){0};
	set_thread(t);
	t->regs.rbx = f->rbx;
	t->regs.rbp = f->rbp;
	t->regs.r12 = f->r12;
	t->regs.r13 = f->r13;
	t->regs.r14 = f->r14;
	t->regs.r15 = f->r15;
	/* A scan starts RED_ZONE below the stack pointer, and there is none below a call. */
	t->regs.rsp = f->rsp + RED_ZONE;
	t->regs.rip = f->rip;
}
