/* Preloaded: an output takes a third of a second from the making of its file to its name being
 * known, so that a signal can come in between. */
#include <dlfcn.h>
#include <sys/stat.h>
#include <time.h>

int fchmod(int fd, mode_t mode)
{
	int (*next)(int, mode_t) = (int (*)(int, mode_t))dlsym(RTLD_NEXT, "fchmod");
	nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
	return next(fd, mode);
}
