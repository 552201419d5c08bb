/* Scope guards (GNU C cleanup attribute): declare a variable with its guard where it first has a
 * value, return early, hand ownership on with return_ptr(). */
#pragma once
#include <stdlib.h>
#include <string.h>

#define _cleanup_(fn) __attribute__((cleanup(fn)))

/* Take a pointer out of its guarded variable, which becomes NULL. */
#define return_ptr(p)                                                                              \
	({                                                                                         \
		typeof(p) p_ = (p);                                                                \
		(p) = NULL;                                                                        \
		p_;                                                                                \
	})

/* _cleanup_(hf_freep): what malloc() gave. Not for code that runs in the target. */
static inline void hf_freep(void *variable)
{
	void *p;
	memcpy(&p, variable, sizeof(p));
	free(p);
}
