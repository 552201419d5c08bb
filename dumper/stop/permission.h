/*
 * Why a process may or may not be traced (ptrace(2), "Ptrace access mode checking"), in words.
 * Not for use inside a target.
 */
#pragma once
#include <stdbool.h>

#include "base/err.h"

/* What can be known before anything is touched: HF_E_NOTFOUND (no such process), HF_E_USAGE (the
 * process itself), HF_E_UNSUPPORTED (32 bits, or no memory of its own), HF_E_PERM. */
enum hf_status hf_permission_check(int pid, struct hf_err *err);
/* pid, or where the main thread of the process has ended, the tid of one that has not: /proc of an
 * ended thread shows no memory. 0: there is none. */
int hf_permission_live_task(int pid);
/* What decides. */
struct hf_permission_facts {
	int pid, tracer; /* 0: none */
	char tracer_name[32];
	unsigned uid, own_uid;
	bool dumpable, other_user_namespace;
	unsigned long long capabilities, own_capabilities; /* permitted there, effective here */
	int yama_scope;                                    /* 0: none */
};

/* The most likely reason for sys_errno (EPERM, EACCES) in words: HF_E_PERM. */
enum hf_status hf_permission_reason(
	const struct hf_permission_facts *facts, int sys_errno, struct hf_err *err);
/* The reason behind a refusal sys_errno: HF_E_PERM with the most likely one, HF_E_NOTFOUND. */
enum hf_status hf_permission_explain(int pid, int sys_errno, struct hf_err *err);
/* Is no seccomp filter on the process, or none but those that every process of this container has,
 * us included, so that a system call that we may make does not kill it? */
bool hf_permission_same_filters(int pid);
