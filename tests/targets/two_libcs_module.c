/* What two_libcs loads: its objects come from the malloc of the C library that it is given. */
#include <stdlib.h>

void *g_theirs[1000];
void two_libcs_make(int n);

void two_libcs_make(int n)
{
	for (int i = 0; i < n && i < 1000; i++)
		g_theirs[i] = malloc(200);
}
