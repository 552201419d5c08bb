/*
 * libholdfast.so: preloaded into a program or linked to it. Start-up, the signal, exit, and the C
 * API.
 *
 * It interposes the allocation functions and dlclose (site/hooks.c), and here those that set signal
 * handlers: a program that handles the dump signal itself keeps its handler, and is told on stderr
 * that the signal makes no dumps.
 */
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <ucontext.h>

#include "base/fmt.h"
#include "base/sys.h"
#include "frontend/capture.h"
#include "site/hooks.h"
#include "site/record.h"

#define HF_API __attribute__((visibility("default")))

extern char **environ;

static struct hf_config config;
static bool active;          /* configured, and not in a setuid program */
static bool handler_is_ours; /* the dump signal's */

/* Registers of the calling thread. */

static void set_thread(struct hf_thread *t)
{
	unsigned long fs = 0;
	enum { GET_FS = 0x1003 /* arch_prctl(2): ARCH_GET_FS */ };
	hf_syscall2(SYS_arch_prctl, GET_FS, &fs);
	t->tid = (int)hf_syscall0(SYS_gettid);
	t->flags = HF_THREAD_CALLER;
	t->regs.fs_base = fs;
}

/* The interrupted context, as the kernel left it on the signal frame. */
static void thread_of_context(struct hf_thread *t, const ucontext_t *uc)
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
	/* sw_reserved of struct _fpstate (asm/sigcontext.h): magic1 at 464, xstate_size at 480 */
	const uint8_t *fp = (const uint8_t *)uc->uc_mcontext.fpregs;
	uint32_t magic, size = 512;
	if (!fp)
		return;
	memcpy(&magic, fp + 464, 4);
	if (magic == 0x46505853)
		memcpy(&size, fp + 480, 4);
	/* In place: the frame stays while this handler runs, and the snapshot has a copy of it. */
	t->xsave = (uint8_t *)fp;
	t->xsave_size = size < HF_XSAVE_MAX ? size : HF_XSAVE_MAX;
}

/* What a caller of the API has live: its callee-saved registers and its stack. Filled by the stubs
 * below. */
struct call_frame {
	uint64_t rbx, rbp, r12, r13, r14, r15, rsp, rip;
};

static void thread_of_call(struct hf_thread *t, const struct call_frame *f)
{
	*t = (struct hf_thread){0};
	set_thread(t);
	t->regs.rbx = f->rbx;
	t->regs.rbp = f->rbp;
	t->regs.r12 = f->r12;
	t->regs.r13 = f->r13;
	t->regs.r14 = f->r14;
	t->regs.r15 = f->r15;
	/* sp - 128 is where the scan starts: no red zone below a call */
	t->regs.rsp = f->rsp + 128;
	t->regs.rip = f->rip;
}

__attribute__((used)) static int dump_from_call(const char *path, const struct call_frame *frame)
{
	int saved = errno;
	struct hf_thread caller;
	if (!active)
		return -ENOSYS;
	thread_of_call(&caller, frame);
	struct hf_capture_request request = {path, "api", &caller, true};
	int result = hf_capture(&config, &request);
	errno = saved;
	return result;
}

/* int holdfast_dump(const char *path): save the registers that the caller has live before any C
 * code may put them elsewhere. holdfast_v1_dump is the name that the header calls. */
__asm__(".text\n"
	".globl holdfast_dump, holdfast_v1_dump\n"
	".type holdfast_dump, @function\n"
	".type holdfast_v1_dump, @function\n"
	"holdfast_dump:\n"
	"holdfast_v1_dump:\n"
	".cfi_startproc\n"
	"	sub $72, %rsp\n"
	".cfi_adjust_cfa_offset 72\n"
	"	mov %rbx, 0(%rsp)\n"
	"	mov %rbp, 8(%rsp)\n"
	"	mov %r12, 16(%rsp)\n"
	"	mov %r13, 24(%rsp)\n"
	"	mov %r14, 32(%rsp)\n"
	"	mov %r15, 40(%rsp)\n"
	"	lea 80(%rsp), %rax\n"
	"	mov %rax, 48(%rsp)\n"
	"	mov 72(%rsp), %rax\n"
	"	mov %rax, 56(%rsp)\n"
	"	mov %rsp, %rsi\n"
	"	call dump_from_call\n"
	"	add $72, %rsp\n"
	".cfi_adjust_cfa_offset -72\n"
	"	ret\n"
	".cfi_endproc\n"
	".size holdfast_dump, .-holdfast_dump\n"
	".size holdfast_v1_dump, .-holdfast_v1_dump\n");

