/*
 * The modules that stacks go through: found when a return address is met for the first time, and
 * remembered in the store for the profile. The loader of glibc 2.35 has a lock-free table for that
 * (_dl_find_object); for older ones there is one of our own (loaded.h).
 * Thread and signal safety: async-signal-safe after hf_modules_init().
 */
#pragma once
#include "site/cfi.h"
#include "site/store.h"

/* Look up what is needed of the loader; before anything else, not in a signal handler. own_table:
 * do without the loader's. False: there is neither. */
bool hf_modules_init(bool own_table);
/* After dlclose(). */
void hf_modules_changed(void);
/* The unwind table of the module that contains pc. False: no module, or none that has one. The
 * module is remembered in s (may be NULL). */
bool hf_modules_table(struct hf_site_store *s, uint64_t pc, struct hf_cfi_table *ret);
/* The remembered module of an address: its index, or -1. */
int hf_modules_find(const struct hf_site_store *s, uint64_t pc);
/* In a forked child: nobody else is adding a module. */
void hf_modules_forked(void);
/* Do two addresses belong to one module? Before or after hf_modules_init(), which it calls. */
bool hf_modules_same(const void *a, const void *b);
