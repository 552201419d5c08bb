/*
 * libholdfast.so: preloaded into a program or linked to it. Start-up and the C API; the triggers
 * are files of their own (trigger.h).
 *
 * It interposes the allocation functions and dlclose (site/hooks.c), and those that set signal
 * handlers (sigactions.c).
 */
#include <errno.h>
#include <string.h>
#include <sys/auxv.h>

#include "base/fmt.h"
#include "base/sys.h"
#include "frontend/told.h"
#include "frontend/trigger.h"
#include "site/hooks.h"
#include "site/record.h"

#define HF_API __attribute__((visibility("default")))

extern char **environ;

static struct hf_config config;

__attribute__((used)) static int dump_from_call(const char *path, const struct hf_call_frame *frame)
{
	struct hf_thread caller;
	hf_caller_of_call(&caller, frame);
	struct hf_capture_request request = {
		.path = path, .trigger = "api", .caller = &caller, .wait = true};
	return hf_trigger_dump(&request);
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
HF_API int holdfast_v1_sample(size_t bytes);

int holdfast_v1_register_root(const void *addr, size_t size, const char *name)
{
	return hf_triggers_active() ? hf_told_register_root(addr, size, name) : -ENOSYS;
}

int holdfast_v1_unregister_root(const void *addr)
{
	return hf_triggers_active() ? hf_told_unregister_root(addr) : -ENOSYS;
}

int holdfast_v1_label(const void *object, const char *label)
{
	return hf_triggers_active() ? hf_told_label(object, label) : -ENOSYS;
}

int holdfast_v1_sample(size_t bytes)
{
	return hf_triggers_active() ? hf_site_request_period_bytes(bytes) : -ENOSYS;
}

HF_API API_ALIAS(register_root);
HF_API API_ALIAS(unregister_root);
HF_API API_ALIAS(label);
HF_API API_ALIAS(sample);

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
	if (!config.sample_bytes && !*config.profile)
		return;
	enum hf_status status = HF_OK;
	if (*config.profile)
		status = hf_config_profile_path(&config, (int)hf_syscall0(SYS_getpid),
			hf_sys_realtime_ns() / 1000000000u, path, sizeof(path), &err);
	struct hf_site_config sites = {config.sample_bytes, *config.profile ? path : NULL};
	if (!status)
		status = hf_site_start(&sites, &err);
	if (status)
		hf_trigger_say("%s; this process records no allocation sites", err.msg);
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
	hf_triggers_start(&config);
	start_sites();
}
