/*
 * The first process of a measured boot on a kernel without CONFIG_DM_INIT, such as Debian's: it reads the very parameter
 * that Kata's runtime gives a kernel that has it, dm-mod.create="…", opens the root by dm-verity, mounts it read-only
 * and becomes its /sbin/init. No C library, no shell, no veritysetup in the measured path.
 *
 * Whatever goes wrong is one line in the kernel's log and the end of the machine. There is no other way through.
 *
 * With PARSE_ONLY defined it is a program for tests, which reads a command line and says what it comes to.
 */

#include "syscall.h"

#include <linux/dm-ioctl.h>
#include <linux/fs.h>
#include <linux/mount.h>
#include <linux/netlink.h>
#include <linux/reboot.h>

#define AT_FDCWD (-100)
#define O_RDONLY 0
#define O_WRONLY 1
#define O_RDWR 2
#define O_CLOEXEC 02000000
#define AF_NETLINK 16
#define SOCK_DGRAM 2
#define SOCK_CLOEXEC 02000000
#define SOL_SOCKET 1
#define SO_RCVTIMEO 20
#define ENOENT 2
#define EINTR 4
#define EAGAIN 11
#define EEXIST 17
#define ENODEV 19
#define ENOBUFS 105

/* Above the kernel's own limit, which is 2048 on x86_64 and arm64. */
#define COMMAND_LINE_SIZE 4096
#define LIST_SIZE 4096
#define TARGET_NAME "verity"
/* A bound on hanging, not a wait: each device shows itself by an event. */
#define DEVICE_DEADLINE_SECONDS 10

/* The list of modules: one absolute path a line, in the order of their dependencies; '?' before one that a machine may
 * lack the hardware for. */
#define MODULE_LIST "/modules"
/* The one root that this initramfs opens: verity's arguments without the devices, which a host names. */
#define PINNED_ROOT "/root"
#define PIN_SIZE 512
#define NEW_ROOT "/newroot"

/* ---- text, without a C library ---- */

/* The compiler may put calls of these two in. */
void *memset(void *at, int value, unsigned long length)
{
	volatile unsigned char *to = at;
	while (length--)
		*to++ = (unsigned char)value;
	return at;
}

void *memcpy(void *at, const void *from, unsigned long length)
{
	volatile unsigned char *to = at;
	const unsigned char *bytes = from;
	while (length--)
		*to++ = *bytes++;
	return at;
}

static unsigned long length_of(const char *text)
{
	unsigned long n = 0;
	while (text[n])
		n++;
	return n;
}

#ifdef PARSE_ONLY
static void print(const char *text)
{
	call(__NR_write, 1, (long)text, (long)length_of(text), 0, 0);
}
#endif

