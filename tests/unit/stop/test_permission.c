/* Each reason for a refusal, from what a machine said that refused for it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "stop/permission.h"

static const unsigned long long ALL = 0x1fffffeffffff, PTRACE = 1ull << 19, NET = 1ull << 12;

static void says(struct hf_permission_facts facts, const char *text)
{
	struct hf_err err = {0};
	facts.pid = 4711;
	assert_int_equal(hf_permission_reason(&facts, EPERM, &err), HF_E_PERM);
	if (!strstr(err.msg, text) || !strstr(err.msg, "4711") == !strstr(err.msg, "ptrace_scope"))
		fail_msg("«%s» does not say «%s»", err.msg, text);
	assert_null(strchr(err.msg, '\n'));
}

static void test_reasons(void **state)
{
	(void)state;
	const struct hf_permission_facts same = {.uid = 1000, .own_uid = 1000, .dumpable = true};
	struct hf_permission_facts f = same;
	f.tracer = 99;
	strcpy(f.tracer_name, "strace");
	f.yama_scope = 3; /* the first that is in the way */
	says(f, "traced already, by 99 (strace)");

	f = same;
	f.own_uid = 1001;
	says(f, "user 1000's, this is user 1001's; run as that user or as root");
	f.own_uid = 0;
	f.own_capabilities = ALL & ~PTRACE;
	says(f, "this root has no CAP_SYS_PTRACE");

	f = same;
	f.dumpable = false;
	says(f, "not dumpable");

	f = same;
	f.capabilities = NET;
	says(f, "has capabilities that this one has not");
	f.own_capabilities = NET; /* as many: not that */
	says(f, "there is no CAP_SYS_PTRACE");

	f = same;
	f.own_capabilities = ALL;
	f.other_user_namespace = true;
	says(f, "another user namespace");
}

/* kernel.yama.ptrace_scope, Documentation/admin-guide/LSM/Yama.rst. */
static void test_yama(void **state)
{
	(void)state;
	struct hf_permission_facts f = {
		.uid = 1000, .own_uid = 1000, .dumpable = true, .yama_scope = 1};
	says(f, "ptrace_scope is 1, which lets a process trace its children alone; run as root");
	f.yama_scope = 2;
	says(f, "ptrace_scope is 2, which asks for CAP_SYS_PTRACE; run as root");
	f.own_uid = 0;
	f.own_capabilities = ALL;
	f.yama_scope = 3;
	says(f, "ptrace_scope is 3, which forbids it to all; the preloaded library");
	f.yama_scope = 1; /* does not bind who may all */
	struct hf_err err = {0};
	f.pid = 4711;
	hf_permission_reason(&f, EPERM, &err);
	assert_null(strstr(err.msg, "ptrace_scope"));
	assert_non_null(strstr(err.msg, "security module"));
}

static void test_not_refusals(void **state)
{
	(void)state;
	struct hf_err err = {0};
	assert_int_equal(hf_permission_explain(4711, ESRCH, &err), HF_E_NOTFOUND);
	assert_int_equal(hf_permission_explain(4711, EINVAL, &err), HF_E_FAILED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reasons),
		cmocka_unit_test(test_yama),
		cmocka_unit_test(test_not_refusals),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
