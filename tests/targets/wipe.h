/* Takes away what finished functions left behind, so that a leaked object is held by nothing. */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/* Overwrite 128 KiB of dead stack below the caller, and the registers that it does not own. */
void t_wipe(void);

#ifdef __cplusplus
}
#endif