static int same(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

/* As the kernel compares names of parameters: '-' and '_' are one. */
static int same_name(const char *a, const char *b)
{
	for (; *a && *b; a++, b++)
		if ((*a == '-' ? '_' : *a) != (*b == '-' ? '_' : *b))
			return 0;
	return *a == *b;
}

/* A line that is put together piece by piece; what does not fit is cut. */
struct line {
	unsigned long length;
	char text[512];
};

static void add(struct line *to, const char *text)
{
	for (; *text && to->length < sizeof to->text - 2; text++)
		to->text[to->length++] = *text;
}

static void add_number(struct line *to, unsigned long value)
{
	char digits[24];
	unsigned long at = sizeof digits;

	digits[--at] = 0;
	do
		digits[--at] = (char)('0' + value % 10);
	while (value /= 10);
	add(to, digits + at);
}

/* ---- the end ---- */

#ifdef PARSE_ONLY
__attribute__((noreturn)) static void end(const struct line *line)
{
	call(__NR_write, 2, (long)line->text, (long)line->length, 0, 0);
	for (;;)
		call(__NR_exit_group, 1, 0, 0, 0, 0);
}
#else
__attribute__((noreturn)) static void end(const struct line *line)
{
	/* <2>: critical, so that a quiet console shows it too. */
	static const char level[] = "<2>";
	struct line marked = { 0, { 0 } };
	long log = call(__NR_openat, AT_FDCWD, (long)"/dev/kmsg", O_WRONLY | O_CLOEXEC, 0, 0);

	add(&marked, log < 0 ? "" : level);
	add(&marked, line->text);
	marked.text[marked.length++] = '\n';
	call(__NR_write, log < 0 ? 2 : log, (long)marked.text, (long)marked.length, 0, 0);
	call(__NR_sync, 0, 0, 0, 0, 0);
	call(__NR_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_POWER_OFF, 0, 0);
	/* Where nothing can be powered off, the kernel panics as its first process ends. */
	for (;;)
		call(__NR_exit_group, 1, 0, 0, 0, 0);
}
#endif

/* One line with the cause in the kernel's log, which reaches the console, then the end of the machine. */
__attribute__((noreturn)) static void refuse(const char *what, const char *which, long error)
{
	struct line line = { 0, { 0 } };

	add(&line, "nacre stage1: ");
	add(&line, what);
	if (which) {
		add(&line, ": ");
		add(&line, which);
	}
	if (error < 0) {
		add(&line, ": errno ");
		add_number(&line, (unsigned long)-error);
	}
	line.text[line.length] = 0;
	end(&line);
}

static long must(long result, const char *what, const char *which)
{
	if (result < 0)
		refuse(what, which, result);
	return result;
}

/* ---- files ---- */

/* Reads to the end, at most size - 1 bytes, and ends them with a zero. */
static void read_all(long fd, const char *path, char *into, unsigned long size)
{
	unsigned long length = 0;

	for (;;) {
		long n = must(call(__NR_read, fd, (long)(into + length), (long)(size - length), 0, 0), "read", path);

		if (n == 0)
			break;
		length += (unsigned long)n;
		if (length == size)
			refuse("too long", path, 0);
	}
	into[length] = 0;
}

/* ---- the kernel's command line ---- */

struct parameters {
	char *create;
	char *root;
	char *type;
};

static int is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r') || (unsigned char)c == 0xa0;
}

/*
 * Cuts the next parameter off, by the kernel's rules: blanks separate, quotes hold blanks, and a quote goes that begins
 * a parameter or its value, together with one that ends it. Answers where the rest begins.
 */
static char *next_parameter(char *at, char **name, char **value)
{
	int quoted = 0;
	char *equals = 0;
	char *end;

	*name = *at == '"' ? at + 1 : at;
	quoted = *at == '"';
	for (end = *name; *end && (quoted || !is_space(*end)); end++) {
		if (*end == '"')
			quoted = !quoted;
		else if (*end == '=' && !equals && end != *name)
			equals = end;
	}
	at = *end ? end + 1 : end;
	*end = 0;
	*value = equals ? equals + 1 : 0;
	if (equals)
		*equals = 0;
	if (equals && **value == '"') {
		(*value)++;
		if (end > *value && end[-1] == '"')
			end[-1] = 0;
	} else if ((*name)[-1] == '"' && end > *name && end[-1] == '"') {
		end[-1] = 0;
	}
	return at;
}

static void once(char **at, char *value, const char *name)
{
	if (*at)
		refuse("expected once on the command line, got twice", name, 0);
	if (!value)
		refuse("expected a value on the command line", name, 0);
	*at = value;
}

static void read_parameters(char *line, struct parameters *found)
{
	/* The caller has put a blank before the line: next_parameter looks at the byte before a parameter. */
	for (char *at = line; *at;) {
		char *name;
		char *value;

		if (is_space(*at)) {
			at++;
			continue;
		}
		at = next_parameter(at, &name, &value);
		/* What follows is for init. */
		if (!value && same(name, "--"))
			break;
		if (same_name(name, "dm_mod.create"))
			once(&found->create, value, "dm-mod.create");
		else if (same(name, "root"))
			once(&found->root, value, "root");
		else if (same(name, "rootfstype"))
			once(&found->type, value, "rootfstype");
	}
	if (!found->create)
		refuse("expected a measured root on the command line, got none", "dm-mod.create", 0);
	if (!found->root || !same(found->root, "/dev/dm-0"))
		refuse("expected root=/dev/dm-0, got", found->root ? found->root : "none", 0);
	if (!found->type || !same(found->type, "erofs"))
		refuse("expected rootfstype=erofs, got", found->type ? found->type : "none", 0);
}

