#include "frontend/crash_text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fmt.h"
#include "base/sys.h"

#define CODE(signal, name)                                                                         \
	{                                                                                          \
		signal, name, #name                                                                \
	}

static const struct {
	int signal; /* 0: any */
	int code;
	const char *text;
} codes[] = {
	CODE(SIGSEGV, SEGV_MAPERR),
	CODE(SIGSEGV, SEGV_ACCERR),
	CODE(SIGSEGV, SEGV_BNDERR),
	CODE(SIGSEGV, SEGV_PKUERR),
	CODE(SIGBUS, BUS_ADRALN),
	CODE(SIGBUS, BUS_ADRERR),
	CODE(SIGBUS, BUS_OBJERR),
	CODE(SIGBUS, BUS_MCEERR_AR),
	CODE(SIGBUS, BUS_MCEERR_AO),
	CODE(SIGFPE, FPE_INTDIV),
	CODE(SIGFPE, FPE_INTOVF),
	CODE(SIGFPE, FPE_FLTDIV),
	CODE(SIGFPE, FPE_FLTOVF),
	CODE(SIGFPE, FPE_FLTUND),
	CODE(SIGFPE, FPE_FLTRES),
	CODE(SIGFPE, FPE_FLTINV),
	CODE(SIGFPE, FPE_FLTSUB),
	CODE(SIGILL, ILL_ILLOPC),
	CODE(SIGILL, ILL_ILLOPN),
	CODE(SIGILL, ILL_ILLADR),
	CODE(SIGILL, ILL_ILLTRP),
	CODE(SIGILL, ILL_PRVOPC),
	CODE(SIGILL, ILL_PRVREG),
	CODE(SIGILL, ILL_COPROC),
	CODE(SIGILL, ILL_BADSTK),
	CODE(0, SI_USER),
	CODE(0, SI_TKILL),
	CODE(0, SI_QUEUE),
	CODE(0, SI_KERNEL),
};

static const char *name_of(int number)
{
	switch (number) {
	case SIGSEGV:
		return "SIGSEGV";
	case SIGBUS:
		return "SIGBUS";
	case SIGABRT:
		return "SIGABRT";
	case SIGFPE:
		return "SIGFPE";
	case SIGILL:
		return "SIGILL";
	default:
		return "signal";
	}
}

static void set_code(struct hf_crash_text *t, int number, int code)
{
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		if (codes[i].code == code && (!codes[i].signal || codes[i].signal == number)) {
			hf_fmt(t->code, sizeof(t->code), "%s", codes[i].text);
			return;
		}
	}
	hf_fmt(t->code, sizeof(t->code), "%d", code);
}

void hf_crash_text(struct hf_crash_text *t, int number, const siginfo_t *info)
{
	*t = (struct hf_crash_text){0};
	hf_fmt(t->name, sizeof(t->name), "%s", name_of(number));
	set_code(t, number, info->si_code);
	bool fault = info->si_code > 0 && info->si_code < SI_KERNEL;
	if (fault && number != SIGABRT) {
		t->detail_key = "fault_addr";
		hf_fmt(t->detail, sizeof(t->detail), "0x%lx", (uint64_t)info->si_addr);
		/* of SIGFPE and SIGILL it is that of the instruction */
		hf_fmt(t->summary, sizeof(t->summary), "crash: %s at %s", t->name, t->detail);
	} else if (info->si_code <= 0) {
		bool itself = info->si_pid == (int)hf_syscall0(SYS_getpid);
		t->detail_key = itself ? NULL : "signal_sender";
		hf_fmt(t->detail, sizeof(t->detail), "%d", info->si_pid);
		hf_fmt(t->summary, sizeof(t->summary), "crash: %s from %s%s", t->name,
			itself ? "the program itself" : "process ", itself ? "" : t->detail);
	} else {
		hf_fmt(t->summary, sizeof(t->summary), "crash: %s", t->name);
	}
}
