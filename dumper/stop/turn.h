/*
 * Who traces a process: one dump of it at a time. A thread has one tracer, so that two that seize
 * the threads of one process at the same moment would each get some of them, and neither all. The
 * turn is a lock (flock(2)) on the directory of the process in /proc: it is nobody's file, is the
 * same for all who see the process in the same /proc, and ends with the process that holds it.
 *
 * Async-signal-safe.
 */
#pragma once

/* Wait for the turn, a few seconds at most: who is still being traced then will say so itself.
 * Returns a descriptor for hf_turn_give(), or -1 if it was not to be had. */
int hf_turn_take(int pid);

/* Give it back, also for processes that have inherited *turn; *turn is -1 then. -1: nothing. */
void hf_turn_give(int *turn);