/* ---- the verity device ---- */

/* Cuts a field off at `separator`; refuses where it is missing. */
static char *field(char **at, char separator, const char *what)
{
	char *start = *at;

	for (char *end = start; *end; end++) {
		if (*end != separator)
			continue;
		*end = 0;
		*at = end + 1;
		return start;
	}
	refuse("dm-mod.create: field missing", what, 0);
}

static unsigned long number(const char *text, const char *what)
{
	unsigned long value = 0;

	if (!*text)
		refuse("dm-mod.create: expected a number", what, 0);
	for (; *text; text++) {
		if (*text < '0' || *text > '9' || value > 0xffffffffffffUL)
			refuse("dm-mod.create: expected a number", what, 0);
		value = value * 10 + (unsigned long)(*text - '0');
	}
	return value;
}

/* <name>,<uuid>,<minor>,<flags>,<start> <sectors> verity <arguments>: one device, one target. */
struct device {
	char *name;
	unsigned long sectors;
	char *arguments;
	char version[8];
	char data[64];
	char hash[64];
	/* The arguments behind the devices. */
	const char *tree;
};

static void copy_word(char *to, unsigned long size, const char **from, const char *what)
{
	unsigned long length = 0;

	for (; **from && **from != ' '; (*from)++) {
		if (length == size - 1)
			refuse("dm-mod.create: too long", what, 0);
		to[length++] = **from;
	}
	to[length] = 0;
	while (**from == ' ')
		(*from)++;
	if (!length)
		refuse("dm-mod.create: field missing", what, 0);
}

static void parse_device(char *text, struct device *device)
{
	for (const char *at = text; *at; at++)
		if (*at == ';' || *at == '\\')
			refuse("dm-mod.create: expected one device without escapes", 0, 0);
	device->name = field(&text, ',', "name");
	if (!*device->name || length_of(device->name) >= DM_NAME_LEN)
		refuse("dm-mod.create: expected a name of 1 to 127 bytes", 0, 0);
	if (*field(&text, ',', "uuid") || *field(&text, ',', "minor"))
		refuse("dm-mod.create: expected neither uuid nor minor", 0, 0);
	if (!same(field(&text, ',', "flags"), "ro"))
		refuse("dm-mod.create: expected the flag ro", 0, 0);
	for (const char *at = text; *at; at++)
		if (*at == ',')
			refuse("dm-mod.create: expected one target", 0, 0);
	if (number(field(&text, ' ', "start"), "start") != 0)
		refuse("dm-mod.create: expected a target from sector 0", 0, 0);
	device->sectors = number(field(&text, ' ', "sectors"), "sectors");
	if (!same(field(&text, ' ', "target"), TARGET_NAME))
		refuse("dm-mod.create: expected the target verity", 0, 0);
	device->arguments = text;
	device->tree = text;
	copy_word(device->version, sizeof device->version, &device->tree, "version");
	copy_word(device->data, sizeof device->data, &device->tree, "data device");
	copy_word(device->hash, sizeof device->hash, &device->tree, "hash device");
}

/*
 * Ten arguments are verity's own: a table that has them alone gets panic_on_corruption. Without it a host could make any
 * one block unreadable and let the guest go on with what that breaks.
 */
static void add_options(struct line *table, const char *arguments)
{
	unsigned long words = 0;

	for (const char *at = arguments; *at; at++)
		if (*at != ' ' && (at[1] == ' ' || !at[1]))
			words++;
	if (words != 10)
		refuse("dm-mod.create: expected the 10 arguments of verity without options", 0, 0);
	add(table, arguments);
	add(table, " 1 panic_on_corruption");
	if (table->length >= sizeof table->text - 2)
		refuse("dm-mod.create: too long", 0, 0);
	table->text[table->length] = 0;
}

#ifdef PARSE_ONLY

