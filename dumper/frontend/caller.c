#include "frontend/caller.h"

#include "base/sys.h"

enum {
	GET_FS = 0x1003, /* arch_prctl(2): ARCH_GET_FS */
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
	*t = (struct hf_thread){0};
	hf_thread_of_context(t, uc);
	set_thread(t);
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
