import { chmodSync, closeSync, copyFileSync, existsSync, mkdirSync, readSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";

import { bindMount, CloneFlag, linuxSyscalls, MountFlag, mountWithOptions, Unmount } from "@nacre/kata-sys-util";

import { describeError } from "../error.ts";
import { hostTracer } from "./host-tracer.ts";
import { guestLayout } from "./layout.ts";
import { readPlan, type SimulatedPlan } from "./plan.ts";

/**
 * Runs as the first process of fresh namespaces, still with the machine's files in view: puts the guest's root together,
 * makes it the only one, and becomes the guest's init. What it mounts exists in this namespace alone and ends with it.
 */

/** The supervisor's end: we say that we are here, it says that network and control groups are ready. */
const SUPERVISOR_FD = 3;
/** The guest's log. */
const STDERR_FD = 2;
/** The flags are spelt out here; nothing in the environment chooses them. */
const INIT: readonly string[] = ["/usr/bin/node", "--disable-sigusr1", "/usr/lib/nacre/nvrc.mjs"];

const sys = linuxSyscalls();
const [root = "", id = ""] = process.argv.slice(2);
const layout = guestLayout(root, id);

async function stage(): Promise<never> {
  const tracer = hostTracer("stage", layout, STDERR_FD);
  writeSync(SUPERVISOR_FD, "here\n");
  const plan = simulatedPlan();
  const tree = await mountRoot(plan);
  await mountOwn(tree);
  if (plan.initdata !== undefined) await addDisk(join(tree, "dev"), plan.initdata);
  await sys.mount(null, tree, null, MountFlag.REMOUNT | MountFlag.BIND | MountFlag.RDONLY);
  await tracer.step("root", undefined);
  await tracer.step("wait", waitForSupervisor());
  enter(tree);
  await tracer.step("enter", sys.umount2(".", Unmount.DETACH));
  process.chdir("/");
  // The group that the supervisor has put us into becomes the root of what the guest sees. This call is for one thread,
  // and that thread is what remains after the next.
  sys.unshare(CloneFlag.NEWCGROUP);
  return execve(INIT);
}

function simulatedPlan(): SimulatedPlan {
  const plan = readPlan(layout.plan);
  if (plan.kind !== "simulated") throw new Error(`expected the plan of a simulated guest, got ${plan.kind}`);
  return plan;
}

/** The tree below, a tmpfs above: extra files are added without touching what other guests use. */
async function mountRoot(plan: SimulatedPlan): Promise<string> {
  mkdirSync(layout.root, { recursive: true });
  await mountWithOptions(sys, "tmpfs", layout.root, "tmpfs", ["nosuid", "nodev", "mode=0755"]);
  const [upper, work, tree] = ["upper", "work", "tree"].map((name) => join(layout.root, name)) as [
    string,
    string,
    string,
  ];
  for (const folder of [upper, work, tree]) mkdirSync(folder, { mode: 0o755 });
  const data = `lowerdir=${escape(plan.tree)},upperdir=${escape(upper)},workdir=${escape(work)}`;
  await sys.mount("overlay", tree, "overlay", MountFlag.NODEV, data);
  for (const { path, from, mode } of plan.files) {
    const target = join(tree, path);
    mkdirSync(dirname(target), { recursive: true, mode: 0o755 });
    copyFileSync(from, target);
    chmodSync(target, mode);
  }
  if (plan.daemons !== undefined) await bindMount(sys, plan.daemons, join(tree, "usr/lib/nacre"), ["ro"]);
  return tree;
}

/** What init must find mounted already, because it lies over or below what init itself would mount. */
async function mountOwn(tree: string): Promise<void> {
  await mountWithOptions(sys, "proc", join(tree, "proc"), "proc", ["nosuid", "noexec", "nodev"]);
  await bindMount(sys, layout.commandLine, join(tree, "proc/cmdline"), ["ro"]);
  // One byte written there by mistake would restart the developer's machine.
  const trigger = join(tree, "proc/sysrq-trigger");
  if (existsSync(trigger)) await bindMount(sys, "/dev/null", trigger);
  const run = join(tree, "run");
  await mountWithOptions(sys, "tmpfs", run, "tmpfs", ["nosuid", "nodev", "mode=0755"]);
  mkdirSync(join(run, "vsock"), { mode: 0o755 });
  await bindMount(sys, layout.vsock, join(run, "vsock"));
}

/** A file stands in a disk's place: the guest has no devices of its own. Init finds /dev mounted, with its own type. */
async function addDisk(dev: string, image: string): Promise<void> {
  await mountWithOptions(sys, "tmpfs", dev, "tmpfs", ["nosuid", "strictatime", "mode=0755", "size=65536k"]);
  copyFileSync(image, join(dev, "vda"));
  chmodSync(join(dev, "vda"), 0o400);
}

function waitForSupervisor(): void {
  const answer = Buffer.alloc(1);
  // Nothing else is to be done meanwhile, so this may block.
  if (readSync(SUPERVISOR_FD, answer) !== 1) throw new Error("the supervisor ended");
  closeSync(SUPERVISOR_FD);
}

/** pivot_root(2) with both in one place: no folder for the old root is needed, and unmounting `.` takes it away. */
function enter(tree: string): void {
  process.chdir(tree);
  sys.pivotRoot(".", ".");
}

/** Becomes another program; the environment is the caller's to spell out. */
function execve(argv: readonly string[]): never {
  if (process.execve === undefined) throw new Error(`expected Node 24, got ${process.version}`);
  process.execve(argv[0] ?? "", argv, { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" });
  throw new Error("execve returned");
}

/** Characters that part the options of overlay mounts. */
function escape(path: string): string {
  return path.replaceAll(/[\\:,]/gu, (character) => `\\${character}`);
}

stage().catch((error: unknown) => {
  process.stderr.write(`guest: cannot be staged: ${describeError(error)}\n`);
  process.exit(1);
});