/* Every parameter as name=value or name, one a line; then the table of the device that they ask for. */
__attribute__((used)) static void run(void)
{
	static char line[COMMAND_LINE_SIZE + 1];
	static char again[COMMAND_LINE_SIZE + 1];
	static struct parameters parameters;
	static struct device device;
	struct line out = { 0, { 0 } };

	line[0] = ' ';
	read_all(0, "stdin", line + 1, COMMAND_LINE_SIZE);
	memcpy(again, line, sizeof line);
	for (char *at = again; *at;) {
		char *name;
		char *value;

		if (is_space(*at)) {
			at++;
			continue;
		}
		at = next_parameter(at, &name, &value);
		print(name);
		print(value ? "=" : "");
		print(value ? value : "");
		print("\n");
	}
	read_parameters(line, &parameters);
	parse_device(parameters.create, &device);
	add_options(&out, device.arguments);
	print(device.name);
	print(" ");
	print(out.text);
	print("\n");
	call(__NR_exit_group, 0, 0, 0, 0, 0);
}

#else

static void read_text(const char *path, char *into, unsigned long size)
{
	long fd = must(call(__NR_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0, 0), "open", path);

	read_all(fd, path, into, size);
	call(__NR_close, fd, 0, 0, 0, 0);
}

/* ---- modules and devices ---- */

static void load_module(const char *path, int optional)
{
	long fd = must(call(__NR_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0, 0), "open", path);
	long result = call(__NR_finit_module, fd, (long)"", 0, 0, 0);

	if (result < 0 && result != -EEXIST && !(optional && result == -ENODEV))
		refuse("load module", path, result);
	call(__NR_close, fd, 0, 0, 0, 0);
	/* The initramfs lies in memory: what has been loaded goes. */
	must(call(__NR_unlinkat, AT_FDCWD, (long)path, 0, 0, 0), "unlink", path);
}

static void load_modules(void)
{
	static char list[LIST_SIZE];
	char *start = list;

	read_text(MODULE_LIST, list, sizeof list);
	must(call(__NR_unlinkat, AT_FDCWD, (long)MODULE_LIST, 0, 0, 0), "unlink", MODULE_LIST);
	for (char *at = list; *at; at++) {
		if (*at != '\n')
			continue;
		*at = 0;
		load_module(*start == '?' ? start + 1 : start, *start == '?');
		start = at + 1;
	}
	if (*start)
		refuse("expected a line's end at the end of", MODULE_LIST, 0);
}

/* Opened before a device is looked for: an event between the look and the wait is then not lost. */
static long listen_for_devices(void)
{
	struct sockaddr_nl address = { AF_NETLINK, 0, 0, 1 };
	struct { long seconds, microseconds; } deadline = { DEVICE_DEADLINE_SECONDS, 0 };
	long fd = must(call(__NR_socket, AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT, 0, 0),
		       "listen for devices", 0);

	must(call(__NR_setsockopt, fd, SOL_SOCKET, SO_RCVTIMEO, (long)&deadline, sizeof deadline), "listen for devices", 0);
	must(call(__NR_bind, fd, (long)&address, sizeof address, 0, 0), "listen for devices", 0);
	return fd;
}

/*
 * Firmware's loaders hand the kernel whichever command line they like and measure it in a register that a verifier may
 * not look at. The initramfs is in all of those that it does look at, so the root is in them too.
 */
static void require_pinned_root(const struct device *device)
{
	static char pin[PIN_SIZE];
	struct line asked = { 0, { 0 } };

	read_text(PINNED_ROOT, pin, sizeof pin);
	add(&asked, device->version);
	add(&asked, " ");
	add(&asked, device->tree);
	asked.text[asked.length] = 0;
	if (!same(pin, asked.text))
		refuse("expected the root that this initramfs was built for, got", device->tree, 0);
}

static void wait_for(long events, const char *path)
{
	static char event[8192];

	for (;;) {
		long n = call(__NR_faccessat, AT_FDCWD, (long)path, 0, 0, 0);

		if (n == 0)
			return;
		if (n != -ENOENT)
			refuse("look for device", path, n);
		n = call(__NR_read, events, (long)event, sizeof event, 0, 0);
		/* Lost events mean: look again. */
		if (n == -EAGAIN)
			refuse("device did not appear", path, 0);
		if (n < 0 && n != -EINTR && n != -ENOBUFS)
			refuse("listen for devices", path, n);
	}
}

/* A request as DM_TABLE_LOAD takes it: header, one target, its arguments. */
struct request {
	struct dm_ioctl head;
	struct dm_target_spec target;
	char arguments[512];
};

