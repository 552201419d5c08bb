/*
 * The interposed allocation functions. Linking this module into a program or library replaces its
 * malloc; it belongs in libholdfast.so alone.
 */
#pragma once

/* Look up the functions behind ours and watch for forks. Once, in the library's constructor. */
void hf_site_hooks_start(void);
