import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

import type { Arch } from "../arch.ts";
import type { Baker } from "../baker.ts";
import { data, type Entry, text } from "../manifest.ts";
import type { Source } from "../origin.ts";
import { buildProgram } from "../programs.ts";
import { cpio, type CpioEntry, S_IFDIR, S_IFREG } from "./cpio.ts";
import { KernelModules, type Module, MODULE_INDEX } from "./kernel-modules.ts";
import { type VerityParams, verityTreeArguments } from "./verity.ts";

/** A kernel and its modules. */
export interface Kernel {
  readonly image: Source;
  /** Of one without modules everything is taken to be built in. */
  readonly modules: KernelModules | undefined;
  /** Whether it reads dm-mod.create itself (CONFIG_DM_INIT) and reaches the root without an initramfs. */
  readonly opensRoot: boolean;
}

/** What stage 1 loads to reach the root: the disk, device mapper's verity, the file system. */
const STAGE1_MODULES: readonly string[] = ["virtio_pci", "virtio_blk", "dm-mod", "dm-verity", "erofs"];

/** What init loads before it closes the door: for containers, the agent's port, the network, encrypted storage. */
const INIT_MODULES: readonly string[] = [
  "overlay",
  "vmw_vsock_virtio_transport",
  "virtio_net",
  "virtio_console",
  "configfs",
  "dm-crypt",
  "dm-integrity",
  "xts",
];

/** Where init reads what to load, one absolute path a line. */
const INIT_MODULE_LIST = "/usr/lib/nacre/modules";

/** The kernel of an unpacked Debian package. */
export function debianKernel({ path, origin }: Source): Kernel {
  const image = onlyOne(join(path, "boot"), (name) => name.startsWith("vmlinuz-"));
  const folder = ["usr/lib/modules", "lib/modules"]
    .map((name) => join(path, name))
    .find((name) => statSync(name, { throwIfNoEntry: false })?.isDirectory() === true);
  if (folder === undefined) throw new Error(`${path}: expected modules of a kernel, got none`);
  const modules = new KernelModules({ path: onlyOne(folder, () => true), origin });
  return { image: { path: image, origin }, modules, opensRoot: false };
}

function onlyOne(folder: string, fits: (name: string) => boolean): string {
  const names = readdirSync(folder).filter(fits);
  const [name] = names;
  if (name === undefined || names.length > 1) throw new Error(`${folder}: expected one kernel, got ${names.length}`);
  return join(folder, name);
}

/** Which modules a root has. */
export interface RootModules {
  readonly more: Baker["modules"];
  /** Whether stage 1 has run before it, whose modules are then left out. */
  readonly stage1: boolean;
}

/** Modules of the root, with the list from which init loads them and the index that modprobe reads. */
export function moduleEntries({ modules }: Kernel, { more, stage1 }: RootModules): readonly Entry[] {
  if (modules === undefined) return [text(INIT_MODULE_LIST, "")];
  const early = new Set(stage1 ? modules.inOrder(STAGE1_MODULES).map(({ path }) => path) : []);
  const first = stage1 ? [] : STAGE1_MODULES;
  const late = (names: readonly string[]): readonly Module[] =>
    modules.inOrder(names).filter(({ path }) => !early.has(path));
  const loaded = late([...first, ...INIT_MODULES, ...more.load]);
  const included = late([...first, ...INIT_MODULES, ...more.load, ...more.include]);
  return [
    ...included.map(({ path, source }) => data(path, source)),
    text(INIT_MODULE_LIST, loaded.map(({ path }) => `${path}\n`).join("")),
    text(join(modules.folder, MODULE_INDEX), modules.index(included)),
  ];
}

/** The initramfs that opens one root and no other: one program, the modules that it loads, their list, the root's pin. */
export function stage1Initramfs({ modules }: Kernel, arch: Arch, root: VerityParams): Buffer {
  const early = modules?.inOrder(STAGE1_MODULES) ?? [];
  const inside = ({ path }: Module): string => path.replace(/^.*\//u, "modules.d/");
  const folder = (path: string): CpioEntry => ({ path, mode: S_IFDIR | 0o755 });
  const file = (path: string, bytes: Buffer, mode = 0o644): CpioEntry => ({ path, mode: S_IFREG | mode, bytes });
  return cpio([
    ...["dev", "modules.d", "newroot", "proc"].map(folder),
    file("init", readFileSync(buildProgram("stage1", arch)), 0o755),
    file("modules", Buffer.from(early.map((module) => `/${inside(module)}\n`).join(""))),
    file("root", Buffer.from(verityTreeArguments(root))),
    ...early.map((module) => file(inside(module), readFileSync(module.source.path))),
  ]);
}
