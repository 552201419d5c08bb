/* Signals that end the command while it makes a file. */
#pragma once

/* From now on SIGINT, SIGTERM and SIGHUP first take away what is half made, then end the process as
 * they always do. One that was ignored stays so. */
void hf_interrupt_cleans_up(void);
