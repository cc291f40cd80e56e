/*
 * /usr/sbin/init of the image: starts Node as process 1 with an argv and an environment that are spelt out here.
 *
 * The kernel hands its first process every parameter that it does not know: bare words as arguments, key=value as
 * environment. Before Node those would be a script, NODE_OPTIONS or LD_PRELOAD, which is code of the host's choice. A
 * static program reads neither, and passes neither on.
 */

#include <linux/magic.h>

#include "syscall.h"

#define AT_FDCWD -100
#define O_WRONLY 01
#define O_RDWR 02
#define O_NOCTTY 0400
#define O_CLOEXEC 02000000
#define F_GETFD 1
#define MS_NOSUID 2
#define MS_NOEXEC 8
#define MS_BIND 4096
#define MS_MOVE 8192
#define REBOOT_MAGIC1 0xfee1dead
#define REBOOT_MAGIC2 672274793
#define REBOOT_POWER_OFF 0x4321fedc
#define FIRST_NOT_STDIO 3
#define NUMBER_SIZE 24

#define NODE "/usr/bin/node"
#define INIT "/usr/lib/nacre/nvrc.mjs"
/* Ranges of NODE: the first page and how many, 32 bits each (guest-rootfs/node-pages.ts). */
#define NODE_PAGES "/usr/lib/nacre/node-pages"
#define NODE_PAGES_SIZE 4096
#define PAGE_SHIFT 12
#define SIGCHLD 17

/* As the flags of every other daemon that is idle nearly always (packages/nvrc/src/node-flags.ts). */
static const char *const arguments[] = {
	NODE, "--disable-sigusr1", "--max-semi-space-size=1", "--v8-pool-size=0", INIT, 0,
};
/* One heap of the C library instead of one a thread, and what is free is given back. Nothing else, from nobody else. */
static const char *const environment[] = {
	"MALLOC_ARENA_MAX=1", "MALLOC_TRIM_THRESHOLD_=65536", "MALLOC_TOP_PAD_=4096", 0,
};

static int is_first;

static void say(int fd, const char *text)
{
	unsigned long length = 0;

	while (text[length])
		length++;
	call(__NR_write, fd, (long)text, (long)length, 0, 0);
}

/* One line of the kernel's log, then power off: an init that ends is a kernel panic, which may restart the machine. */
__attribute__((noreturn)) static void die(const char *what, long error)
{
	static char line[256] = "<0>NVRC panic: launcher: ";
	char number[NUMBER_SIZE];
	unsigned long end = 0;
	unsigned long digits = sizeof number - 1;
	const char *part;
	long log = call(__NR_openat, AT_FDCWD, (long)"/dev/kmsg", O_WRONLY | O_CLOEXEC, 0, 0);

	number[digits] = 0;
	do {
		number[--digits] = (char)('0' + -error % 10);
		error /= 10;
	} while (error);
	while (line[end])
		end++;
	for (part = what; *part; part++)
		line[end++] = *part;
	for (part = ": error "; *part; part++)
		line[end++] = *part;
	for (part = number + digits; *part; part++)
		line[end++] = *part;
	line[end++] = '\n';
	/* Written at once: each write to the kernel's log is a line of its own. Its level is of no use elsewhere. */
	say(log < 0 ? 2 : (int)log, log < 0 ? line + 3 : line);
	if (is_first) {
		call(__NR_sync, 0, 0, 0, 0, 0);
		call(__NR_reboot, REBOOT_MAGIC1, REBOOT_MAGIC2, REBOOT_POWER_OFF, 0, 0);
	}
	for (;;)
		call(__NR_exit_group, 1, 0, 0, 0, 0);
}

static long open(const char *path)
{
	return call(__NR_openat, AT_FDCWD, (long)path, O_RDWR | O_NOCTTY, 0, 0);
}

