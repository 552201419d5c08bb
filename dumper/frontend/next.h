/* The next definition of a libc function behind ours, or NULL. */
#pragma once
#include <dlfcn.h>

#define HF_NEXT(name)                                                                              \
	({                                                                                         \
		static __typeof__(&(name)) next_;                                                  \
		if (!next_)                                                                        \
			next_ = (__typeof__(&(name)))dlsym(RTLD_NEXT, #name);                      \
		next_;                                                                             \
	})
