#include "cli/interrupt.h"

#include <signal.h>
#include <stddef.h>

#include "output/output.h"

static void on_signal(int sig)
{
	hf_output_abandon();
	signal(sig, SIG_DFL);
	raise(sig); /* when the handler returns */
}

void hf_interrupt_cleans_up(void)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
		struct sigaction old, new = {.sa_handler = on_signal};
		if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
			sigaction(signals[i], &new, NULL);
	}
}