static void prepare(struct request *request, const char *name, unsigned flags)
{
	memset(request, 0, sizeof *request);
	request->head.version[0] = DM_VERSION_MAJOR;
	request->head.data_size = sizeof *request;
	request->head.data_start = sizeof request->head;
	request->head.flags = flags;
	memcpy(request->head.name, name, length_of(name));
}

static void open_verity(const struct device *device)
{
	static struct request request;
	struct line table = { 0, { 0 } };
	long control = must(call(__NR_openat, AT_FDCWD, (long)"/dev/mapper/control", O_RDWR | O_CLOEXEC, 0, 0), "open",
			    "/dev/mapper/control");

	add_options(&table, device->arguments);
	prepare(&request, device->name, 0);
	must(call(__NR_ioctl, control, DM_DEV_CREATE, (long)&request, 0, 0), "create device", device->name);
	prepare(&request, device->name, DM_READONLY_FLAG);
	request.head.target_count = 1;
	request.target.length = device->sectors;
	memcpy(request.target.target_type, TARGET_NAME, sizeof TARGET_NAME);
	memcpy(request.arguments, table.text, table.length);
	must(call(__NR_ioctl, control, DM_TABLE_LOAD, (long)&request, 0, 0), "load verity table", table.text);
	prepare(&request, device->name, 0);
	must(call(__NR_ioctl, control, DM_DEV_SUSPEND, (long)&request, 0, 0), "resume device", device->name);
	call(__NR_close, control, 0, 0, 0, 0);
}

/* ---- the order of the boot ---- */

static void mount(const char *source, const char *target, const char *type, unsigned long flags)
{
	must(call(__NR_mount, (long)source, (long)target, (long)type, (long)flags, 0), "mount", target);
}

static void enter_root(void)
{
	static const char *arguments[] = { "/sbin/init", 0 };
	static const char *environment[] = { 0 };

	mount("/dev/dm-0", NEW_ROOT, "erofs", MS_RDONLY);
	must(call(__NR_umount2, (long)"/proc", 0, 0, 0, 0), "unmount", "/proc");
	mount("/dev", NEW_ROOT "/dev", 0, MS_MOVE);
	must(call(__NR_unlinkat, AT_FDCWD, (long)"/init", 0, 0, 0), "unlink", "/init");
	must(call(__NR_chdir, (long)NEW_ROOT, 0, 0, 0, 0), "enter", NEW_ROOT);
	mount(".", "/", 0, MS_MOVE);
	must(call(__NR_chroot, (long)".", 0, 0, 0, 0), "enter", NEW_ROOT);
	must(call(__NR_chdir, (long)"/", 0, 0, 0, 0), "enter", "/");
	/* Nothing of the command line reaches init: there NODE_OPTIONS=… would be code. */
	must(call(__NR_execve, (long)arguments[0], (long)arguments, (long)environment, 0, 0), "start", arguments[0]);
}

__attribute__((used)) static void run(void)
{
	static char line[COMMAND_LINE_SIZE + 1];
	static struct parameters parameters;
	static struct device device;
	long events;

	/* Started by hand on a machine that runs, it touches nothing. */
	if (call(__NR_getpid, 0, 0, 0, 0, 0) != 1)
		call(__NR_exit_group, 1, 0, 0, 0, 0);
	mount("dev", "/dev", "devtmpfs", MS_NOSUID | MS_NOEXEC);
	mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC);
	line[0] = ' ';
	read_text("/proc/cmdline", line + 1, COMMAND_LINE_SIZE);
	read_parameters(line, &parameters);
	parse_device(parameters.create, &device);
	require_pinned_root(&device);
	events = listen_for_devices();
	load_modules();
	wait_for(events, device.data);
	wait_for(events, device.hash);
	wait_for(events, "/dev/mapper/control");
	call(__NR_close, events, 0, 0, 0, 0);
	open_verity(&device);
	enter_root();
}

#endif

/* The kernel starts with an aligned stack and no return address. */
__asm__(".globl _start\n_start:\n"
#if defined(__x86_64__)
	"	xor %ebp, %ebp\n	call run\n	ud2\n"
#else
	"	mov x29, #0\n	bl run\n	brk #0\n"
#endif
);
