/*
 * Which module has an address, where the C library has no lock-free answer to that (glibc before
 * 2.35): a table of our own, made from the loader's list of modules.
 *
 * It is made again when an address is in no module, or after dlclose(), if the list has changed.
 * The list is read without the loader's lock, which a thread of the program may hold for ever so
 * long: only while the loader says that it is whole, and no word of it before its page was probed.
 * So is a module, each time that it is found: it may be gone by other ways than dlclose().
 *
 * Thread and signal safety: async-signal-safe after hf_loaded_init(). Readers do not wait.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct link_map;

/* Laid out as glibc's struct dl_find_object (dlfcn.h, 2.35), under a name of our own: headers of
 * older releases do not have it. */
struct hf_loaded {
	unsigned long long flags;
	void *map_start, *map_end;
	struct link_map *link_map;
	void *eh_frame; /* .eh_frame_hdr, by PT_GNU_EH_FRAME */
	unsigned long long reserved[7];
};

/* Find the loader's list; not in a signal handler. False: there is none. */
bool hf_loaded_init(void);
/* 0 and the module, or -1: like _dl_find_object(). */
int hf_loaded_find(void *address, struct hf_loaded *ret);
/* Modules may be gone. */
void hf_loaded_changed(void);
/* In a forked child: nobody is making the table. */
void hf_loaded_forked(void);
