import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { KERNEL_ARCH } from "../arch.ts";
import { manifest, program } from "../manifest.ts";
import { buildProgram, stripNode } from "../programs.ts";
import { withLibraries } from "../resolve.ts";
import type { LockedSources } from "../sources.ts";
import { placeTree, type ResolvedEntry } from "../tree.ts";
import { kernelCommandLine } from "./command-line.ts";
import { writeDisk } from "./disk.ts";
import { makeErofs } from "./erofs.ts";
import { IMAGE_FILE, type ImageFile } from "./image-file.ts";
import { KernelModules } from "./kernel-modules.ts";
import { moduleEntries, stage1Initramfs } from "./kernel.ts";
import { formatVerity, verityParamsText } from "./verity.ts";

const DISK = "kata-containers.img";
const KERNEL = "vmlinuz";
const INITRAMFS = "stage1.cpio";

/** Builds an image into `folder`. The same sources give the same bytes. */
export async function buildImage(folder: string, flavour: string, sources: LockedSources): Promise<ImageFile> {
  const { arch } = sources;
  const modules = new KernelModules(sources.kernel);
  buildProgram("pause", arch);
  stripNode(arch);

  const work = `${folder}.work`;
  mkdirSync(folder, { recursive: true });
  mkdirSync(work, { recursive: true });
  const launcher = program("/usr/sbin/init", buildProgram("launcher", arch));
  const entries = withLibraries([...manifest(sources, "nvrc"), launcher, ...moduleEntries(modules)], sources);
  const placed = placeTree(entries, join(work, "root"), join(work, "placed.json"));
  const listed = `${JSON.stringify(placed.map(measured), undefined, 1)}\n`;
  makeErofs(join(work, "root"), join(work, "root.erofs"), listed);
  const params = await formatVerity(join(work, "root.erofs"), join(work, "root.verity"));
  await writeDisk(join(folder, DISK), [join(work, "root.erofs"), join(work, "root.verity")]);

  writeFileSync(join(folder, "manifest.json"), listed);
  writeFileSync(join(folder, `root_hash_${flavour}.txt`), `${verityParamsText(params)}\n`);
  copyFileSync(kernelOf(sources.kernel), join(folder, KERNEL));
  writeFileSync(join(folder, INITRAMFS), stage1Initramfs(modules, arch));
  const image: ImageFile = {
    flavour,
    arch: KERNEL_ARCH[arch],
    kernel: KERNEL,
    kernelRelease: modules.release,
    initramfs: INITRAMFS,
    disk: DISK,
    commandLine: kernelCommandLine(arch, params),
    rootHash: params.rootHash,
    sha256: Object.fromEntries([KERNEL, INITRAMFS, DISK].map((name) => [name, sha256(join(folder, name))])),
  };
  writeFileSync(join(folder, IMAGE_FILE), `${JSON.stringify(image, undefined, 2)}\n`);
  rmSync(join(work, "root.erofs"));
  rmSync(join(work, "root.verity"));
  return image;
}

/** An entry without what names the building machine. */
function measured({ path, type, mode, target, size, sha256 }: ResolvedEntry): ResolvedEntry {
  const content = target === undefined ? {} : { target };
  return {
    path,
    type,
    mode,
    ...content,
    ...(size === undefined ? {} : { size }),
    ...(sha256 === undefined ? {} : { sha256 }),
  };
}

function kernelOf(root: string): string {
  const names = readdirSync(join(root, "boot")).filter((name) => name.startsWith("vmlinuz-"));
  const [name] = names;
  if (name === undefined || names.length > 1) throw new Error(`${root}/boot: expected one kernel, got ${names.length}`);
  return join(root, "boot", name);
}

function sha256(path: string): string {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}