/*
 * An initramfs is the kernel's first mount, which pivot_root(2) refuses to leave; a container could not be given a root
 * of its own. The same files, mounted once more over it, are a mount like any other. /run only lends its name.
 */
static void leave_rootfs(void)
{
	long status[32];
	long error = call(__NR_statfs, (long)"/", (long)status, 0, 0, 0);

	if (error < 0)
		die("statfs /", error);
	if (status[0] != TMPFS_MAGIC && status[0] != RAMFS_MAGIC)
		return;
	error = call(__NR_mount, (long)"/", (long)"/run", 0, MS_BIND, 0);
	if (error >= 0)
		error = call(__NR_chdir, (long)"/run", 0, 0, 0, 0);
	if (error >= 0)
		error = call(__NR_mount, (long)".", (long)"/", 0, MS_MOVE, 0);
	if (error >= 0)
		error = call(__NR_chroot, (long)".", 0, 0, 0, 0);
	if (error < 0)
		die("mount the initramfs over itself", error);
}

/* Node aborts without a word when it finds no open stdio and no /dev/null; an initramfs or a bare root has neither. */
static void mount_dev(void)
{
	long null = open("/dev/null");
	long error;

	if (null >= 0) {
		call(__NR_close, null, 0, 0, 0, 0);
		return;
	}
	error = call(__NR_mount, (long)"devtmpfs", (long)"/dev", (long)"devtmpfs", MS_NOSUID | MS_NOEXEC, (long)"mode=0755");
	if (error < 0)
		die("mount devtmpfs on /dev", error);
}

/* Descriptors are given lowest first, so each of these lands where it is missing. */
static void open_stdio(void)
{
	for (int fd = 0; fd < FIRST_NOT_STDIO; fd++) {
		long opened;

		if (call(__NR_fcntl, fd, F_GETFD, 0, 0, 0) >= 0)
			continue;
		opened = open("/dev/console");
		if (opened < 0)
			opened = open("/dev/null");
		if (opened < 0)
			die("open /dev/null", opened);
	}
}

/*
 * A fault reads few pages, and Node waits for each of some hundred; on a verified and compressed root that is most of its
 * first start. A child has what every boot reads brought in from the beginning, on another processor where there is one.
 * Init collects it. Where there is no list, or no process to be had, Node starts as slowly as it does.
 */
static void read_ahead(void)
{
	static unsigned list[NODE_PAGES_SIZE / sizeof(unsigned)];
	long fd = call(__NR_openat, AT_FDCWD, (long)NODE_PAGES, O_CLOEXEC, 0, 0);
	long length;
	long node;

	if (fd < 0)
		return;
	if (call(__NR_clone, SIGCHLD, 0, 0, 0, 0) != 0) {
		call(__NR_close, fd, 0, 0, 0, 0);
		return;
	}
	length = call(__NR_read, fd, (long)list, sizeof list, 0, 0);
	node = call(__NR_openat, AT_FDCWD, (long)NODE, O_CLOEXEC, 0, 0);
	for (long i = 0; (i + 2) * (long)sizeof *list <= length; i += 2)
		call(__NR_readahead, node, (long)list[i] << PAGE_SHIFT, (long)list[i + 1] << PAGE_SHIFT, 0, 0);
	for (;;)
		call(__NR_exit_group, 0, 0, 0, 0, 0);
}

__attribute__((noreturn)) void _start(void)
{
	is_first = call(__NR_getpid, 0, 0, 0, 0, 0) == 1;
	/* Elsewhere it is somebody's machine, where nothing is mounted or ended; the program behind says what it is. */
	if (is_first) {
		leave_rootfs();
		mount_dev();
	}
	open_stdio();
	call(__NR_close_range, FIRST_NOT_STDIO, ~0U, 0, 0, 0);
	if (is_first)
		read_ahead();
	die("execve " NODE, call(__NR_execve, (long)NODE, (long)arguments, (long)environment, 0, 0));
}