#define API_ALIAS(name)                                                                            \
	extern __typeof__(holdfast_v1_##name) holdfast_##name                                      \
		__attribute__((alias("holdfast_v1_" #name)))

HF_API int holdfast_v1_register_root(const void *addr, size_t size, const char *name);
HF_API int holdfast_v1_unregister_root(const void *addr);
HF_API int holdfast_v1_label(const void *object, const char *label);

int holdfast_v1_register_root(const void *addr, size_t size, const char *name)
{
	return active ? hf_capture_register_root(addr, size, name) : -ENOSYS;
}

int holdfast_v1_unregister_root(const void *addr)
{
	return active ? hf_capture_unregister_root(addr) : -ENOSYS;
}

int holdfast_v1_label(const void *object, const char *label)
{
	return active ? hf_capture_label(object, label) : -ENOSYS;
}

HF_API API_ALIAS(register_root);
HF_API API_ALIAS(unregister_root);
HF_API API_ALIAS(label);

/* The signal. */

static void say(const char *format, const char *text)
{
	char line[HF_ERR_MSG_SIZE];
	hf_fmt(line, sizeof(line), format, text);
	hf_capture_say(line);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
	int saved = errno;
	char name[16], trigger[32];
	struct hf_thread caller;
	(void)info;
	hf_fmt(trigger, sizeof(trigger), "signal %s", hf_signal_name(number, name, sizeof(name)));
	thread_of_context(&caller, context);
	struct hf_capture_request request = {NULL, trigger, &caller, false};
	int result = hf_capture(&config, &request);
	if (result == -EAGAIN)
		hf_capture_say("a dump is being made already: this signal makes none");
	else if (result == -EDQUOT)
		hf_capture_say("no more dumps: as many as max= (--max-dumps) allows are made");
	errno = saved;
}

/* The next definition of a libc function behind ours. */
#define NEXT(name)                                                                                 \
	({                                                                                         \
		static __typeof__(&(name)) next_;                                                  \
		if (!next_)                                                                        \
			next_ = (__typeof__(&(name)))dlsym(RTLD_NEXT, #name);                      \
		next_;                                                                             \
	})

static void program_handles(int number, bool sets)
{
	char name[16];
	if (!active || !sets || number != config.signal || !handler_is_ours)
		return;
	handler_is_ours = false;
	say("the program handles SIG%s itself: its handler stays and that signal makes no dumps "
	    "(choose another: --on-signal, HOLDFAST=signal=…)",
		hf_signal_name(number, name, sizeof(name)));
}

HF_API int sigaction(int number, const struct sigaction *action, struct sigaction *old)
{
	__typeof__(&sigaction) next = NEXT(sigaction);
	if (!next) {
		errno = ENOSYS;
		return -1;
	}
	int rc = next(number, action, old);
	/* A program that asks what the handler was sees what it would see without us. */
	if (rc == 0 && old && (old->sa_flags & SA_SIGINFO) && old->sa_sigaction == on_signal) {
		memset(old, 0, sizeof(*old));
		old->sa_handler = SIG_DFL;
	}
	if (rc == 0)
		program_handles(number, action != NULL);
	return rc;
}

typedef void (*handler_fn)(int);

static handler_fn hide_ours(handler_fn old)
{
	return (void *)old == (void *)on_signal ? SIG_DFL : old;
}

#define INTERPOSE_SIGNAL(name)                                                                     \
	HF_API handler_fn name(int number, handler_fn handler)                                     \
	{                                                                                          \
		__typeof__(&name) next = NEXT(name);                                               \
		if (!next)                                                                         \
			return SIG_ERR;                                                            \
		handler_fn old = next(number, handler);                                            \
		if (old != SIG_ERR)                                                                \
			program_handles(number, true);                                             \
		return hide_ours(old);                                                             \
	}

extern handler_fn bsd_signal(int number, handler_fn handler);
extern handler_fn __sysv_signal(int number, handler_fn handler);
INTERPOSE_SIGNAL(signal)
INTERPOSE_SIGNAL(bsd_signal)
INTERPOSE_SIGNAL(__sysv_signal)

static void install_handler(void)
{
	struct sigaction old, action = {0};
	__typeof__(&sigaction) next = NEXT(sigaction);
	if (!config.signal || !next)
		return;
	char name[16];
	if (next(config.signal, NULL, &old) == 0 && old.sa_handler != SIG_DFL &&
		old.sa_handler != SIG_IGN) {
		say("SIG%s has a handler already: that signal makes no dumps",
			hf_signal_name(config.signal, name, sizeof(name)));
		return;
	}
	action.sa_sigaction = on_signal;
	action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
	memset(&action.sa_mask, 0xff, sizeof(action.sa_mask));
	handler_is_ours = next(config.signal, &action, NULL) == 0;
}

static const char *environment(const char *name)
{
	size_t n = strlen(name);
	for (char **e = environ; e && *e; e++) {
		if (strncmp(*e, name, n) == 0 && (*e)[n] == '=')
			return *e + n + 1;
	}
	return NULL;
}

static void start_sites(void)
{
	static char path[HF_PATH_MAX];
	struct hf_err err = {0};
	if (!config.sample_bytes)
		return;
	enum hf_status status = HF_OK;
	if (*config.profile)
		status = hf_config_profile_path(&config, (int)hf_syscall0(SYS_getpid),
			hf_sys_realtime_ns() / 1000000000u, path, sizeof(path), &err);
	struct hf_site_config sites = {config.sample_bytes, *config.profile ? path : NULL};
	if (!status)
		status = hf_site_start(&sites, &err);
	if (status)
		say("%s; this process records no allocation sites", err.msg);
}

__attribute__((constructor)) static void start(void)
{
	struct hf_err err = {0};
	hf_site_hooks_start();
	if (getauxval(AT_SECURE))
		return;
	enum hf_status status = hf_capture_reserve(&err);
	if (!status)
		status = hf_config_parse(&config, environment("HOLDFAST"), &err);
	if (status) {
		char line[HF_ERR_MSG_SIZE + 64];
		hf_fmt(line, sizeof(line), "HOLDFAST: %s; this process makes no dumps", err.msg);
		hf_capture_say(line);
		return;
	}
	active = true;
	install_handler();
	start_sites();
}

/* Runs when the program returns from main or calls exit(), after its own atexit functions. */
__attribute__((destructor)) static void stop(void)
{
	if (!active || !config.on_exit)
		return;
	struct call_frame frame = {.rsp = (uint64_t)__builtin_frame_address(0) + 16,
		.rip = (uint64_t)__builtin_return_address(0)};
	struct hf_thread caller;
	thread_of_call(&caller, &frame);
	struct hf_capture_request request = {NULL, "exit", &caller, true};
	hf_capture(&config, &request);
}
