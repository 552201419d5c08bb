#include "walk/glibc_layout.h"

#include <stddef.h>

/*
 * From the sources of glibc 2.31, 2.34, 2.35, 2.38, 2.41, 2.42 and of the branch that became 2.43
 * (malloc/malloc.c: struct malloc_state, struct malloc_par, tcache_perthread_struct,
 * mmap_set_chunk; malloc/arena.c: heap_info); 2.36 also from its debug information. Changes came
 * with
 *   2.32  safe-linking (a1a486d70ebc "Add Safe-Linking to fastbins and tcache")
 *   2.35  huge pages: heap_info.pagesize, mp_.thp_pagesize, hp_pagesize, hp_flags
 *   2.42  tcache bins for large chunks, counts became free slots
 *   2.43  no fastbins, mmapped chunks sized like others, mp_.thp_mode, tcache_count 16
 */
static const struct hf_glibc_layout layouts[] = {
	{
		.first_minor = 43,
		.last_minor = 43,
		.bins = 24,
		.heap_info = 48,
		.mp_size = 144,
		.mp_thp_pagesize = 48,
		.mp_n_mmaps = 68,
		.mp_mmapped_mem = 88,
		.tcache_bins = 76,
		.tcache_entries = 152,
		.tcache_chunk = {0x300, 0x380},
		.tcache_counts_free_slots = true,
		.safe_linking = true,
		.mmapped_size_like_heap = true,
	},
	{
		.first_minor = 42,
		.last_minor = 42,
		.bins = 112,
		.fastbins = 16,
		.heap_info = 48,
		.mp_size = 136,
		.mp_thp_pagesize = 40,
		.mp_n_mmaps = 60,
		.mp_mmapped_mem = 80,
		.tcache_bins = 76,
		.tcache_entries = 152,
		.tcache_chunk = {0x300, 0x310},
		.tcache_counts_free_slots = true,
		.safe_linking = true,
	},
	{
		.first_minor = 35,
		.last_minor = 41,
		.bins = 112,
		.fastbins = 16,
		.heap_info = 48,
		.mp_size = 136,
		.mp_thp_pagesize = 40,
		.mp_n_mmaps = 60,
		.mp_mmapped_mem = 80,
		.tcache_bins = 64,
		.tcache_entries = 128,
		.tcache_chunk = {0x290, 0x2a0},
		.safe_linking = true,
	},
	{
		.first_minor = 32,
		.last_minor = 34,
		.bins = 112,
		.fastbins = 16,
		.heap_info = 32,
		.mp_size = 112,
		.mp_n_mmaps = 40,
		.mp_mmapped_mem = 56,
		.tcache_bins = 64,
		.tcache_entries = 128,
		.tcache_chunk = {0x290, 0x2a0},
		.safe_linking = true,
	},
	{
		.first_minor = 31,
		.last_minor = 31,
		.bins = 112,
		.fastbins = 16,
		.heap_info = 32,
		.mp_size = 112,
		.mp_n_mmaps = 40,
		.mp_mmapped_mem = 56,
		.tcache_bins = 64,
		.tcache_entries = 128,
		.tcache_chunk = {0x290, 0x2a0},
	},
};

enum { N_LAYOUTS = sizeof(layouts) / sizeof(layouts[0]) };

const struct hf_glibc_layout *hf_glibc_layout_at(unsigned i)
{
	return i < N_LAYOUTS ? &layouts[i] : NULL;
}

const struct hf_glibc_layout *hf_glibc_layout_for(unsigned minor)
{
	for (unsigned i = 0; i < N_LAYOUTS; i++) {
		if (minor >= layouts[i].first_minor)
			return &layouts[i];
	}
	return NULL;
}
