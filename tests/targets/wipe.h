/* Takes away what finished functions left behind, so that a leaked object is held by nothing. */
#pragma once

/* Overwrite 128 KiB of dead stack below the caller and the registers that the caller does not own.
 */
void t_wipe(void);
