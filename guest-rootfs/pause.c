/*
 * The sandbox container's process: it holds the pod's namespaces open, collects orphans and ends on SIGTERM or SIGINT.
 * No C library: a static program of a few hundred bytes that needs nothing else in its root.
 */

#include "syscall.h"

#define SIGINT 2
#define SIGTERM 15
#define SIGCHLD 17
#define SIG_BLOCK 0
#define WNOHANG 1
#define BIT(signal) (1UL << ((signal) - 1))

void _start(void)
{
	/* Blocked and waited for: nothing can be missed between two looks, and no handler is needed. */
	unsigned long set = BIT(SIGINT) | BIT(SIGTERM) | BIT(SIGCHLD);

	call(__NR_rt_sigprocmask, SIG_BLOCK, (long)&set, 0, sizeof set, 0);
	for (;;) {
		long signal;

		/* Before the first wait, too: a child may have ended before its signal was blocked, and that is not told again. */
		while (call(__NR_wait4, -1, 0, WNOHANG, 0, 0) > 0)
			;
		signal = call(__NR_rt_sigtimedwait, (long)&set, 0, 0, sizeof set, 0);
		if (signal == SIGINT || signal == SIGTERM)
			call(__NR_exit_group, 0, 0, 0, 0, 0);
	}
}
