/*
 * The sandbox container's process: it holds the pod's namespaces open, collects orphans and ends on SIGTERM or SIGINT.
 * No C library: a static program of a few hundred bytes that needs nothing else in its root.
 */

#if defined(__x86_64__)
#define SYS_RT_SIGPROCMASK 14
#define SYS_RT_SIGTIMEDWAIT 128
#define SYS_WAIT4 61
#define SYS_EXIT_GROUP 231

static long call(long number, long a, long b, long c, long d)
{
	long result;
	register long r10 __asm__("r10") = d;
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return result;
}
#elif defined(__aarch64__)
#define SYS_RT_SIGPROCMASK 135
#define SYS_RT_SIGTIMEDWAIT 137
#define SYS_WAIT4 260
#define SYS_EXIT_GROUP 94

static long call(long number, long a, long b, long c, long d)
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
	return x0;
}
#else
#error "only x86_64 and aarch64"
#endif

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

	call(SYS_RT_SIGPROCMASK, SIG_BLOCK, (long)&set, 0, sizeof set);
	for (;;) {
		long signal = call(SYS_RT_SIGTIMEDWAIT, (long)&set, 0, 0, sizeof set);

		if (signal == SIGINT || signal == SIGTERM)
			call(SYS_EXIT_GROUP, 0, 0, 0, 0);
		while (call(SYS_WAIT4, -1, 0, WNOHANG, 0) > 0)
			;
	}
}
